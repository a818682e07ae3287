//! The comma-separated mount options of `-o`, in the syntax of mount(8) and fstab(5).

use std::borrow::Cow;

use crate::config::suggestion::find_nearest;
use crate::model::{Diagnostic, ErrorKind};

/// The mount options that have an effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MountOptions {
    /// Whether users other than the one who mounts have access.
    pub allow_other: bool,
    /// Whether root has access if another user mounts.
    pub allow_root: bool,
    /// The user id that stat(2) shows for every file.
    pub uid: Option<u32>,
    /// The group id that stat(2) shows for every file.
    pub gid: Option<u32>,
    /// The permission bits that are removed from files and directories. Never contains a read or
    /// search bit of the owner.
    pub umask: Option<u16>,
}

/// The reason why a list of mount options is rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MountOptionsError {
    #[error("meetfs is read-only")]
    ReadWrite,
    #[error("the options of a mounted file system cannot be changed")]
    Remount,
    #[error("`{ALLOW_OTHER}` and `{ALLOW_ROOT}` cannot be used together")]
    ConflictingAccess,
    #[error("`{option}` is not a user or group id")]
    InvalidId { option: String },
    #[error("`{option}` is not an octal permission mask")]
    InvalidMask { option: String },
    #[error("`{option}` removes read or search permission from the owner")]
    MaskDeniesOwner { option: String },
    #[error("a double quote is not closed in `{list}`")]
    UnclosedQuote { list: String },
    #[error("unknown option `{option}`")]
    Unknown {
        option: String,
        /// The accepted option that is most similar to `option`.
        nearest_option: Option<String>,
    },
}

impl Diagnostic for MountOptionsError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Usage
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        Some(match self {
            Self::ReadWrite => "Omit `rw`.".into(),
            Self::Remount => "Unmount the file system, then mount it with the new options.".into(),
            Self::ConflictingAccess => {
                format!("`{ALLOW_OTHER}` includes root. Omit `{ALLOW_ROOT}`.").into()
            }
            Self::InvalidId { .. } => {
                "Write a number, as in `uid=1000`. `id -u NAME` and `id -g NAME` print the numbers \
                 of a user."
                    .into()
            }
            Self::InvalidMask { .. } => "Write an octal number, as in `umask=027`.".into(),
            Self::MaskDeniesOwner { .. } => {
                "Use a mask without the bits 0500, such as `umask=077`.".into()
            }
            Self::UnclosedQuote { .. } => {
                "Enclose a value with a comma in double quotes: `name=\"a,b\"`. In a shell, put \
                 single quotes around the whole option."
                    .into()
            }
            Self::Unknown { nearest_option: Some(nearest_option), .. } => {
                format!("Did you mean `{nearest_option}`?").into()
            }
            Self::Unknown { nearest_option: None, .. } => format!(
                "The options are {}. Common options of fstab, such as `nofail`, are accepted but \
                 have no effect.",
                EFFECTIVE_OPTIONS.map(|option| format!("`{option}`")).join(", ")
            )
            .into(),
        })
    }
}

const ALLOW_OTHER: &str = "allow_other";
const ALLOW_ROOT: &str = "allow_root";
const UID: &str = "uid";
const GID: &str = "gid";
const UMASK: &str = "umask";

pub(super) const EFFECTIVE_OPTIONS: [&str; 5] = [ALLOW_OTHER, ALLOW_ROOT, UID, GID, UMASK];

/// Options that are accepted but have no effect. Some of them apply to every meetfs mount anyway
/// (read-only; permission bits are checked; no devices, set-user-id bits or access times). The
/// others are meant for programs that read fstab, such as mount(8) and systemd, and that pass them
/// on to meetfs. mount(8) adds a value to `user` if an ordinary user mounts.
const IGNORED_OPTIONS: [&str; 42] = [
    "ro",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "exec",
    "noexec",
    "atime",
    "noatime",
    "diratime",
    "nodiratime",
    "relatime",
    "norelatime",
    "strictatime",
    "nostrictatime",
    "lazytime",
    "nolazytime",
    "iversion",
    "noiversion",
    "mand",
    "nomand",
    "silent",
    "loud",
    "async",
    "defaults",
    "default_permissions",
    "auto",
    "noauto",
    "_netdev",
    "nofail",
    "user",
    "users",
    "nouser",
    "nousers",
    "owner",
    "noowner",
    "group",
    "nogroup",
    "comment",
    "helper",
    "uhelper",
    "subtype",
];

/// Returns the option with this name if it is accepted, even if it has no effect.
pub(super) fn accepted_option(name: &str) -> Option<&'static str> {
    accepted_options().find(|option| *option == name)
}

fn accepted_options() -> impl Iterator<Item = &'static str> {
    EFFECTIVE_OPTIONS.into_iter().chain(IGNORED_OPTIONS)
}

/// Returns whether the option is a comment for other programs: systemd.mount(5), mount(8).
pub(super) fn is_comment(option: &str) -> bool {
    option.starts_with("x-") || option.starts_with("X-")
}

/// Splits a list at the commas that are outside of quotation marks, and removes the marks. Empty
/// items are skipped, as mount(8) does.
///
/// # Errors
/// A quotation mark is not closed.
pub(super) fn split_list(list: &str) -> Result<Vec<String>, MountOptionsError> {
    let mut items = vec![String::new()];
    let mut is_quoted = false;
    for character in list.chars() {
        match (character, items.last_mut()) {
            ('"', _) => is_quoted = !is_quoted,
            (',', _) if !is_quoted => items.push(String::new()),
            (_, Some(item)) => item.push(character),
            (_, None) => {}
        }
    }
    if is_quoted {
        return Err(MountOptionsError::UnclosedQuote { list: list.to_owned() });
    }
    let items = items.iter().map(|item| item.trim().to_owned());
    Ok(items.filter(|item| !item.is_empty()).collect())
}

impl MountOptions {
    /// Parses a comma-separated list.
    ///
    /// # Errors
    /// Returns an error for the first option that is not accepted.
    pub fn parse(list: &str) -> Result<Self, MountOptionsError> {
        let mut options = Self::default();
        for option in split_list(list)? {
            options.apply(&option)?;
        }
        options.checked()
    }

    fn apply(&mut self, option: &str) -> Result<(), MountOptionsError> {
        let (name, value) = match option.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (option, None),
        };
        match (name, value) {
            (ALLOW_OTHER, None) => self.allow_other = true,
            (ALLOW_ROOT, None) => self.allow_root = true,
            (UID, value) => self.uid = Some(parse_id(option, value)?),
            (GID, value) => self.gid = Some(parse_id(option, value)?),
            (UMASK, value) => self.umask = Some(parse_mask(option, value)?),
            ("rw", None) => return Err(MountOptionsError::ReadWrite),
            ("remount", None) => return Err(MountOptionsError::Remount),
            _ if is_comment(name) || IGNORED_OPTIONS.contains(&name) => {}
            _ => {
                return Err(MountOptionsError::Unknown {
                    option: option.to_owned(),
                    nearest_option: find_nearest(name, accepted_options()).map(str::to_owned),
                });
            }
        }
        Ok(())
    }

    /// # Errors
    /// Two options cannot be used together.
    fn checked(self) -> Result<Self, MountOptionsError> {
        if self.allow_other && self.allow_root {
            return Err(MountOptionsError::ConflictingAccess);
        }
        Ok(self)
    }

    /// Returns an option with this name as it can be written after `-o`.
    pub(super) fn example(name: &'static str) -> &'static str {
        match name {
            UID => "uid=1000",
            GID => "gid=1000",
            UMASK => "umask=077",
            name => name,
        }
    }

    /// Combines two sets of options. A value of `other` replaces that of `self`.
    ///
    /// # Errors
    /// Two options cannot be used together.
    pub fn merge(self, other: Self) -> Result<Self, MountOptionsError> {
        Self {
            allow_other: self.allow_other || other.allow_other,
            allow_root: self.allow_root || other.allow_root,
            uid: other.uid.or(self.uid),
            gid: other.gid.or(self.gid),
            umask: other.umask.or(self.umask),
        }
        .checked()
    }
}

fn parse_id(option: &str, value: Option<&str>) -> Result<u32, MountOptionsError> {
    // The largest number means "no id" in chown(2).
    let id = value.and_then(|value| value.parse().ok()).filter(|id| *id != u32::MAX);
    id.ok_or_else(|| MountOptionsError::InvalidId { option: option.to_owned() })
}

fn parse_mask(option: &str, value: Option<&str>) -> Result<u16, MountOptionsError> {
    let mask = value
        .filter(|value| value.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|value| u16::from_str_radix(value, 8).ok())
        .filter(|mask| *mask <= 0o777)
        .ok_or_else(|| MountOptionsError::InvalidMask { option: option.to_owned() })?;
    if mask & 0o500 != 0 {
        return Err(MountOptionsError::MaskDeniesOwner { option: option.to_owned() });
    }
    Ok(mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_fstab_options_have_no_effect() {
        let list = "ro,nosuid,nodev,noexec,noatime,defaults,auto,noauto,_netdev,nofail,user,\
                    user=ana,default_permissions,x-systemd.automount,x-gvfs-name=\"a,b\",,";
        assert_eq!(MountOptions::parse(list), Ok(MountOptions::default()));
        assert_eq!(MountOptions::parse(""), Ok(MountOptions::default()));
    }

    #[test]
    fn effective_options_are_found_among_ignored_ones() {
        let options = MountOptions {
            allow_other: true,
            uid: Some(1000),
            gid: Some(0),
            umask: Some(0o27),
            ..MountOptions::default()
        };
        assert_eq!(
            MountOptions::parse("ro, allow_other ,nofail,uid=1000,\"gid=0\",umask=0027"),
            Ok(options)
        );
    }

    #[test]
    fn rejected_options_have_hints() {
        for (list, message, hint) in [
            ("noatime,rw", "meetfs is read-only", "Omit `rw`"),
            ("remount,ro", "the options of a mounted", "Unmount the file system"),
            ("allow_other,allow_root", "cannot be used together", "includes root"),
            ("uid=ana", "`uid=ana` is not a user or group id", "id -u NAME"),
            ("gid", "`gid` is not a user or group id", "id -g NAME"),
            ("uid=4294967295", "is not a user or group id", "Write a number"),
            ("umask=8", "`umask=8` is not an octal", "octal"),
            ("umask=+7", "`umask=+7` is not an octal", "octal"),
            ("umask=7777", "`umask=7777` is not an octal", "octal"),
            ("umask=777", "removes read or search permission", "umask=077"),
            ("a=\"b,c", "a double quote is not closed", "double quotes"),
        ] {
            let error = MountOptions::parse(list).unwrap_err();
            assert!(error.to_string().contains(message), "{list}: {error}");
            assert!(error.hint().unwrap().contains(hint), "{list}: {:?}", error.hint());
        }
    }

    #[test]
    fn later_value_replaces_an_earlier_one() {
        let parse = |list| MountOptions::parse(list).unwrap();
        let merged = parse("uid=1,gid=1").merge(parse("uid=2")).unwrap();
        assert_eq!((merged.uid, merged.gid), (Some(2), Some(1)));
        let both = parse("allow_other").merge(parse("allow_root"));
        assert_eq!(both, Err(MountOptionsError::ConflictingAccess));
    }

    #[test]
    fn unknown_option_suggests_the_nearest_one() {
        let error = MountOptions::parse("alow_other").unwrap_err();
        assert_eq!(error.to_string(), "unknown option `alow_other`");
        assert_eq!(error.hint().unwrap(), "Did you mean `allow_other`?");
        let error = MountOptions::parse("zzzzzz=1").unwrap_err();
        assert_eq!(error.to_string(), "unknown option `zzzzzz=1`");
        assert!(error.hint().unwrap().starts_with("The options are `allow_other`, `allow_root`"));
    }
}

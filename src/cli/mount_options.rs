//! The comma-separated mount options of `-o`, in the syntax of mount(8) and fstab(5).

use std::borrow::Cow;

use crate::config::suggestion::find_nearest;
use crate::model::{Diagnostic, ErrorKind};

/// The mount options that have an effect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MountOptions {
    /// Whether users other than the one who mounts have access.
    pub allow_other: bool,
    /// Whether the kernel checks permission bits.
    pub default_permissions: bool,
}

/// The reason why a list of mount options is rejected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MountOptionsError {
    #[error("meetfs is read-only")]
    ReadWrite,
    #[error("unknown option `{option}`")]
    Unknown {
        option: String,
        /// The accepted option that is most similar to `option`.
        nearest_option: Option<&'static str>,
    },
}

impl Diagnostic for MountOptionsError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Usage
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        Some(match self {
            Self::ReadWrite => "Omit `rw`.".into(),
            Self::Unknown { nearest_option: Some(nearest_option), .. } => {
                format!("Did you mean `{nearest_option}`?").into()
            }
            Self::Unknown { nearest_option: None, .. } => format!(
                "The options are `{ALLOW_OTHER}` and `{DEFAULT_PERMISSIONS}`. Common options of \
                 fstab, such as `nofail`, are accepted but have no effect."
            )
            .into(),
        })
    }
}

/// Options that are accepted but have no effect. Some of them apply to every meetfs mount anyway
/// (read-only; no devices, set-user-id bits or access times). The others are meant for programs
/// that read fstab, such as mount(8) and systemd, and that pass them on to meetfs.
const IGNORED_OPTIONS: [&str; 13] = [
    "ro", "nosuid", "nodev", "noexec", "noatime", "defaults", "auto", "noauto", "_netdev",
    "nofail", "user", "users", "nouser",
];

/// Returns the option with this name if it is accepted, even if it has no effect.
pub(super) fn accepted_option(name: &str) -> Option<&'static str> {
    accepted_options().find(|option| *option == name)
}

fn accepted_options() -> impl Iterator<Item = &'static str> {
    IGNORED_OPTIONS.into_iter().chain([ALLOW_OTHER, DEFAULT_PERMISSIONS])
}

const ALLOW_OTHER: &str = "allow_other";
const DEFAULT_PERMISSIONS: &str = "default_permissions";

impl MountOptions {
    /// Parses a comma-separated list. Empty items are skipped, as mount(8) does.
    ///
    /// # Errors
    /// Returns an error for the first option that is not accepted.
    pub fn parse(list: &str) -> Result<Self, MountOptionsError> {
        let mut options = Self::default();
        for option in list.split(',').map(str::trim).filter(|option| !option.is_empty()) {
            match option {
                ALLOW_OTHER => options.allow_other = true,
                DEFAULT_PERMISSIONS => options.default_permissions = true,
                "rw" => return Err(MountOptionsError::ReadWrite),
                // These options are comments for other programs: systemd.mount(5), mount(8).
                _ if option.starts_with("x-") => {}
                _ if IGNORED_OPTIONS.contains(&option) => {}
                _ => {
                    let nearest_option = find_nearest(option, accepted_options());
                    return Err(MountOptionsError::Unknown {
                        option: option.to_owned(),
                        nearest_option,
                    });
                }
            }
        }
        Ok(options)
    }

    /// Returns the options that are set in `self`, in `other` or in both.
    pub fn merge(self, other: Self) -> Self {
        Self {
            allow_other: self.allow_other || other.allow_other,
            default_permissions: self.default_permissions || other.default_permissions,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_fstab_options_have_no_effect() {
        let list = "ro,nosuid,nodev,noexec,noatime,defaults,auto,noauto,_netdev,nofail,user,\
                    x-systemd.automount,,";
        assert_eq!(MountOptions::parse(list), Ok(MountOptions::default()));
        assert_eq!(MountOptions::parse(""), Ok(MountOptions::default()));
    }

    #[test]
    fn effective_options_are_found_among_ignored_ones() {
        let options = MountOptions { allow_other: true, default_permissions: true };
        assert_eq!(MountOptions::parse("ro, allow_other ,nofail,default_permissions"), Ok(options));
    }

    #[test]
    fn read_write_is_refused() {
        assert_eq!(MountOptions::parse("noatime,rw"), Err(MountOptionsError::ReadWrite));
        assert!(MountOptionsError::ReadWrite.to_string().contains("meetfs is read-only"));
    }

    #[test]
    fn unknown_option_suggests_the_nearest_one() {
        let error = MountOptions::parse("alow_other").unwrap_err();
        assert_eq!(error.to_string(), "unknown option `alow_other`");
        assert_eq!(error.hint().unwrap(), "Did you mean `allow_other`?");
        let error = MountOptions::parse("zzzzzz=1").unwrap_err();
        assert_eq!(error.to_string(), "unknown option `zzzzzz=1`");
        assert!(error.hint().unwrap().starts_with("The options are `allow_other` and"));
    }
}

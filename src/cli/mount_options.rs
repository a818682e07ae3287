//! The comma list of `-o`, as mount(8) and fstab(5) write it.

use crate::config::suggestion::nearest;

/// What `-o` asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MountOptions {
    /// Let users other than the mounting one in.
    pub allow_other: bool,
    /// Let the kernel check permission bits.
    pub default_permissions: bool,
}

/// Why a list cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MountOptionsError {
    /// Writing was asked for.
    #[error("meetfs is read-only; leave `rw` out")]
    ReadWrite,
    /// There is no such option.
    #[error("unknown option `{option}`; {}", known(*.nearest))]
    Unknown {
        /// As given.
        option: String,
        /// The option most like it.
        nearest: Option<&'static str>,
    },
}

/// What to write instead.
fn known(nearest: Option<&str>) -> String {
    match nearest {
        Some(word) => format!("did you mean `{word}`?"),
        None => format!(
            "`{ALLOW_OTHER}` and `{DEFAULT_PERMISSIONS}` have an effect, and what fstab has for every mount is taken"
        ),
    }
}

/// Options that change nothing. Some state what every mount is anyway (read-only, without devices, set-user-id bits or
/// access times), the others are between fstab, mount(8) and systemd and are passed on all the same.
const WITHOUT_EFFECT: [&str; 13] = [
    "ro", "nosuid", "nodev", "noexec", "noatime", "defaults", "auto", "noauto", "_netdev",
    "nofail", "user", "users", "nouser",
];

const ALLOW_OTHER: &str = "allow_other";
const DEFAULT_PERMISSIONS: &str = "default_permissions";

impl MountOptions {
    /// Reads a comma list; empty items are skipped, as mount(8) does.
    ///
    /// # Errors
    /// At the first option that is not to be had.
    pub fn parse(list: &str) -> Result<Self, MountOptionsError> {
        let mut options = Self::default();
        for option in list.split(',').map(str::trim).filter(|option| !option.is_empty()) {
            match option {
                ALLOW_OTHER => options.allow_other = true,
                DEFAULT_PERMISSIONS => options.default_permissions = true,
                "rw" => return Err(MountOptionsError::ReadWrite),
                // Comments that other programs leave for themselves: systemd.mount(5), mount(8).
                _ if option.starts_with("x-") => {}
                _ if WITHOUT_EFFECT.contains(&option) => {}
                _ => {
                    let known =
                        WITHOUT_EFFECT.into_iter().chain([ALLOW_OTHER, DEFAULT_PERMISSIONS]);
                    let nearest = nearest(option, known);
                    return Err(MountOptionsError::Unknown { option: option.to_owned(), nearest });
                }
            }
        }
        Ok(options)
    }

    /// Both lists together.
    pub fn and(self, other: Self) -> Self {
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
    fn what_fstab_writes_is_taken_without_effect() {
        let list = "ro,nosuid,nodev,noexec,noatime,defaults,auto,noauto,_netdev,nofail,user,x-systemd.automount,,";
        assert_eq!(MountOptions::parse(list), Ok(MountOptions::default()));
        assert_eq!(MountOptions::parse(""), Ok(MountOptions::default()));
    }

    #[test]
    fn options_with_an_effect_are_seen_among_the_others() {
        let options = MountOptions { allow_other: true, default_permissions: true };
        assert_eq!(MountOptions::parse("ro, allow_other ,nofail,default_permissions"), Ok(options));
    }

    #[test]
    fn writing_is_refused() {
        assert_eq!(MountOptions::parse("noatime,rw"), Err(MountOptionsError::ReadWrite));
        assert!(MountOptionsError::ReadWrite.to_string().contains("meetfs is read-only"));
    }

    #[test]
    fn an_unknown_option_names_the_nearest() {
        let error = MountOptions::parse("alow_other").unwrap_err();
        assert_eq!(error.to_string(), "unknown option `alow_other`; did you mean `allow_other`?");
        let error = MountOptions::parse("zzzzzz=1").unwrap_err();
        let told = error.to_string();
        assert!(told.starts_with("unknown option `zzzzzz=1`; `allow_other` and"), "{told}");
    }
}

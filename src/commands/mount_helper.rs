//! The program `mount.meetfs`, which mount(8) starts for a line of fstab.

use super::error::Error;
use super::exit_status::ExitStatus;
use super::mount::start_in_background;
use crate::cli::{MOUNT_USAGE_EXIT_CODE, MountHelperArgs};
use crate::config::{Environment, ProcessEnvironment};

/// The exit code of mount(8) for a mount that failed.
pub(super) const FAILURE_EXIT_CODE: u8 = 32;

/// The directories of the system. A mount by root uses them even if `HOME` is set: it is set when
/// an administrator runs `mount -a`, but not when systemd mounts the same line at boot.
const SYSTEM_DIRECTORIES: [(&str, &str); 3] =
    [("XDG_CONFIG_HOME", "/etc"), ("XDG_CACHE_HOME", "/var/cache"), ("XDG_STATE_HOME", "/var/lib")];

/// Where programs such as `fusermount3` and those of `*_command` are searched if the process that
/// called mount(8) has no `PATH`, as at boot.
const DEFAULT_PATH: (&str, &str) =
    ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");

/// Mounts in the background. Returns an exit code of mount(8).
///
/// # Errors
/// The background process could not be started.
pub(super) fn run(arguments: &MountHelperArgs) -> Result<u8, Error> {
    let mount_arguments = match arguments.arguments() {
        Ok(mount_arguments) => mount_arguments,
        Err(error) => {
            // Nothing is left to do if standard error is closed.
            let _ = error.print();
            return Ok(MOUNT_USAGE_EXIT_CODE);
        }
    };
    if arguments.is_dry_run {
        return Ok(ExitStatus::Success as u8);
    }
    let variables = missing_variables(&ProcessEnvironment, nix::unistd::geteuid().is_root());
    let code = start_in_background(mount_arguments, &variables)?;
    Ok(if code == ExitStatus::Success as u8 { code } else { FAILURE_EXIT_CODE })
}

/// Returns the variables that the background process needs and that are unset or empty.
fn missing_variables(
    environment: &dyn Environment,
    is_root: bool,
) -> Vec<(&'static str, &'static str)> {
    let directories = SYSTEM_DIRECTORIES.into_iter().filter(|_| is_root);
    let variables = directories.chain([DEFAULT_PATH]);
    let is_missing = |name| environment.variable(name).is_none_or(|value| value.is_empty());
    variables.filter(|(name, _)| is_missing(name)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::ffi::OsString;

    use super::*;

    #[test]
    fn only_missing_variables_are_added() {
        let environment: BTreeMap<String, OsString> =
            [("PATH", "/bin"), ("XDG_CACHE_HOME", ""), ("XDG_STATE_HOME", "/s")]
                .map(|(name, value)| (name.to_owned(), value.into()))
                .into();
        assert_eq!(
            missing_variables(&environment, true),
            [("XDG_CONFIG_HOME", "/etc"), ("XDG_CACHE_HOME", "/var/cache")]
        );
        assert_eq!(missing_variables(&environment, false), []);
        assert_eq!(missing_variables(&BTreeMap::new(), false), [DEFAULT_PATH]);
    }
}

//! The program `mount.meetfs`, which mount(8) starts for a line of fstab.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::error::Error;
use super::exit_status::ExitStatus;
use super::mount::start_in_background;
use crate::cli::{MOUNT_USAGE_EXIT_CODE, MountHelperArgs};
use crate::config::SYSTEM_VARIABLE;

/// The exit code of mount(8) for a mount that failed.
pub(super) const FAILURE_EXIT_CODE: u8 = 32;

/// The start of the names of variables that replace flags of `meetfs mount`. A mount must not
/// depend on the shell in which an administrator runs mount(8).
const VARIABLE_PREFIX: &str = "MEETFS_";

/// The search path for `fusermount3` and for the programs of `*_command` if `PATH` is not set, as
/// at boot.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

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
    let user = nix::unistd::geteuid();
    // mount(8) removes HOME if an ordinary user mounts.
    let home = match nix::unistd::User::from_uid(user) {
        Ok(Some(user)) => user.dir,
        _ => PathBuf::from("/"),
    };
    let variables: Vec<_> = std::env::vars_os().collect();
    let code = start_in_background(mount_arguments, |command| {
        change_environment(command, &variables, user.is_root(), &home);
    })?;
    Ok(match code {
        code if code == ExitStatus::Success as u8 => code,
        code if code == ExitStatus::Usage as u8 => MOUNT_USAGE_EXIT_CODE,
        _ => FAILURE_EXIT_CODE,
    })
}

/// Sets the environment of the background process. `variables` are those of this process, and
/// `home` is the home directory of the user.
fn change_environment(
    command: &mut Command,
    variables: &[(OsString, OsString)],
    is_root: bool,
    home: &Path,
) {
    let is_missing =
        |name: &str| !variables.iter().any(|(other, value)| other == name && !value.is_empty());
    let is_flag = |name: &OsString| name.to_string_lossy().starts_with(VARIABLE_PREFIX);
    for (name, _) in variables.iter().filter(|(name, _)| is_flag(name)) {
        command.env_remove(name);
    }
    if is_root {
        command.env(SYSTEM_VARIABLE, "1");
    }
    if is_missing("HOME") {
        command.env("HOME", home);
    }
    if is_missing("PATH") {
        command.env("PATH", DEFAULT_PATH);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(variables: &[(&str, &str)], is_root: bool) -> Vec<String> {
        let variables: Vec<(OsString, OsString)> =
            variables.iter().map(|(name, value)| (name.into(), value.into())).collect();
        let mut command = Command::new("true");
        change_environment(&mut command, &variables, is_root, Path::new("/h"));
        let changes = command.get_envs().map(|(name, value)| {
            format!("{}={}", name.display(), value.unwrap_or("removed".as_ref()).display())
        });
        changes.collect()
    }

    #[test]
    fn environment_does_not_depend_on_the_shell() {
        let shell = [("PATH", "/bin"), ("MEETFS_CONFIG", "c"), ("HOME", "/root")];
        assert_eq!(changes(&shell, true), ["MEETFS_CONFIG=removed", "MEETFS_SYSTEM=1"]);
        assert_eq!(changes(&shell, false), ["MEETFS_CONFIG=removed"]);
        let path = format!("PATH={DEFAULT_PATH}");
        let home = "HOME=/h".to_owned();
        assert_eq!(changes(&[("PATH", "")], false), [home.clone(), path.clone()]);
        assert_eq!(changes(&[], true), [home, "MEETFS_SYSTEM=1".to_owned(), path]);
    }
}

//! The command line of `mount.meetfs`, which mount(8) starts for the file system type `meetfs`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use clap::{ArgAction, CommandFactory, Parser};

use super::arguments::{Cli, Command};
use super::mount_options::{
    EFFECTIVE_OPTIONS, MountOptionsError, accepted_option, is_comment, split_list,
};
use super::usage_error::UsageError;
use crate::config::suggestion::find_nearest;

/// The source in fstab that stands for the configuration file of the system or of the user.
const DEFAULT_SOURCES: [&str; 2] = ["meetfs", "none"];

/// The source in fstab that stands for the sample recordings.
const DEMO_SOURCE: &str = "demo";

/// The exit code of mount(8) for wrong usage. mount(8) returns the codes of its helpers.
pub const MOUNT_USAGE_EXIT_CODE: u8 = 1;

/// The option that can be given several times.
const REPEATABLE_OPTION: &str = "source";

/// Flags of `meetfs mount` that are not mount options: the helper always mounts in the background,
/// and the source in fstab selects the demo.
const EXCLUDED_FLAGS: [&str; 3] = ["foreground", "demo", "help"];

const AFTER_HELP: &str = "\
Examples:
  mount -t meetfs /etc/meetfs/acme.toml /mnt/acme
  mount -t meetfs -o allow_other,memory=128MiB none /mnt/meetings

A line of /etc/fstab:
  /etc/meetfs/acme.toml  /mnt/acme  meetfs  ro,_netdev,nofail,allow_other  0  0

Exit codes:
  0   success
  1   wrong usage
  32  the mount failed";

/// Mount recordings from /etc/fstab or with mount -t meetfs
///
/// Each long flag of meetfs mount that takes a value is a mount option, with _ for -:
/// read_deadline=10s stands for --read-deadline 10s. The flags no_passthrough and require_online
/// are also mount options, and so are those of meetfs mount -o. A value that contains a comma must
/// be in double quotes.
///
/// If root mounts, HOME and the variables of meetfs have no effect: the default configuration file
/// is /etc/meetfs/config.toml, the default cache directory is /var/cache/meetfs, and the log is in
/// /var/lib/meetfs.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "mount.meetfs",
    version,
    after_help = AFTER_HELP,
    max_term_width = super::arguments::MAX_HELP_WIDTH
)]
pub struct MountHelperArgs {
    /// Configuration file, "none" for the default file, or "demo"
    #[arg(value_name = "CONFIG")]
    source: OsString,

    /// Empty directory to mount on
    #[arg(value_name = "MOUNTPOINT")]
    mountpoint: PathBuf,

    /// Mount options separated by commas
    #[arg(short = 'o', value_name = "OPTS")]
    options: Vec<String>,

    /// Ignore unknown mount options
    #[arg(short = 's')]
    is_sloppy: bool,

    /// Check the options, but do not mount
    #[arg(short = 'f')]
    pub is_dry_run: bool,

    /// Accepted for mount(8); has no effect
    #[arg(short = 'n')]
    _no_mtab: bool,

    /// Accepted for mount(8); has no effect
    #[arg(short = 'v', action = ArgAction::Count)]
    _verbosity: u8,

    /// Accepted for mount(8); has no effect
    #[arg(short = 't', value_name = "TYPE")]
    _file_system_type: Option<String>,

    /// Not supported: run mount(8) in the other namespace
    #[arg(short = 'N', value_name = "NAMESPACE", value_parser = refuse_namespace)]
    _namespace: Option<String>,
}

fn refuse_namespace(_: &str) -> Result<String, &'static str> {
    Err("mounting in another namespace is not supported\nhint: Run mount through `nsenter`.")
}

impl MountHelperArgs {
    /// Parses the arguments of the process. Returns `None` if the program was not started as
    /// `mount.meetfs`. If the usage is wrong, prints an error and exits.
    pub fn from_arguments() -> Option<Self> {
        let program = std::env::args_os().next()?;
        if !Self::is_requested_by(&program) {
            return None;
        }
        Some(Self::try_parse().unwrap_or_else(|error| {
            // Nothing is left to do if standard error is closed.
            let _ = error.print();
            std::process::exit(if error.use_stderr() { MOUNT_USAGE_EXIT_CODE.into() } else { 0 })
        }))
    }

    fn is_requested_by(program: &OsStr) -> bool {
        let name = Path::new(program).file_name().unwrap_or_default();
        matches!(name.as_bytes(), b"mount.meetfs" | b"mount.fuse.meetfs")
    }

    /// Returns the arguments of `meetfs` that mount this file system, without the program.
    ///
    /// # Errors
    /// A mount option is not accepted, or its value is not valid.
    pub fn arguments(&self) -> Result<Vec<OsString>, clap::Error> {
        let mut arguments = vec![OsString::from("mount")];
        if self.source == DEMO_SOURCE {
            arguments.push("--demo".into());
        } else if !DEFAULT_SOURCES.iter().any(|name| self.source == *name) {
            arguments.push(joined("--config=", &self.source));
        }
        if let Some(source) = self.source.to_str() {
            arguments.push(format!("--mount-source={source}").into());
        }
        arguments.extend(self.option_arguments()?.into_iter().map(OsString::from));
        arguments.push("--".into());
        arguments.push(self.mountpoint.clone().into());
        let program = OsString::from("meetfs");
        let parsed = Cli::try_parse_from(std::iter::once(&program).chain(&arguments))?;
        if let Command::Mount(mount) = parsed.command {
            mount.mount_options().map_err(usage_error)?;
        }
        Ok(arguments)
    }

    /// Translates the mount options into arguments. A later value of an option replaces an earlier
    /// one: mount(8) appends the options of its command line to those of fstab.
    fn option_arguments(&self) -> Result<Vec<String>, clap::Error> {
        let lists: Result<Vec<_>, _> = self.options.iter().map(|list| split_list(list)).collect();
        let options: Vec<String> = lists.map_err(usage_error)?.concat();
        if options.iter().any(|option| option == "remount") {
            return Err(usage_error(MountOptionsError::Remount));
        }
        let program = Cli::command();
        let flags: Vec<String> =
            program.find_subcommand("mount").into_iter().flat_map(option_names).collect();
        let mut arguments: Vec<(&str, String)> = Vec::new();
        for option in &options {
            let (name, value) = match option.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (option.as_str(), None),
            };
            let argument = if flags.iter().any(|flag| flag == name) {
                let value = value.map(|value| format!("={value}")).unwrap_or_default();
                format!("--{}{value}", name.replace('_', "-"))
            } else if EFFECTIVE_OPTIONS.contains(&name) {
                format!("-o{option}")
            } else if self.is_sloppy || is_ignored(name) {
                continue;
            } else {
                let names = flags.iter().map(String::as_str).chain(EFFECTIVE_OPTIONS);
                let nearest_option = find_nearest(name, names).map(str::to_owned);
                let option = option.clone();
                return Err(usage_error(MountOptionsError::Unknown { option, nearest_option }));
            };
            if name != REPEATABLE_OPTION {
                arguments.retain(|(other, _)| *other != name);
            }
            arguments.push((name, argument));
        }
        Ok(arguments.into_iter().map(|(_, argument)| argument).collect())
    }
}

/// Returns whether an option has no effect. mount(8) adds `rw` to every list without `ro`, and the
/// options of the kernel when it mounts again what is in the mount table.
fn is_ignored(name: &str) -> bool {
    const KERNEL_OPTIONS: [&str; 6] =
        ["fd", "rootmode", "user_id", "group_id", "max_read", "blksize"];
    name == "rw"
        || is_comment(name)
        || accepted_option(name).is_some()
        || KERNEL_OPTIONS.contains(&name)
}

/// Returns the names of the flags of `meetfs mount` that can be written as mount options.
fn option_names(mount: &clap::Command) -> impl Iterator<Item = String> {
    let visible_flags = mount.get_arguments().filter(|argument| !argument.is_hide_set());
    visible_flags
        .filter_map(|argument| argument.get_long())
        .filter(|name| !EXCLUDED_FLAGS.contains(name))
        .map(|name| name.replace('-', "_"))
}

fn joined(prefix: &str, value: &OsStr) -> OsString {
    let mut text = OsString::from(prefix);
    text.push(value);
    text
}

fn usage_error(error: MountOptionsError) -> clap::Error {
    let message = format!("{}\n", UsageError(error));
    clap::Error::raw(clap::error::ErrorKind::ValueValidation, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(words: &[&str]) -> Result<Vec<String>, String> {
        let parsed = MountHelperArgs::try_parse_from(["mount.meetfs"].iter().chain(words))
            .map_err(|error| error.to_string())?;
        let arguments = parsed.arguments().map_err(|error| error.to_string())?;
        Ok(arguments.into_iter().map(|word| word.into_string().unwrap()).collect())
    }

    #[test]
    fn definition_is_consistent() {
        MountHelperArgs::command().debug_assert();
    }

    #[test]
    fn program_name_selects_the_helper() {
        for (name, is_helper) in [
            ("/sbin/mount.meetfs", true),
            ("mount.fuse.meetfs", true),
            ("/usr/bin/meetfs", false),
            ("/mount.meetfs/meetfs", false),
            ("", false),
        ] {
            assert_eq!(MountHelperArgs::is_requested_by(OsStr::new(name)), is_helper, "{name}");
        }
    }

    #[test]
    fn fstab_line_becomes_a_mount_command() {
        for (words, expected) in [
            (
                vec!["/etc/acme.toml", "/mnt", "-o", "rw,_netdev,allow_other,read_deadline=5s"],
                vec![
                    "mount",
                    "--config=/etc/acme.toml",
                    "--mount-source=/etc/acme.toml",
                    "-oallow_other",
                    "--read-deadline=5s",
                    "--",
                    "/mnt",
                ],
            ),
            (
                vec!["demo", "/mnt", "-sv", "-n", "-o", "verbose,uid=5", "-t", "meetfs"],
                vec!["mount", "--demo", "--mount-source=demo", "-ouid=5", "--", "/mnt"],
            ),
            (
                vec!["none", "/mnt a", "-o", "x-a=\"b,c\",no_passthrough,log_file=\"/l,g\""],
                vec![
                    "mount",
                    "--mount-source=none",
                    "--no-passthrough",
                    "--log-file=/l,g",
                    "--",
                    "/mnt a",
                ],
            ),
            (
                vec![
                    "meetfs",
                    "/mnt",
                    "-o",
                    "memory=1GiB,uid=5,source=a",
                    "-o",
                    "memory=2GiB,uid=6,source=b",
                ],
                vec![
                    "mount",
                    "--mount-source=meetfs",
                    "--source=a",
                    "--memory=2GiB",
                    "-ouid=6",
                    "--source=b",
                    "--",
                    "/mnt",
                ],
            ),
            (
                vec!["demo", "/mnt", "-o", "comment=\"a,allow_other\",user_id=0,fd=3,user=ana"],
                vec!["mount", "--demo", "--mount-source=demo", "--", "/mnt"],
            ),
        ] {
            assert_eq!(arguments(&words).unwrap(), expected);
        }
    }

    #[test]
    fn wrong_option_is_explained() {
        for (words, expected) in [
            (["none", "/mnt", "-oalow_other"], "Did you mean `allow_other`?"),
            (["none", "/mnt", "-oremount,ro"], "Unmount the file system, then"),
            (["none", "/mnt", "-oforeground"], "unknown option `foreground`"),
            (["none", "/mnt", "-omemory"], "--memory"),
            (["none", "/mnt", "-omemory=\"1,"], "a double quote is not closed"),
            (["none", "/mnt", "-oallow_other,allow_root"], "cannot be used together"),
            (["none", "/mnt", "-oread_dedline=5s"], "Did you mean `read_deadline`?"),
            (["none", "/mnt", "-N/proc/7/ns/mnt"], "Run mount through `nsenter`"),
        ] {
            let error = arguments(&words).unwrap_err();
            assert!(error.contains(expected), "{words:?}: {error}");
        }
    }
}

//! The command line of `mount.meetfs`, which mount(8) starts for the file system type `meetfs`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, CommandFactory, Parser};

use super::arguments::Cli;
use super::mount_options::{MountOptionsError, accepted_option, is_comment, split_list};
use super::usage_error::UsageError;

/// The source in fstab that stands for the configuration file of the system or of the user.
const DEFAULT_SOURCES: [&str; 2] = ["meetfs", "none"];

/// The source in fstab that stands for the sample recordings.
const DEMO_SOURCE: &str = "demo";

/// The exit code of mount(8) for wrong usage. mount(8) returns the codes of its helpers.
pub const MOUNT_USAGE_EXIT_CODE: u8 = 1;

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
/// Each flag of meetfs mount that changes the configuration is a mount option, with `_` for `-`:
/// read_deadline=10s stands for --read-deadline 10s. A value that contains a comma must be in
/// quotation marks.
///
/// For root, the configuration file is /etc/meetfs/config.toml by default, the cache is in
/// /var/cache/meetfs and the log in /var/lib/meetfs, even if HOME is set. A mount by hand then
/// equals a mount at boot.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "mount.meetfs",
    version,
    after_help = AFTER_HELP,
    max_term_width = super::arguments::MAX_HELP_WIDTH
)]
pub struct MountHelperArgs {
    /// Configuration file, none for the default file, or demo
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
        arguments.push(joined("--mount-source=", &self.source));
        arguments.extend(self.option_arguments()?);
        arguments.push("--".into());
        arguments.push(self.mountpoint.clone().into());
        let program = OsString::from("meetfs");
        Cli::try_parse_from(std::iter::once(&program).chain(&arguments))?;
        Ok(arguments)
    }

    /// Translates the mount options into flags and one list of other options.
    fn option_arguments(&self) -> Result<Vec<OsString>, clap::Error> {
        let mut arguments = Vec::new();
        let program = Cli::command();
        let flags = program.find_subcommand("mount").into_iter().flat_map(option_flags);
        let flags: Vec<&Arg> = flags.collect();
        for list in &self.options {
            for option in split_list(list).map_err(usage_error)? {
                let (name, value) = match option.split_once('=') {
                    Some((name, value)) => (name, Some(value)),
                    None => (option.as_str(), None),
                };
                let flag_name = name.replace('_', "-");
                if flags.iter().any(|flag| flag.get_long() == Some(&flag_name)) {
                    let value = value.map(|value| format!("={value}")).unwrap_or_default();
                    arguments.push(format!("--{flag_name}{value}").into());
                } else if self.is_passed_on(name) {
                    arguments.push(format!("-o{option}").into());
                }
            }
        }
        Ok(arguments)
    }

    /// Returns whether an option that is not a flag of `meetfs mount` is one of its mount options,
    /// or must be rejected by it. mount(8) adds `rw` to every list without `ro`.
    fn is_passed_on(&self, name: &str) -> bool {
        name != "rw"
            && !is_comment(name)
            && (!self.is_sloppy || name == "remount" || accepted_option(name).is_some())
    }
}

/// Returns the flags of `meetfs mount` that can be written as mount options.
fn option_flags(mount: &clap::Command) -> impl Iterator<Item = &Arg> {
    mount.get_arguments().filter(|argument| {
        let name = argument.get_long();
        !argument.is_hide_set() && name.is_some_and(|name| !EXCLUDED_FLAGS.contains(&name))
    })
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
                    "-o_netdev",
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
            (vec!["meetfs", "-dash"], vec![]),
        ] {
            if expected.is_empty() {
                assert!(arguments(&words).is_err());
            } else {
                assert_eq!(arguments(&words).unwrap(), expected);
            }
        }
    }

    #[test]
    fn wrong_option_is_explained() {
        for (words, expected) in [
            (["none", "/mnt", "-oalow_other"], "Did you mean `allow_other`?"),
            (["none", "/mnt", "-oremount,ro"], "Unmount it, then mount it"),
            (["none", "/mnt", "-oforeground"], "unknown option `foreground`"),
            (["none", "/mnt", "-omemory"], "--memory"),
            (["none", "/mnt", "-omemory=\"1,"], "a quotation mark is not closed"),
        ] {
            let error = arguments(&words).unwrap_err();
            assert!(error.contains(expected), "{words:?}: {error}");
        }
    }
}

//! Arguments of `meetfs mount`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::config_args::{ConfigArgs, SourceArgs};
use super::demo_conflict::DemoConflictCheck;
use super::mount_options::{MountOptions, MountOptionsError};
use super::usage_error::UsageError;
use crate::config::Overrides;

const AFTER_HELP: &str = "\
Examples:
  meetfs mount --demo /mnt/meetings
  meetfs mount ~/meetings
  meetfs mount --source acme --memory 256MiB ~/meetings
  meetfs mount --config /etc/meetfs/config.toml -o allow_other /srv/meetings
  meetfs mount --foreground --log-level debug ~/meetings

A flag overrides its environment variable, and a variable overrides the configuration file.";

/// Mount the recordings of the configured sources
///
/// Returns as soon as the directories can be listed. A background process then serves the mount.
#[derive(Args, Clone, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct MountArgs {
    // This must be the first field, because the other fields remove their values from the matches.
    #[command(flatten)]
    _demo_conflict_check: DemoConflictCheck,

    #[command(flatten)]
    pub config: ConfigArgs,

    #[command(flatten)]
    pub sources: SourceArgs,

    /// Mount options separated by commas, as in fstab
    ///
    /// allow_other gives all users access. allow_root gives access to root but not to other users.
    /// uid=N, gid=N and umask=MASK set the owner, the group and the permission bits. Common options
    /// of fstab, such as ro and nofail, are accepted but have no effect. rw is rejected.
    #[arg(short = 'o', value_name = "OPTS", value_parser = mount_options)]
    pub options: Vec<MountOptions>,

    /// Stay in the foreground and log to standard error
    #[arg(short, long)]
    pub foreground: bool,

    /// Mount sample recordings from an embedded server; needs no account
    ///
    /// Cannot be used with --config or --source. The demo stores nothing on disk, so --cache-dir
    /// and --disk have no effect. Their values are still checked.
    #[arg(long)]
    pub demo: bool,

    /// Fail if no source can be listed
    ///
    /// By default, a mount is ready even without a network or a provider, and meetfs retries in the
    /// background. Until a source has been listed once, its directory cannot be opened, so
    /// that a backup does not mistake it for an empty archive.
    #[arg(long)]
    pub require_online: bool,

    /// Disable FUSE passthrough and verify checksums on every read
    ///
    /// By default, the kernel reads a file that is completely in the disk cache directly from
    /// there. meetfs then verifies the checksums only when the file is opened.
    #[arg(long)]
    pub no_passthrough: bool,

    /// Append the log to this file [default: a file in $XDG_STATE_HOME/meetfs]
    ///
    /// meetfs creates the file with mode 0600. With --foreground, the log goes to standard error by
    /// default, or to the journal if systemd has connected standard error to it.
    #[arg(long, value_name = "FILE")]
    pub log_file: Option<PathBuf>,

    /// Level of detail of the log
    #[arg(long, value_name = "LEVEL", value_enum, default_value_t)]
    pub log_level: LogLevel,

    /// Prints `ready` when the mount is ready and then continues in the background. `meetfs mount`
    /// starts a copy of itself with this flag.
    #[arg(long, hide = true)]
    pub report_readiness: bool,

    /// The source of the file system in the mount table. `mount --all` skips a line of fstab if the
    /// mount table has its source and mountpoint.
    #[arg(long, hide = true)]
    pub mount_source: Option<String>,

    /// Empty directory to mount on
    #[arg(value_name = "MOUNTPOINT")]
    pub mountpoint: PathBuf,
}

impl MountArgs {
    pub fn overrides(&self) -> Overrides {
        Overrides { sources: self.sources.names(), ..self.config.overrides() }
    }

    /// Returns the combined options of all `-o` flags.
    ///
    /// # Errors
    /// Two options cannot be used together.
    pub fn mount_options(&self) -> Result<MountOptions, MountOptionsError> {
        self.options.iter().copied().try_fold(MountOptions::default(), MountOptions::merge)
    }
}

fn mount_options(list: &str) -> Result<MountOptions, UsageError<MountOptionsError>> {
    MountOptions::parse(list).map_err(UsageError)
}

/// Level of detail of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// Failures
    Error,
    /// Failures that were recovered from
    Warn,
    /// Normal operation, such as each refresh
    #[default]
    Info,
    /// Details for developers, such as each retry
    Debug,
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};
    use crate::config::{Origin, Setting};

    fn parse_mount(arguments: &[&str]) -> MountArgs {
        let cli = Cli::try_parse_from(["meetfs", "mount"].iter().chain(arguments)).unwrap();
        let Command::Mount(mount) = cli.command else { panic!("not a mount") };
        *mount
    }

    #[test]
    fn every_configuration_flag_is_an_override() {
        let overrides = parse_mount(&[
            "--config",
            "c.toml",
            "--source",
            "acme",
            "--source",
            "rapat",
            "--cache-dir",
            "/c",
            "--memory",
            "64MiB",
            "--disk",
            "off",
            "--timezone",
            "UTC",
            "--read-deadline",
            "5s",
            "--connections",
            "3",
            "--bandwidth-limit",
            "4MiB",
            "--metrics",
            "127.0.0.1:9464",
            "/mnt",
        ])
        .overrides();
        let flag = |value: &str, flag| Setting::new(value.into(), Origin::Flag(flag));
        assert_eq!(overrides.config, Some(flag("c.toml", "--config")));
        assert_eq!(overrides.sources, ["acme", "rapat"].map(|name| flag(name, "--source")));
        assert_eq!(overrides.cache_dir, Some(flag("/c", "--cache-dir")));
        assert_eq!(overrides.memory, Some(flag("64MiB", "--memory")));
        assert_eq!(overrides.disk, Some(flag("off", "--disk")));
        assert_eq!(overrides.timezone, Some(flag("UTC", "--timezone")));
        assert_eq!(overrides.read_deadline, Some(flag("5s", "--read-deadline")));
        assert_eq!(overrides.connections, Some(flag("3", "--connections")));
        assert_eq!(overrides.bandwidth_limit, Some(flag("4MiB", "--bandwidth-limit")));
        assert_eq!(overrides.metrics, Some(flag("127.0.0.1:9464", "--metrics")));
    }

    #[test]
    fn options_of_several_flags_are_merged() {
        let mount = parse_mount(&["-o", "ro,allow_other", "-o", "uid=7", "-f", "/mnt"]);
        let options = MountOptions { allow_other: true, uid: Some(7), ..MountOptions::default() };
        assert_eq!(mount.mount_options(), Ok(options));
        assert!(mount.foreground);
    }

    #[test]
    fn defaults_of_flags_are_not_overrides() {
        let mount = parse_mount(&["/mnt"]);
        assert_eq!(mount.mount_options(), Ok(MountOptions::default()));
        assert_eq!(mount.log_level, LogLevel::Info);
        assert!(!mount.demo && !mount.foreground);
        let overrides = mount.overrides();
        assert!(overrides.memory.is_none() && overrides.connections.is_none());
    }

    #[test]
    fn invalid_mount_option_error_includes_the_hint() {
        let arguments = ["meetfs", "mount", "-o", "alow_other", "/mnt"];
        let error = Cli::try_parse_from(arguments).unwrap_err().to_string();
        assert!(error.contains("unknown option `alow_other`\nhint: Did you mean"), "{error}");
    }
}

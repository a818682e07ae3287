//! `meetfs mount`

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::mount_options::MountOptions;
use crate::config::Overrides;

const AFTER_HELP: &str = "\
Examples:
  meetfs mount --demo /mnt/meetings
  meetfs mount ~/meetings
  meetfs mount --source acme --memory 256MiB ~/meetings
  meetfs mount --config /etc/meetfs/config.toml -o allow_other /srv/meetings
  meetfs mount --foreground --log-level debug ~/meetings

Returns once the directories can be listed, and serves them from the background.

Variables that stand in for flags (a flag beats its variable, a variable beats the file):
  MEETFS_CONFIG         --config
  MEETFS_SOURCE         --source, names separated by commas
  MEETFS_CACHE_DIR      --cache-dir
  MEETFS_CACHE_MEMORY   --memory
  MEETFS_CACHE_DISK     --disk
  MEETFS_TIMEZONE       --timezone
  MEETFS_READ_DEADLINE  --read-deadline
  MEETFS_CONNECTIONS    --connections";

/// Arguments of `meetfs mount`.
#[derive(Args, Clone, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct MountArgs {
    /// Configuration file [default: $XDG_CONFIG_HOME/meetfs/config.toml]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Mount this source only; give it again for more [default: all]
    #[arg(long = "source", value_name = "NAME")]
    pub sources: Vec<String>,

    /// Mount options separated by commas, as in fstab: allow_other lets other users in
    #[arg(short = 'o', value_name = "OPTS", value_parser = MountOptions::parse)]
    pub options: Vec<MountOptions>,

    /// Stay in the foreground, as under systemd; log to standard error
    #[arg(short, long)]
    pub foreground: bool,

    /// Mount invented recordings from a cloud inside this program; needs no account, takes no --config or --source
    #[arg(long, conflicts_with_all = ["config", "sources"])]
    pub demo: bool,

    /// Directory for downloaded blocks [default: $XDG_CACHE_HOME/meetfs]
    #[arg(long, value_name = "DIR")]
    pub cache_dir: Option<PathBuf>,

    /// Ceiling for all block buffers, at least 8MiB [default: 128MiB]
    #[arg(long, value_name = "SIZE")]
    pub memory: Option<String>,

    /// Ceiling for blocks on disk, or off [default: 10GiB]
    #[arg(long, value_name = "SIZE")]
    pub disk: Option<String>,

    /// Time zone of the directory names, as in Europe/Paris [default: the system's]
    #[arg(long, value_name = "TZ")]
    pub timezone: Option<String>,

    /// How long a read may take before it fails, 1s to 10m [default: 30s]
    #[arg(long, value_name = "TIME")]
    pub read_deadline: Option<String>,

    /// Connections to one host for long transfers, 1 to 64 [default: 8]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub connections: Option<String>,

    /// Have every byte from the disk cache checked as it is read, instead of handing whole files to the kernel
    #[arg(long)]
    pub no_passthrough: bool,

    /// Append the log to this file; a new one is readable by its owner alone
    #[arg(long, value_name = "FILE")]
    pub log_file: Option<PathBuf>,

    /// How much to log
    #[arg(long, value_name = "LEVEL", value_enum, default_value_t)]
    pub log_level: LogLevel,

    /// Says `ready` on standard output and goes to the background; `meetfs mount` starts itself so.
    #[arg(long, hide = true)]
    pub report_readiness: bool,

    /// An empty directory to mount on
    #[arg(value_name = "MOUNTPOINT")]
    pub mountpoint: PathBuf,
}

impl MountArgs {
    /// What the flags say about the settings.
    pub fn overrides(&self) -> Overrides {
        Overrides {
            config: self.config.clone(),
            sources: self.sources.clone(),
            cache_dir: self.cache_dir.clone(),
            memory: self.memory.clone(),
            disk: self.disk.clone(),
            timezone: self.timezone.clone(),
            read_deadline: self.read_deadline.clone(),
            connections: self.connections.clone(),
        }
    }

    /// All `-o` together.
    pub fn mount_options(&self) -> MountOptions {
        self.options.iter().copied().fold(MountOptions::default(), MountOptions::and)
    }
}

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum LogLevel {
    /// What failed for good.
    Error,
    /// What went wrong and was fixed.
    Warn,
    /// What a person who watches wants to know.
    #[default]
    Info,
    /// What a developer wants to know: what was tried again, what the tree was built from.
    Debug,
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn mount(arguments: &[&str]) -> MountArgs {
        let cli = Cli::try_parse_from(["meetfs", "mount"].iter().chain(arguments)).unwrap();
        let Command::Mount(mount) = cli.command else { panic!("not a mount") };
        *mount
    }

    #[test]
    fn every_flag_of_the_settings_reaches_them() {
        let overrides = mount(&[
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
            "/mnt",
        ])
        .overrides();
        assert_eq!(overrides.config, Some("c.toml".into()));
        assert_eq!(overrides.sources, ["acme", "rapat"]);
        assert_eq!(overrides.cache_dir, Some("/c".into()));
        assert_eq!(overrides.memory.as_deref(), Some("64MiB"));
        assert_eq!(overrides.disk.as_deref(), Some("off"));
        assert_eq!(overrides.timezone.as_deref(), Some("UTC"));
        assert_eq!(overrides.read_deadline.as_deref(), Some("5s"));
        assert_eq!(overrides.connections.as_deref(), Some("3"));
    }

    #[test]
    fn options_add_up_over_several_flags() {
        let mount = mount(&["-o", "ro,allow_other", "-o", "default_permissions", "-f", "/mnt"]);
        assert_eq!(
            mount.mount_options(),
            MountOptions { allow_other: true, default_permissions: true }
        );
        assert!(mount.foreground);
    }

    #[test]
    fn a_bare_mount_asks_for_nothing_special() {
        let mount = mount(&["/mnt"]);
        assert_eq!(mount.mount_options(), MountOptions::default());
        assert_eq!(mount.log_level, LogLevel::Info);
        assert!(!mount.demo && !mount.foreground);
    }
}

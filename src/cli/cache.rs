//! `meetfs cache`

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::config::Overrides;

const AFTER_HELP: &str = "\
Examples:
  meetfs cache status
  meetfs cache status --json --cache-dir /var/cache/meetfs
  meetfs cache clear";

const AFTER_STATUS: &str = "\
Examples:
  meetfs cache status
  meetfs cache status --json

Works while the cache is in use.";

const AFTER_CLEAR: &str = "\
Examples:
  meetfs cache clear
  meetfs cache clear --config /etc/meetfs/config.toml

Exits with 4 while a mount has the cache: unmount first. Nothing but downloaded blocks is removed.";

/// Arguments of `meetfs cache`.
#[derive(Args, Clone, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct CacheArgs {
    /// What to do with it.
    #[command(subcommand)]
    pub command: CacheCommand,
}

/// What can be done with the cache on disk.
#[derive(Clone, Debug, Subcommand)]
pub enum CacheCommand {
    /// Say what is kept on disk and who has it open
    #[command(after_help = AFTER_STATUS)]
    Status {
        /// Which cache.
        #[command(flatten)]
        place: CachePlace,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove every downloaded block
    #[command(after_help = AFTER_CLEAR)]
    Clear {
        /// Which cache.
        #[command(flatten)]
        place: CachePlace,
    },
}

/// Which cache is meant.
#[derive(Args, Clone, Debug)]
pub struct CachePlace {
    /// Configuration file [default: $XDG_CONFIG_HOME/meetfs/config.toml]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Directory for downloaded blocks [default: $XDG_CACHE_HOME/meetfs]
    #[arg(long, value_name = "DIR")]
    pub cache_dir: Option<PathBuf>,
}

impl CachePlace {
    /// What the flags say about the settings.
    pub fn overrides(&self) -> Overrides {
        Overrides {
            config: self.config.clone(),
            cache_dir: self.cache_dir.clone(),
            ..Overrides::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    #[test]
    fn the_place_reaches_the_settings() {
        let cli = Cli::try_parse_from([
            "meetfs",
            "cache",
            "clear",
            "--config",
            "c.toml",
            "--cache-dir",
            "/c",
        ]);
        let Command::Cache(CacheArgs { command: CacheCommand::Clear { place } }) =
            cli.unwrap().command
        else {
            panic!("not a clear")
        };
        let overrides = place.overrides();
        assert_eq!(overrides.config, Some("c.toml".into()));
        assert_eq!(overrides.cache_dir, Some("/c".into()));
    }

    #[test]
    fn only_the_status_is_printed_as_json() {
        assert!(Cli::try_parse_from(["meetfs", "cache", "status", "--json"]).is_ok());
        assert_eq!(
            Cli::try_parse_from(["meetfs", "cache", "clear", "--json"]).unwrap_err().exit_code(),
            2
        );
        assert_eq!(Cli::try_parse_from(["meetfs", "cache"]).unwrap_err().exit_code(), 2);
    }
}

//! Arguments of `meetfs cache`.

use clap::{Args, Subcommand};

use super::config_args::{ConfigArgs, hide};

const AFTER_HELP: &str = "\
Examples:
  meetfs cache status
  meetfs cache status --json --cache-dir /var/cache/meetfs
  meetfs cache clear";

const STATUS_AFTER_HELP: &str = "\
Examples:
  meetfs cache status
  meetfs cache status --json

Can be used while a mount uses the cache.";

const CLEAR_AFTER_HELP: &str = "\
Examples:
  meetfs cache clear
  meetfs cache clear --config /etc/meetfs/config.toml

Only downloaded blocks are removed. Exits with 4 if a mount uses the cache. Unmount it first.";

/// Ids of the flags in [`ConfigArgs`] that have no effect on these commands.
const HIDDEN_FLAGS: [&str; 7] =
    ["memory", "timezone", "read_deadline", "connections", "bandwidth_limit", "metrics", "search"];

/// Inspect or empty the disk cache
#[derive(Args, Clone, Debug)]
#[command(after_help = AFTER_HELP)]
pub struct CacheArgs {
    #[command(subcommand)]
    pub command: CacheCommand,
}

#[derive(Clone, Debug, Subcommand)]
pub enum CacheCommand {
    /// Show the size of the disk cache and the process that uses it
    #[command(after_help = STATUS_AFTER_HELP)]
    #[command(mut_args(|argument| hide(argument, &HIDDEN_FLAGS)))]
    Status {
        #[command(flatten)]
        flags: ConfigArgs,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove all downloaded blocks
    #[command(after_help = CLEAR_AFTER_HELP)]
    #[command(mut_args(|argument| hide(argument, &HIDDEN_FLAGS)))]
    Clear {
        #[command(flatten)]
        flags: ConfigArgs,
    },
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    #[test]
    fn cache_dir_flag_overrides_the_configuration() {
        let cli = Cli::try_parse_from([
            "meetfs",
            "cache",
            "clear",
            "--config",
            "c.toml",
            "--cache-dir",
            "/c",
        ]);
        let Command::Cache(cache) = cli.unwrap().command else { panic!("not a cache command") };
        let CacheCommand::Clear { flags } = cache.command else { panic!("not a clear") };
        let overrides = flags.overrides();
        assert_eq!(overrides.config.unwrap().value, "c.toml");
        assert_eq!(overrides.cache_dir.unwrap().value, "/c");
    }

    #[test]
    fn json_flag_is_only_for_cache_status() {
        assert!(Cli::try_parse_from(["meetfs", "cache", "status", "--json"]).is_ok());
        assert_eq!(
            Cli::try_parse_from(["meetfs", "cache", "clear", "--json"]).unwrap_err().exit_code(),
            2
        );
        assert_eq!(Cli::try_parse_from(["meetfs", "cache"]).unwrap_err().exit_code(), 2);
    }
}

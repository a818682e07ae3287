//! What a person types: one file a command, no logic.
//!
//! Arguments enter, typed structs leave. Doc comments are the help. Only what belongs to the command line alone is
//! checked here (`-o`, log levels); values that may as well come from the environment or the file are passed on as
//! typed, for [`crate::config`] has the one rule of precedence. Secrets have no flag: other users can see arguments.

mod cache;
mod doctor;
mod expiring;
mod login;
mod mount;
mod mount_options;
mod refresh;
mod status;
mod unmount;

use clap::{Parser, Subcommand};

pub use cache::{CacheArgs, CacheCommand, CachePlace};
pub use doctor::DoctorArgs;
pub use expiring::ExpiringArgs;
pub use login::LoginArgs;
pub use mount::{LogLevel, MountArgs};
pub use mount_options::{MountOptions, MountOptionsError};
pub use refresh::RefreshArgs;
pub use status::StatusArgs;
pub use unmount::UnmountArgs;

/// Mounts an archive of recorded meetings as directories of read-only files.
#[derive(Debug, Parser)]
#[command(name = "meetfs", version, after_help = AFTER_HELP, max_term_width = WIDEST)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// In characters. Paragraphs of help stand on one line each in this room and are wrapped by the terminal's width; lines
/// that are longer than this are hard to read.
const WIDEST: usize = 120;

const AFTER_HELP: &str = "\
Examples:
  meetfs mount --demo /mnt/meetings     try it without an account
  meetfs login acme                     permit the source acme in a browser
  meetfs mount ~/meetings               mount every configured source
  meetfs unmount ~/meetings
  meetfs status                         what is going on
  meetfs refresh                        look for new recordings now
  meetfs doctor                         what keeps a mount from working
  meetfs expiring --within 7d           what the clouds will delete
  meetfs cache status                   what is kept on disk

Exit codes:
  0  done
  1  failed
  2  wrong usage
  3  configuration or credentials
  4  busy or already mounted";

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Mount the recordings of the configured sources.
    Mount(Box<MountArgs>),
    /// Sign in to a source in a browser.
    Login(LoginArgs),
    /// Unmount cleanly.
    Unmount(UnmountArgs),
    /// Say what is going on: sources, what failed, when it is tried again.
    Status(StatusArgs),
    /// Look for new recordings now.
    Refresh(RefreshArgs),
    /// Check configuration, credentials, network, FUSE and cache, each with its fix.
    Doctor(DoctorArgs),
    /// List what the clouds will delete, most urgent first.
    Expiring(ExpiringArgs),
    /// Look at the downloaded blocks on disk, or remove them.
    Cache(CacheArgs),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definitions_hold_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_help_with_examples() {
        for command in Cli::command().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Examples:"), "{}", command.get_name());
            assert!(
                help.contains(&format!("meetfs {}", command.get_name())),
                "{}",
                command.get_name()
            );
        }
    }

    #[test]
    fn wrong_usage_exits_with_2() {
        for arguments in [
            vec!["meetfs"],
            vec!["meetfs", "mont", "/mnt"],
            vec!["meetfs", "mount"],
            vec!["meetfs", "mount", "--colour", "/mnt"],
            vec!["meetfs", "mount", "-o", "rw", "/mnt"],
            vec!["meetfs", "mount", "--demo", "--source", "acme", "/mnt"],
            vec!["meetfs", "mount", "--demo", "--config", "c.toml", "/mnt"],
            vec!["meetfs", "expiring", "--checksum"],
            vec!["meetfs", "unmount"],
        ] {
            assert_eq!(
                Cli::try_parse_from(&arguments).unwrap_err().exit_code(),
                2,
                "{arguments:?}"
            );
        }
    }

    #[test]
    fn help_and_version_are_no_failures() {
        for arguments in [["meetfs", "--version"], ["meetfs", "--help"]] {
            assert_eq!(Cli::try_parse_from(arguments).unwrap_err().exit_code(), 0, "{arguments:?}");
        }
    }

    #[test]
    fn no_flag_takes_a_secret() {
        for command in Cli::command().get_subcommands() {
            for argument in command.get_arguments() {
                let name = argument.get_id().as_str();
                assert!(
                    !["token", "secret", "password", "client", "account"]
                        .iter()
                        .any(|word| name.contains(word))
                );
            }
        }
    }
}

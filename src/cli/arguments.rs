//! The command line of the `meetfs` program and its commands.

use clap::{CommandFactory, Parser, Subcommand};

use super::cache::CacheArgs;
use super::doctor::DoctorArgs;
use super::expiring::ExpiringArgs;
use super::explain::ExplainArgs;
use super::log_level::LogLevelArgs;
use super::login::LoginArgs;
use super::mount::MountArgs;
use super::refresh::RefreshArgs;
use super::search::SearchArgs;
use super::status::StatusArgs;
use super::suggestions;
use super::unmount::UnmountArgs;
use super::verify::VerifyArgs;

/// Maximum width of help text, in characters. clap wraps the text at the width of the terminal, but
/// longer lines than this are hard to read.
pub(super) const MAX_HELP_WIDTH: usize = 120;

const AFTER_HELP: &str = "\
Examples:
  meetfs mount --demo /mnt/meetings     try meetfs without an account
  meetfs login acme                     sign in to the source acme in a browser
  meetfs mount ~/meetings               mount every configured source
  meetfs unmount ~/meetings
  meetfs status                         show sources and errors
  meetfs refresh                        refresh the list of recordings now
  meetfs doctor                         find out why a mount does not work
  meetfs expiring --within 7d           list files that will be deleted
  meetfs verify /backup                 check a backup
  meetfs search 'budget plan'           search what was said in meetings
  meetfs explain FILE                   show which bytes of a file are cached
  meetfs cache status                   show the size of the disk cache

Exit codes:
  0  success
  1  failure, an incomplete backup, or no search hit
  2  wrong usage
  3  configuration or credentials
  4  busy or already mounted";

/// Mount an archive of recorded meetings as directories of read-only files
#[derive(Debug, Parser)]
#[command(name = "meetfs", version, after_help = AFTER_HELP, max_term_width = MAX_HELP_WIDTH)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// Parses the arguments of the process. If the usage is wrong, prints an error and exits. With
    /// `--help`, prints the help and exits.
    pub fn from_arguments() -> Self {
        Self::try_parse().unwrap_or_else(|error| {
            let subcommand = std::env::args_os().nth(1).unwrap_or_default();
            suggestions::improve_suggestion(error, &Self::command(), &subcommand.to_string_lossy())
                .exit()
        })
    }
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Mount(Box<MountArgs>),
    Login(Box<LoginArgs>),
    Unmount(UnmountArgs),
    Status(StatusArgs),
    Refresh(RefreshArgs),
    Doctor(Box<DoctorArgs>),
    Expiring(ExpiringArgs),
    Verify(VerifyArgs),
    Search(SearchArgs),
    Explain(ExplainArgs),
    LogLevel(LogLevelArgs),
    Cache(Box<CacheArgs>),
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns every command and subcommand of the program.
    fn commands() -> Vec<clap::Command> {
        let mut commands = vec![Cli::command()];
        let mut index = 0;
        while index < commands.len() {
            let subcommands: Vec<_> = commands[index].get_subcommands().cloned().collect();
            commands.extend(subcommands);
            index += 1;
        }
        commands
    }

    #[test]
    fn definitions_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_has_examples() {
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
    fn short_help_fits_80_columns() {
        for command in commands() {
            let summary = command.get_about().map(ToString::to_string).unwrap_or_default();
            assert!(
                (1..=80).contains(&summary.chars().count()),
                "{}: {summary}",
                command.get_name()
            );
            for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
                let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
                let name = format!("{} {}", command.get_name(), argument.get_id());
                assert!((1..=80).contains(&help.chars().count()), "{name}: {help}");
                assert!(!help.ends_with('.'), "{name}: {help}");
            }
        }
    }

    #[test]
    fn documentation_has_every_flag_and_variable() {
        let documentation = include_str!("../../docs/configuration.md");
        for command in commands() {
            for argument in command.get_arguments() {
                let Some(variable) = argument.get_env() else { continue };
                let variable = variable.to_str().unwrap();
                assert!(documentation.contains(&format!("`{variable}`")), "{variable}");
                let flag = format!("`--{}", argument.get_long().unwrap());
                assert!(documentation.contains(&flag), "{flag}");
            }
        }
    }

    #[test]
    fn usage_error_exits_with_2() {
        for arguments in [
            vec!["meetfs"],
            vec!["meetfs", "mont", "/mnt"],
            vec!["meetfs", "mount"],
            vec!["meetfs", "mount", "--colour", "/mnt"],
            vec!["meetfs", "mount", "-o", "rw", "/mnt"],
            vec!["meetfs", "mount", "--demo", "--source", "acme", "/mnt"],
            vec!["meetfs", "mount", "--demo", "--config", "c.toml", "/mnt"],
            vec!["meetfs", "expiring", "--checksum"],
            vec!["meetfs", "verify"],
            vec!["meetfs", "verify", "--write-sums", "/backup"],
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
    fn help_and_version_exit_with_0() {
        for arguments in [["meetfs", "--version"], ["meetfs", "--help"]] {
            assert_eq!(Cli::try_parse_from(arguments).unwrap_err().exit_code(), 0, "{arguments:?}");
        }
    }

    #[test]
    fn no_flag_takes_a_secret() {
        for command in commands() {
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

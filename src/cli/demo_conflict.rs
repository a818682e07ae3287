//! Rejects a command line that combines `--demo` with `--config` or `--source`.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, FromArgMatches};

/// An argument group without flags. Its parser returns an error if `--demo` is combined with
/// `--config` or `--source`.
///
/// clap's `conflicts_with` would also reject their environment variables, which a user can have set
/// for other mounts.
#[derive(Clone, Debug)]
pub(super) struct DemoConflictCheck;

impl Args for DemoConflictCheck {
    fn augment_args(command: Command) -> Command {
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        command
    }
}

impl FromArgMatches for DemoConflictCheck {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        for (id, flag) in [("config", "--config <FILE>"), ("source", "--source <NAME>")] {
            let is_flag_given = matches.value_source(id) == Some(ValueSource::CommandLine);
            if matches.get_flag("demo") && is_flag_given {
                let mut error = clap::Error::new(ErrorKind::ArgumentConflict);
                let demo_flag = ContextValue::String("--demo".into());
                error.insert(ContextKind::InvalidArg, demo_flag);
                error.insert(ContextKind::PriorArg, ContextValue::String(flag.into()));
                return Err(error);
            }
        }
        Ok(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        Self::from_arg_matches(matches).map(drop)
    }
}

//! `--demo` excludes the flags that name a configuration or a source.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, FromArgMatches};

/// Refuses `--demo` with `--config` or `--source`.
///
/// `conflicts_with` of clap would also refuse their variables, which a user can have set for other
/// mounts.
#[derive(Clone, Debug)]
pub(super) struct DemoConflict;

impl Args for DemoConflict {
    fn augment_args(command: Command) -> Command {
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        command
    }
}

impl FromArgMatches for DemoConflict {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        for (id, flag) in [("config", "--config <FILE>"), ("source", "--source <NAME>")] {
            let is_flag = matches.value_source(id) == Some(ValueSource::CommandLine);
            if matches.get_flag("demo") && is_flag {
                let mut error = clap::Error::new(ErrorKind::ArgumentConflict);
                let demo = ContextValue::String("--demo".into());
                error.insert(ContextKind::InvalidArg, demo);
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

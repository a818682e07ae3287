//! Completes a command line for a shell, with the names of sources and the mountpoints of the user.
//!
//! The shell starts this program with the variable `COMPLETE`. Without a command line, the program
//! then prints a script that registers the completion.

use std::ffi::OsStr;

use clap::{Arg, CommandFactory};
use clap_complete::CompleteEnv;
use clap_complete::engine::{
    ArgValueCandidates, ArgValueCompleter, CompletionCandidate, PathCompleter, ValueCompleter,
};

use crate::cli::Cli;
use crate::config::{Config, Environment, Origin, Overrides, ProcessEnvironment, Setting};
use crate::fuse::mount_table;

/// The name under which shells know the program.
const PROGRAM: &str = "meetfs";

/// The variable that can name the configuration file. Completion does not see `--config`.
const CONFIG_VARIABLE: &str = "MEETFS_CONFIG";

/// Answers a shell that asks for completions, and exits. Otherwise returns.
pub fn complete_if_requested() {
    CompleteEnv::with_factory(command).bin(PROGRAM).completer(PROGRAM).complete();
}

/// Returns the command line of the program. Arguments for sources and for existing mounts have
/// their candidates.
fn command() -> clap::Command {
    let with_sources = |argument: Arg| argument.add(ArgValueCandidates::new(sources));
    let with_mountpoints = |argument: Arg| argument.add(ArgValueCandidates::new(mountpoints));
    let mut command = Cli::command();
    for name in ["mount", "doctor", "login"] {
        command = command.mut_subcommand(name, |command| command.mut_arg("source", with_sources));
    }
    for name in ["unmount", "status", "refresh", "expiring", "log-level"] {
        command =
            command.mut_subcommand(name, |command| command.mut_arg("mountpoint", with_mountpoints));
    }
    command.mut_subcommand("verify", |command| {
        command.mut_arg("archive", |argument| {
            argument.add(ArgValueCompleter::new(mountpoints_and_directories))
        })
    })
}

/// Returns the names of the configured sources. Without a readable configuration, there are none.
fn sources() -> Vec<CompletionCandidate> {
    let file = ProcessEnvironment.variable(CONFIG_VARIABLE).filter(|path| !path.is_empty());
    let config = file.map(|path| Setting::new(path, Origin::Variable(CONFIG_VARIABLE)));
    let overrides = Overrides { config, ..Overrides::default() };
    let names = Config::source_names(&overrides, &ProcessEnvironment).unwrap_or_default();
    names.into_iter().map(CompletionCandidate::new).collect()
}

/// Returns the mountpoints of the user. For root, these are only its own mounts, although it can
/// unmount those of all users.
fn mountpoints() -> Vec<CompletionCandidate> {
    let user = nix::unistd::geteuid().as_raw();
    let mountpoints = mount_table::meetfs_mounts_of(user).unwrap_or_default();
    mountpoints.into_iter().map(CompletionCandidate::new).collect()
}

/// Returns the mountpoints of the user that begin with `current`, and the directories.
fn mountpoints_and_directories(current: &OsStr) -> Vec<CompletionCandidate> {
    let begins_with_current = |candidate: &CompletionCandidate| {
        let value = candidate.get_value().as_encoded_bytes();
        value.starts_with(current.as_encoded_bytes())
    };
    let mountpoints = mountpoints().into_iter().filter(begins_with_current);
    mountpoints.chain(PathCompleter::dir().complete(current)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definition_with_candidates_is_consistent() {
        command().debug_assert();
    }
}

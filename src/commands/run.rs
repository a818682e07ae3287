//! Runs a command and reports its failure.

use std::process::ExitCode;

use super::error::Error;
use super::exit_status::ExitStatus;
use super::output::print_to_stderr;
use super::{
    cache, doctor, expiring, explain, log_level, login, mount, mount_helper, refresh, search,
    status, unmount, verify,
};
use crate::cli::{CacheCommand, Command, MountHelperArgs};
use crate::model::ErrorReport;

/// Runs a command. Prints its error, if any, on standard error.
pub fn run(command: &Command) -> ExitCode {
    let result = match command {
        Command::Mount(arguments) => mount::run(arguments),
        Command::Cache(arguments) => to_exit_code(cache::run(arguments)),
        Command::Status(arguments) => status::run(arguments).map(ExitCode::from),
        Command::Refresh(arguments) => to_exit_code(refresh::run(arguments)),
        Command::Expiring(arguments) => expiring::run(arguments).map(ExitCode::from),
        Command::Verify(arguments) => verify::run(arguments).map(ExitCode::from),
        Command::Search(arguments) => search::run(arguments).map(ExitCode::from),
        Command::Explain(arguments) => to_exit_code(explain::run(arguments)),
        Command::LogLevel(arguments) => to_exit_code(log_level::run(arguments)),
        Command::Doctor(arguments) => doctor::run(arguments).map(ExitCode::from),
        Command::Login(arguments) => to_exit_code(login::run(arguments)),
        Command::Unmount(arguments) => to_exit_code(unmount::run(arguments)),
    };
    result.unwrap_or_else(|error| {
        print_error(&error, prints_json(command));
        ExitStatus::from(error.diagnostic().kind()).into()
    })
}

/// Runs `mount.meetfs`. Prints its error, if any, on standard error. The exit codes are those of
/// mount(8).
pub fn run_mount_helper(arguments: &MountHelperArgs) -> ExitCode {
    let code = mount_helper::run(arguments).unwrap_or_else(|error| {
        print_error(&error, false);
        mount_helper::FAILURE_EXIT_CODE
    });
    code.into()
}

fn print_error(error: &Error, as_json: bool) {
    let report = ErrorReport::of(error.diagnostic());
    match serde_json::to_string(&report) {
        Ok(json) if as_json => print_to_stderr(format_args!("{json}")),
        _ => print_to_stderr(format_args!("{report}")),
    }
}

/// Excludes secrets, tokens and signed URLs from core dumps, and prevents other processes of the
/// user from reading the memory of this process with a debugger or through `/proc/PID/mem`
/// (prctl(2), `PR_SET_DUMPABLE`). Root can still read it. Child processes are not affected.
///
/// Must be called before anything is read that can contain a secret.
pub fn protect_memory() {
    // The call is documented not to fail with this argument, and a command works without it.
    let _ = nix::sys::prctl::set_dumpable(false);
}

fn to_exit_code(result: Result<(), Error>) -> Result<ExitCode, Error> {
    result.map(|()| ExitStatus::Success.into())
}

fn prints_json(command: &Command) -> bool {
    match command {
        Command::Status(arguments) => arguments.json,
        Command::Refresh(arguments) => arguments.json,
        Command::Expiring(arguments) => arguments.json,
        Command::Verify(arguments) => arguments.json,
        Command::Search(arguments) => arguments.json,
        Command::Explain(arguments) => arguments.json,
        Command::Doctor(arguments) => arguments.json,
        Command::Cache(arguments) => {
            matches!(arguments.command, CacheCommand::Status { json: true, .. })
        }
        Command::Mount(_) | Command::Login(_) | Command::Unmount(_) | Command::LogLevel(_) => false,
    }
}

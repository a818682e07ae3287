//! Runs a command and reports its failure.

use std::process::ExitCode;

use super::error::Error;
use super::error_report::ErrorReport;
use super::exit_status::ExitStatus;
use super::output::print_to_stderr;
use super::{cache, doctor, expiring, login, mount, refresh, status, unmount};
use crate::cli::{CacheCommand, Command};

/// Runs a command. Prints its error, if any, on standard error.
pub fn run(command: &Command) -> ExitCode {
    protect_memory();
    let result = match command {
        Command::Mount(arguments) => mount::mount(arguments),
        Command::Cache(arguments) => success(cache::cache(arguments)),
        Command::Status(arguments) => status::status(arguments).map(ExitCode::from),
        Command::Refresh(arguments) => success(refresh::refresh(arguments)),
        Command::Expiring(arguments) => expiring::expiring(arguments).map(ExitCode::from),
        Command::Doctor(arguments) => doctor::doctor(arguments).map(ExitCode::from),
        Command::Login(arguments) => success(login::login(arguments)),
        Command::Unmount(arguments) => success(unmount::unmount(arguments)),
    };
    result.unwrap_or_else(|error| {
        let error = error.diagnostic();
        let report = ErrorReport::of(error);
        match serde_json::to_string(&report) {
            Ok(json) if prints_json(command) => print_to_stderr(format_args!("{json}")),
            _ => print_to_stderr(format_args!("{report}")),
        }
        ExitStatus::from(error.kind()).into()
    })
}

/// Keeps secrets, tokens and signed URLs out of core dumps, and other processes of the user out of
/// the memory of this one: neither a debugger nor `/proc/PID/mem` reads it (prctl(2),
/// `PR_SET_DUMPABLE`; root can). Programs that this one starts are not affected.
fn protect_memory() {
    // Documented not to fail with these arguments. A command works without it, too.
    let _ = nix::sys::prctl::set_dumpable(false);
}

fn success(result: Result<(), Error>) -> Result<ExitCode, Error> {
    result.map(|()| ExitStatus::Success.into())
}

fn prints_json(command: &Command) -> bool {
    match command {
        Command::Status(arguments) => arguments.json,
        Command::Refresh(arguments) => arguments.json,
        Command::Expiring(arguments) => arguments.json,
        Command::Doctor(arguments) => arguments.json,
        Command::Cache(arguments) => {
            matches!(arguments.command, CacheCommand::Status { json: true, .. })
        }
        Command::Mount(_) | Command::Login(_) | Command::Unmount(_) => false,
    }
}

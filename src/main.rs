//! The meetfs command: parse, run, exit code.

// Nothing that comes from outside may end the process.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::process::ExitCode;

use clap::Parser;
use meetfs::cli::{Cli, Command};
use meetfs::daemon;
use meetfs::error::Exit;

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Mount(arguments) => daemon::mount(&arguments),
        Command::Cache(arguments) => daemon::cache(&arguments).map(|()| Exit::Done.into()),
        Command::Status(arguments) => daemon::status(&arguments)
            .map(|served| if served { Exit::Done.into() } else { Exit::Failed.into() }),
        Command::Refresh(arguments) => daemon::refresh(&arguments).map(|()| Exit::Done.into()),
        Command::Expiring(arguments) => daemon::expiring(&arguments)
            .map(|saved| if saved { Exit::Done.into() } else { Exit::Failed.into() }),
        Command::Doctor(arguments) => daemon::doctor(&arguments).map(Into::into),
        Command::Login(arguments) => daemon::login(&arguments).map(|()| Exit::Done.into()),
        Command::Unmount(arguments) => daemon::unmount(&arguments).map(|()| Exit::Done.into()),
    };
    outcome.unwrap_or_else(|error| {
        daemon::say(std::io::stderr(), format_args!("meetfs: {error}"));
        error.exit().into()
    })
}

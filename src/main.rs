//! The meetfs command: parse, run, exit code.

// Nothing that comes from outside may end the process.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::process::ExitCode;

use clap::Parser;
use meetfs::cli::{Cli, Command};
use meetfs::commands;
use meetfs::commands::error::Exit;

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Mount(arguments) => commands::mount(&arguments),
        Command::Cache(arguments) => commands::cache(&arguments).map(|()| Exit::Done.into()),
        Command::Status(arguments) => commands::status(&arguments)
            .map(|served| if served { Exit::Done.into() } else { Exit::Failed.into() }),
        Command::Refresh(arguments) => commands::refresh(&arguments).map(|()| Exit::Done.into()),
        Command::Expiring(arguments) => commands::expiring(&arguments)
            .map(|saved| if saved { Exit::Done.into() } else { Exit::Failed.into() }),
        Command::Doctor(arguments) => commands::doctor(&arguments).map(Into::into),
        Command::Login(arguments) => commands::login(&arguments).map(|()| Exit::Done.into()),
        Command::Unmount(arguments) => commands::unmount(&arguments).map(|()| Exit::Done.into()),
    };
    outcome.unwrap_or_else(|error| {
        commands::say(std::io::stderr(), format_args!("meetfs: {error}"));
        error.exit().into()
    })
}

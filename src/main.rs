//! The meetfs command: parse, run, exit code.

use std::process::ExitCode;

use clap::Parser;
use meetfs::cli::{Cli, Command};
use meetfs::daemon;
use meetfs::error::Exit;

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Command::Mount(arguments) => daemon::mount(&arguments),
        Command::Cache(arguments) => daemon::cache(&arguments).map(|()| Exit::Done.into()),
        Command::Unmount(arguments) => daemon::unmount(&arguments).map(|()| Exit::Done.into()),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("meetfs: {error}");
        error.exit().into()
    })
}

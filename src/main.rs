//! The meetfs command: parse, run, exit code.

// Input from outside must never panic.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::process::ExitCode;

use meetfs::cli::Cli;
use meetfs::commands;

fn main() -> ExitCode {
    commands::run(&Cli::from_arguments().command)
}

//! The `meetfs` command. Parses the arguments, runs the command and returns its exit code.

// Input from outside must never cause a panic.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::process::ExitCode;

use meetfs::cli::Cli;
use meetfs::commands;

fn main() -> ExitCode {
    commands::run(&Cli::from_arguments().command)
}

//! The `meetfs` command. Parses the arguments, runs the command and returns its exit code. Under
//! the name `mount.meetfs`, it is the helper of mount(8).

// Input from outside must never cause a panic.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::process::ExitCode;

use meetfs::cli::{Cli, MountHelperArgs};
use meetfs::commands;

fn main() -> ExitCode {
    commands::protect_memory();
    if let Some(arguments) = MountHelperArgs::from_arguments() {
        return commands::run_mount_helper(&arguments);
    }
    commands::complete_if_requested();
    commands::run(&Cli::from_arguments().command)
}

//! Implements the commands: takes parsed arguments, returns output and an exit code.
//!
//! - Input: the arguments that `cli` defines.
//! - Output: text or JSON on standard output, messages on standard error, an [`ExitStatus`].
//! - On failure a command returns an [`Error`](error::Error). Only [`run`] prints it, as `error:`,
//!   `caused by:` and `hint:`, or as JSON for a command with `--json`.
//! - The mount process itself is in `daemon`, which does not depend on commands.

mod cache;
mod completion;
mod copy_progress;
pub(crate) mod doctor;
pub mod error;
mod exit_status;
mod expiring;
mod explain;
mod file_hash;
mod log_level;
pub(crate) mod login;
mod mount;
mod mount_helper;
mod mount_processes;
mod output;
mod path_in_mount;
mod progress;
mod refresh;
mod run;
mod saved_copies;
mod search;
mod status;
mod status_view;
mod unmount;
mod verify;

pub use completion::complete_if_requested;
pub use exit_status::ExitStatus;
pub use run::{protect_memory, run, run_mount_helper};

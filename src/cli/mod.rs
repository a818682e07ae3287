//! The command line: one file for each command, no logic.
//!
//! Input: the arguments of the process, and the `MEETFS_…` variables that stand in for flags.
//! Output: typed structs. The doc comments of their fields are the help.
//!
//! Only values of the command line alone are checked here (`-o`, log levels). Values that the
//! configuration file can also have are passed on as given, with their origin, for
//! [`crate::config`] to check. Secrets have no flag: other users can read the arguments of a
//! process.
//!
//! This module must not know what the commands do. On wrong usage, clap prints the error and exits
//! with 2.

mod arguments;
mod cache;
mod config_args;
mod demo_conflict;
mod doctor;
mod expiring;
mod login;
mod mount;
mod mount_options;
mod refresh;
mod status;
mod suggestions;
mod unmount;
mod usage_error;

pub use arguments::{Cli, Command};
pub use cache::{CacheArgs, CacheCommand};
pub use config_args::{ConfigArgs, SourceArgs};
pub use doctor::DoctorArgs;
pub use expiring::ExpiringArgs;
pub use login::LoginArgs;
pub use mount::{LogLevel, MountArgs};
pub use mount_options::{MountOptions, MountOptionsError};
pub use refresh::RefreshArgs;
pub use status::StatusArgs;
pub use unmount::UnmountArgs;

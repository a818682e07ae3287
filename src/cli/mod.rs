//! The definition of the command line. Each command has one file. The files contain no logic.
//!
//! Input: the arguments of the process, and the `MEETFS_…` environment variables, which can replace
//! flags. Output: typed structs. clap shows the doc comments of their fields as help.
//!
//! This module checks the values that only the command line can have, such as `-o` and log levels.
//! It does not check a value that the configuration file can also have: [`crate::config`] gets the
//! value with its origin and checks it. Secrets have no flags, because other users can read the
//! arguments of a process.
//!
//! This module must not know what the commands do. If the usage is wrong, clap prints the error and
//! exits with 2.

mod arguments;
mod cache;
mod config_args;
mod demo_conflict;
mod doctor;
mod duration;
mod expiring;
mod explain;
mod log_level;
mod login;
mod mount;
mod mount_helper;
mod mount_options;
mod refresh;
mod search;
mod status;
mod suggestions;
mod unmount;
mod usage_error;
mod verify;

pub use arguments::{Cli, Command};
pub use cache::{CacheArgs, CacheCommand};
pub use config_args::{ConfigArgs, SourceArgs};
pub use doctor::DoctorArgs;
pub use expiring::ExpiringArgs;
pub use explain::ExplainArgs;
pub use log_level::LogLevelArgs;
pub use login::LoginArgs;
pub use mount::{LogLevel, MountArgs};
pub use mount_helper::{MOUNT_USAGE_EXIT_CODE, MountHelperArgs};
pub use mount_options::{MountOptions, MountOptionsError};
pub use refresh::RefreshArgs;
pub use search::{SearchArgs, SearchStart};
pub use status::StatusArgs;
pub use unmount::UnmountArgs;
pub use verify::VerifyArgs;

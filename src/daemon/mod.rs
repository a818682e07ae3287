//! Runs the mount process: starts it in the background, lists, mounts, serves and unmounts.
//!
//! - Input: a validated configuration, a mountpoint, a log destination.
//! - Output: a mount that is served until a signal or the kernel ends it, a control socket that
//!   answers `status`, `refresh`, `expiring`, `explain` and `log-level`, and metrics.
//! - It composes providers, catalog, tree, cache, read and fuse into one [`archive`].
//! - It must not depend on commands: it prints nothing and has no exit codes. Messages for the user
//!   are values ([`serve::StartupEvent`], [`error::DaemonError`]).
//! - On failure nothing stays mounted, and background tasks end with the process.

pub mod archive;
pub mod background;
pub mod cache_storage;
pub mod control;
pub mod demo;
pub mod error;
pub(crate) mod fuse_connection;
pub(crate) mod journal;
pub mod log_file;
pub(crate) mod log_level;
pub(crate) mod log_location;
pub mod logging;
pub(crate) mod malloc;
pub mod metrics;
pub mod mountpoint;
mod naming_zones;
pub(crate) mod process_state;
pub(crate) mod read_observer;
pub(crate) mod retained_files;
pub mod serve;
mod service_manager;
pub(crate) mod signals;
pub(crate) mod source;
pub mod startup_progress;
#[cfg(test)]
mod tests;

//! The `meetfs log-level` command.

use jiff::Timestamp;
use tracing::level_filters::LevelFilter;

use super::error::Error;
use super::output::print;
use crate::cli::{LogLevel, LogLevelArgs};
use crate::config::ProcessEnvironment;
use crate::daemon::control::{ControlError, Mounts, WallClock, resolve_mountpoint};

/// Changes the log level of a mount for a while, and prints when the change ends.
///
/// # Errors
/// The mount does not exist, or its daemon does not answer.
pub(crate) fn run(arguments: &LogLevelArgs) -> Result<(), Error> {
    let mountpoint = resolve_mountpoint(&arguments.mountpoint)?;
    let mounts = Mounts::new(&ProcessEnvironment);
    let level = to_filter(arguments.level);
    let change = mounts.set_log_level(&mountpoint, level, arguments.time)?;
    let change = change.ok_or_else(|| ControlError::FixedLogLevel(mountpoint.clone()))?;
    let wall_clock = WallClock::system(Timestamp::now());
    print(&format!(
        "{}: the log level is {} until {}, then {}\n",
        mountpoint.display(),
        change.level,
        wall_clock.format(change.until),
        change.configured_level
    ))
}

/// Returns the filter that lets lines of a level and of more severe ones pass.
pub(super) fn to_filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    }
}

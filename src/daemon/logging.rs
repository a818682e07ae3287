//! The destination of log lines: standard error in the foreground, a file in the background.

use std::fs::OpenOptions;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::error::DaemonError;
use crate::fuse::UNWANTED_REPLIES;

/// Daily log files to keep. A week covers an error of the last weekend, and bounds the disk space
/// of a mount that logs warnings all day.
const MAX_LOG_FILES: usize = 7;

pub enum LogDestination<'a> {
    StandardError,
    File(&'a Path),
    /// `meetfs.DATE.log` in this directory.
    DailyFiles(&'a Path),
}

/// Starts logging. Creates the file or directory readable by its owner alone.
///
/// # Errors
/// [`DaemonError::Log`]
pub fn start(level: LevelFilter, destination: &LogDestination<'_>) -> Result<(), DaemonError> {
    match destination {
        LogDestination::StandardError => install(level, std::io::stderr),
        LogDestination::File(path) => {
            let file = OpenOptions::new()
                .create(true)
                .append(true)
                .mode(0o600)
                // A named pipe without a reader must fail; without this flag `open` blocks.
                .custom_flags(libc::O_NONBLOCK)
                .open(path)
                .map_err(|source| DaemonError::Log { path: path.to_path_buf(), source })?;
            install(level, std::sync::Mutex::new(file));
        }
        LogDestination::DailyFiles(directory) => {
            let failed = |source| DaemonError::Log { path: directory.to_path_buf(), source };
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(directory)
                .map_err(failed)?;
            let files = tracing_appender::rolling::Builder::new()
                .rotation(tracing_appender::rolling::Rotation::DAILY)
                .filename_prefix("meetfs")
                .filename_suffix("log")
                .max_log_files(MAX_LOG_FILES)
                .build(directory)
                .map_err(|error| failed(std::io::Error::other(error)))?;
            install(level, std::sync::Mutex::new(files));
        }
    }
    Ok(())
}

/// The level applies to meetfs alone: at finer levels the HTTP libraries log URLs, and a URL can be
/// a credential.
fn install(level: LevelFilter, writer: impl for<'w> MakeWriter<'w> + Send + Sync + 'static) {
    let filter = Targets::new()
        .with_default(LevelFilter::ERROR)
        .with_target("meetfs", level)
        .with_target(UNWANTED_REPLIES, LevelFilter::OFF);
    let lines =
        tracing_subscriber::fmt::layer().with_ansi(false).with_target(false).with_writer(writer);
    // A second call in one process (tests) keeps the first subscriber.
    let _ = tracing_subscriber::registry().with(lines).with(filter).try_init();
}

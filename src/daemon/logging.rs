//! Where log lines go: standard error in the foreground, a file from the background.

use std::fs::OpenOptions;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::cli::LogLevel;
use crate::commands::error::Error;
use crate::config::{self, ProcessEnvironment};
use crate::fuse::UNWANTED_REPLIES;

/// Daily log files kept where the user names none: a week tells what happened over a weekend, and bounds what a
/// mount that complains all day leaves behind.
const LOG_FILES: usize = 7;

/// Where to log.
pub(crate) enum Destination<'a> {
    StandardError,
    File(&'a Path),
    /// `$XDG_STATE_HOME/meetfs/meetfs.DATE.log`
    StateDirectory,
}

/// Starts logging. Says where the log is, if in a file.
pub(crate) fn start(
    level: LogLevel,
    destination: &Destination<'_>,
) -> Result<Option<PathBuf>, Error> {
    match destination {
        Destination::StandardError => {
            install(level, std::io::stderr);
            Ok(None)
        }
        Destination::File(path) => {
            let file = OpenOptions::new()
                .create(true)
                .append(true)
                .mode(0o600)
                // A pipe that nobody reads is an error, and would be waited on for ever.
                .custom_flags(libc::O_NONBLOCK)
                .open(path)
                .map_err(|cause| Error::Log { path: path.to_path_buf(), cause })?;
            install(level, std::sync::Mutex::new(file));
            Ok(Some(path.to_path_buf()))
        }
        Destination::StateDirectory => {
            let directory = config::log_directory(&ProcessEnvironment)?;
            let failed = |cause| Error::Log { path: directory.clone(), cause };
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&directory)
                .map_err(failed)?;
            let files = tracing_appender::rolling::Builder::new()
                .rotation(tracing_appender::rolling::Rotation::DAILY)
                .filename_prefix("meetfs")
                .filename_suffix("log")
                .max_log_files(LOG_FILES)
                .build(&directory)
                .map_err(|error| failed(std::io::Error::other(error.to_string())))?;
            install(level, std::sync::Mutex::new(files));
            Ok(Some(directory))
        }
    }
}

/// The level applies to meetfs alone: at their finer levels the HTTP libraries print addresses, and an address
/// can be a credential.
fn install(level: LogLevel, writer: impl for<'w> MakeWriter<'w> + Send + Sync + 'static) {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    let filter = Targets::new()
        .with_default(LevelFilter::ERROR)
        .with_target("meetfs", level)
        .with_target(UNWANTED_REPLIES, LevelFilter::OFF);
    let lines =
        tracing_subscriber::fmt::layer().with_ansi(false).with_target(false).with_writer(writer);
    // A second start in one process (tests) keeps the first.
    let _already_started = tracing_subscriber::registry().with(lines).with(filter).try_init();
}

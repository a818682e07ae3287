//! The destination of log lines: standard error in the foreground, a file in the background.

use std::fs::Permissions;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::error::DaemonError;
use super::log_file::{self, LogFileError};
use crate::fuse::FUSER_REPLY_LOG_TARGET;
use crate::model::printable_line;
use crate::ownership;

/// Number of daily log files to keep. A week is enough to find an error of the last weekend, and it
/// limits the disk space of a mount that logs warnings all day.
const MAX_LOG_FILES: usize = 7;

pub enum LogDestination<'a> {
    StandardError,
    File(&'a Path),
    /// Files named `meetfs.DATE.log` in this directory.
    DailyFiles(&'a Path),
}

/// Starts logging. If it creates a file or directory, only its owner can read it.
///
/// # Errors
/// [`DaemonError::Log`]
pub fn start(level: LevelFilter, destination: &LogDestination<'_>) -> Result<(), DaemonError> {
    match destination {
        LogDestination::StandardError => install(level, std::io::stderr),
        LogDestination::File(path) => {
            let file = log_file::open(path)
                .map_err(|source| DaemonError::Log { path: path.to_path_buf(), source })?;
            install(level, std::sync::Mutex::new(file));
        }
        LogDestination::DailyFiles(directory) => {
            let log_error = |source: io::Error| DaemonError::Log {
                path: directory.to_path_buf(),
                source: source.into(),
            };
            std::fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(directory)
                .map_err(log_error)?;
            make_private(directory)
                .map_err(|source| DaemonError::Log { path: directory.to_path_buf(), source })?;
            let files = tracing_appender::rolling::Builder::new()
                .rotation(tracing_appender::rolling::Rotation::DAILY)
                .filename_prefix("meetfs")
                .filename_suffix("log")
                .max_log_files(MAX_LOG_FILES)
                .build(directory)
                .map_err(|error| log_error(std::io::Error::other(error)))?;
            install(level, std::sync::Mutex::new(files));
        }
    }
    Ok(())
}

/// Ensures that no other user can create files or links in the directory of the daily logs.
fn make_private(directory: &Path) -> Result<(), LogFileError> {
    let metadata = directory.metadata()?;
    if !ownership::is_owned(&metadata) {
        let (path, owner) = (directory.to_path_buf(), metadata.uid());
        return Err(LogFileError::ForeignFile { path, owner });
    }
    if metadata.mode() & 0o022 != 0 {
        std::fs::set_permissions(directory, Permissions::from_mode(0o700))?;
    }
    Ok(())
}

/// Installs the subscriber. The level applies only to meetfs: at finer levels the HTTP libraries
/// log URLs, and a URL can be a credential.
fn install(level: LevelFilter, writer: impl for<'w> MakeWriter<'w> + Send + Sync + 'static) {
    let filter = Targets::new()
        .with_default(LevelFilter::ERROR)
        .with_target("meetfs", level)
        .with_target(FUSER_REPLY_LOG_TARGET, LevelFilter::OFF);
    let format_layer = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_target(false)
        .with_writer(PrintableLines(writer));
    // A second call in one process (tests) keeps the first subscriber.
    let _ = tracing_subscriber::registry().with(format_layer).with(filter).try_init();
}

/// Writes each event as one printable line, so topics, names and messages of servers can neither
/// control a terminal nor look like another event.
struct PrintableLines<M>(M);

impl<'w, M: MakeWriter<'w>> MakeWriter<'w> for PrintableLines<M> {
    type Writer = LineWriter<M::Writer>;

    fn make_writer(&'w self) -> Self::Writer {
        LineWriter(self.0.make_writer())
    }
}

/// Writes one formatted event per call.
struct LineWriter<W>(W);

impl<W: Write> Write for LineWriter<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let line = String::from_utf8_lossy(event);
        let line = line.strip_suffix('\n').unwrap_or(&line);
        let mut printable_text = printable_line(line).into_owned();
        printable_text.push('\n');
        self.0.write_all(printable_text.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_is_one_printable_line() {
        let mut log = Vec::new();
        let event = "INFO listed \u{1b}[2J\u{202e}x\nERROR forged\n";
        LineWriter(&mut log).write_all(event.as_bytes()).unwrap();
        let expected = "INFO listed \u{fffd}[2J\u{fffd}x\u{fffd}ERROR forged\n";
        assert_eq!(String::from_utf8(log).unwrap(), expected);
    }
}

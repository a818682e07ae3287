//! The destination of log lines: standard error in the foreground, a file in the background.

use std::fs::Permissions;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::error::DaemonError;
use super::log_file::{self, LogFileError};
use super::log_level;
use crate::model::printable_line;
use crate::ownership;

/// Number of daily log files to keep. A week is enough to find an error of the last weekend, and it
/// limits the disk space of a mount that logs warnings all day.
const MAX_LOG_FILES: usize = 7;

/// Maximum number of lines that wait to be written. A line has a few hundred bytes, so they take
/// about one MiB. If the queue is full, further lines are lost.
const MAX_QUEUED_LINES: usize = 4096;

pub enum LogDestination<'a> {
    StandardError,
    File(&'a Path),
    /// Files named `meetfs.DATE.log` in this directory.
    DailyFiles(&'a Path),
}

/// Starts logging. If it creates a file or directory, only its owner can read it. Returns a guard.
/// Dropping it writes the queued lines and stops logging.
///
/// # Errors
/// [`DaemonError::Log`]
pub fn start(
    level: LevelFilter,
    destination: &LogDestination<'_>,
) -> Result<WorkerGuard, DaemonError> {
    match destination {
        LogDestination::StandardError => Ok(install(level, std::io::stderr())),
        LogDestination::File(path) => {
            let file = log_file::open(path)
                .map_err(|source| DaemonError::Log { path: path.to_path_buf(), source })?;
            Ok(install(level, file))
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
            Ok(install(level, files))
        }
    }
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

/// Installs the subscriber.
///
/// A separate thread writes the lines. Otherwise, a disk or a terminal that stops accepting them
/// would stop the threads that reply to the kernel.
fn install(level: LevelFilter, destination: impl Write + Send + 'static) -> WorkerGuard {
    let (queue, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(MAX_QUEUED_LINES)
        .thread_name("log")
        .finish(destination);
    let format_layer = tracing_subscriber::fmt::layer()
        .with_ansi(false)
        .with_target(false)
        .with_writer(PrintableLines::new(queue));
    // A second call in one process (tests) keeps the first subscriber.
    let _ =
        tracing_subscriber::registry().with(format_layer).with(log_level::filter(level)).try_init();
    guard
}

/// Writes each event as one printable line, so topics, names and messages of servers can neither
/// control a terminal nor look like another event.
struct PrintableLines {
    queue: NonBlocking,
    /// Number of lines whose loss has been logged.
    reported_losses: AtomicUsize,
}

impl PrintableLines {
    fn new(queue: NonBlocking) -> Self {
        Self { queue, reported_losses: AtomicUsize::new(0) }
    }

    /// Logs how many lines were lost since the last report, if any.
    fn report_losses(&self, writer: &mut impl Write) {
        let counter = self.queue.error_counter();
        let losses = counter.dropped_lines();
        let new_losses = losses.saturating_sub(self.reported_losses.load(Ordering::Relaxed));
        if new_losses == 0 {
            return;
        }
        let line = format!(" WARN the log cannot be written fast enough; lost lines: {new_losses}");
        // If this line is lost as well, a later one reports all losses.
        if writer.write_all(line.as_bytes()).is_ok() && counter.dropped_lines() == losses {
            self.reported_losses.store(losses, Ordering::Relaxed);
        }
    }
}

impl<'w> MakeWriter<'w> for PrintableLines {
    type Writer = LineWriter<NonBlocking>;

    fn make_writer(&'w self) -> Self::Writer {
        let mut writer = LineWriter(self.queue.clone());
        self.report_losses(&mut writer);
        writer
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

    /// Forwards lines through a channel without space, so each line waits for the receiver.
    struct Forwarder(std::sync::mpsc::SyncSender<String>);

    impl Write for Forwarder {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.0.send(String::from_utf8_lossy(line).into_owned()).map_err(io::Error::other)?;
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lost_lines_are_counted_in_the_log() {
        let (sender, lines) = std::sync::mpsc::sync_channel(0);
        let (queue, _guard) =
            NonBlockingBuilder::default().buffered_lines_limit(2).finish(Forwarder(sender));
        let lost_lines = queue.error_counter();
        let log = PrintableLines::new(queue);
        let write = |line: &str| log.make_writer().write_all(line.as_bytes()).unwrap();
        while lost_lines.dropped_lines() < 10 {
            write("waits or is lost");
        }
        let timeout = std::time::Duration::from_secs(10);
        // Each received line makes room for another one.
        let mut is_reported = false;
        while !is_reported {
            write("after the loss");
            is_reported = lines.recv_timeout(timeout).unwrap().contains("lost lines: ");
        }
    }

    #[test]
    fn event_is_one_printable_line() {
        let mut log = Vec::new();
        let event = "INFO listed \u{1b}[2J\u{202e}x\nERROR forged\n";
        LineWriter(&mut log).write_all(event.as_bytes()).unwrap();
        let expected = "INFO listed \u{fffd}[2J\u{fffd}x\u{fffd}ERROR forged\n";
        assert_eq!(String::from_utf8(log).unwrap(), expected);
    }
}

//! The destination of log records: the journal of systemd, or standard error, in the foreground; a
//! file in the background.

use std::fs::Permissions;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_appender::rolling::RollingFileAppender;
use tracing_subscriber::Layer;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::error::DaemonError;
use super::journal::{self, JournalFields, JournalFormat, JournalSocket};
use super::log_file::{self, LogFileError};
use super::log_level;
use super::log_location::LogLocation;
use crate::model::printable_line;
use crate::ownership;

/// Number of daily log files to keep. A week is enough to find an error of the last weekend, and it
/// limits the disk space of a mount that logs warnings all day.
const MAX_LOG_FILES: usize = 7;

/// The start and the end of the names of daily log files. The date is in between.
pub(crate) const DAILY_FILE_PREFIX: &str = "meetfs";
pub(crate) const DAILY_FILE_SUFFIX: &str = "log";

/// Maximum number of records that wait to be written. A record has a few hundred bytes, so they
/// take about one MiB. If the queue is full, further records are lost.
const MAX_QUEUED_RECORDS: usize = 4096;

pub enum LogDestination<'a> {
    StandardError,
    /// The journal of systemd. Each record has the mountpoint as a field.
    Journal {
        mountpoint: &'a Path,
    },
    File(&'a Path),
    /// Files named `meetfs.DATE.log` in this directory.
    DailyFiles(PathBuf),
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
    let (format, location, writer): (_, _, Box<dyn Write + Send>) = match destination {
        LogDestination::StandardError => {
            (LogFormat::Lines, LogLocation::StandardError, Box::new(std::io::stderr()))
        }
        LogDestination::Journal { mountpoint } => match JournalSocket::open() {
            Ok(socket) => {
                let mountpoint = absolute_text(mountpoint);
                (LogFormat::Journal { mountpoint }, LogLocation::Journal, Box::new(socket))
            }
            // The lines of standard error reach the journal, too.
            Err(_) => (LogFormat::Lines, LogLocation::Journal, Box::new(std::io::stderr())),
        },
        LogDestination::File(path) => {
            let file = log_file::open(path)
                .map_err(|source| DaemonError::Log { path: path.to_path_buf(), source })?;
            (LogFormat::Lines, LogLocation::File(absolute_text(path)), Box::new(file))
        }
        LogDestination::DailyFiles(directory) => {
            let files = open_daily_files(directory)?;
            (LogFormat::Lines, LogLocation::Directory(absolute_text(directory)), Box::new(files))
        }
    };
    location.set();
    Ok(install(level, format, writer))
}

/// Returns the absolute path. The process leaves its current directory later.
fn absolute_text(path: &Path) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    path.to_string_lossy().into_owned()
}

fn open_daily_files(directory: &Path) -> Result<RollingFileAppender, DaemonError> {
    let log_error = |source: io::Error| DaemonError::Log {
        path: directory.to_path_buf(),
        source: source.into(),
    };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(log_error)?;
    make_private(directory)
        .map_err(|source| DaemonError::Log { path: directory.to_path_buf(), source })?;
    tracing_appender::rolling::Builder::new()
        .rotation(tracing_appender::rolling::Rotation::DAILY)
        .filename_prefix(DAILY_FILE_PREFIX)
        .filename_suffix(DAILY_FILE_SUFFIX)
        .max_log_files(MAX_LOG_FILES)
        .build(directory)
        .map_err(|error| log_error(std::io::Error::other(error)))
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

/// The format of the records.
enum LogFormat {
    /// Lines of text.
    Lines,
    /// Fields for the journal, among them the mountpoint.
    Journal { mountpoint: String },
}

/// Installs the subscriber.
///
/// A separate thread writes the records. Otherwise, a disk, a terminal or a journal that stops
/// accepting them would stop the threads that reply to the kernel.
fn install(
    level: LevelFilter,
    format: LogFormat,
    destination: impl Write + Send + 'static,
) -> WorkerGuard {
    let (queue, guard) = NonBlockingBuilder::default()
        .buffered_lines_limit(MAX_QUEUED_RECORDS)
        .thread_name("log")
        .finish(destination);
    let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_target(false);
    let layer = match format {
        LogFormat::Lines => layer.with_writer(RecordQueue::of_lines(queue)).boxed(),
        LogFormat::Journal { mountpoint } => layer
            .fmt_fields(JournalFields)
            .event_format(JournalFormat { mountpoint })
            .log_internal_errors(false)
            .with_writer(RecordQueue::of_journal_records(queue))
            .boxed(),
    };
    // A second call in one process (tests) keeps the first subscriber.
    let _ = tracing_subscriber::registry().with(layer).with(log_level::filter(level)).try_init();
    guard
}

/// Queues one record for each event.
struct RecordQueue {
    queue: NonBlocking,
    /// Number of records whose loss has been logged.
    reported_losses: AtomicUsize,
    /// Converts an event, as the subscriber has formatted it, to a record.
    to_record: fn(&str) -> String,
    /// Returns the record of a warning.
    format_warning: fn(&str) -> String,
}

impl RecordQueue {
    /// Creates a queue of printable lines, so topics, names and messages of servers can neither
    /// control a terminal nor look like another event.
    fn of_lines(queue: NonBlocking) -> Self {
        Self {
            queue,
            reported_losses: AtomicUsize::new(0),
            to_record: |event| {
                format!("{}\n", printable_line(event.strip_suffix('\n').unwrap_or(event)))
            },
            format_warning: |text| format!(" WARN {text}\n"),
        }
    }

    /// Creates a queue of records that [`JournalFormat`] has formatted.
    fn of_journal_records(queue: NonBlocking) -> Self {
        Self {
            queue,
            reported_losses: AtomicUsize::new(0),
            to_record: str::to_owned,
            format_warning: journal::warning,
        }
    }

    /// Logs how many records were lost since the last report, if any.
    fn report_losses(&self) {
        let counter = self.queue.error_counter();
        let losses = counter.dropped_lines();
        let new_losses = losses.saturating_sub(self.reported_losses.load(Ordering::Relaxed));
        if new_losses == 0 {
            return;
        }
        let text = format!("the log cannot be written fast enough; lost lines: {new_losses}");
        let record = (self.format_warning)(&text);
        // If this record is lost as well, a later one reports all losses.
        if self.queue.clone().write_all(record.as_bytes()).is_ok()
            && counter.dropped_lines() == losses
        {
            self.reported_losses.store(losses, Ordering::Relaxed);
        }
    }
}

impl<'w> MakeWriter<'w> for RecordQueue {
    type Writer = RecordWriter<NonBlocking>;

    fn make_writer(&'w self) -> Self::Writer {
        self.report_losses();
        RecordWriter { destination: self.queue.clone(), to_record: self.to_record }
    }
}

/// Writes one formatted event per call.
struct RecordWriter<W> {
    destination: W,
    to_record: fn(&str) -> String,
}

impl<W: Write> Write for RecordWriter<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let record = (self.to_record)(&String::from_utf8_lossy(event));
        self.destination.write_all(record.as_bytes())?;
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.destination.flush()
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
        let log = RecordQueue::of_lines(queue);
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
        let (queue, _guard) = NonBlockingBuilder::default().finish(io::sink());
        let to_record = RecordQueue::of_lines(queue).to_record;
        let mut destination = Vec::new();
        let event = "INFO listed \u{1b}[2J\u{202e}x\nERROR forged\n";
        let mut log = RecordWriter { destination: &mut destination, to_record };
        log.write_all(event.as_bytes()).unwrap();
        let expected = "INFO listed \u{fffd}[2J\u{fffd}x\u{fffd}ERROR forged\n";
        assert_eq!(String::from_utf8(destination).unwrap(), expected);
    }
}

//! Log records for the journal of systemd, in its native protocol
//! (<https://systemd.io/JOURNAL_NATIVE_PROTOCOL>).
//!
//! - Input: events of `tracing`. Output: one datagram for each event, with a line `NAME=value` for
//!   each field.
//! - Values are rendered by the same `Display` and `Debug` as in the text of a log, which never
//!   print a secret. Characters that control a terminal are replaced, so a value is one line.
//! - The thread of the log sends the records. A journal that does not receive them stops no other
//!   thread. For this reason the crate `tracing-journald` is not used: it sends on the thread of
//!   the event, and its socket blocks.
//! - It must not know what the events mean, except for the names in [`log_event`].

use std::fmt::{self, Debug};
use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;

use tracing::field::{Field, Visit};
use tracing::span::Record;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::{LookupSpan, Scope};

use crate::model::{log_event, printable_line};

const SOCKET_PATH: &str = "/run/systemd/journal/socket";

/// The variable by which systemd names the connection of the standard streams to the journal
/// (systemd.exec(5)).
const STREAM_VARIABLE: &str = "JOURNAL_STREAM";

/// Maximum length of a value in bytes. A datagram is limited to the send buffer of the socket,
/// which is 208 KiB by default, and a longer one would be lost. No record has more than a dozen
/// long values.
const MAX_VALUE_LENGTH: usize = 8 * 1024;

/// The message ids of events. Programs search the journal for them, so an id never changes.
const MESSAGE_IDS: [(&str, &str); 5] = [
    (log_event::MOUNT_READY, "ce82bdf7f90047558b5fb77176598123"),
    (log_event::UNMOUNT, "58438a0c62254168af15ba91b16a5966"),
    (log_event::HOST_DOWN, "24adfd1c4a664fb1a904dd720cd49524"),
    (log_event::HOST_UP, "c4b46eaa6cd349d1b182e9ebb0d988a6"),
    (log_event::READ_DEADLINE_EXCEEDED, "889ae3705df34a7fae99c07dc8bb9b61"),
];

/// Whether standard error is connected to the journal. A process can inherit the variable although
/// its standard error is another file, so systemd.exec(5) requires the comparison.
pub(crate) fn is_connected_to_stderr() -> bool {
    let Ok(status) = rustix::fs::fstat(std::io::stderr()) else { return false };
    let connection = format!("{}:{}", status.st_dev, status.st_ino);
    std::env::var(STREAM_VARIABLE).is_ok_and(|stream| stream == connection)
}

/// The socket of the journal. Each write sends one record.
pub(super) struct JournalSocket(UnixDatagram);

impl JournalSocket {
    /// Returns the socket if the journal listens.
    pub(super) fn open() -> io::Result<Self> {
        let socket = UnixDatagram::unbound()?;
        // The journal ignores an empty datagram.
        socket.send_to(&[], SOCKET_PATH)?;
        Ok(Self(socket))
    }
}

impl Write for JournalSocket {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        // The socket is not connected, so a restart of the journal does not matter.
        self.0.send_to(record, SOCKET_PATH)?;
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Returns the record of a warning that has no event.
pub(super) fn warning(message: &str) -> String {
    let mut record = String::new();
    // Writing to a string does not fail.
    let _ = write_head(&mut record, Level::WARN);
    let _ = write_field(&mut record, "MESSAGE", message);
    record
}

/// Formats events as records.
pub(super) struct JournalFormat {
    /// The mountpoint, which is a field of each record.
    pub(super) mountpoint: String,
}

impl<S, N> FormatEvent<S, N> for JournalFormat
where
    S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        write_head(&mut writer, *metadata.level())?;
        write_field(&mut writer, "MEETFS_MOUNTPOINT", &self.mountpoint)?;
        if let Some((_, id)) = MESSAGE_IDS.iter().find(|(name, _)| *name == metadata.name()) {
            write_field(&mut writer, "MESSAGE_ID", id)?;
        }
        for span in context.event_scope().into_iter().flat_map(Scope::from_root) {
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>() {
                writer.write_str(&fields.fields)?;
            }
        }
        context.field_format().format_fields(writer, event)
    }
}

/// Formats the fields of events and spans as lines of a record.
pub(super) struct JournalFields;

impl<'writer> FormatFields<'writer> for JournalFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'writer>, fields: R) -> fmt::Result {
        let mut visitor = FieldVisitor { writer, result: Ok(()) };
        fields.record(&mut visitor);
        visitor.result
    }

    fn add_fields(
        &self,
        current: &'writer mut FormattedFields<Self>,
        fields: &Record<'_>,
    ) -> fmt::Result {
        self.format_fields(current.as_writer(), fields)
    }
}

struct FieldVisitor<'writer> {
    writer: Writer<'writer>,
    result: fmt::Result,
}

impl Visit for FieldVisitor<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if self.result.is_err() {
            return;
        }
        self.result = match field.name() {
            "message" => write_field(&mut self.writer, "MESSAGE", value),
            // What the crate `log` knows about the place of an event.
            name if name.starts_with("log.") => Ok(()),
            name => write_field(&mut self.writer, &field_name(name), value),
        };
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

/// Returns the name of a field in the journal. The prefix keeps it apart from the fields that the
/// journal itself defines (systemd.journal-fields(7)).
fn field_name(name: &str) -> String {
    let name = name.to_ascii_uppercase();
    format!("MEETFS_{}", name.replace(|character: char| !character.is_ascii_alphanumeric(), "_"))
}

/// Writes the fields that every record has.
fn write_head(writer: &mut impl fmt::Write, level: Level) -> fmt::Result {
    // The levels of syslog(3).
    let priority = match level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        Level::DEBUG | Level::TRACE => "7",
    };
    write_field(writer, "PRIORITY", priority)?;
    write_field(writer, "SYSLOG_IDENTIFIER", "meetfs")
}

fn write_field(writer: &mut impl fmt::Write, name: &str, value: &str) -> fmt::Result {
    let end = value.floor_char_boundary(MAX_VALUE_LENGTH);
    writeln!(writer, "{name}={}", printable_line(value.get(..end).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn value_cannot_add_a_field() {
        let mut record = String::new();
        write_field(&mut record, "MESSAGE", "one\nPRIORITY=0\u{1b}[2J").unwrap();
        assert_eq!(record, "MESSAGE=one\u{fffd}PRIORITY=0\u{fffd}[2J\n");
    }

    #[test]
    fn long_value_fits_into_a_datagram() {
        let mut record = String::new();
        write_field(&mut record, "MESSAGE", &"é".repeat(MAX_VALUE_LENGTH)).unwrap();
        assert_eq!(record.len(), "MESSAGE=\n".len() + MAX_VALUE_LENGTH);
    }
}

//! The types that all modules share: sources, their meetings and recording files, and the lease
//! with which the bytes of a file are read.
//!
//! Providers create these values, the catalog stores them, the tree names them, and the read path
//! fetches them. The types hold data only; [`Document`] renders the text of `meeting.json`.
//!
//! Many of these types are stored in the catalog as JSON. Their serialized field names are part of
//! the file format. Do not change them when you rename a field.

mod contents;
mod current_time;
mod day_span;
mod details;
mod diagnostic;
mod document;
mod error_report;
mod ids;
mod interned_str;
mod last_reply;
mod lease;
pub mod log_event;
mod meeting;
mod meeting_metadata;
mod printable;
mod recording_file;
mod secret_url;
mod shared_text;
#[cfg(test)]
mod table_size;

pub use contents::{MeetingContents, SourceContents};
#[cfg(test)]
pub(crate) use current_time::SimulatedTimeOfDay;
pub use current_time::current_time;
pub use day_span::DaySpan;
pub use details::Details;
pub use diagnostic::{Diagnostic, ErrorKind, line_with_hint, one_line};
pub use document::Document;
pub use error_report::ErrorReport;
pub use ids::{FileId, FileKey, MeetingId, SourceName, Version};
pub use interned_str::InternedStr;
pub use last_reply::LastReply;
pub use lease::Lease;
pub use meeting::Meeting;
pub use meeting_metadata::{MeetingMetadata, SHARE_URL_FIELD};
pub use printable::{is_printable, printable_json, printable_line, printable_text};
pub use recording_file::{
    Availability, BYTE_ORDER_MARK, BodyKind, RecordingFile, Role, WEB_VTT_SIGNATURE_LENGTH,
    is_web_vtt,
};
pub use secret_url::SecretUrl;
pub use shared_text::SharedText;
#[cfg(test)]
pub use table_size::TableSize;

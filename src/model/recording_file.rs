//! Recording files.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::ids::{FileId, Version};
use super::interned_str::InternedStr;

/// A file of a meeting as its provider lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingFile {
    pub id: FileId,
    pub version: Version,
    pub role: Role,
    /// The file name without its extension, as the provider returns it. It may not be a legal file
    /// name.
    pub stem: InternedStr,
    /// The extension without its dot, as the provider returns it.
    pub extension: InternedStr,
    pub body: BodyKind,
    /// The listed length in bytes; `None` if the listing omits it.
    pub declared_size: Option<u64>,
    /// The start of the segment. If a recording was stopped and started again, its files have
    /// different starts.
    pub recording_start: Option<Timestamp>,
    /// The end of the segment, which is also the modification time of the file.
    pub recording_end: Option<Timestamp>,
    pub availability: Availability,
}

impl RecordingFile {
    /// Returns whether this is a transcript whose format is known only from its first bytes.
    pub fn may_be_web_vtt(&self) -> bool {
        matches!(self.role, Role::Transcript | Role::Captions) && self.body == BodyKind::Opaque
    }

    /// Changes the format to WebVTT, which also changes the name of the file.
    pub fn set_web_vtt(&mut self) {
        self.extension = "vtt".into();
        self.body = BodyKind::WebVtt;
    }
}

/// The role of a file in its meeting. It determines the name of the file and which other files
/// belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Role {
    /// A video that shows one view of the meeting.
    View,
    /// The audio of the meeting.
    Audio,
    /// The audio of one participant, which never has a transcript of its own.
    Participant,
    /// A timed transcript, named after the view that it belongs to.
    Transcript,
    /// Closed captions, which replace a missing transcript.
    Captions,
    /// Chat, timeline, poll, and unknown kinds.
    Other,
}

/// The format that the body of the file must have. It is checked so that an error page is never
/// accepted as the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum BodyKind {
    /// MP4 or M4A: `ftyp` at byte 4 (ISO/IEC 14496-12, 4.3).
    IsoMedia,
    /// `WEBVTT`, after an optional byte order mark (W3C WebVTT, section 4.1).
    WebVtt,
    /// JSON, the only kind that may have the media type `application/json`.
    Json,
    /// Any other format. Only an HTML page is rejected.
    Opaque,
}

/// The byte order mark of UTF-8, with which a text file may begin.
pub const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Number of bytes from which [`is_web_vtt`] decides.
pub const WEB_VTT_SIGNATURE_LENGTH: usize = 9;

/// Returns whether a file with these first bytes is WebVTT (W3C WebVTT, section 4.1).
pub fn is_web_vtt(start: &[u8]) -> bool {
    start.strip_prefix(BYTE_ORDER_MARK).unwrap_or(start).starts_with(b"WEBVTT")
}

/// Whether a recording file can be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Availability {
    Ready,
    /// The provider has not finished the file. Until then the file and the tracks that are named
    /// after it are hidden.
    Processing,
    /// The file is not in this directory: it was deleted, or is shown in another directory. It
    /// takes part in naming, so the names of the other files do not change.
    Absent,
    /// The file is listed but cannot be downloaded. The text tells the user why.
    Unavailable(String),
}

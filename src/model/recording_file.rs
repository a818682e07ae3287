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
    /// The file name without its extension, as the provider returns it. It can contain characters
    /// that a file name must not contain.
    pub stem: InternedStr,
    /// The extension without its dot, as the provider returns it.
    pub extension: InternedStr,
    pub body: BodyKind,
    /// The length in bytes that the listing states, or `None` if the listing omits it.
    pub declared_size: Option<u64>,
    /// The start of the recorded segment. If a recording was stopped and started again, its files
    /// have different starts.
    pub recording_start: Option<Timestamp>,
    /// The end of the recorded segment, which is also the modification time of the file.
    pub recording_end: Option<Timestamp>,
    pub availability: Availability,
}

impl RecordingFile {
    /// Whether this is a transcript whose format can be determined only from its first bytes.
    pub fn may_be_web_vtt(&self) -> bool {
        matches!(self.role, Role::Transcript | Role::Captions) && self.body == BodyKind::Opaque
    }

    /// Changes the format to WebVTT. This also changes the extension of the file name.
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
    /// MP4 or M4A, which has `ftyp` at byte 4 (ISO/IEC 14496-12, 4.3).
    IsoMedia,
    /// WebVTT, which begins with `WEBVTT` after an optional byte order mark (W3C WebVTT, section
    /// 4.1).
    WebVtt,
    /// JSON. Only a file of this kind may have the media type `application/json`.
    Json,
    /// Any other format. Only an HTML page is rejected.
    Opaque,
}

/// The byte order mark of UTF-8, with which a text file may begin.
pub const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Number of bytes at the start of a file that [`is_web_vtt`] needs.
pub const WEB_VTT_SIGNATURE_LENGTH: usize = 9;

/// Whether a file that begins with `first_bytes` is WebVTT (W3C WebVTT, section 4.1).
pub fn is_web_vtt(first_bytes: &[u8]) -> bool {
    first_bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(first_bytes).starts_with(b"WEBVTT")
}

/// Whether a recording file can be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Availability {
    Ready,
    /// The provider is still processing the file. Until the file is ready, it is hidden, and so are
    /// the tracks that are named after it.
    Processing,
    /// The file is not shown in the directory of its meeting, because it was deleted or is shown in
    /// another directory. It still takes part in naming, so the names of the other files do not
    /// change.
    Absent,
    /// The file is listed but cannot be downloaded. The text states the reason.
    Unavailable(String),
}

//! One recorded file of a meeting.

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
    /// The file name without its extension, as the provider has it: not yet a legal file name.
    pub stem: InternedStr,
    /// The extension without its dot, not yet checked either.
    pub extension: InternedStr,
    pub body: BodyKind,
    /// The listed length in bytes; `None` if the listing omits it.
    pub declared_size: Option<u64>,
    /// The start of this segment. The files of a stopped and restarted recording differ in it.
    pub recording_start: Option<Timestamp>,
    /// The end of this segment, and the file's modification time.
    pub recording_end: Option<Timestamp>,
    pub availability: Availability,
}

/// The role of a file in its meeting. It decides the file's name and its neighbors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Role {
    /// A video of one view.
    View,
    /// The audio of the meeting.
    Audio,
    /// The audio of one participant. No transcript belongs to it.
    Participant,
    /// A timed transcript, named after the view that it belongs to.
    Transcript,
    /// Closed captions, which replace a missing transcript.
    Captions,
    /// Chat, timeline, poll, and unknown kinds.
    Other,
}

/// The format that a body of the file must have, so that an error page is never accepted as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum BodyKind {
    /// MP4 or M4A: `ftyp` at byte 4 (ISO/IEC 14496-12, 4.3).
    IsoMedia,
    /// `WEBVTT`, after an optional byte order mark (W3C WebVTT, section 4.1).
    WebVtt,
    /// JSON, the only kind that may arrive as `application/json`.
    Json,
    /// Any other format: its first bytes are not checked.
    Opaque,
}

/// Whether a recording file can be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Availability {
    Ready,
    /// The provider has not finished the file. It is hidden until then, and so are the tracks that
    /// are named after it.
    Processing,
    /// The file is not in this directory: it was deleted, or is shown in another one. It takes part
    /// in naming, so the names of the other files stay.
    Absent,
    /// The file is listed but cannot be downloaded. The text tells the user why.
    Unavailable(String),
}

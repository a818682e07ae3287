//! One held meeting.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::ids::{MeetingId, SourceName};
use super::meeting_metadata::MeetingMetadata;
use super::recording_file::RecordingFile;

/// A held meeting with its recording files, as its provider lists it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Meeting {
    pub source: SourceName,
    pub id: MeetingId,
    /// The topic as the provider has it. It may be empty and may contain any character.
    pub topic: String,
    pub start: Timestamp,
    /// Never before `start`.
    pub end: Timestamp,
    /// When the provider will delete the meeting, if known.
    #[serde(default)]
    pub expires: Option<Timestamp>,
    /// In no particular order.
    pub files: Vec<RecordingFile>,
    /// The content of `meeting.json` without what [`Details`](super::Details) add. It never
    /// contains a download URL or a token.
    #[serde(rename = "facts")]
    pub metadata: MeetingMetadata,
}

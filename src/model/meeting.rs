//! Meetings that took place.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::ids::{MeetingId, SourceName};
use super::meeting_metadata::MeetingMetadata;
use super::recording_file::RecordingFile;

/// A meeting that took place, with its recording files, as its provider lists it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Meeting {
    pub source: SourceName,
    pub id: MeetingId,
    /// The topic exactly as the provider returns it. It may be empty and may contain any character.
    pub topic: String,
    pub start: Timestamp,
    /// The end of the meeting, which is never before `start`.
    pub end: Timestamp,
    /// The time at which the provider will delete the meeting, if known.
    #[serde(default)]
    pub expires: Option<Timestamp>,
    /// The recording files, in no particular order.
    pub files: Vec<RecordingFile>,
    /// The content of `meeting.json` without the fields that [`Details`](super::Details) add. It
    /// never contains a download URL or a token.
    #[serde(rename = "facts")]
    pub metadata: MeetingMetadata,
}

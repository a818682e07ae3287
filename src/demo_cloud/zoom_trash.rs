//! Zoom's trash: the deleted meetings and files, until they are restored or permanently deleted.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::archive::Meeting;
use super::zoom_json::meeting_json;

/// A trashed meeting, or the trashed files of a meeting that still exists.
#[derive(Clone, Debug)]
pub(super) struct TrashedMeeting {
    /// The meeting with only its trashed files.
    pub(super) meeting: Meeting,
    pub(super) deletion_time: Timestamp,
    /// Whether the meeting itself is trashed.
    pub(super) is_whole_meeting: bool,
}

impl TrashedMeeting {
    /// Returns the entry in the listing of the trash. Each file states its deletion time ("List all
    /// recordings").
    pub(super) fn json(&self, host_id: &str, web_origin: &str) -> Map<String, Value> {
        let mut entry = meeting_json(&self.meeting, host_id, web_origin);
        let files = entry.get_mut("recording_files").and_then(Value::as_array_mut);
        for file in files.into_iter().flatten().filter_map(Value::as_object_mut) {
            file.insert("deleted_time".into(), json!(self.deletion_time.to_string()));
        }
        entry
    }
}

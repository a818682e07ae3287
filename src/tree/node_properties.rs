//! The properties of a file or a meeting, for extended attributes and explanations.

use std::sync::Arc;

use jiff::Timestamp;

use super::inode::Ino;
use super::meeting_files::DOCUMENT_NAME;
use super::node::{Content, Node};
use super::snapshot::Snapshot;
use crate::model::{FileId, Meeting, RecordingFile, Role, SHARE_URL_FIELD};

/// The properties of a file, or of the meeting of a directory.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeProperties {
    /// The name of the source. It is empty for the root directory.
    pub source: String,
    /// The provider's id of the meeting.
    pub meeting: Option<String>,
    /// The key of the recording file in its meeting.
    pub file: Option<String>,
    pub kind: &'static str,
    /// The start of the recorded segment, or else of the meeting.
    pub start: Option<Timestamp>,
    /// The duration of the recorded segment, or else of the meeting, in seconds.
    pub duration: Option<i64>,
    pub expires: Option<Timestamp>,
    meeting_data: Option<Arc<Meeting>>,
}

impl NodeProperties {
    /// Collects the properties of a node. Some of them are unknown until the metadata of the
    /// meeting is complete.
    pub fn of(snapshot: &Snapshot, node: &Node) -> Self {
        let directory = if node.is_directory() { node.ino } else { node.parent };
        let meeting = meeting_of(snapshot, directory);
        let id = match &node.content {
            Content::Recording { id, .. } => Some(id),
            _ => None,
        };
        let file = id.and_then(|id| recording_file(meeting.as_deref()?, id));
        let segment = file.and_then(|file| file.recording_start.zip(file.recording_end));
        let times = segment.or(meeting.as_ref().map(|meeting| (meeting.start, meeting.end)));
        let meeting_id = id.map(|id| &id.meeting).or(meeting.as_ref().map(|meeting| &meeting.id));
        Self {
            source: source_name(snapshot, node),
            meeting: meeting_id.map(|id| id.provider_id().to_owned()),
            file: id.map(|id| id.key.as_str().to_owned()),
            kind: kind_of(node, file, meeting.is_some()),
            start: times.map(|(start, _)| start),
            duration: times.map(|(start, end)| end.duration_since(start).as_secs().max(0)),
            expires: node.expires,
            meeting_data: meeting,
        }
    }

    /// Returns the URL of the page with the recording. Everyone who knows the URL may be able to
    /// see the recording.
    pub fn share_url(&self) -> Option<String> {
        self.meeting_data.as_ref()?.metadata.text(SHARE_URL_FIELD)
    }
}

/// Returns the meeting of a directory, which its `meeting.json` contains.
fn meeting_of(snapshot: &Snapshot, directory: Ino) -> Option<Arc<Meeting>> {
    match &snapshot.lookup(directory, DOCUMENT_NAME)?.content {
        Content::Document(document) => Some(document.meeting().clone()),
        _ => None,
    }
}

fn recording_file<'a>(meeting: &'a Meeting, id: &FileId) -> Option<&'a RecordingFile> {
    meeting.files.iter().find(|file| file.id == *id)
}

fn kind_of(node: &Node, file: Option<&RecordingFile>, is_of_meeting: bool) -> &'static str {
    match (&node.content, file.map(|file| file.role)) {
        (Content::Directory { .. }, _) if is_of_meeting => "meeting",
        (Content::Directory { .. }, _) => "directory",
        (Content::Text(_) | Content::Document(_), _) => "metadata",
        (Content::Note { .. }, _) => "note",
        (Content::Recording { .. }, Some(Role::View)) => "video",
        (Content::Recording { .. }, Some(Role::Audio)) => "audio",
        (Content::Recording { .. }, Some(Role::Participant)) => "participant-audio",
        (Content::Recording { .. }, Some(Role::Transcript)) => "transcript",
        (Content::Recording { .. }, Some(Role::Captions)) => "captions",
        (Content::Recording { .. }, Some(Role::Other)) => "other",
        (Content::Recording { .. }, None) => "recording",
    }
}

/// Returns the name of the directory in the root directory that contains a node. It is empty for
/// the root directory.
fn source_name(snapshot: &Snapshot, node: &Node) -> String {
    let mut current = node;
    while current.parent != Ino::ROOT {
        match snapshot.node(current.parent) {
            Some(parent) => current = parent,
            None => break,
        }
    }
    current.name.to_string()
}

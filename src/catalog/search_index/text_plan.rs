//! Decides which texts of the catalog are indexed.

use std::collections::HashMap;

use jiff::Timestamp;
use xxhash_rust::xxh3::xxh3_64;

use crate::model::{
    Availability, FileId, FileKey, Meeting, MeetingContents, MeetingId, SourceName, Version,
};
use crate::text::TextKind;

/// Identifies a text: a file of a meeting, or the topic of the meeting.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TextId {
    pub source: SourceName,
    pub meeting: MeetingId,
    /// `None` for the topic.
    pub file: Option<FileKey>,
}

impl From<FileId> for TextId {
    fn from(FileId { source, meeting, key }: FileId) -> Self {
        Self { source, meeting, file: Some(key) }
    }
}

/// A text that the index should contain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PlannedText {
    pub(super) version: Version,
    /// The start of the recording.
    pub(super) started_at: Timestamp,
    pub(super) content: PlannedContent,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PlannedContent {
    Topic(String),
    File(FileId, TextKind),
}

/// The texts of a source that the index should contain.
#[derive(Debug, Default)]
pub(super) struct TextPlan {
    pub(super) texts: HashMap<TextId, PlannedText>,
    pub(super) meetings: usize,
    /// Number of meetings with a transcript, captions or a chat.
    pub(super) meetings_with_text: usize,
}

impl TextPlan {
    pub(super) fn of(source: &SourceName, meetings: &[MeetingContents]) -> Self {
        let mut plan = Self { meetings: meetings.len(), ..Self::default() };
        for MeetingContents { meeting, .. } in meetings {
            let files = text_files(meeting);
            plan.meetings_with_text += usize::from(!files.is_empty());
            for (id, text) in files {
                plan.texts.insert(id.into(), text);
            }
            let id = TextId { source: source.clone(), meeting: meeting.id.clone(), file: None };
            plan.texts.insert(
                id,
                PlannedText {
                    version: Version(xxh3_64(meeting.topic.as_bytes())),
                    started_at: meeting.start,
                    content: PlannedContent::Topic(meeting.topic.clone()),
                },
            );
        }
        plan
    }
}

/// Returns the text files of a meeting that can be read. Captions are omitted if the meeting has a
/// transcript, because they contain the same words without speakers.
fn text_files(meeting: &Meeting) -> Vec<(FileId, PlannedText)> {
    let readable_files =
        meeting.files.iter().filter(|file| file.availability == Availability::Ready);
    let mut files: Vec<_> =
        readable_files.filter_map(|file| Some((file, TextKind::of(file)?))).collect();
    if files.iter().any(|(_, kind)| *kind == TextKind::Transcript) {
        files.retain(|(_, kind)| *kind != TextKind::Captions);
    }
    let planned_texts = files.into_iter().map(|(file, kind)| {
        let text = PlannedText {
            version: file.version,
            started_at: file.recording_start.unwrap_or(meeting.start),
            content: PlannedContent::File(file.id.clone(), kind),
        };
        (file.id.clone(), text)
    });
    planned_texts.collect()
}

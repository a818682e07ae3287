//! Transcripts that are made after a meeting's details were asked for.
//!
//! Details are asked for once. What is late is added to them as if it had been there by then, so it stays as they do; a
//! meeting that has a transcript is looked at no more, for a second one could move the name of the first.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::tz::TimeZone;

use super::source::Entry;
use super::store::Catalog;
use crate::model::{DaySpan, Meeting, RecordingFile, Role, SourceName};
use crate::providers::LateFiles;

impl Catalog {
    /// The meetings on the days of `span` whose details are known and that have no transcript, newest first; none where
    /// transcripts are hidden.
    pub fn without_transcript(&self, name: &SourceName, span: DaySpan) -> Vec<Arc<Meeting>> {
        let sources = self.sources.lock();
        let Some(source) = sources.get(name).filter(|source| source.filter.shows_transcripts()) else {
            return Vec::new();
        };
        let wanting = source.shown().map(|entry| &entry.meeting).filter(|meeting| {
            let day = TimeZone::UTC.to_datetime(meeting.start).date();
            span.contains(day) && source.details.contains_key(&meeting.id) && !has_transcript(meeting)
        });
        let mut wanting: Vec<_> = wanting.cloned().collect();
        wanting.sort_by(|a, b| (b.start, &b.id).cmp(&(a.start, &a.id)));
        wanting
    }

    /// Takes over files that were made late, and keeps them with the details of their meetings.
    pub fn learn_late_files(&self, name: &SourceName, late: LateFiles) {
        let LateFiles { files, made_of, .. } = late;
        let mut learned = Vec::new();
        let mut sources = self.sources.lock();
        let Some(source) = sources.get_mut(name) else { return };
        let mut by_meeting = BTreeMap::<_, Vec<RecordingFile>>::new();
        for file in files {
            by_meeting.entry(file.id.meeting.clone()).or_default().push(file);
        }
        for (id, files) in by_meeting {
            let (Some(entry), Some(known)) = (source.meetings.get_mut(&id), source.details.get(&id)) else {
                continue;
            };
            if has_transcript(&entry.meeting) {
                continue;
            }
            let mut details = known.as_deref().cloned().unwrap_or_default();
            details.files.extend(files);
            details.made_of = details.made_of.or_else(|| made_of.clone());
            let details = Some(Arc::new(details));
            *entry = Entry::new(entry.listed.clone(), Some(&details));
            source.details.insert(id.clone(), details.clone());
            learned.push((id, details));
        }
        drop(sources);
        if learned.is_empty() {
            return;
        }
        self.touch();
        for (id, details) in learned {
            self.facts.keep_details(name, &id, details.as_deref());
        }
    }
}

fn has_transcript(meeting: &Meeting) -> bool {
    meeting.files.iter().any(|file| matches!(file.role, Role::Transcript | Role::Captions))
}

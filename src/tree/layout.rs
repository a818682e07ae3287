//! Lays out the directories of the tree: sources, years, meetings, and the files of meetings.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::directory_names::{AssignedName, DirectoryNames, NameRequest};
use super::draft::SnapshotDraft;
use super::inode::Identity;
use super::meeting_files::{DOCUMENT_NAME, DisplayedFile, PARTICIPANTS_NAME};
use super::name::legal_name;
use super::node::Content;
use super::source_totals::SourceTotals;
use crate::model::{Availability, Meeting, MeetingContents, SourceContents, SourceName};

/// The topic that is shown for a meeting whose own topic has no legal character.
const DEFAULT_TOPIC: &str = "Untitled meeting";

/// The name of the directory that shows the recycle bin of the provider. It is next to the
/// directories of the years.
pub const TRASH_DIRECTORY: &str = "trash";

/// The meetings of one source, merged from all [`SourceContents`] with its name.
#[derive(Default)]
struct SourceMeetings<'a> {
    meetings: Vec<&'a MeetingContents>,
    trash: Vec<&'a MeetingContents>,
    redundant_view_suffix: Option<&'static str>,
}

/// A meeting and its start in local time.
type LocalMeeting<'a> = (&'a MeetingContents, DateTime);

/// Returns the draft of the whole tree. `timezone_of` returns the time zone that is used in the
/// directory names of a source.
pub(super) fn lay_out<'z>(
    sources: &[SourceContents],
    timezone_of: impl Fn(&SourceName) -> &'z TimeZone,
) -> SnapshotDraft {
    let mut sources_by_name: BTreeMap<&SourceName, SourceMeetings<'_>> = BTreeMap::new();
    for source in sources {
        let source_meetings = sources_by_name.entry(&source.name).or_default();
        source_meetings.meetings.extend(&source.meetings);
        source_meetings.trash.extend(&source.trash);
        source_meetings.redundant_view_suffix = source.redundant_view_suffix;
    }
    let all_meetings =
        sources.iter().flat_map(|source| source.meetings.iter().chain(&source.trash));
    // The capacity includes a directory and a document for each meeting. The few directories of
    // years and sources are not counted.
    let capacity = all_meetings.map(|contents| contents.meeting.files.len() + 2).sum();
    let draft = SnapshotDraft::with_capacity(capacity);
    let mut layout = Layout { draft, shared_names: HashSet::new(), timezone: &TimeZone::UTC };
    let names = source_names(sources_by_name.keys().copied());
    let sources = sources_by_name.into_iter().zip(names);
    let newest_end = sources
        .map(|((name, source), assigned)| {
            layout.timezone = timezone_of(name);
            layout.add_source(name, &assigned.name, source)
        })
        .max();
    layout.set_recording_end(0, newest_end.unwrap_or(Timestamp::UNIX_EPOCH));
    layout.draft
}

struct Layout<'t> {
    draft: SnapshotDraft,
    /// File names that occur in many directories, such as `audio_only.m4a`. Each is stored only
    /// once.
    shared_names: HashSet<Arc<str>>,
    /// The time zone of the source that is being added.
    timezone: &'t TimeZone,
}

impl Layout<'_> {
    /// Adds the directory of a source. Returns the end of its newest recording, or the Unix epoch
    /// if it has no recording.
    fn add_source(
        &mut self,
        name: &SourceName,
        directory_name: &str,
        source: SourceMeetings<'_>,
    ) -> Timestamp {
        let name_bytes = name.as_str().as_bytes();
        let identity = Identity::from_parts(&[b"source", name_bytes]);
        let directory = self.add_directory(0, directory_name, identity, Timestamp::UNIX_EPOCH);
        let suffix = source.redundant_view_suffix;
        let mut years: BTreeMap<i16, Vec<LocalMeeting<'_>>> = BTreeMap::new();
        for (contents, start) in self.local_meetings(source.meetings) {
            years.entry(start.year()).or_default().push((contents, start));
        }
        let mut totals = SourceTotals::default();
        let newest_end = years.iter().filter_map(|(year, meetings)| {
            let year = year_name(*year);
            let identity = Identity::from_parts(&[b"year", name_bytes, year.as_bytes()]);
            let count = |meeting: &'_ Meeting, files: &'_ [DisplayedFile<'_>]| {
                count_meeting(&mut totals, meeting, files);
            };
            self.add_meetings(directory, name, (&year, identity), meetings, suffix, count)
        });
        let newest_end = newest_end.max();
        let identity = Identity::from_parts(&[b"trash", name_bytes]);
        let trashed_meetings = self.local_meetings(source.trash);
        let trash = (TRASH_DIRECTORY, identity);
        let count = |_: &'_ Meeting, files: &'_ [DisplayedFile<'_>]| {
            totals.trashed_meetings += u64::from(!files.is_empty());
        };
        let trash_end = self.add_meetings(directory, name, trash, &trashed_meetings, suffix, count);
        self.draft.sources.insert(name.clone(), totals);
        let recording_end = newest_end.max(trash_end).unwrap_or(Timestamp::UNIX_EPOCH);
        self.set_recording_end(directory, recording_end);
        recording_end
    }

    /// Returns each meeting once, with its start in local time.
    fn local_meetings<'v>(&self, mut meetings: Vec<&'v MeetingContents>) -> Vec<LocalMeeting<'v>> {
        // If two entries have the same id, the one that ends last is shown.
        meetings.sort_by(|one, other| {
            let [one, other] = [one, other].map(|contents| &*contents.meeting);
            let rank = |meeting: &'_ Meeting| (meeting.end, meeting.start, meeting.files.len());
            let compare_ranks = || rank(other).cmp(&rank(one));
            one.id.cmp(&other.id).then_with(compare_ranks).then_with(|| one.topic.cmp(&other.topic))
        });
        meetings.dedup_by(|one, other| one.meeting.id == other.meeting.id);
        let local_start =
            |contents: &MeetingContents| self.timezone.to_datetime(contents.meeting.start);
        meetings.into_iter().map(|contents| (contents, local_start(contents))).collect()
    }

    /// Adds a directory of meetings, unless it would be empty. Returns the end of the newest
    /// meeting in it. Calls `count` with each meeting and its displayed files.
    fn add_meetings(
        &mut self,
        parent: usize,
        source: &SourceName,
        (name, identity): (&str, Identity),
        meetings: &[LocalMeeting<'_>],
        redundant_view_suffix: Option<&str>,
        mut count: impl FnMut(&Meeting, &[DisplayedFile<'_>]),
    ) -> Option<Timestamp> {
        let (mut directory, mut newest_end) = (None, None);
        // One meeting is processed at a time, because the files of thousands of meetings would use
        // as much memory as the tree.
        for ((contents, _), assigned) in meetings.iter().zip(meeting_names(meetings)) {
            let files = DisplayedFile::from_meeting(contents, redundant_view_suffix, self.timezone);
            count(&contents.meeting, &files);
            if files.is_empty() {
                continue;
            }
            let end = contents.meeting.end;
            let directory =
                *directory.get_or_insert_with(|| self.add_directory(parent, name, identity, end));
            newest_end = newest_end.max(Some(end));
            self.add_meeting(directory, source, contents, files, &assigned.name);
        }
        self.set_recording_end(directory?, newest_end?);
        newest_end
    }

    fn add_meeting(
        &mut self,
        parent: usize,
        source: &SourceName,
        contents: &MeetingContents,
        files: Vec<DisplayedFile<'_>>,
        name: &str,
    ) {
        let meeting = &*contents.meeting;
        let [source, id] = [source.as_str().as_bytes(), meeting.id.as_str().as_bytes()];
        let identity = Identity::from_parts(&[b"meeting", source, id]);
        let directory = self.add_directory(parent, name, identity, meeting.end);
        if let Some(node) = self.draft.get_mut(directory) {
            node.expires = meeting.expires;
        }
        if let Some(document) = &contents.document {
            let identity = Identity::from_parts(&[b"document", source, id]);
            let content = Content::Document(document.clone());
            self.add_file(directory, DOCUMENT_NAME, identity, meeting.end, content);
            if let Some(participants) = document.participants() {
                let identity = Identity::from_parts(&[b"participants", source, id]);
                let content = Content::Text(participants);
                self.add_file(directory, PARTICIPANTS_NAME, identity, meeting.end, content);
            }
        }
        for DisplayedFile { name, file, target, content } in files {
            let key = file.id.key.as_str().as_bytes();
            // The words are part of inode numbers and must not change.
            let (word, target) = match target {
                None => (&b"own"[..], &b""[..]),
                Some(target) => (&b"beside"[..], target.as_str().as_bytes()),
            };
            let identity = match &content {
                Content::Recording { version, .. } => {
                    let version = version.0.to_le_bytes();
                    Identity::from_parts(&[b"recording", source, id, key, word, target, &version])
                }
                Content::Text(_)
                | Content::Document(_)
                | Content::Note { .. }
                | Content::Directory { .. } => {
                    Identity::from_parts(&[b"unavailable", source, id, key, word, target])
                }
            };
            let recording_end = file.recording_end.or(file.recording_start).unwrap_or(meeting.end);
            self.add_file(directory, &name, identity, recording_end, content);
        }
    }

    fn set_recording_end(&mut self, position: usize, recording_end: Timestamp) {
        if let Some(node) = self.draft.get_mut(position) {
            node.recording_end = recording_end;
        }
    }

    fn add_directory(
        &mut self,
        parent: usize,
        name: &str,
        identity: Identity,
        recording_end: Timestamp,
    ) -> usize {
        let content = Content::Directory { entries: Box::default() };
        self.draft.add(parent, name.into(), identity, recording_end, content)
    }

    fn add_file(
        &mut self,
        parent: usize,
        name: &str,
        identity: Identity,
        recording_end: Timestamp,
        content: Content,
    ) {
        let name = match self.shared_names.get(name) {
            Some(shared_name) => Arc::clone(shared_name),
            None => {
                let shared_name: Arc<str> = name.into();
                self.shared_names.insert(Arc::clone(&shared_name));
                shared_name
            }
        };
        let expires = self.draft.get_mut(parent).and_then(|directory| directory.expires);
        let position = self.draft.add(parent, name, identity, recording_end, content);
        if let Some(file) = self.draft.get_mut(position) {
            file.expires = expires;
        }
    }
}

/// Adds a meeting that is not in the recycle bin, and its displayed files, to the totals.
fn count_meeting(totals: &mut SourceTotals, meeting: &Meeting, files: &[DisplayedFile<'_>]) {
    let mut shown_keys = HashSet::new();
    for displayed in files {
        if !shown_keys.insert(&displayed.file.id.key) {
            continue;
        }
        match &displayed.content {
            Content::Recording { size, .. } => {
                totals.files += 1;
                totals.bytes = totals.bytes.saturating_add(*size);
            }
            _ => totals.unavailable_files += 1,
        }
    }
    let hidden_keys: HashSet<_> = meeting
        .files
        .iter()
        .filter(|file| file.availability != Availability::Absent)
        .map(|file| &file.id.key)
        .filter(|key| !shown_keys.contains(key))
        .collect();
    if !shown_keys.is_empty() {
        totals.meetings += 1;
        totals.processing_files += hidden_keys.len() as u64;
    } else if !hidden_keys.is_empty() {
        totals.processing_meetings += 1;
    } else if meeting.files.is_empty() {
        totals.empty_meetings += 1;
    }
}

/// Returns the directory names of the sources. They differ from the configured names only if two
/// configured names differ only in case.
fn source_names<'n>(names: impl Iterator<Item = &'n SourceName>) -> Vec<AssignedName> {
    let requests: Vec<NameRequest> = names
        .map(|name| NameRequest {
            stem: name.to_string(),
            tail: String::new(),
            id: name.as_str().as_bytes().to_vec(),
        })
        .collect();
    DirectoryNames::default().assign(&requests)
}

/// Returns the directory names of meetings. Hidden meetings get names too, so no name changes when
/// one of them appears.
fn meeting_names(meetings: &[LocalMeeting<'_>]) -> Vec<AssignedName> {
    let requests: Vec<NameRequest> = meetings
        .iter()
        .map(|(contents, start)| {
            let topic = legal_name(&contents.meeting.topic);
            let topic = if topic.is_empty() { DEFAULT_TOPIC } else { &topic };
            let (year, date) = (year_name(start.year()), start.strftime("%m-%d %H%M"));
            let id = contents.meeting.id.provider_id().as_bytes().to_vec();
            NameRequest { stem: format!("{year}-{date} {topic}"), tail: String::new(), id }
        })
        .collect();
    DirectoryNames::default().assign(&requests)
}

/// Returns the year with four digits, and with a minus sign if it is before the year 0 (ISO 8601).
fn year_name(year: i16) -> String {
    let sign = if year < 0 { "-" } else { "" };
    format!("{sign}{:04}", year.unsigned_abs())
}

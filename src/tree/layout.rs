//! The directories: sources, years, meetings, and what is in a meeting's.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::files::{DOCUMENT, PARTICIPANTS, Shown, shown};
use super::inode::Identity;
use super::name::{DirectoryNames, Given, Wanted, legal};
use super::snapshot::{Content, Drafts};
use crate::model::{Meeting, SourceName};
use crate::model::{MeetingContents, SourceContents};

/// The topic of a meeting whose own has nothing legal in it.
const UNTITLED: &str = "Untitled meeting";

/// The directory of a source for what lies in its provider's recycle bin, beside those of the years.
pub const TRASH_DIRECTORY: &str = "trash";

/// The meetings of one source: those that are there, and those in the recycle bin.
#[derive(Default)]
struct Shelves<'a> {
    there: Vec<&'a MeetingContents>,
    trash: Vec<&'a MeetingContents>,
}

/// The whole tree, parents before children, the root first.
pub(super) fn lay_out(sources: &[SourceContents], timezone: &TimeZone) -> Drafts {
    let mut by_name: BTreeMap<&SourceName, Shelves<'_>> = BTreeMap::new();
    for source in sources {
        let shelves = by_name.entry(&source.name).or_default();
        shelves.there.extend(&source.meetings);
        shelves.trash.extend(&source.trash);
    }
    let views = sources.iter().flat_map(|source| source.meetings.iter().chain(&source.trash));
    // A directory and a document each; years and sources are few.
    let most = views.map(|view| view.meeting.files.len() + 2).sum();
    let mut plan = Plan { drafts: Drafts::new(most), names: HashSet::new(), timezone };
    let newest = by_name.into_iter().map(|(source, shelves)| plan.source(source, shelves)).max();
    plan.touch(0, newest.unwrap_or(Timestamp::UNIX_EPOCH));
    plan.drafts
}

struct Plan<'t> {
    drafts: Drafts,
    /// Names that many directories share, such as `audio_only.m4a`, are kept once.
    names: HashSet<Arc<str>>,
    timezone: &'t TimeZone,
}

impl Plan<'_> {
    /// Adds the directory of a source; its modification time.
    fn source(&mut self, source: &SourceName, shelves: Shelves<'_>) -> Timestamp {
        let identity = Identity::of(&[b"source", source.as_str().as_bytes()]);
        let place = self.directory(0, source.as_str(), identity, Timestamp::UNIX_EPOCH);
        let mut years: BTreeMap<i16, Vec<(&MeetingContents, DateTime)>> = BTreeMap::new();
        for (view, start) in self.dated(shelves.there) {
            years.entry(start.year()).or_default().push((view, start));
        }
        let newest = years.iter().filter_map(|(year, meetings)| {
            let year = year_name(*year);
            let identity = Identity::of(&[b"year", source.as_str().as_bytes(), year.as_bytes()]);
            self.meetings(place, source, (&year, identity), meetings)
        });
        let newest = newest.max();
        let identity = Identity::of(&[b"trash", source.as_str().as_bytes()]);
        let trash = self.dated(shelves.trash);
        let newest = newest.max(self.meetings(place, source, (TRASH_DIRECTORY, identity), &trash));
        let modified = newest.unwrap_or(Timestamp::UNIX_EPOCH);
        self.touch(place, modified);
        modified
    }

    /// Each meeting once, with its local start.
    fn dated<'v>(
        &self,
        mut meetings: Vec<&'v MeetingContents>,
    ) -> Vec<(&'v MeetingContents, DateTime)> {
        // A meeting that is listed twice is shown as the listing that ends last.
        meetings.sort_by(|one, other| {
            let [one, other] = [one, other].map(|view| &*view.meeting);
            let rank = |meeting: &'_ Meeting| (meeting.end, meeting.start, meeting.files.len());
            let by_rank = || rank(other).cmp(&rank(one));
            one.id.cmp(&other.id).then_with(by_rank).then_with(|| one.topic.cmp(&other.topic))
        });
        meetings.dedup_by(|one, other| one.meeting.id == other.meeting.id);
        meetings
            .into_iter()
            .map(|view| (view, self.timezone.to_datetime(view.meeting.start)))
            .collect()
    }

    /// Adds a directory of meetings unless it would be empty; its newest meeting's end.
    fn meetings(
        &mut self,
        source_place: usize,
        source: &SourceName,
        (name, identity): (&str, Identity),
        meetings: &[(&MeetingContents, DateTime)],
    ) -> Option<Timestamp> {
        let (mut place, mut newest) = (None, None);
        // One after the other: what thousands of meetings show, all at once, would take as much as the tree.
        for ((view, _), given) in meetings.iter().zip(names_of(meetings)) {
            let files = shown(view, self.timezone);
            if files.is_empty() {
                continue;
            }
            let place = *place.get_or_insert_with(|| {
                self.directory(source_place, name, identity, view.meeting.end)
            });
            newest = newest.max(Some(view.meeting.end));
            self.meeting(place, source, view, files, &given.name);
        }
        self.touch(place?, newest?);
        newest
    }

    fn meeting(
        &mut self,
        year: usize,
        source: &SourceName,
        view: &MeetingContents,
        files: Vec<Shown<'_>>,
        name: &str,
    ) {
        let meeting = &*view.meeting;
        let [source, id] = [source.as_str().as_bytes(), meeting.id.as_str().as_bytes()];
        let place =
            self.directory(year, name, Identity::of(&[b"meeting", source, id]), meeting.end);
        if let Some(directory) = self.drafts.get_mut(place) {
            directory.expires = meeting.expires;
        }
        if let Some(document) = &view.document {
            let identity = Identity::of(&[b"document", source, id]);
            self.file(place, DOCUMENT, identity, meeting.end, Content::Document(document.clone()));
            if let Some(participants) = document.participants() {
                let identity = Identity::of(&[b"participants", source, id]);
                self.file(place, PARTICIPANTS, identity, meeting.end, Content::Text(participants));
            }
        }
        for Shown { name, file, beside, content } in files {
            let key = file.id.key.as_str().as_bytes();
            let (role, host) = match beside {
                None => (&b"own"[..], &b""[..]),
                Some(host) => (&b"beside"[..], host.as_str().as_bytes()),
            };
            let identity = match &content {
                Content::Recording { version, .. } => Identity::of(&[
                    b"recording",
                    source,
                    id,
                    key,
                    role,
                    host,
                    &version.0.to_le_bytes(),
                ]),
                Content::Text(_)
                | Content::Document(_)
                | Content::Note { .. }
                | Content::Directory { .. } => {
                    Identity::of(&[b"unavailable", source, id, key, role, host])
                }
            };
            let modified = file.recording_end.or(file.recording_start).unwrap_or(meeting.end);
            self.file(place, &name, identity, modified, content);
        }
    }

    fn touch(&mut self, place: usize, modified: Timestamp) {
        if let Some(draft) = self.drafts.get_mut(place) {
            draft.modified = modified;
        }
    }

    fn directory(
        &mut self,
        parent: usize,
        name: &str,
        identity: Identity,
        modified: Timestamp,
    ) -> usize {
        let content = Content::Directory { entries: Box::default() };
        self.drafts.add(parent, name.into(), identity, modified, content)
    }

    fn file(
        &mut self,
        parent: usize,
        name: &str,
        identity: Identity,
        modified: Timestamp,
        content: Content,
    ) {
        let name = match self.names.get(name) {
            Some(known) => Arc::clone(known),
            None => {
                let new: Arc<str> = name.into();
                self.names.insert(Arc::clone(&new));
                new
            }
        };
        let expires = self.drafts.get_mut(parent).and_then(|directory| directory.expires);
        let place = self.drafts.add(parent, name, identity, modified, content);
        if let Some(file) = self.drafts.get_mut(place) {
            file.expires = expires;
        }
    }
}

/// The directory names of all meetings of a year, hidden ones included: no name changes when one of them is shown.
fn names_of(meetings: &[(&MeetingContents, DateTime)]) -> Vec<Given> {
    let wanted: Vec<Wanted> = meetings
        .iter()
        .map(|(view, start)| {
            let topic = legal(&view.meeting.topic);
            let topic = if topic.is_empty() { UNTITLED } else { &topic };
            let (year, date) = (year_name(start.year()), start.strftime("%m-%d %H%M"));
            let id = view.meeting.id.of_provider().as_bytes().to_vec();
            Wanted { stem: format!("{year}-{date} {topic}"), tail: String::new(), id }
        })
        .collect();
    DirectoryNames::default().give(&wanted)
}

/// Four digits, behind a sign where the year is before our era (ISO 8601).
fn year_name(year: i16) -> String {
    let sign = if year < 0 { "-" } else { "" };
    format!("{sign}{:04}", year.unsigned_abs())
}

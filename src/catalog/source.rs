//! One source: its meetings with what was learned about them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use xxhash_rust::xxh3::Xxh3;

use super::deleted::{CachedFiles, Deleted};
use super::trash::Trash;
use super::{CatalogDatabase, Filter, ListingScope};
use crate::model::{
    Availability, Details, Document, FileKey, Meeting, MeetingContents, MeetingId, RecordingFile,
    SourceName, Version,
};
use crate::providers::RecycleBin;

/// A source as the catalog is told of it.
#[derive(Clone, Debug)]
pub struct SourceOptions {
    /// The configured name.
    pub name: SourceName,
    /// What its listings are of.
    pub scope: ListingScope,
    /// Which of it is shown.
    pub filter: Filter,
    /// As in [`SourceContents`](crate::model::SourceContents).
    pub redundant_view_suffix: Option<&'static str>,
    /// The recycle bin, where it is shown.
    pub recycle_bin: Option<RecycleBin>,
    /// Who knows what can be read without the cloud, where that is to stay after it was deleted there.
    pub keep_deleted: Option<Arc<dyn CachedFiles>>,
}

/// How much there is of a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceCounts {
    /// Meetings that are shown.
    pub meetings: u64,
    /// Recording files that can be read and whose length is known; the others are not shown yet.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Meetings that the filter hides.
    pub hidden_meetings: u64,
    /// Files of meetings that are shown which the filter hides.
    pub hidden_files: u64,
    /// Meetings of which something is shown though it was deleted upstream.
    pub kept_deleted: u64,
    /// Meetings that are shown in the recycle bin.
    pub in_trash: u64,
}

/// What is known of one source.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) scope: ListingScope,
    pub(super) filter: Filter,
    pub(super) redundant_view_suffix: Option<&'static str>,
    /// Whether it was listed in an earlier run, and when that was whole.
    pub(super) kept: Option<Option<Timestamp>>,
    pub(super) meetings: HashMap<MeetingId, Entry>,
    /// Learned sizes, also of meetings not listed yet.
    pub(super) sizes: HashMap<MeetingId, HashMap<FileKey, (Version, u64)>>,
    pub(super) details: HashMap<MeetingId, Option<Arc<Details>>>,
    /// Meetings whose details lack something that was asked for since the start and since they were listed anew.
    pub(super) lacking: HashSet<MeetingId>,
    /// Under which validators files were served.
    pub(super) validators: HashMap<(MeetingId, FileKey), (Version, String)>,
    pub(super) trash: Trash,
    pub(super) deleted: Deleted,
}

/// One meeting.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) listed: Arc<Meeting>,
    /// As listed, with the files that its details add; the same where they add none.
    pub(super) meeting: Arc<Meeting>,
    /// `None` while it is not known whether there are details, for a document that changed later would be copied twice by
    /// every backup.
    pub(super) document: Option<Arc<Document>>,
    /// Whether files have been listed since its details were asked for that those may have changed with: nobody says
    /// which of them they are made of.
    pub(super) is_outdated: bool,
}

impl Entry {
    pub(super) fn new(listed: Arc<Meeting>, details: Option<&Option<Arc<Details>>>) -> Self {
        let mut meeting = listed.clone();
        for details in details.into_iter().flatten() {
            let source = details.derived_from.as_ref();
            let source =
                source.and_then(|key| listed.files.iter().find(|file| file.id.key == *key));
            for file in &details.files {
                let mut file = file.clone();
                if let Some(RecordingFile { version, recording_start, recording_end, .. }) = source
                {
                    file.version = *version;
                    (file.recording_start, file.recording_end) = (*recording_start, *recording_end);
                }
                let meeting = Arc::make_mut(&mut meeting);
                meeting.files.retain(|known| known.id != file.id);
                meeting.files.push(file);
            }
        }
        let document =
            details.map(|details| Arc::new(Document::new(listed.clone(), details.clone())));
        let is_outdated = details.and_then(Option::as_ref).is_some_and(|details| {
            let stand_by_themselves = !details.files.is_empty() && details.derived_from.is_none();
            stand_by_themselves && details.listing_hash != Some(files_of(&listed))
        });
        Self { listed, meeting, document, is_outdated }
    }
}

/// A meeting as it is kept for good: without the room that its list of files has for more, or has left of the longer
/// entries that it was made of in their place. In a large archive that is as much as the files themselves.
pub(super) fn compact(mut meeting: Meeting) -> Arc<Meeting> {
    meeting.files.shrink_to_fit();
    Arc::new(meeting)
}

/// Tells the files of a listing from those of another one, also in a later run.
pub(super) fn files_of(listed: &Meeting) -> u64 {
    let mut files: Vec<_> =
        listed.files.iter().map(|file| (file.id.key.as_str(), file.version.0)).collect();
    files.sort_unstable();
    let mut hash = Xxh3::new();
    for (key, version) in files {
        hash.update(&(key.len() as u64).to_le_bytes());
        hash.update(key.as_bytes());
        hash.update(&version.to_le_bytes());
    }
    hash.digest()
}

impl Source {
    /// Nothing is known of it.
    pub(super) fn empty(options: SourceOptions) -> Self {
        Self {
            scope: options.scope,
            filter: options.filter,
            redundant_view_suffix: options.redundant_view_suffix,
            kept: None,
            meetings: HashMap::new(),
            sizes: HashMap::new(),
            details: HashMap::new(),
            lacking: HashSet::new(),
            validators: HashMap::new(),
            trash: Trash::empty(options.recycle_bin),
            deleted: Deleted::new(options.keep_deleted),
        }
    }

    /// What was kept of a source in earlier runs.
    pub(super) fn load(options: SourceOptions, database: &CatalogDatabase) -> Self {
        let (name, recycle_bin) = (options.name.clone(), options.recycle_bin);
        let mut source = Self::empty(options);
        match database.load(&name) {
            Ok((sizes, details)) => {
                for fact in sizes {
                    let files = source.sizes.entry(fact.meeting).or_default();
                    files.insert(fact.file, (fact.version, fact.size));
                }
                source.details =
                    details.into_iter().map(|(id, details)| (id, details.map(Arc::new))).collect();
            }
            Err(error) => tracing::warn!("what was learned of {name} cannot be read: {error}"),
        }
        match database.validators(&name) {
            Ok(validators) => source.validators = validators.into_iter().collect(),
            Err(error) => tracing::warn!("what was learned of {name} cannot be read: {error}"),
        }
        match database.kept_listing(&name, &source.scope) {
            Ok(Some(kept)) => {
                source.kept = Some(kept.whole_at);
                let details = &source.details;
                let entries = kept.meetings.into_iter().map(|meeting| {
                    let found = details.get(&meeting.id);
                    (meeting.id.clone(), Entry::new(compact(meeting), found))
                });
                source.meetings = entries.collect();
                source.trash = Trash::load(recycle_bin, &name, database);
                source.load_deleted(&name, database);
            }
            Ok(None) => {}
            Err(error) => tracing::warn!("what was listed of {name} cannot be read: {error}"),
        }
        source
    }

    /// What the filter lets through.
    pub(super) fn shown(&self) -> impl Iterator<Item = &Entry> {
        self.meetings.values().filter(|entry| self.filter.shows(&entry.meeting))
    }

    pub(super) fn counts(&self) -> SourceCounts {
        let mut counts = SourceCounts::default();
        for entry in self.meetings.values() {
            if !self.filter.shows(&entry.meeting) {
                counts.hidden_meetings += 1;
                continue;
            }
            counts.meetings += 1;
            for file in &entry.meeting.files {
                if !self.filter.shows_file(file) {
                    counts.hidden_files += 1;
                } else if file.availability == Availability::Ready
                    && let Some(size) = self.size(&entry.meeting, file).or(file.declared_size)
                {
                    counts.files += 1;
                    counts.bytes = counts.bytes.saturating_add(size);
                }
            }
        }
        self.count_deleted(&mut counts);
        counts.in_trash = self.trash_count();
        counts
    }

    /// Whether a meeting's details are still to be asked for.
    pub(super) fn asks_for_details(&self, meeting: &MeetingId) -> bool {
        match self.details.get(meeting) {
            None => true,
            Some(known) => {
                let lacks = known.as_ref().is_some_and(|details| !details.missing.is_empty());
                let is_outdated =
                    || self.meetings.get(meeting).is_some_and(|entry| entry.is_outdated);
                (lacks && !self.lacking.contains(meeting)) || is_outdated()
            }
        }
    }

    /// The document of a meeting that is shown though it is listed no more.
    pub(super) fn document(&self, meeting: &Arc<Meeting>) -> Option<Arc<Document>> {
        let details = self.details.get(&meeting.id)?;
        Some(Arc::new(Document::new(meeting.clone(), details.clone())))
    }

    /// The true size that was learned of a file as it is listed now.
    pub(super) fn size(&self, meeting: &Meeting, file: &RecordingFile) -> Option<u64> {
        let (version, size) = self.sizes.get(&meeting.id)?.get(&file.id.key)?;
        (*version == file.version).then_some(*size)
    }

    /// Whether a file is shown as soon as its length is known, which nobody has said yet.
    pub(super) fn needs_size(&self, file: &RecordingFile) -> bool {
        let known = self.sizes.get(&file.id.meeting).and_then(|files| files.get(&file.id.key));
        self.filter.shows_file(file)
            && file.availability == Availability::Ready
            && file.declared_size.is_none()
            && known.is_none_or(|(version, _)| *version != file.version)
    }

    pub(super) fn views(&self) -> Vec<MeetingContents> {
        let there = self
            .shown()
            .map(|entry| self.view(&self.with_remains(&entry.meeting), entry.document.clone()));
        there.chain(self.deleted_views()).collect()
    }

    pub(super) fn view(
        &self,
        meeting: &Arc<Meeting>,
        document: Option<Arc<Document>>,
    ) -> MeetingContents {
        let meeting = if self.filter.looks_at_files() {
            let mut shown = Meeting::clone(meeting);
            shown.files.retain(|file| self.filter.shows_file(file));
            Arc::new(shown)
        } else {
            meeting.clone()
        };
        let mut sizes = HashMap::new();
        if self.sizes.contains_key(&meeting.id) {
            let learned =
                meeting.files.iter().map(|file| (&file.id.key, self.size(&meeting, file)));
            sizes.extend(learned.filter_map(|(key, size)| Some((key.clone(), size?))));
        }
        MeetingContents { meeting, sizes, document }
    }
}

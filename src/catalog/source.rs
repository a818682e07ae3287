//! One source in the catalog: its meetings with what was learned about them.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::database::CatalogDatabase;
use super::enrichment_task::EnrichmentTask;
use super::entry::{CatalogEntry, compact};
use super::filter::Filter;
use super::measured_sizes::MeasuredSizes;
use super::retention::{
    CachedFiles, DeletedFile, DeletedMeeting, RetainedMeetings, RetentionCandidates,
};
use super::scope::ListingScope;
use super::source_counts::SourceCounts;
use super::source_snapshot::{FormerMeeting, ListedMeeting, SourceSnapshot};
use super::trash::{StoredTrash, Trash};
use super::trash_view::TrashView;
use super::validators::ValidatorTable;
use crate::model::{
    Availability, Details, FileId, FileKey, Meeting, MeetingId, RecordingFile, SourceName, Version,
};
use crate::providers::RecycleBin;

/// The configuration of a source in the catalog.
#[derive(Clone, Debug)]
pub struct SourceOptions {
    pub name: SourceName,
    pub scope: ListingScope,
    pub filter: Filter,
    /// As in [`SourceContents`](crate::model::SourceContents).
    pub redundant_view_suffix: Option<&'static str>,
    /// `None` if the recycle bin is not shown.
    pub recycle_bin: Option<RecycleBin>,
    /// The cache, if cached files remain after they were deleted upstream.
    pub keep_deleted: Option<Arc<dyn CachedFiles>>,
}

/// The state of a source.
#[derive(Debug)]
pub(super) struct Source {
    name: SourceName,
    pub(super) scope: ListingScope,
    pub(super) filter: Arc<Filter>,
    redundant_view_suffix: Option<&'static str>,
    /// `Some` if an earlier run listed the source, with the time of the last complete listing.
    pub(super) earlier_listing: Option<Option<Timestamp>>,
    pub(super) meetings: HashMap<MeetingId, CatalogEntry>,
    /// Also of meetings that are not listed yet.
    pub(super) sizes: HashMap<MeetingId, Arc<MeasuredSizes>>,
    /// Files whose measured size contradicts the listing, and is measured again. A server in a
    /// fault state can state a wrong size; the next complete listing ends it.
    unconfirmed_sizes: HashSet<FileId>,
    /// `None` as a value means that the provider has none.
    pub(super) details: HashMap<MeetingId, Option<Arc<Details>>>,
    /// Meetings whose incomplete details were requested since the start and their last change. They
    /// are not requested again.
    pub(super) incomplete: HashSet<MeetingId>,
    pub(super) trash: Trash,
    pub(super) retained: RetainedMeetings,
}

impl Source {
    pub(super) fn empty(options: SourceOptions) -> Self {
        Self {
            name: options.name,
            scope: options.scope,
            filter: Arc::new(options.filter),
            redundant_view_suffix: options.redundant_view_suffix,
            earlier_listing: None,
            meetings: HashMap::new(),
            sizes: HashMap::new(),
            unconfirmed_sizes: HashSet::new(),
            details: HashMap::new(),
            incomplete: HashSet::new(),
            trash: Trash::new(options.recycle_bin, StoredTrash::default()),
            retained: RetainedMeetings::new(options.keep_deleted),
        }
    }

    /// Loads what earlier runs stored. What cannot be read is logged and learned again.
    pub(super) fn load(
        options: SourceOptions,
        database: &CatalogDatabase,
        validators: &ValidatorTable,
    ) -> Self {
        let recycle_bin = options.recycle_bin;
        let mut source = Self::empty(options);
        let name = source.name.clone();
        let read = Reader { name: &name };
        for row in read.or_default("sizes", database.sizes(&name)) {
            let sizes = source.sizes.entry(row.meeting).or_default();
            Arc::make_mut(sizes).insert(row.file, row.version, row.size);
        }
        let details = read.or_default("details", database.details(&name));
        source.details = details.into_iter().map(|(id, it)| (id, it.map(Arc::new))).collect();
        let stored = read.or_default("listing", database.listing(&name, &source.scope));
        if let Some(stored) = stored {
            source.earlier_listing = Some(stored.fully_listed_at);
            let details = &source.details;
            let entries = stored.meetings.into_iter().map(|meeting| {
                let details = details.get(&meeting.id);
                (meeting.id.clone(), CatalogEntry::new(compact(meeting), details))
            });
            source.meetings = entries.collect();
            source.mark_corrected_sizes_unconfirmed();
            if recycle_bin.is_some() {
                let stored = read.or_default("recycle bin", database.trash(&name));
                source.trash = Trash::new(recycle_bin, stored);
            }
            if source.retained.cache().is_some() {
                let deleted = database.deleted_meetings(&name);
                let deleted = read.or_default("deleted meetings", deleted);
                source.restore_deleted(deleted, validators);
            }
        }
        source
    }

    /// Restores deleted meetings. Those of which nothing is cached show nothing, and are dropped
    /// with the next listing.
    pub(super) fn restore_deleted(
        &mut self,
        deleted: Vec<DeletedMeeting>,
        validators: &ValidatorTable,
    ) {
        let meetings = deleted.into_iter().map(|meeting| {
            let files = self.deleted_files(&meeting, validators);
            (meeting, files)
        });
        let meetings = meetings.collect();
        let candidates = RetentionCandidates { cache: self.retained.cache().cloned(), meetings };
        self.retained.replace(candidates.into_checked());
    }

    /// Returns the listed meetings that the filter shows.
    pub(super) fn visible(&self) -> impl Iterator<Item = &CatalogEntry> {
        self.meetings.values().filter(|entry| self.filter.shows(&entry.meeting))
    }

    pub(super) fn counts(&self) -> SourceCounts {
        let mut counts = SourceCounts::default();
        for entry in self.meetings.values() {
            if self.filter.shows(&entry.meeting) {
                let files = entry.meeting.files.iter();
                counts.hidden_files +=
                    files.filter(|file| !self.filter.shows_file(file)).count() as u64;
            } else {
                counts.hidden_meetings += 1;
            }
        }
        let kept = self.retained.iter().filter(|retained| {
            !retained.cached.is_empty() && self.filter.shows(&retained.visible_meeting())
        });
        counts.kept_deleted = kept.count() as u64;
        counts
    }

    /// Returns the measured or the declared size of a file.
    fn size(&self, meeting: &MeetingId, file: &RecordingFile) -> Option<u64> {
        let measured = self.sizes.get(meeting).and_then(|sizes| sizes.get(file));
        measured.or(file.declared_size)
    }

    /// Returns whether the size of a visible file is unknown or must be measured again.
    pub(super) fn needs_size(&self, file: &RecordingFile) -> bool {
        self.filter.shows_file(file)
            && file.availability == Availability::Ready
            && (self.size(&file.id.meeting, file).is_none()
                || self.unconfirmed_sizes.contains(&file.id))
    }

    /// Marks all measured sizes that contradict the listing, so they are measured again. Returns
    /// whether there are any.
    pub(super) fn mark_corrected_sizes_unconfirmed(&mut self) -> bool {
        let files = self.meetings.values().flat_map(|entry| &entry.meeting.files);
        let is_corrected = |file: &&RecordingFile| {
            let measured = self.sizes.get(&file.id.meeting).and_then(|sizes| sizes.get(file));
            // Providers declare 0 for files that they have not measured.
            file.declared_size.is_some_and(|declared| declared > 0)
                && measured.is_some()
                && measured != file.declared_size
        };
        self.unconfirmed_sizes = files.filter(is_corrected).map(|file| file.id.clone()).collect();
        !self.unconfirmed_sizes.is_empty()
    }

    /// Records a measured size. Returns whether it is new.
    pub(super) fn record_size(&mut self, id: &FileId, version: Version, size: u64) -> bool {
        self.unconfirmed_sizes.remove(id);
        let sizes = Arc::make_mut(self.sizes.entry(id.meeting.clone()).or_default());
        sizes.insert(id.key.clone(), version, size)
    }

    fn needs_details(&self, meeting: &MeetingId) -> bool {
        match self.details.get(meeting) {
            None => true,
            Some(details) => {
                let is_incomplete =
                    details.as_ref().is_some_and(|details| !details.missing.is_empty());
                let is_outdated =
                    || self.meetings.get(meeting).is_some_and(|entry| entry.is_outdated);
                (is_incomplete && !self.incomplete.contains(meeting)) || is_outdated()
            }
        }
    }

    /// Returns what is to be learned: sizes, then details, then what concerns the recycle bin; of
    /// each, newest meetings first.
    pub(super) fn enrichment_tasks(&self, now: Timestamp) -> Vec<EnrichmentTask> {
        let mut meetings: Vec<_> = self.visible().map(|entry| &entry.meeting).collect();
        meetings.sort_by(|a, b| (b.start, &b.id).cmp(&(a.start, &a.id)));
        let sizes = meetings
            .iter()
            .flat_map(|meeting| &meeting.files)
            .filter(|file| self.needs_size(file))
            .map(|file| EnrichmentTask::Size(file.id.clone(), file.version, file.body));
        let details = meetings
            .iter()
            .filter(|meeting| !meeting.files.is_empty() && self.needs_details(&meeting.id))
            .map(|meeting| EnrichmentTask::Details(meeting.id.clone()));
        sizes.chain(details).chain(self.trash_tasks(now)).collect()
    }

    /// Returns what is to be learned about the recycle bin.
    pub(super) fn trash_tasks(&self, now: Timestamp) -> Vec<EnrichmentTask> {
        let visible = |view: TrashView| Some((view.meeting(&self.filter)?, view));
        let mut meetings: Vec<_> = self.trash_views().filter_map(visible).collect();
        meetings.sort_by(|(a, _), (b, _)| (b.start, &b.id).cmp(&(a.start, &a.id)));
        // Details first: some files are known only from them.
        let details = meetings
            .iter()
            .filter(|(meeting, _)| !self.details.contains_key(&meeting.id))
            .map(|(meeting, _)| EnrichmentTask::Details(meeting.id.clone()));
        let probes = meetings
            .iter()
            .flat_map(|(meeting, view)| view.files_to_probe(meeting, now))
            .map(|file| EnrichmentTask::Probe(file.id.clone(), file.version, file.body));
        details.chain(probes).collect()
    }

    fn trash_views(&self) -> impl Iterator<Item = TrashView> {
        let trash = &self.trash;
        let meetings = trash
            .bin()
            .into_iter()
            .flat_map(move |bin| trash.meetings().map(move |trashed| (bin, trashed.clone())));
        meetings.map(|(bin, trashed)| {
            let listed = self.meetings.get(&MeetingId::from(trashed.id().of_provider()));
            let listed = listed.map(|entry| entry.meeting.clone());
            let details = self.details.get(trashed.id()).cloned();
            let probes = trash.probes(trashed.id()).cloned();
            TrashView { trashed, bin, listed, details, probes }
        })
    }

    pub(super) fn snapshot(&self) -> SourceSnapshot {
        let listed = self.meetings.values().map(|entry| ListedMeeting {
            meeting: entry.meeting.clone(),
            document: entry.document.clone(),
            sizes: self.sizes.get(&entry.meeting.id).cloned(),
            retained: self.retained.get(&entry.meeting.id).cloned(),
        });
        let former = self.retained.iter().filter(|it| !self.meetings.contains_key(it.id()));
        let former = former.map(|retained| FormerMeeting {
            retained: retained.clone(),
            details: self.details.get(retained.id()).cloned(),
            sizes: self.sizes.get(retained.id()).cloned(),
        });
        let trashed = self.trash_views().map(|view| {
            let sizes = self.sizes.get(view.trashed.id()).cloned();
            (view, sizes)
        });
        SourceSnapshot {
            name: self.name.clone(),
            filter: self.filter.clone(),
            redundant_view_suffix: self.redundant_view_suffix,
            listed: listed.collect(),
            deleted: former.collect(),
            trashed: trashed.collect(),
        }
    }

    /// Returns what may be retained once `listed` is applied and the meetings that `is_removed`
    /// matches are removed.
    pub(super) fn retention_candidates(
        &self,
        listed: &[Meeting],
        is_removed: impl Fn(&Meeting) -> bool,
        validators: &ValidatorTable,
    ) -> RetentionCandidates {
        let Some(cache) = self.retained.cache() else { return RetentionCandidates::default() };
        let listed: HashMap<_, _> = listed.iter().map(|meeting| (&meeting.id, meeting)).collect();
        let former = self.retained.iter().map(|retained| retained.id());
        let former = former.filter(|id| !self.meetings.contains_key(*id));
        let meetings = self.meetings.keys().chain(former).filter_map(|id| {
            let deleted = self.deleted_meeting(id, listed.get(id).copied(), &is_removed)?;
            let files = self.deleted_files(&deleted, validators);
            Some((deleted, files))
        });
        RetentionCandidates { cache: Some(cache.clone()), meetings: meetings.collect() }
    }

    /// Returns the meeting with all the files that it had, or `None` if none of them is deleted.
    fn deleted_meeting(
        &self,
        id: &MeetingId,
        listed: Option<&Meeting>,
        is_removed: impl Fn(&Meeting) -> bool,
    ) -> Option<DeletedMeeting> {
        let entry = self.meetings.get(id);
        let before = self.retained.get(id).map(|retained| &retained.source);
        let unchanged =
            entry.filter(|entry| !is_removed(&entry.meeting)).map(|entry| &*entry.meeting);
        if before.is_none() && listed.is_none() && unchanged.is_some() {
            return None;
        }
        let details = self.details.get(id).into_iter().flatten().flat_map(|details| &details.files);
        let remaining: HashSet<&FileKey> = match listed.or(unchanged) {
            Some(meeting) => meeting.files.iter().chain(details).map(|file| &file.id.key).collect(),
            None => HashSet::new(),
        };
        let is_complete = |entry: &CatalogEntry| {
            entry.meeting.files.iter().all(|file| remaining.contains(&file.id.key))
        };
        if before.is_none() && entry.is_some_and(is_complete) {
            return None;
        }
        let current = entry.map(|entry| &*entry.meeting);
        let mut meeting = current.or(before.map(|before| &before.meeting))?.clone();
        for file in before.iter().flat_map(|before| &before.meeting.files) {
            if meeting.files.iter().all(|other| other.id.key != file.id.key) {
                meeting.files.push(file.clone());
            }
        }
        let keys = meeting.files.iter().map(|file| file.id.key.clone());
        let deleted: BTreeSet<_> = keys.filter(|key| !remaining.contains(key)).collect();
        (!deleted.is_empty()).then_some(DeletedMeeting { meeting, deleted })
    }

    /// Returns the deleted files that can be read if they are cached.
    fn deleted_files(
        &self,
        deleted: &DeletedMeeting,
        validators: &ValidatorTable,
    ) -> Vec<DeletedFile> {
        let files = deleted.meeting.files.iter();
        let files = files.filter(|file| deleted.deleted.contains(&file.id.key));
        let ready = files.filter(|file| file.availability == Availability::Ready);
        let ready = ready.filter_map(|file| {
            let size = self.size(&deleted.meeting.id, file)?;
            let validator = validators.get(&file.id, file.version);
            Some(DeletedFile { id: file.id.clone(), version: file.version, size, validator })
        });
        ready.collect()
    }
}

/// Logs what cannot be read of a source.
struct Reader<'a> {
    name: &'a SourceName,
}

impl Reader<'_> {
    fn or_default<T: Default>(&self, what: &str, read: rusqlite::Result<T>) -> T {
        read.unwrap_or_else(|error| {
            tracing::warn!(source = %self.name, "cannot read the stored {what}: {error}");
            T::default()
        })
    }
}

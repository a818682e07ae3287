//! One source in the catalog: its meetings and the values that were requested about them.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;

use super::database::CatalogDatabase;
use super::enrichment_task::EnrichmentTask;
use super::entry::{CatalogEntry, shrink_files_to_fit};
use super::filter::Filter;
use super::last_replies::ReplyTable;
use super::measured_sizes::MeasuredSizes;
use super::retention::{
    CachedFiles, DeletedFile, DeletedMeeting, RetainedMeetings, RetentionCandidates,
};
use super::scope::ListingScope;
use super::source_counts::SourceCounts;
use super::source_snapshot::{DeletedMeetingSnapshot, ListedMeetingSnapshot, SourceSnapshot};
use super::trash::{StoredTrash, Trash};
use super::trash_view::TrashView;
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
    /// A suffix that is removed from the stem of a view, unless another view has the same stem
    /// without the suffix.
    pub redundant_view_suffix: Option<&'static str>,
    /// The recycle bin of the provider, or `None` if it is not shown.
    pub recycle_bin: Option<RecycleBin>,
    /// The cache, if files that were deleted upstream are shown while they are cached. Otherwise
    /// `None`.
    pub retention_cache: Option<Arc<dyn CachedFiles>>,
}

/// The state of a source.
#[derive(Debug)]
pub(super) struct Source {
    name: SourceName,
    pub(super) scope: ListingScope,
    pub(super) filter: Arc<Filter>,
    redundant_view_suffix: Option<&'static str>,
    /// `Some` if an earlier run listed the source. The inner value is the time of the last complete
    /// listing, or `None` if no listing was complete.
    pub(super) earlier_listing: Option<Option<Timestamp>>,
    /// Whether this run or an earlier one has listed the source completely.
    pub(super) is_fully_listed: bool,
    pub(super) meetings: HashMap<MeetingId, CatalogEntry>,
    /// The measured sizes by meeting, including meetings that are not listed yet.
    pub(super) sizes: HashMap<MeetingId, Arc<MeasuredSizes>>,
    /// The files whose measured size contradicts the listing. They are measured again, because a
    /// faulty server can report a wrong size. Each complete listing replaces this set.
    pub(super) unconfirmed_sizes: HashSet<FileId>,
    /// The details by meeting. `None` as a value means that the provider has no details of the
    /// meeting.
    pub(super) details: HashMap<MeetingId, Option<Arc<Details>>>,
    /// The meetings whose details are known to be incomplete. Their details were requested in this
    /// run and after the last change of the meeting, and are not requested again.
    pub(super) meetings_with_incomplete_details: HashSet<MeetingId>,
    pub(super) trash: Trash,
    pub(super) retained_meetings: RetainedMeetings,
}

impl Source {
    pub(super) fn empty(options: SourceOptions) -> Self {
        Self {
            name: options.name,
            scope: options.scope,
            filter: Arc::new(options.filter),
            redundant_view_suffix: options.redundant_view_suffix,
            earlier_listing: None,
            is_fully_listed: false,
            meetings: HashMap::new(),
            sizes: HashMap::new(),
            unconfirmed_sizes: HashSet::new(),
            details: HashMap::new(),
            meetings_with_incomplete_details: HashSet::new(),
            trash: Trash::new(options.recycle_bin, StoredTrash::default()),
            retained_meetings: RetainedMeetings::new(options.retention_cache),
        }
    }

    /// Loads the data that earlier runs stored. An error is logged, and the data is requested
    /// again.
    pub(super) fn load(
        options: SourceOptions,
        database: &CatalogDatabase,
        replies: &ReplyTable,
    ) -> Self {
        let recycle_bin = options.recycle_bin;
        let mut source = Self::empty(options);
        let name = source.name.clone();
        for row in value_or_default(&name, "sizes", database.load_sizes(&name)) {
            let sizes = source.sizes.entry(row.meeting).or_default();
            Arc::make_mut(sizes).insert(row.file, row.version, row.size);
        }
        let details = value_or_default(&name, "details", database.load_details(&name));
        source.details =
            details.into_iter().map(|(id, details)| (id, details.map(Arc::new))).collect();
        let listing = database.load_listing(&name, &source.scope);
        let listing = value_or_default(&name, "listing", listing);
        if let Some(listing) = listing {
            source.earlier_listing = Some(listing.fully_listed_at);
            source.is_fully_listed = listing.fully_listed_at.is_some();
            let details = &source.details;
            let entries = listing.meetings.into_iter().map(|meeting| {
                let details = details.get(&meeting.id);
                (meeting.id.clone(), CatalogEntry::new(shrink_files_to_fit(meeting), details))
            });
            source.meetings = entries.collect();
            source.mark_contradicted_sizes_unconfirmed(replies);
            if recycle_bin.is_some() {
                let stored_trash =
                    value_or_default(&name, "recycle bin", database.load_trash(&name));
                source.trash = Trash::new(recycle_bin, stored_trash);
            }
            if source.retained_meetings.cache().is_some() {
                let deleted_meetings = database.load_deleted_meetings(&name);
                let deleted_meetings =
                    value_or_default(&name, "deleted meetings", deleted_meetings);
                source.restore_deleted(deleted_meetings, replies);
            }
        }
        source
    }

    /// Restores the deleted meetings that earlier runs stored. The next listing removes those
    /// without a cached file.
    pub(super) fn restore_deleted(
        &mut self,
        deleted_meetings: Vec<DeletedMeeting>,
        replies: &ReplyTable,
    ) {
        let meetings = deleted_meetings.into_iter().map(|meeting| {
            let files = self.deleted_files(&meeting, replies);
            (meeting, files)
        });
        let meetings = meetings.collect();
        let candidates =
            RetentionCandidates { cache: self.retained_meetings.cache().cloned(), meetings };
        self.retained_meetings.replace(candidates.into_all_meetings());
    }

    /// Returns the entries of the meetings that the filter shows.
    pub(super) fn visible_entries(&self) -> impl Iterator<Item = &CatalogEntry> {
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
        let visible_deleted_meetings = self.retained_meetings.iter().filter(|retained| {
            !retained.cached_files.is_empty() && self.filter.shows(&retained.visible_meeting())
        });
        counts.retained_meetings = visible_deleted_meetings.count() as u64;
        counts
    }

    /// Returns the measured size of a file, or else its declared size.
    fn size(&self, meeting: &MeetingId, file: &RecordingFile) -> Option<u64> {
        let measured_size = self.sizes.get(meeting).and_then(|sizes| sizes.get(file));
        measured_size.or(file.declared_size)
    }

    /// Returns whether the size of a file must be measured: the filter shows the file, and its size
    /// is unknown or contradicts the listing.
    pub(super) fn needs_size(&self, file: &RecordingFile) -> bool {
        self.filter.shows_file(file)
            && file.availability == Availability::Ready
            && (self.size(&file.id.meeting, file).is_none()
                || self.unconfirmed_sizes.contains(&file.id))
    }

    /// Whether the listed size of a file differs from its measured size.
    fn has_wrong_listed_size(&self, file: &RecordingFile) -> bool {
        let measured_size = self.sizes.get(&file.id.meeting).and_then(|sizes| sizes.get(file));
        // Providers declare 0 for files that they have not measured.
        file.declared_size.is_some_and(|declared| declared > 0)
            && measured_size.is_some()
            && measured_size != file.declared_size
    }

    /// Marks the measured sizes that contradict the listing, so they are measured again. Returns
    /// whether there are any.
    pub(super) fn mark_contradicted_sizes_unconfirmed(&mut self, replies: &ReplyTable) -> bool {
        let files = self.meetings.values().flat_map(|entry| &entry.meeting.files);
        let contradicted_files = files.filter(|file| self.has_wrong_listed_size(file));
        self.unconfirmed_sizes = contradicted_files.map(|file| file.id.clone()).collect();
        self.unconfirmed_sizes.iter().for_each(|id| replies.forget_length(id));
        !self.unconfirmed_sizes.is_empty()
    }

    /// Whether a meeting is listed, is in the recycle bin, or is retained.
    pub(super) fn contains(&self, id: &MeetingId) -> bool {
        self.meetings.contains_key(id)
            || self.trash.contains(id)
            || self.retained_meetings.get(id).is_some()
    }

    /// Removes the sizes and details of meetings that do not exist any more. They are not removed
    /// together with the meeting, because a task that is running can add them later.
    pub(super) fn remove_values_of_deleted_meetings(&mut self) {
        let (mut sizes, mut details) =
            (std::mem::take(&mut self.sizes), std::mem::take(&mut self.details));
        let mut incomplete = std::mem::take(&mut self.meetings_with_incomplete_details);
        sizes.retain(|id, _| self.contains(id));
        details.retain(|id, _| self.contains(id));
        incomplete.retain(|id| self.contains(id));
        (self.sizes, self.details) = (sizes, details);
        self.meetings_with_incomplete_details = incomplete;
    }

    /// Records a measured size. Returns whether it differs from the previous size.
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
                    details.as_ref().is_some_and(|details| !details.missing_parts.is_empty());
                let is_outdated =
                    || self.meetings.get(meeting).is_some_and(|entry| entry.is_outdated);
                (is_incomplete && !self.meetings_with_incomplete_details.contains(meeting))
                    || is_outdated()
            }
        }
    }

    /// Returns the pending tasks: sizes first, then details, then the tasks for the recycle bin.
    /// Each group is ordered from the newest meeting to the oldest.
    pub(super) fn enrichment_tasks(&self, now: Timestamp) -> Vec<EnrichmentTask> {
        let mut meetings: Vec<_> = self.visible_entries().map(|entry| &entry.meeting).collect();
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

    /// Returns the pending tasks for the recycle bin.
    pub(super) fn trash_tasks(&self, now: Timestamp) -> Vec<EnrichmentTask> {
        let with_meeting = |view: TrashView| Some((view.visible_meeting(&self.filter)?, view));
        let mut meetings: Vec<_> = self.trash_views().filter_map(with_meeting).collect();
        meetings.sort_by(|(a, _), (b, _)| (b.start, &b.id).cmp(&(a.start, &a.id)));
        // Details are requested first, because some files are known only from the details.
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
            .recycle_bin()
            .into_iter()
            .flat_map(move |bin| trash.meetings().map(move |trashed| (bin, trashed.clone())));
        meetings.map(|(recycle_bin, trashed)| {
            let listed_meeting = self.meetings.get(&MeetingId::from(trashed.id().provider_id()));
            let listed_meeting = listed_meeting.map(|entry| entry.meeting.clone());
            let details = self.details.get(trashed.id()).cloned();
            let probes = trash.probes(trashed.id()).cloned();
            TrashView { trashed_meeting: trashed, recycle_bin, listed_meeting, details, probes }
        })
    }

    pub(super) fn snapshot(&self) -> SourceSnapshot {
        let listed_meetings = self.meetings.values().map(|entry| ListedMeetingSnapshot {
            meeting: entry.meeting.clone(),
            document: entry.document.clone(),
            sizes: self.sizes.get(&entry.meeting.id).cloned(),
            retained_meeting: self.retained_meetings.get(&entry.meeting.id).cloned(),
        });
        let deleted_meetings = self
            .retained_meetings
            .iter()
            .filter(|retained| !self.meetings.contains_key(retained.id()));
        let deleted_meetings = deleted_meetings.map(|retained| DeletedMeetingSnapshot {
            retained_meeting: retained.clone(),
            details: self.details.get(retained.id()).cloned(),
            sizes: self.sizes.get(retained.id()).cloned(),
        });
        let trashed_meetings = self.trash_views().map(|view| {
            let sizes = self.sizes.get(view.trashed_meeting.id()).cloned();
            (view, sizes)
        });
        SourceSnapshot {
            name: self.name.clone(),
            filter: self.filter.clone(),
            redundant_view_suffix: self.redundant_view_suffix,
            listed_meetings: listed_meetings.collect(),
            deleted_meetings: deleted_meetings.collect(),
            trashed_meetings: trashed_meetings.collect(),
        }
    }

    /// Returns the meetings that may be retained after `listed_meetings` are applied and the
    /// meetings that `is_removed` matches are removed.
    pub(super) fn retention_candidates(
        &self,
        listed_meetings: &[Meeting],
        is_removed: impl Fn(&Meeting) -> bool,
        replies: &ReplyTable,
    ) -> RetentionCandidates {
        let Some(cache) = self.retained_meetings.cache() else {
            return RetentionCandidates::default();
        };
        let listed_meetings_by_id: HashMap<_, _> =
            listed_meetings.iter().map(|meeting| (&meeting.id, meeting)).collect();
        let unlisted_ids = self.retained_meetings.iter().map(|retained| retained.id());
        let unlisted_ids = unlisted_ids.filter(|id| !self.meetings.contains_key(*id));
        let meetings = self.meetings.keys().chain(unlisted_ids).filter_map(|id| {
            let deleted_meeting =
                self.deleted_meeting(id, listed_meetings_by_id.get(id).copied(), &is_removed)?;
            let files = self.deleted_files(&deleted_meeting, replies);
            Some((deleted_meeting, files))
        });
        RetentionCandidates { cache: Some(cache.clone()), meetings: meetings.collect() }
    }

    /// Returns the meeting, including its deleted files, or `None` if it has no deleted file.
    fn deleted_meeting(
        &self,
        id: &MeetingId,
        listed_meeting: Option<&Meeting>,
        is_removed: impl Fn(&Meeting) -> bool,
    ) -> Option<DeletedMeeting> {
        let entry = self.meetings.get(id);
        let previous_meeting =
            self.retained_meetings.get(id).map(|retained| &retained.deleted_meeting);
        let unchanged_meeting =
            entry.filter(|entry| !is_removed(&entry.meeting)).map(|entry| &*entry.meeting);
        if previous_meeting.is_none() && listed_meeting.is_none() && unchanged_meeting.is_some() {
            return None;
        }
        let details = self.details.get(id).into_iter().flatten().flat_map(|details| &details.files);
        let remaining_keys: HashSet<&FileKey> = match listed_meeting.or(unchanged_meeting) {
            Some(meeting) => meeting.files.iter().chain(details).map(|file| &file.id.key).collect(),
            None => HashSet::new(),
        };
        let is_complete = |entry: &CatalogEntry| {
            entry.meeting.files.iter().all(|file| remaining_keys.contains(&file.id.key))
        };
        if previous_meeting.is_none() && entry.is_some_and(is_complete) {
            return None;
        }
        let current_meeting = entry.map(|entry| &*entry.meeting);
        let mut meeting =
            current_meeting.or(previous_meeting.map(|previous| &previous.meeting))?.clone();
        for file in previous_meeting.iter().flat_map(|previous| &previous.meeting.files) {
            if meeting.files.iter().all(|other| other.id.key != file.id.key) {
                meeting.files.push(file.clone());
            }
        }
        let keys = meeting.files.iter().map(|file| file.id.key.clone());
        let deleted_files: BTreeSet<_> = keys.filter(|key| !remaining_keys.contains(key)).collect();
        (!deleted_files.is_empty()).then_some(DeletedMeeting { meeting, deleted_files })
    }

    /// Returns the deleted files of a meeting that the cache can contain: those that were ready for
    /// download and whose size is known.
    fn deleted_files(
        &self,
        deleted_meeting: &DeletedMeeting,
        replies: &ReplyTable,
    ) -> Vec<DeletedFile> {
        let DeletedMeeting { meeting, deleted_files } = deleted_meeting;
        let files = meeting.files.iter().filter(|file| deleted_files.contains(&file.id.key));
        let ready_files = files.filter(|file| file.availability == Availability::Ready);
        let ready_files = ready_files.filter_map(|file| {
            let size = self.size(&meeting.id, file)?;
            let validator = replies.get(&file.id, file.version).and_then(|reply| reply.validator);
            Some(DeletedFile { id: file.id.clone(), version: file.version, size, validator })
        });
        ready_files.collect()
    }
}

/// Returns a value that was read from the database. If it could not be read, logs the error and
/// returns the default value.
fn value_or_default<T: Default>(
    source: &SourceName,
    subject: &str,
    result: rusqlite::Result<T>,
) -> T {
    result.unwrap_or_else(|error| {
        tracing::warn!(%source, "cannot read the stored {subject}: {error}");
        T::default()
    })
}

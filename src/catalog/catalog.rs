//! The catalog in memory.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinError;

use super::database::{CatalogDatabase, ListingChange};
use super::enrichment_task::{DetailsRequest, EnrichmentTask};
use super::entry::{CatalogEntry, compact, listing_hash};
use super::retention::RetentionCandidates;
use super::source::{Source, SourceOptions};
use super::source_counts::SourceCounts;
use super::source_snapshot::SourceSnapshot;
use super::trash::DownloadProbe;
use super::validators::ValidatorTable;
use crate::model::{
    DaySpan, Details, FileId, Meeting, MeetingId, RecordingFile, Role, SourceContents, SourceName,
    Version,
};
use crate::providers::{KnownMeetings, LateFiles, Listing, TrashListing};
use crate::sync::Mutex;

/// The number of calls that run on blocking threads at the same time. The database runs one
/// statement at a time, so more threads would only wait.
const MAX_BLOCKING_CALLS: usize = 4;

/// All sources. Every visible change increments the revision in [`changes`](Self::changes).
///
/// A method that writes to the database can block on disk I/O, so async code must call it through
/// [`run_blocking`](Self::run_blocking). The other methods do not block.
///
/// **Lock order**: `apply_order`, `sources`, the validators, the database. `sources` is never held
/// while the database is used or while contents are built.
#[derive(Debug)]
pub struct Catalog {
    sources: Mutex<HashMap<SourceName, Source>>,
    validators: ValidatorTable,
    /// Applies one listing at a time, so the listing that is stored last was applied last.
    apply_order: Mutex<()>,
    revision: watch::Sender<u64>,
    database: Arc<CatalogDatabase>,
    blocking_calls: Semaphore,
}

impl Catalog {
    /// Creates a catalog with what earlier runs stored. Blocking: uses the disk.
    pub fn new(
        sources: impl IntoIterator<Item = SourceOptions>,
        database: Arc<CatalogDatabase>,
    ) -> Arc<Self> {
        let options: Vec<_> = sources.into_iter().collect();
        let validators = ValidatorTable::new(options.iter().map(|options| {
            let name = &options.name;
            let rows = database.validators(name).unwrap_or_else(|error| {
                tracing::warn!(source = %name, "cannot read the stored validators: {error}");
                Vec::new()
            });
            (name.clone(), rows.into_iter().collect())
        }));
        let sources = options.into_iter().map(|options| {
            let name = options.name.clone();
            (name, Source::load(options, &database, &validators))
        });
        let sources = Mutex::new(sources.collect());
        Arc::new(Self {
            sources,
            validators,
            apply_order: Mutex::new(()),
            revision: watch::Sender::new(0),
            database,
            blocking_calls: Semaphore::new(MAX_BLOCKING_CALLS),
        })
    }

    /// Runs `call` on a blocking thread. It is completed even if the caller is canceled.
    ///
    /// # Errors
    /// `call` panicked, or the runtime is shutting down.
    pub async fn run_blocking<T: Send + 'static>(
        self: &Arc<Self>,
        call: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        // The semaphore is never closed.
        let _permit = self.blocking_calls.acquire().await;
        let catalog = self.clone();
        tokio::task::spawn_blocking(move || call(&catalog)).await
    }

    /// Returns the listed meetings of a source, also those that the filter hides.
    pub fn meetings(&self, name: &SourceName) -> Vec<Arc<Meeting>> {
        let sources = self.sources.lock();
        let entries = sources.get(name).into_iter().flat_map(|source| source.meetings.values());
        entries.map(|entry| entry.meeting.clone()).collect()
    }

    /// Returns the meetings in the recycle bin of a source as it was listed last.
    pub fn trashed_meetings(&self, name: &SourceName) -> Vec<Arc<Meeting>> {
        let sources = self.sources.lock();
        let trashed = sources.get(name).into_iter().flat_map(|source| source.trash.meetings());
        trashed.map(|trashed| Arc::new(trashed.entry.meeting.clone())).collect()
    }

    /// Returns `Some` if an earlier run listed the source, with the time of the last complete
    /// listing.
    pub fn earlier_listing(&self, name: &SourceName) -> Option<Option<Timestamp>> {
        self.sources.lock().get(name).and_then(|source| source.earlier_listing)
    }

    /// Stores that a source was listed completely at that time. Measured sizes that contradict the
    /// listing are measured again. Blocking: uses the disk.
    pub fn record_full_listing(&self, name: &SourceName, at: Timestamp) {
        let mut sources = self.sources.lock();
        let Some(source) = sources.get_mut(name) else { return };
        let has_unconfirmed = source.mark_corrected_sizes_unconfirmed();
        let scope = source.scope.clone();
        drop(sources);
        if has_unconfirmed {
            self.increment_revision();
        }
        self.database.save_full_listing(name, &scope, at);
    }

    /// Returns the revision of the contents.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    fn increment_revision(&self) {
        self.revision.send_modify(|revision| *revision += 1);
    }

    /// Applies a listing of the days of `span`. Meetings on these days that it does not contain are
    /// removed, except on days that could not be listed completely. Blocking: uses the disk.
    pub fn apply(&self, name: &SourceName, span: DaySpan, listing: Listing) {
        let _order = self.apply_order.lock();
        let listed = listing.meetings.iter().map(|meeting| &meeting.id).chain(&listing.unchanged);
        let listed: HashSet<_> = listed.cloned().collect();
        let was_listed_completely = |meeting: &Meeting| {
            let day = utc_day(meeting);
            span.contains(day) && !listing.failed.iter().any(|(failed, _)| failed.contains(day))
        };
        let is_removed =
            |meeting: &Meeting| !listed.contains(&meeting.id) && was_listed_completely(meeting);
        let candidates = self.sources.lock().get(name).map(|source| {
            source.retention_candidates(&listing.meetings, is_removed, &self.validators)
        });
        let retained = candidates.map(RetentionCandidates::into_retained).unwrap_or_default();
        let mut sources = self.sources.lock();
        let Some(source) = sources.get_mut(name) else { return };
        let mut change = ListingChange::default();
        source.meetings.retain(|id, entry| {
            let stays = !is_removed(&entry.meeting);
            if !stays {
                change.removed.push(id.clone());
            }
            stays
        });
        for meeting in listing.meetings {
            if source.meetings.get(&meeting.id).is_some_and(|entry| *entry.listed == meeting) {
                continue;
            }
            let meeting = compact(meeting);
            change.listed.push(meeting.clone());
            source.incomplete.remove(&meeting.id);
            let details = source.details.get(&meeting.id);
            source.meetings.insert(meeting.id.clone(), CatalogEntry::new(meeting, details));
        }
        let retention = source.retained.replace(retained);
        let scope = source.scope.clone();
        drop(sources);
        if !change.listed.is_empty() || !change.removed.is_empty() || retention.is_visible {
            // Before the database is written: a caller may wait for the tree.
            self.increment_revision();
        }
        self.database.save_listing(name, &scope, &change);
        self.database.save_retention(name, &retention);
    }

    /// Applies a listing of the recycle bin. Blocking: uses the disk.
    pub fn apply_trash(&self, name: &SourceName, listing: TrashListing) {
        let _order = self.apply_order.lock();
        let mut sources = self.sources.lock();
        let Some(source) = sources.get_mut(name) else { return };
        let change = source.trash.apply(listing, Timestamp::now());
        for id in &change.removed {
            source.details.remove(id);
            source.sizes.remove(id);
        }
        self.validators.remove_meetings(name, &change.removed);
        drop(sources);
        if !change.is_empty() {
            self.increment_revision();
        }
        self.database.save_trash(name, &change);
    }

    /// Records the measured size of a file version. Blocking: uses the disk.
    pub fn record_size(&self, id: &FileId, version: Version, size: u64) {
        let mut sources = self.sources.lock();
        let Some(source) = sources.get_mut(&id.source) else { return };
        let is_new = source.record_size(id, version, size);
        drop(sources);
        if is_new {
            // Before the database is written: an `open` may wait for the tree.
            self.increment_revision();
            self.database.save_size(id, version, size);
        }
    }

    /// Returns the validator under which a file version was served last, also in an earlier run.
    pub fn validator(&self, id: &FileId, version: Version) -> Option<String> {
        self.validators.get(id, version)
    }

    /// Removes the validator of a file whose content has changed. The database keeps it until it is
    /// replaced.
    pub fn forget_validator(&self, id: &FileId) {
        self.validators.remove(id);
    }

    /// Records the validator under which a file version is served. Blocking: uses the disk.
    pub fn record_validator(&self, id: &FileId, version: Version, validator: &str) {
        if self.validators.insert(id, version, validator) {
            self.database.save_validator(id, version, validator);
        }
    }

    /// Records the details of a meeting; `None` if the provider has none. Blocking: uses the disk.
    pub fn record_details(&self, name: &SourceName, id: &MeetingId, details: Option<Details>) {
        let mut sources = self.sources.lock();
        let Some(source) = sources.get_mut(name) else { return };
        if details.as_ref().is_some_and(|details| !details.missing.is_empty()) {
            source.incomplete.insert(id.clone());
        }
        if source.details.get(id).is_some_and(|known| known.as_deref() == details.as_ref()) {
            return;
        }
        let details = details.map(Arc::new);
        if let Some(entry) = source.meetings.get_mut(id) {
            *entry = CatalogEntry::new(entry.listed.clone(), Some(&details));
        }
        source.details.insert(id.clone(), details.clone());
        drop(sources);
        self.increment_revision();
        self.database.save_details(name, id, details.as_deref());
    }

    /// Records whether a file in the recycle bin can be downloaded. `refusal` is the reason if it
    /// cannot. Blocking: uses the disk.
    pub fn record_probe(&self, id: &FileId, version: Version, refusal: Option<String>) {
        let mut sources = self.sources.lock();
        let Some(source) = sources.get_mut(&id.source) else { return };
        if !source.trash.contains(&id.meeting) {
            // It has left the recycle bin, and may return under another policy.
            return;
        }
        let probe = DownloadProbe { version, at: Timestamp::now(), refusal };
        let before = source.trash.insert_probe(id, probe.clone());
        drop(sources);
        let is_same =
            |before: DownloadProbe| (before.version, &before.refusal) == (version, &probe.refusal);
        if !before.is_some_and(is_same) {
            self.increment_revision();
        }
        self.database.save_probe(id, &probe);
    }

    /// Returns the meetings on the days of `span` whose details are known and that have no
    /// transcript, newest first. It returns none if the filter hides transcripts.
    ///
    /// Details are requested once. A transcript that is made later is added to them, and the
    /// meeting is not returned again: another transcript could change the name of the first one.
    pub fn meetings_without_transcript(
        &self,
        name: &SourceName,
        span: DaySpan,
    ) -> Vec<Arc<Meeting>> {
        let sources = self.sources.lock();
        let Some(source) = sources.get(name).filter(|source| source.filter.shows_transcripts())
        else {
            return Vec::new();
        };
        let meetings = source.visible().map(|entry| &entry.meeting).filter(|meeting| {
            span.contains(utc_day(meeting))
                && source.details.contains_key(&meeting.id)
                && !has_transcript(meeting)
        });
        let mut meetings: Vec<_> = meetings.cloned().collect();
        meetings.sort_by(|a, b| (b.start, &b.id).cmp(&(a.start, &a.id)));
        meetings
    }

    /// Adds files that were made late to the details of their meetings. Blocking: uses the disk.
    pub fn record_late_files(&self, name: &SourceName, late: LateFiles) {
        let LateFiles { files, derived_from, .. } = late;
        let mut recorded = Vec::new();
        let mut sources = self.sources.lock();
        let Some(source) = sources.get_mut(name) else { return };
        let mut by_meeting = BTreeMap::<_, Vec<RecordingFile>>::new();
        for file in files {
            by_meeting.entry(file.id.meeting.clone()).or_default().push(file);
        }
        for (id, files) in by_meeting {
            let (Some(entry), Some(known)) =
                (source.meetings.get_mut(&id), source.details.get(&id))
            else {
                continue;
            };
            if has_transcript(&entry.meeting) {
                continue;
            }
            let mut details = known.as_deref().cloned().unwrap_or_default();
            details.files.extend(files);
            details.derived_from = details.derived_from.or_else(|| derived_from.clone());
            let details = Some(Arc::new(details));
            *entry = CatalogEntry::new(entry.listed.clone(), Some(&details));
            source.details.insert(id.clone(), details.clone());
            recorded.push((id, details));
        }
        drop(sources);
        if recorded.is_empty() {
            return;
        }
        self.increment_revision();
        for (id, details) in recorded {
            self.database.save_details(name, &id, details.as_deref());
        }
    }

    /// Returns what a request for the details of a meeting needs to know.
    pub(super) fn details_request(&self, name: &SourceName, id: &MeetingId) -> DetailsRequest {
        let sources = self.sources.lock();
        let Some(source) = sources.get(name) else { return DetailsRequest::default() };
        let entry = source.meetings.get(id);
        DetailsRequest {
            known: source.details.get(id).cloned().flatten(),
            is_outdated: entry.is_some_and(|entry| entry.is_outdated),
            listing_hash: entry.map(|entry| listing_hash(&entry.listed)),
        }
    }

    /// Returns a file that is known from the details of its meeting.
    pub(super) fn file_of_details(&self, id: &FileId) -> Option<RecordingFile> {
        let sources = self.sources.lock();
        let details = sources.get(&id.source)?.details.get(&id.meeting)?.as_ref()?;
        details.files.iter().find(|file| file.id == *id).cloned()
    }

    /// Records the format of a file that is known from the details of its meeting. Blocks on the
    /// disk.
    pub(super) fn record_format(&self, file: &RecordingFile) {
        let (name, id) = (&file.id.source, &file.id.meeting);
        let mut sources = self.sources.lock();
        let Some(source) = sources.get_mut(name) else { return };
        let Some(Some(known)) = source.details.get_mut(id) else { return };
        let is_same = |other: &RecordingFile| other.id == file.id && other.version == file.version;
        let Some(position) = known.files.iter().position(is_same) else { return };
        if let Some(known) = Arc::make_mut(known).files.get_mut(position) {
            known.extension = file.extension.clone();
            known.body = file.body;
        }
        let details = Some(known.clone());
        if let Some(entry) = source.meetings.get_mut(id) {
            *entry = CatalogEntry::new(entry.listed.clone(), Some(&details));
        }
        drop(sources);
        self.increment_revision();
        self.database.save_details(name, id, details.as_deref());
    }

    /// Returns whether a file is visible as soon as its size is known.
    pub fn needs_size(&self, file: &RecordingFile) -> bool {
        self.sources.lock().get(&file.id.source).is_some_and(|source| source.needs_size(file))
    }

    /// Returns what is to be learned about a source at `now`, most urgent first.
    pub fn enrichment_tasks(&self, name: &SourceName, now: Timestamp) -> Vec<EnrichmentTask> {
        let sources = self.sources.lock();
        sources.get(name).map(|source| source.enrichment_tasks(now)).unwrap_or_default()
    }

    pub fn counts(&self, name: &SourceName) -> SourceCounts {
        self.sources.lock().get(name).map(Source::counts).unwrap_or_default()
    }

    /// Returns the current contents, for the tree. The sources are locked only to copy pointers.
    pub fn contents(&self) -> Vec<SourceContents> {
        let snapshots: Vec<_> = self.sources.lock().values().map(Source::snapshot).collect();
        let mut contents: Vec<_> =
            snapshots.into_iter().map(SourceSnapshot::into_contents).collect();
        contents.sort_by(|a, b| a.name.cmp(&b.name));
        contents
    }

    #[cfg(test)]
    pub(super) fn database(&self) -> &CatalogDatabase {
        &self.database
    }
}

impl KnownMeetings for Catalog {
    fn is_unchanged(&self, meeting: &Meeting) -> bool {
        let sources = self.sources.lock();
        let entry =
            sources.get(&meeting.source).and_then(|source| source.meetings.get(&meeting.id));
        entry.is_some_and(|entry| *entry.listed == *meeting)
    }
}

fn utc_day(meeting: &Meeting) -> jiff::civil::Date {
    TimeZone::UTC.to_datetime(meeting.start).date()
}

fn has_transcript(meeting: &Meeting) -> bool {
    meeting.files.iter().any(|file| matches!(file.role, Role::Transcript | Role::Captions))
}

//! Keeps the meetings of all sources in memory, and stores every change in the database.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinError;

use super::database::{CatalogDatabase, ListingChange};
use super::enrichment_task::{DetailsRequest, EnrichmentTask};
use super::entry::{CatalogEntry, listing_hash, shrink_files_to_fit};
use super::last_replies::ReplyTable;
use super::retention::RetentionCandidates;
use super::source::{Source, SourceOptions};
use super::source_counts::SourceCounts;
use super::source_snapshot::SourceSnapshot;
use super::trash::DownloadProbe;
#[cfg(test)]
use crate::model::TableSize;
use crate::model::{
    DaySpan, Details, FileId, LastReply, Meeting, MeetingId, RecordingFile, Role, SourceContents,
    SourceName, Version, current_time,
};
use crate::providers::{KnownMeetings, LateFiles, Listing, TrashListing};
use crate::sync::Mutex;

/// Maximum number of catalog calls that run on blocking threads at the same time. The database runs
/// one statement at a time, so more threads would only wait.
const MAX_BLOCKING_CALLS: usize = 4;

/// The meetings of all sources. Every visible change increments the revision that
/// [`changes`](Self::changes) returns.
///
/// A method that writes to the database does blocking I/O, so async code must call it through
/// [`run_blocking`](Self::run_blocking). The other methods do not block.
///
/// **Lock order**: `apply_lock`, `sources`, the last replies, the database. The lock of `sources`
/// is not held while the database is used or while contents are built.
#[derive(Debug)]
pub struct Catalog {
    sources: Mutex<HashMap<SourceName, Source>>,
    replies: ReplyTable,
    /// Held while a listing is applied and stored, so listings are stored in the order in which
    /// they were applied.
    apply_lock: Mutex<()>,
    revision: watch::Sender<u64>,
    database: Arc<CatalogDatabase>,
    blocking_calls: Semaphore,
}

impl Catalog {
    /// Creates a catalog from the data that earlier runs stored. Does blocking I/O.
    pub fn new(
        sources: impl IntoIterator<Item = SourceOptions>,
        database: Arc<CatalogDatabase>,
    ) -> Arc<Self> {
        let options: Vec<_> = sources.into_iter().collect();
        let replies = ReplyTable::new(options.iter().map(|options| {
            let name = &options.name;
            let rows = database.load_replies(name).unwrap_or_else(|error| {
                tracing::warn!(source = %name, "cannot read the stored replies: {error}");
                Vec::new()
            });
            (name.clone(), rows.into_iter().collect())
        }));
        let sources = options.into_iter().map(|options| {
            let name = options.name.clone();
            (name, Source::load(options, &database, &replies))
        });
        let sources = Mutex::new(sources.collect());
        Arc::new(Self {
            sources,
            replies,
            apply_lock: Mutex::new(()),
            revision: watch::Sender::new(0),
            database,
            blocking_calls: Semaphore::new(MAX_BLOCKING_CALLS),
        })
    }

    /// Runs `call` on a blocking thread. The call completes even if the caller is canceled.
    ///
    /// # Errors
    /// Returns an error if `call` panics or if the runtime is shutting down.
    pub async fn run_blocking<T: Send + 'static>(
        self: &Arc<Self>,
        call: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        // The semaphore is never closed.
        let _permit = self.blocking_calls.acquire().await;
        let catalog = self.clone();
        tokio::task::spawn_blocking(move || call(&catalog)).await
    }

    /// Returns the listed meetings of a source, including those that the filter hides.
    pub fn meetings(&self, name: &SourceName) -> Vec<Arc<Meeting>> {
        let sources = self.sources.lock();
        let entries = sources.get(name).into_iter().flat_map(|source| source.meetings.values());
        entries.map(|entry| entry.meeting.clone()).collect()
    }

    /// Returns the meetings that the last listing of a source's recycle bin contained.
    pub fn trashed_meetings(&self, name: &SourceName) -> Vec<Arc<Meeting>> {
        let sources = self.sources.lock();
        let trashed_meetings =
            sources.get(name).into_iter().flat_map(|source| source.trash.meetings());
        trashed_meetings.map(|trashed| Arc::new(trashed.entry.meeting.clone())).collect()
    }

    /// Returns `Some` if an earlier run listed the source. The inner value is the time of the last
    /// complete listing, or `None` if no listing was complete.
    pub fn earlier_listing(&self, name: &SourceName) -> Option<Option<Timestamp>> {
        self.sources.lock().get(name).and_then(|source| source.earlier_listing)
    }

    /// Returns the sources that this run or an earlier one has listed completely. For the others, a
    /// missing meeting does not prove that the meeting is deleted.
    pub fn fully_listed_sources(&self) -> HashSet<SourceName> {
        let sources = self.sources.lock();
        let listed_sources = sources.iter().filter(|(_, source)| source.is_fully_listed);
        listed_sources.map(|(name, _)| name.clone()).collect()
    }

    /// Records `listed_at` as the time of the last complete listing of a source. Files whose
    /// measured size contradicts this listing are measured again. Removes the values of deleted
    /// meetings. Does blocking I/O.
    pub fn record_full_listing(&self, name: &SourceName, listed_at: Timestamp) {
        // No other change may come between the memory and the database.
        let _guard = self.apply_lock.lock();
        let mut sources = self.sources.lock();
        let Some(source) = sources.get_mut(name) else { return };
        source.is_fully_listed = true;
        let has_unconfirmed_sizes = source.mark_contradicted_sizes_unconfirmed(&self.replies);
        source.remove_values_of_deleted_meetings();
        self.replies.retain_meetings(name, |id| source.contains(id));
        let scope = source.scope.clone();
        drop(sources);
        if has_unconfirmed_sizes {
            self.increment_revision();
        }
        self.database.save_full_listing(name, &scope, listed_at);
    }

    /// Returns a receiver of the revision. Every visible change of the catalog increments the
    /// revision.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    fn increment_revision(&self) {
        self.revision.send_modify(|revision| *revision += 1);
    }

    /// Applies a listing of the days in `span`. Removes the meetings on these days that the listing
    /// does not contain, except on days that could not be listed completely. Does blocking I/O.
    pub fn apply(&self, name: &SourceName, span: DaySpan, listing: Listing) {
        let _guard = self.apply_lock.lock();
        let listed_ids =
            listing.meetings.iter().map(|meeting| &meeting.id).chain(&listing.unchanged);
        let listed_ids: HashSet<_> = listed_ids.cloned().collect();
        let was_listed_completely = |meeting: &Meeting| {
            let day = utc_day(meeting);
            span.contains(day)
                && !listing.failed.iter().any(|(failed, _)| failed.contains(day))
                && listing
                    .refused_users
                    .as_ref()
                    .is_none_or(|refused_users| refused_users.is_of_listed_user(meeting))
        };
        let is_removed =
            |meeting: &Meeting| !listed_ids.contains(&meeting.id) && was_listed_completely(meeting);
        let candidates = self.sources.lock().get(name).map(|source| {
            source.retention_candidates(&listing.meetings, is_removed, &self.replies)
        });
        let retained_meetings =
            candidates.map(RetentionCandidates::into_cached_meetings).unwrap_or_default();
        let mut sources = self.sources.lock();
        let Some(source) = sources.get_mut(name) else { return };
        let mut change = ListingChange::default();
        source.meetings.retain(|id, entry| {
            let is_kept = !is_removed(&entry.meeting);
            if !is_kept {
                change.removed_ids.push(id.clone());
            }
            is_kept
        });
        for meeting in listing.meetings {
            if source
                .meetings
                .get(&meeting.id)
                .is_some_and(|entry| *entry.listed_meeting == meeting)
            {
                continue;
            }
            let meeting = shrink_files_to_fit(meeting);
            change.updated_meetings.push(meeting.clone());
            source.meetings_with_incomplete_details.remove(&meeting.id);
            let details = source.details.get(&meeting.id);
            source.meetings.insert(meeting.id.clone(), CatalogEntry::new(meeting, details));
        }
        let retention_change = source.retained_meetings.replace(retained_meetings);
        let scope = source.scope.clone();
        drop(sources);
        if !change.updated_meetings.is_empty()
            || !change.removed_ids.is_empty()
            || retention_change.changes_tree
        {
            // The revision is incremented before the database is written, because a caller may wait
            // for the tree.
            self.increment_revision();
        }
        self.database.save_listing(name, &scope, &change);
        self.database.save_retention(name, &retention_change);
    }

    /// Applies a listing of the recycle bin. Does blocking I/O.
    pub fn apply_trash(&self, name: &SourceName, listing: TrashListing) {
        let _guard = self.apply_lock.lock();
        let mut sources = self.sources.lock();
        let Some(source) = sources.get_mut(name) else { return };
        let change = source.trash.apply(listing, current_time());
        for id in &change.removed_ids {
            source.details.remove(id);
            source.sizes.remove(id);
        }
        self.replies.remove_meetings(name, &change.removed_ids);
        drop(sources);
        if !change.is_empty() {
            self.increment_revision();
        }
        self.database.save_trash(name, &change);
    }

    /// Records the measured size of a file version. If it differs from the previous size, the last
    /// reply is removed, because it contained other bytes and the first read would fail with its
    /// validator. Does blocking I/O.
    pub fn record_size(&self, id: &FileId, version: Version, size: u64) {
        let mut sources = self.sources.lock();
        let Some(source) = sources.get_mut(&id.source) else { return };
        let has_changed = source.record_size(id, version, size);
        drop(sources);
        if has_changed {
            self.replies.remove(id);
            // The revision is incremented before the database is written, because an `open` call
            // may wait for the tree.
            self.increment_revision();
            self.database.save_size(id, version, size);
            self.database.delete_reply(id);
        }
    }

    /// Returns the last reply for a file version. It may come from an earlier run.
    pub fn last_reply(&self, id: &FileId, version: Version) -> Option<LastReply> {
        self.replies.get(id, version)
    }

    /// Removes the last reply of a file whose content has changed, but not from the database.
    pub fn forget_reply(&self, id: &FileId) {
        self.replies.remove(id);
    }

    /// Removes the last reply of a file whose content has changed. Does blocking I/O.
    pub fn delete_reply(&self, id: &FileId) {
        self.replies.remove(id);
        self.database.delete_reply(id);
    }

    /// Records a reply for a file version. Does blocking I/O.
    pub fn record_reply(&self, id: &FileId, version: Version, reply: &LastReply) {
        if self.replies.insert(id, version, reply) {
            self.database.save_reply(id, version, reply);
        }
    }

    /// Records the details of a meeting. `None` means that the provider has no details. Does
    /// blocking I/O.
    pub fn record_details(&self, name: &SourceName, id: &MeetingId, details: Option<Details>) {
        let mut sources = self.sources.lock();
        let Some(source) = sources.get_mut(name) else { return };
        if details.as_ref().is_some_and(|details| !details.missing_parts.is_empty()) {
            source.meetings_with_incomplete_details.insert(id.clone());
        }
        if source.details.get(id).is_some_and(|known| known.as_deref() == details.as_ref()) {
            return;
        }
        let details = details.map(Arc::new);
        if let Some(entry) = source.meetings.get_mut(id) {
            *entry = CatalogEntry::new(entry.listed_meeting.clone(), Some(&details));
        }
        source.details.insert(id.clone(), details.clone());
        drop(sources);
        self.increment_revision();
        self.database.save_details(name, id, details.as_deref());
    }

    /// Records whether a file in the recycle bin can be downloaded. If it cannot, `refusal` is the
    /// reason. Does blocking I/O.
    pub fn record_probe(&self, id: &FileId, version: Version, refusal: Option<String>) {
        let mut sources = self.sources.lock();
        let Some(source) = sources.get_mut(&id.source) else { return };
        if !source.trash.contains(&id.meeting) {
            // The meeting has left the recycle bin. If it returns, the result may be different.
            return;
        }
        let probe = DownloadProbe { version, probed_at: current_time(), refusal };
        let previous_probe = source.trash.insert_probe(id, probe.clone());
        drop(sources);
        let is_unchanged = |previous_probe: DownloadProbe| {
            (previous_probe.version, &previous_probe.refusal) == (version, &probe.refusal)
        };
        if !previous_probe.is_some_and(is_unchanged) {
            self.increment_revision();
        }
        self.database.save_probe(id, &probe);
    }

    /// Returns the meetings on the days in `span` that have details but no transcript, newest
    /// first. Returns an empty list if the filter hides transcripts.
    ///
    /// A meeting is not returned any more after a transcript has been added to its details, because
    /// a second transcript could change the name of the first one.
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
        let meetings = source.visible_entries().map(|entry| &entry.meeting).filter(|meeting| {
            span.contains(utc_day(meeting))
                && source.details.contains_key(&meeting.id)
                && !has_transcript(meeting)
        });
        let mut meetings: Vec<_> = meetings.cloned().collect();
        meetings.sort_by(|a, b| (b.start, &b.id).cmp(&(a.start, &a.id)));
        meetings
    }

    /// Adds late files to the details of their meetings. A late file is a file that was created
    /// after the details were requested. Does blocking I/O.
    pub fn record_late_files(&self, name: &SourceName, late_files: LateFiles) {
        let LateFiles { files, derived_from, .. } = late_files;
        let mut updated_details = Vec::new();
        let mut sources = self.sources.lock();
        let Some(source) = sources.get_mut(name) else { return };
        let mut files_by_meeting = BTreeMap::<_, Vec<RecordingFile>>::new();
        for file in files {
            files_by_meeting.entry(file.id.meeting.clone()).or_default().push(file);
        }
        for (id, files) in files_by_meeting {
            let (Some(entry), Some(known_details)) =
                (source.meetings.get_mut(&id), source.details.get(&id))
            else {
                continue;
            };
            if has_transcript(&entry.meeting) {
                continue;
            }
            let mut details = known_details.as_deref().cloned().unwrap_or_default();
            details.files.extend(files);
            details.derived_from = details.derived_from.or_else(|| derived_from.clone());
            let details = Some(Arc::new(details));
            *entry = CatalogEntry::new(entry.listed_meeting.clone(), Some(&details));
            source.details.insert(id.clone(), details.clone());
            updated_details.push((id, details));
        }
        drop(sources);
        if updated_details.is_empty() {
            return;
        }
        self.increment_revision();
        for (id, details) in updated_details {
            self.database.save_details(name, &id, details.as_deref());
        }
    }

    /// Returns the stored data that a request for the details of a meeting depends on.
    pub(super) fn details_request(&self, name: &SourceName, id: &MeetingId) -> DetailsRequest {
        let sources = self.sources.lock();
        let Some(source) = sources.get(name) else { return DetailsRequest::default() };
        let entry = source.meetings.get(id);
        DetailsRequest {
            known_details: source.details.get(id).cloned().flatten(),
            is_outdated: entry.is_some_and(|entry| entry.is_outdated),
            listing_hash: entry.map(|entry| listing_hash(&entry.listed_meeting)),
        }
    }

    /// Returns the file with this id from the details of its meeting.
    pub(super) fn detail_file(&self, id: &FileId) -> Option<RecordingFile> {
        let sources = self.sources.lock();
        let details = sources.get(&id.source)?.details.get(&id.meeting)?.as_ref()?;
        details.files.iter().find(|file| file.id == *id).cloned()
    }

    /// Records the format of a file in the details of its meeting. Does blocking I/O.
    pub(super) fn record_format(&self, file: &RecordingFile) {
        let (name, id) = (&file.id.source, &file.id.meeting);
        let mut sources = self.sources.lock();
        let Some(source) = sources.get_mut(name) else { return };
        let Some(Some(known_details)) = source.details.get_mut(id) else { return };
        let is_same_version =
            |other: &RecordingFile| other.id == file.id && other.version == file.version;
        let Some(position) = known_details.files.iter().position(is_same_version) else { return };
        if let Some(known_file) = Arc::make_mut(known_details).files.get_mut(position) {
            known_file.extension = file.extension.clone();
            known_file.body = file.body;
        }
        let details = Some(known_details.clone());
        if let Some(entry) = source.meetings.get_mut(id) {
            *entry = CatalogEntry::new(entry.listed_meeting.clone(), Some(&details));
        }
        drop(sources);
        self.increment_revision();
        self.database.save_details(name, id, details.as_deref());
    }

    /// Returns whether the size of a file must be measured: the filter shows the file, and its size
    /// is unknown or contradicts the listing.
    pub fn needs_size(&self, file: &RecordingFile) -> bool {
        self.sources.lock().get(&file.id.source).is_some_and(|source| source.needs_size(file))
    }

    /// Returns the pending enrichment tasks of a source, most urgent first. `now` determines which
    /// refused files must be probed again.
    pub fn enrichment_tasks(&self, name: &SourceName, now: Timestamp) -> Vec<EnrichmentTask> {
        let sources = self.sources.lock();
        sources.get(name).map(|source| source.enrichment_tasks(now)).unwrap_or_default()
    }

    pub fn counts(&self, name: &SourceName) -> SourceCounts {
        self.sources.lock().get(name).map(Source::counts).unwrap_or_default()
    }

    /// Returns the current contents of all sources, from which the tree is built. The sources are
    /// locked only while pointers are copied.
    pub fn contents(&self) -> Vec<SourceContents> {
        let snapshots: Vec<_> = self.sources.lock().values().map(Source::snapshot).collect();
        let mut contents: Vec<_> =
            snapshots.into_iter().map(SourceSnapshot::into_contents).collect();
        contents.sort_by(|a, b| a.name.cmp(&b.name));
        contents
    }

    #[cfg(test)]
    pub(crate) fn table_sizes(&self) -> Vec<TableSize> {
        let sources = self.sources.lock();
        let count = |size: fn(&Source) -> usize| sources.values().map(size).sum();
        let mut sizes = vec![
            TableSize::new("meetings", count(|source| source.meetings.len())),
            TableSize::new("meetings with sizes", count(|source| source.sizes.len())),
            TableSize::new("unconfirmed sizes", count(|source| source.unconfirmed_sizes.len())),
            TableSize::new("meetings with details", count(|source| source.details.len())),
            TableSize::new(
                "incomplete details",
                count(|source| source.meetings_with_incomplete_details.len()),
            ),
            TableSize::new("trashed meetings", count(|source| source.trash.meetings().count())),
            TableSize::new("download probes", count(|source| source.trash.probe_count())),
            TableSize::new(
                "retained meetings",
                count(|source| source.retained_meetings.iter().count()),
            ),
            TableSize::new("last replies", self.replies.len()),
        ];
        drop(sources);
        sizes.extend(self.database.table_sizes());
        sizes
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
        entry.is_some_and(|entry| *entry.listed_meeting == *meeting)
    }
}

fn utc_day(meeting: &Meeting) -> jiff::civil::Date {
    TimeZone::UTC.to_datetime(meeting.start).date()
}

fn has_transcript(meeting: &Meeting) -> bool {
    meeting.files.iter().any(|file| matches!(file.role, Role::Transcript | Role::Captions))
}

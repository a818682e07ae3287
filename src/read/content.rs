//! The content of one version of a recording file, which all handles on the same bytes share.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::file_breaker::FileBreaker;
use super::recording::{ContentRevision, Recording};
use super::throughput::RecentDelivery;
use crate::cache::disk::DiskKey;
use crate::cache::{BlockIndex, BlockKey, BlockSpan, ContentId};
use crate::http::Validator;
use crate::http::{ExpectedFile, FetchCause, FetchError, LeaseSource};
use crate::model::LastReply;
use crate::sync::Mutex;

/// Time for which further reads of the same bytes get the error of a failed fetch. After a failed
/// read-ahead, the kernel sends a plain read of the same bytes at once. Without the stored error,
/// that read would wait for the deadline again.
pub(super) const FAILURE_TTL: Duration = Duration::from_secs(1);

/// Period in which bytes must arrive for a slow file to count as advancing. A file that stalls must
/// not count as advancing because of the bytes before the stall, and the shortest deadline of a
/// read is one second.
const DELIVERY_PERIOD: Duration = Duration::from_secs(1);

/// Time for which a file is not prefetched after a prefetch of it has failed.
const PREFETCH_BACKOFF: Duration = Duration::from_secs(60);

/// Time for which the requests of a content share one transfer after its server has ignored a
/// range. After this time, one request is wasted if the server still ignores ranges.
const IGNORED_RANGES_TTL: Duration = Duration::from_secs(600);

/// Whether the server has confirmed the size that readers see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SizeState {
    /// No reply has arrived yet, the server stated another size, or the last request failed. The
    /// next `open` must confirm the size.
    Unconfirmed,
    /// A request that confirms the size is in flight.
    Requested,
    Confirmed,
}

/// The bytes of one version of a recording file, which all handles on these bytes share.
///
/// Lock order: a thread never holds two locks of a content at the same time.
pub struct Content {
    pub recording: Recording,
    /// Identifies the blocks of this content in the memory cache.
    pub(super) id: ContentId,
    pub(super) leases: Arc<dyn LeaseSource>,
    size_state: watch::Sender<SizeState>,
    pub(super) breaker: FileBreaker,
    /// Measures whether bytes of the file arrive.
    pub(super) delivery: Mutex<RecentDelivery>,
    revision: ContentRevision,
    /// The error that showed that the bytes on the server have changed. All reads fail once it is
    /// set.
    stale_reason: OnceLock<FetchError>,
    validator: Mutex<Option<Validator>>,
    /// The part of the index of a media file that follows after the first bytes of the file.
    media_index: OnceLock<BlockSpan>,
    failures: Mutex<HashMap<BlockIndex, BlockFailure>>,
    last_prefetch_failure: Mutex<Option<Instant>>,
    /// The last time at which the server sent the whole file instead of a range.
    ranges_ignored_at: Mutex<Option<Instant>>,
    /// The time and the cause of the last failed request.
    last_failure: Mutex<Option<(Instant, FetchCause)>>,
    /// The blocks that the disk cache listed but could not load.
    disk_misses: Mutex<HashSet<BlockIndex>>,
    handles: Mutex<HandleCount>,
}

#[derive(Debug)]
struct BlockFailure {
    failed_at: Instant,
    /// The error that the readers of the block got. `None` if no reader waited for the block. In
    /// that case the next reader must send a request, because it has its own deadline.
    error: Option<FetchError>,
}

impl BlockFailure {
    fn is_recent(&self) -> bool {
        self.failed_at.elapsed() < FAILURE_TTL
    }
}

struct HandleCount {
    open_count: usize,
    /// The token that cancels the requests of this content. It is replaced when a handle is opened
    /// while no other handle is open.
    request_token: CancellationToken,
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Content").field("id", &self.id).field("recording", &self.recording).finish()
    }
}

impl Content {
    /// Creates the content of a file. `validator` is the validator of an earlier reply with the
    /// same revision, if there was one.
    pub(super) fn new(
        recording: Recording,
        id: ContentId,
        leases: Arc<dyn LeaseSource>,
        (revision, validator): (ContentRevision, Option<Validator>),
    ) -> Self {
        Self {
            recording,
            id,
            leases,
            size_state: watch::Sender::new(SizeState::Unconfirmed),
            breaker: FileBreaker::default(),
            delivery: Mutex::new(RecentDelivery::new(DELIVERY_PERIOD)),
            revision,
            stale_reason: OnceLock::new(),
            validator: Mutex::new(validator),
            media_index: OnceLock::new(),
            failures: Mutex::default(),
            last_prefetch_failure: Mutex::default(),
            ranges_ignored_at: Mutex::default(),
            last_failure: Mutex::default(),
            disk_misses: Mutex::default(),
            handles: Mutex::new(HandleCount {
                open_count: 0,
                request_token: CancellationToken::new(),
            }),
        }
    }

    pub fn revision(&self) -> ContentRevision {
        self.revision
    }

    pub(super) fn record_media_index(&self, index: BlockSpan) {
        // The index of a content never changes.
        let _ = self.media_index.set(index);
    }

    /// Returns the part of the index of a media file that follows after the first bytes of the
    /// file, if it is known.
    pub(super) fn media_index(&self) -> Option<BlockSpan> {
        self.media_index.get().copied()
    }

    pub(super) fn key(&self, index: BlockIndex) -> BlockKey {
        BlockKey { content: self.id, index }
    }

    /// Returns the length of a block in bytes. Only the last block of a file may be shorter than
    /// the others.
    pub(super) fn block_length(&self, index: BlockIndex) -> usize {
        index.length(self.recording.size)
    }

    /// Returns the key of this content in the disk cache.
    pub(super) fn disk_key(&self) -> DiskKey {
        let validator = self.validator.lock().as_ref().map(Validator::to_text).unwrap_or_default();
        DiskKey::new(&self.recording.id, self.recording.version, self.recording.size, &validator)
    }

    /// Returns the properties that a reply must have to be accepted.
    pub(super) fn expected_file(&self) -> ExpectedFile {
        ExpectedFile {
            total_length: Some(self.recording.size),
            body: self.recording.body,
            validator: self.validator.lock().clone(),
        }
    }

    /// Records that the disk cache could not load a block that it listed.
    pub(super) fn record_disk_miss(&self, index: BlockIndex) {
        self.disk_misses.lock().insert(index);
    }

    pub(super) fn is_disk_miss(&self, index: BlockIndex) -> bool {
        self.disk_misses.lock().contains(&index)
    }

    /// Whether each reply is compared with others by its headers alone. Otherwise, a request that
    /// does not begin at the start of the file costs another request.
    pub(super) fn has_strong_tag(&self) -> bool {
        self.validator.lock().as_ref().is_some_and(|validator| !validator.needs_head())
    }

    /// Records the validator of an accepted reply.
    ///
    /// # Errors
    /// [`FetchError::Changed`] if an earlier reply contained another version of the file.
    pub(super) fn record_validator(&self, validator: &Validator) -> Result<(), FetchError> {
        let mut current_validator = self.validator.lock();
        // Replies to concurrent requests have not been compared with each other before.
        if current_validator.get_or_insert_with(|| validator.clone()).contradicts(validator) {
            return Err(FetchError::Changed(
                "two replies contain different versions of the file".into(),
            ));
        }
        Ok(())
    }

    /// Records that the server states the size that readers see. Returns whether the size was
    /// unconfirmed.
    pub(super) fn confirm_size(&self) -> bool {
        self.size_state.send_if_modified(|state| {
            std::mem::replace(state, SizeState::Confirmed) != SizeState::Confirmed
        })
    }

    /// Records that a request failed, so the next `open` must confirm the size again.
    pub(super) fn mark_size_unconfirmed(&self) {
        self.size_state.send_replace(SizeState::Unconfirmed);
    }

    /// Records that a request for the size begins. Returns false if the size is confirmed or such a
    /// request is in flight.
    pub(super) fn begin_size_request(&self) -> bool {
        self.size_state.send_if_modified(|state| {
            let is_unconfirmed = *state == SizeState::Unconfirmed;
            if is_unconfirmed {
                *state = SizeState::Requested;
            }
            is_unconfirmed
        })
    }

    /// Waits until no request for the size is in flight.
    pub(super) async fn wait_for_size_request(&self) {
        let mut size_state = self.size_state.subscribe();
        // The sender is part of the content, so the wait always ends with a value.
        let _ = size_state.wait_for(|state| *state != SizeState::Requested).await;
    }

    /// Returns the size and the validator from the replies so far.
    pub(super) fn last_reply(&self) -> LastReply {
        LastReply {
            length: self.is_size_confirmed().then_some(self.recording.size),
            validator: self.validator.lock().as_ref().map(Validator::to_text),
        }
    }

    /// Whether the server has confirmed the size that readers see.
    pub fn is_size_confirmed(&self) -> bool {
        *self.size_state.borrow() == SizeState::Confirmed
    }

    /// Whether the bytes or the size on the server have changed since this content was created.
    pub fn is_stale(&self) -> bool {
        self.stale_reason.get().is_some()
    }

    /// Returns the error that showed that the bytes on the server have changed.
    pub fn stale_reason(&self) -> Option<&FetchError> {
        self.stale_reason.get()
    }

    /// Makes all later reads fail with `reason`. If this content is already stale, the first reason
    /// is kept.
    pub(super) fn set_stale(&self, reason: &FetchError) {
        let _ = self.stale_reason.set(reason.clone()); // Fails if a reason is already set.
        self.breaker.close();
    }

    /// Records that a block could not be fetched, and the error that its readers got. `error` is
    /// `None` if no reader waited for the block.
    pub(super) fn record_failure(&self, index: BlockIndex, error: Option<&FetchError>) {
        let mut failures = self.failures.lock();
        failures.retain(|_, failure| failure.is_recent());
        failures.insert(index, BlockFailure { failed_at: Instant::now(), error: error.cloned() });
    }

    /// Returns the error that readers of a block got within the last [`FAILURE_TTL`].
    pub(super) fn recent_failure(&self, index: BlockIndex) -> Option<FetchError> {
        let failures = self.failures.lock();
        failures.get(&index).filter(|failure| failure.is_recent())?.error.clone()
    }

    /// Whether a fetch of the block has failed within the last [`FAILURE_TTL`], for a reader or for
    /// a prefetch.
    pub(super) fn has_failed_recently(&self, index: BlockIndex) -> bool {
        self.failures.lock().get(&index).is_some_and(BlockFailure::is_recent)
    }

    /// Records the cause of a failed request. A read that reaches its deadline reports this cause.
    pub(super) fn record_request_failure(&self, error: &FetchError) {
        let cause = match error {
            FetchError::Deadline(cause) => cause.clone(),
            other => FetchCause::new(other.clone()),
        };
        *self.last_failure.lock() = Some((Instant::now(), cause));
    }

    /// Returns the cause of the last failed request, if the request failed at or after `start`.
    pub(super) fn failure_since(&self, start: Instant) -> Option<FetchCause> {
        let last_failure = self.last_failure.lock();
        last_failure
            .as_ref()
            .filter(|(failed_at, _)| *failed_at >= start)
            .map(|(_, cause)| cause.clone())
    }

    pub(super) fn record_prefetch_failure(&self) {
        *self.last_prefetch_failure.lock() = Some(Instant::now());
    }

    /// Whether a prefetch of the whole file has failed within the last [`PREFETCH_BACKOFF`].
    /// Without this pause, a program that walks through a directory repeatedly would cause the same
    /// failing request each time. Reads are not affected.
    pub(super) fn is_prefetch_suspended(&self) -> bool {
        self.last_prefetch_failure.lock().is_some_and(|at| at.elapsed() < PREFETCH_BACKOFF)
    }

    /// Records that the server has sent the whole file instead of a range.
    pub(super) fn record_ignored_range(&self) {
        *self.ranges_ignored_at.lock() = Some(Instant::now());
    }

    /// Records that the server has sent a range.
    pub(super) fn record_served_range(&self) {
        *self.ranges_ignored_at.lock() = None;
    }

    /// Whether the server has ignored a range within the last [`IGNORED_RANGES_TTL`].
    pub(super) fn ignores_ranges(&self) -> bool {
        self.ranges_ignored_at.lock().is_some_and(|at| at.elapsed() < IGNORED_RANGES_TTL)
    }

    /// Returns the token that cancels the requests that are started now.
    pub(super) fn request_token(&self) -> CancellationToken {
        self.handles.lock().request_token.clone()
    }

    /// Adds a handle to the count and removes the recorded failures, so the new handle requests
    /// failed blocks again.
    pub(super) fn add_handle(&self) {
        self.failures.lock().clear();
        let mut handles = self.handles.lock();
        handles.open_count += 1;
        if handles.request_token.is_cancelled() {
            handles.request_token = CancellationToken::new();
        }
    }

    /// Removes a handle from the count. Returns whether it was the last one.
    pub(super) fn remove_handle(&self) -> bool {
        let mut handles = self.handles.lock();
        handles.open_count = handles.open_count.saturating_sub(1);
        handles.open_count == 0
    }

    /// Cancels the requests of this content, unless a handle has been opened in the meantime. If
    /// one of them was to confirm the size, the next `open` requests the size again.
    pub(super) fn cancel_requests_if_closed(&self) {
        let handles = self.handles.lock();
        if handles.open_count > 0 {
            return;
        }
        handles.request_token.cancel();
        drop(handles);
        self.size_state.send_if_modified(|state| {
            let is_requested = *state == SizeState::Requested;
            if is_requested {
                *state = SizeState::Unconfirmed;
            }
            is_requested
        });
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_support::content;
    use super::*;
    use crate::cache::BLOCK_LENGTH;

    const SIZE: u64 = 2 * BLOCK_LENGTH + 5;

    fn not_found() -> FetchError {
        FetchError::Gone("deleted".into())
    }

    #[tokio::test(start_paused = true)]
    async fn block_failure_expires_after_its_ttl() {
        let content = content(SIZE);
        content.record_failure(BlockIndex(1), Some(&not_found()));
        assert!(matches!(content.recent_failure(BlockIndex(1)), Some(FetchError::Gone(_))));
        assert!(content.recent_failure(BlockIndex(0)).is_none());
        tokio::time::advance(FAILURE_TTL).await;
        assert!(content.recent_failure(BlockIndex(1)).is_none());
        assert!(!content.has_failed_recently(BlockIndex(1)));
    }

    #[tokio::test(start_paused = true)]
    async fn prefetch_failure_has_no_error_for_readers() {
        let content = content(SIZE);
        content.record_failure(BlockIndex(1), None);
        assert!(content.has_failed_recently(BlockIndex(1)));
        assert!(content.recent_failure(BlockIndex(1)).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn prefetch_is_suspended_for_a_minute_after_failure() {
        let content = content(SIZE);
        assert!(!content.is_prefetch_suspended());
        content.record_prefetch_failure();
        tokio::time::advance(PREFETCH_BACKOFF - Duration::from_secs(1)).await;
        assert!(content.is_prefetch_suspended());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!content.is_prefetch_suspended());
    }

    #[tokio::test(start_paused = true)]
    async fn ignored_range_is_remembered_for_its_ttl() {
        let content = content(SIZE);
        assert!(!content.ignores_ranges());
        content.record_ignored_range();
        tokio::time::advance(IGNORED_RANGES_TTL - Duration::from_secs(1)).await;
        assert!(content.ignores_ranges());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!content.ignores_ranges());
        content.record_ignored_range();
        content.record_served_range();
        assert!(!content.ignores_ranges());
    }

    #[tokio::test(start_paused = true)]
    async fn only_failures_since_the_read_started_count() {
        let content = content(SIZE);
        content.record_request_failure(&FetchError::Deadline("status 503".into()));
        tokio::time::advance(Duration::from_secs(1)).await;
        let start = Instant::now();
        assert!(content.failure_since(start).is_none());
        content.record_request_failure(&FetchError::Deadline("status 502".into()));
        let cause = content.failure_since(start).map(|cause| cause.to_string());
        assert_eq!(cause.as_deref(), Some("status 502"));
    }

    #[test]
    fn first_reason_of_stale_content_is_kept() {
        let content = content(SIZE);
        assert!(!content.is_stale());
        content.set_stale(&FetchError::Changed("another validator".into()));
        content.set_stale(&not_found());
        assert!(matches!(content.stale_reason(), Some(FetchError::Changed(_))));
    }

    #[test]
    fn first_validator_is_kept() {
        let content = content(SIZE);
        let key = content.disk_key();
        let [first, other] = ["\"a\"", "\"b\""].map(|tag| Validator::parse(tag).unwrap());
        assert!(content.record_validator(&first).is_ok());
        assert!(content.record_validator(&first).is_ok());
        let conflict = content.record_validator(&other);
        assert!(matches!(conflict, Err(FetchError::Changed(_))), "{conflict:?}");
        assert_eq!(content.expected_file().validator, Some(first));
        assert_ne!(content.disk_key(), key, "blocks are stored under their validator");
    }

    #[test]
    fn size_can_be_confirmed_again() {
        let content = content(SIZE);
        assert!(content.confirm_size());
        assert!(!content.confirm_size());
        content.mark_size_unconfirmed();
        assert!(!content.is_size_confirmed());
        assert!(content.confirm_size());
        assert!(content.is_size_confirmed());
    }

    #[test]
    fn canceled_size_request_is_repeated() {
        let content = content(SIZE);
        content.add_handle();
        assert!(content.begin_size_request());
        content.cancel_requests_if_closed();
        assert!(!content.begin_size_request(), "a handle is open");
        content.remove_handle();
        content.cancel_requests_if_closed();
        assert!(content.begin_size_request());
    }

    #[test]
    fn unconfirmed_size_is_requested_once() {
        let content = content(SIZE);
        assert!(content.begin_size_request());
        assert!(!content.begin_size_request());
        content.mark_size_unconfirmed();
        assert!(content.begin_size_request());
        content.confirm_size();
        assert!(!content.begin_size_request());
    }
}

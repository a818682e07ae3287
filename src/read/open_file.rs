//! A file version that is being read, and the handles that read it.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::throughput::Meter;
use super::window::Tracks;
use super::{ContentRevision, Recording};
use crate::cache::disk::DiskKey;
use crate::cache::{BlockIndex, BlockKey, ContentId};
use crate::http::{ExpectedFile, FetchError, LeaseSource, Validator};
use crate::model::one_line;

/// How long a failed block or read answers for those who ask right after. The kernel repeats a failed readahead as a
/// plain read at once; without this a reader would wait through the deadline twice.
const FAILURE_SHARED: Duration = Duration::from_secs(1);

/// For how long a file is not fetched ahead after that had failed.
const AHEAD_PAUSE: Duration = Duration::from_secs(60);

/// How long streams go on after the last handle was closed: players and `ffprobe` close and open again at once,
/// and find their bytes on the way; below the second after which nothing may flow any more.
pub(super) const LINGER: Duration = Duration::from_millis(500);

/// Whether the length shown is the length served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Length {
    /// No reply has come yet.
    Unconfirmed,
    /// The server serves what is shown.
    Confirmed,
    /// It does not, or it cannot be said: see the failure of the first read.
    Doubtful,
}

/// One content of one recording file, shared by every handle on it.
pub struct Content {
    /// What is read.
    pub recording: Recording,
    /// Under what its blocks are cached.
    pub(super) id: ContentId,
    pub(super) leases: Arc<dyn LeaseSource>,
    pub(super) length: watch::Sender<Length>,
    pub(super) revision: ContentRevision,
    /// Contents of earlier revisions of the same file that handles may still be open on.
    predecessors: Vec<Weak<Content>>,
    /// Set once the server turned out to have other bytes: reads fail from then on.
    stale: OnceLock<FetchError>,
    validator: Mutex<Option<Validator>>,
    failures: Mutex<HashMap<BlockIndex, Failure>>,
    /// When fetching it ahead last came to nothing.
    ahead_failed: Mutex<Option<Instant>>,
    /// When a stream last ended early, and why.
    trouble: Mutex<Option<(Instant, String)>>,
    /// Blocks that the disk said it had and did not bring; at most as many as the file has.
    disk_misses: Mutex<HashSet<BlockIndex>>,
    handles: Mutex<Handles>,
}

#[derive(Debug)]
struct Failure {
    at: Instant,
    /// What a reader was told; `None` where bytes that nobody waited for did not come: a reader has a deadline of
    /// its own, and tries by itself.
    error: Option<FetchError>,
}

struct Handles {
    open: usize,
    /// Ends the streams of this content; a new one with the first handle after none.
    streams: CancellationToken,
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Content").field("id", &self.id).field("recording", &self.recording).finish()
    }
}

impl Content {
    /// `validator` is the one it was served under before, where it was.
    pub(super) fn new(
        recording: Recording,
        id: ContentId,
        leases: Arc<dyn LeaseSource>,
        (revision, validator): (ContentRevision, Option<Validator>),
        before: Option<Arc<Self>>,
    ) -> Self {
        let predecessors = before.iter().flat_map(|before| {
            let older =
                before.predecessors.iter().filter(|older| older.strong_count() > 0).cloned();
            older.chain(std::iter::once(Arc::downgrade(before)))
        });
        Self {
            recording,
            id,
            leases,
            length: watch::Sender::new(Length::Unconfirmed),
            revision,
            predecessors: predecessors.collect(),
            stale: OnceLock::new(),
            validator: Mutex::new(validator),
            failures: Mutex::default(),
            ahead_failed: Mutex::default(),
            trouble: Mutex::default(),
            disk_misses: Mutex::default(),
            handles: Mutex::new(Handles { open: 0, streams: CancellationToken::new() }),
        }
    }

    pub(super) fn key(&self, index: BlockIndex) -> BlockKey {
        BlockKey { content: self.id, index }
    }

    pub(super) fn expectation(&self) -> ExpectedFile {
        ExpectedFile {
            total: Some(self.recording.size),
            body: self.recording.body,
            validator: self.validator.lock().clone(),
        }
    }

    /// Length of a block in bytes; the last one of a file may be shorter than the others.
    pub(super) fn block_length(&self, index: BlockIndex) -> usize {
        (index.end(self.recording.size).saturating_sub(index.start())) as usize
    }

    /// Under what its blocks are kept on disk.
    pub(super) fn disk_key(&self) -> DiskKey {
        let validator = self.validator.lock();
        let validator = validator.as_ref().map_or("", |validator| validator.as_str());
        DiskKey::of(&self.recording.id, self.recording.version, self.recording.size, validator)
    }

    /// Notes that the disk did not have a block that it said it had.
    pub(super) fn note_disk_miss(&self, index: BlockIndex) {
        self.disk_misses.lock().insert(index);
    }

    pub(super) fn missed_on_disk(&self, index: BlockIndex) -> bool {
        self.disk_misses.lock().contains(&index)
    }

    /// Notes a believed reply.
    pub(super) fn confirm(&self, validator: Option<&Validator>) {
        if let Some(validator) = validator {
            self.validator.lock().get_or_insert_with(|| validator.clone());
        }
        self.length.send_if_modified(|length| {
            std::mem::replace(length, Length::Confirmed) != Length::Confirmed
        });
    }

    /// Notes that bytes did not come as promised: whoever opens the file next asks again before believing in its
    /// length.
    pub(super) fn doubt(&self) {
        self.length.send_replace(Length::Doubtful);
    }

    /// Whether the server has been seen to serve the length shown.
    pub fn is_confirmed(&self) -> bool {
        *self.length.borrow() == Length::Confirmed
    }

    /// Whether the server turned out to have other bytes than this content's, or another number of them.
    pub fn is_stale(&self) -> bool {
        self.stale.get().is_some()
    }

    /// How it turned out that the server has other bytes.
    pub fn stale_reason(&self) -> Option<&FetchError> {
        self.stale.get()
    }

    pub(super) fn set_stale(&self, why: &FetchError) {
        // The first reason is as good as the next.
        let _already_stale = self.stale.set(why.clone());
    }

    /// Which revision of the file it is.
    pub fn revision(&self) -> ContentRevision {
        self.revision
    }

    /// Whether a handle on an earlier revision of the file is open.
    pub fn has_open_predecessor(&self) -> bool {
        let mut older = self.predecessors.iter().filter_map(Weak::upgrade);
        older.any(|content| content.revision != self.revision && content.handles.lock().open > 0)
    }

    /// Notes that a block did not come, and what its readers were told.
    pub(super) fn note_failure(&self, index: BlockIndex, error: Option<&FetchError>) {
        let mut failures = self.failures.lock();
        failures.retain(|_, failure| failure.at.elapsed() < FAILURE_SHARED);
        failures.insert(index, Failure { at: Instant::now(), error: error.cloned() });
    }

    /// What readers of a block were told a moment ago.
    pub(super) fn recent_failure(&self, index: BlockIndex) -> Option<FetchError> {
        let failures = self.failures.lock();
        let failure =
            failures.get(&index).filter(|failure| failure.at.elapsed() < FAILURE_SHARED)?;
        failure.error.clone()
    }

    /// Whether a block did not come a moment ago, whoever it was for.
    pub(super) fn failed_lately(&self, index: BlockIndex) -> bool {
        self.failures
            .lock()
            .get(&index)
            .is_some_and(|failure| failure.at.elapsed() < FAILURE_SHARED)
    }

    /// Notes why a stream ended early.
    pub(super) fn note_trouble(&self, error: &FetchError) {
        let why = match error {
            FetchError::Deadline(cause) => one_line(cause),
            other => one_line(other),
        };
        *self.trouble.lock() = Some((Instant::now(), why));
    }

    /// Why a stream has ended early since `then`, if one has: the newest.
    pub(super) fn trouble_since(&self, then: Instant) -> Option<String> {
        self.trouble.lock().as_ref().filter(|(at, _)| *at >= then).map(|(_, why)| why.clone())
    }

    /// Notes that fetching it ahead came to nothing.
    pub(super) fn note_ahead_failed(&self) {
        *self.ahead_failed.lock() = Some(Instant::now());
    }

    /// Whether fetching it ahead came to nothing lately: a walk that comes by again must not ask again and again for
    /// what is not to be had. Whoever reads it asks all the same.
    pub(super) fn is_given_up_ahead(&self) -> bool {
        self.ahead_failed.lock().is_some_and(|at| at.elapsed() < AHEAD_PAUSE)
    }

    /// The token that ends a stream started now.
    pub(super) fn streams(&self) -> CancellationToken {
        self.handles.lock().streams.clone()
    }

    fn opened(&self) {
        // Whoever opens the file anew asks for another try, however recent the failure.
        self.failures.lock().clear();
        let mut handles = self.handles.lock();
        handles.open += 1;
        if handles.streams.is_cancelled() {
            handles.streams = CancellationToken::new();
        }
    }

    /// Whether this was the last handle.
    fn closed(&self) -> bool {
        let mut handles = self.handles.lock();
        handles.open = handles.open.saturating_sub(1);
        handles.open == 0
    }

    fn end_streams_if_unused(&self) {
        let handles = self.handles.lock();
        if handles.open == 0 {
            handles.streams.cancel();
        }
    }
}

/// A handle: a content and what this reader is up to in it. Closing is dropping.
#[derive(Debug)]
pub struct OpenFile {
    pub(super) content: Arc<Content>,
    /// Lock order: never held while flights are locked.
    pub(super) tracks: Mutex<Tracks>,
    /// What streams started for this handle bring.
    pub(super) meter: Meter,
    /// Chunks of its windows on their way. While there are any, the handle has its share of the budget.
    chunks: AtomicUsize,
    sharing: Arc<AtomicUsize>,
    /// The read that last ran into its deadline.
    timed_out: Mutex<Option<TimedOut>>,
    runtime: tokio::runtime::Handle,
}

#[derive(Debug)]
struct TimedOut {
    at: Instant,
    span: Range<u64>,
    error: FetchError,
}

impl OpenFile {
    pub(super) fn new(
        content: Arc<Content>,
        tracks: Tracks,
        sharing: Arc<AtomicUsize>,
        runtime: tokio::runtime::Handle,
    ) -> Self {
        content.opened();
        let (tracks, meter, chunks) = (Mutex::new(tracks), Meter::new(), AtomicUsize::new(0));
        Self { content, tracks, meter, chunks, sharing, timed_out: Mutex::default(), runtime }
    }

    /// Counts a chunk on its way, and with the first the handle among those that share the budget.
    pub(super) fn chunk_begins(&self) {
        if self.chunks.fetch_add(1, Ordering::Relaxed) == 0 {
            self.sharing.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts it no more.
    pub(super) fn chunk_ends(&self) {
        if self.chunks.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.sharing.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The content this handle reads.
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// Notes that a read of `span` ran into its deadline while its bytes were still on their way.
    pub(super) fn note_timeout(&self, span: Range<u64>, error: &FetchError) {
        *self.timed_out.lock() = Some(TimedOut { at: Instant::now(), span, error: error.clone() });
    }

    /// What a read at `offset` met a moment ago.
    pub(super) fn recent_timeout(&self, offset: u64) -> Option<FetchError> {
        let timed_out = self.timed_out.lock();
        let TimedOut { at, span, error } = timed_out.as_ref()?;
        (at.elapsed() < FAILURE_SHARED && span.contains(&offset)).then(|| error.clone())
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        if *self.chunks.get_mut() > 0 {
            self.sharing.fetch_sub(1, Ordering::Relaxed);
        }
        if self.content.closed() {
            let content = self.content.clone();
            self.runtime.spawn(async move {
                tokio::time::sleep(LINGER).await;
                content.end_streams_if_unused();
            });
        }
    }
}

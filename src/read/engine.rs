//! The way of a read: cache, flight, or a new stream; all of it under one deadline.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use lru::LruCache;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::concurrency::FIRST_GROWTH;
use super::disk;
use super::fetch::{self, Purpose};
use super::in_flight::{InFlightFetches, Lost};
use super::open_file::{Content, Length, OpenFile};
use super::revisions::ContentRevisions;
use super::window::Tracks;
use super::{Observer, Recording};
use crate::cache::disk::DiskCache;
use crate::cache::{BLOCK_LENGTH, BlockIndex, ContentId, MemoryCache};
use crate::http::{
    ByteRange, Client, ExpectedFile, FetchError, LeaseSource, Priority, RangeStream, TrafficClass,
};
use crate::model::{FileId, SourceName, Version};
use crate::providers::LeaseCache;

/// Bytes before the one wanted on a running stream that a reader would rather wait for than open a connection of
/// its own: they pass in about a second on a common line.
const WORTH_WAITING: u64 = 16 * BLOCK_LENGTH;

/// How long an `open` waits to learn whether the length shown is the length served. The kernel cannot interrupt
/// an `open` that was handed to us, so a person's Ctrl-C waits as long: it must be well below a second. A server
/// slower than this has its file opened with the length shown, and a wrong one fails the first read instead.
pub(super) const CONFIRM_TIMEOUT: Duration = Duration::from_millis(700);

/// Closed files whose blocks can still be found: more than an indexer or a backup has had in its hands lately. Each
/// takes less than a kilobyte.
const RECENT_CONTENTS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4095);

/// What an [`Engine`] is made of.
pub struct EngineOptions {
    /// The HTTP client.
    pub client: Client,
    /// Blocks in memory.
    pub cache: Arc<MemoryCache>,
    /// Blocks on disk, where they are kept there.
    pub disk: Option<Arc<DiskCache>>,
    /// Where each source's leases come from.
    pub lease_caches: HashMap<SourceName, LeaseCache>,
    /// Bound on a read.
    pub deadline: Duration,
    /// Is told what reading brings to light.
    pub observer: Arc<dyn Observer>,
    /// Where streams run.
    pub runtime: tokio::runtime::Handle,
}

/// Reads recording files.
pub struct Engine {
    pub(super) client: Client,
    pub(super) cache: Arc<MemoryCache>,
    pub(super) disk: Option<Arc<DiskCache>>,
    lease_caches: HashMap<SourceName, LeaseCache>,
    pub(super) deadline: Duration,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) runtime: tokio::runtime::Handle,
    /// Lock order: never held while another lock of this room is taken, but for the cache's.
    pub(super) flights: Mutex<InFlightFetches>,
    contents: Mutex<HashMap<(FileId, Version), Weak<Content>>>,
    pub(super) revisions: ContentRevisions,
    /// Contents stay known for a while after their last handle was closed: their blocks in the cache belong to
    /// them, and so does the word of the server on length and validator. Locked after `contents`.
    recent: Mutex<LruCache<(FileId, Version), Arc<Content>>>,
    next_content: AtomicU64,
    /// Handles for which chunks are on their way; they share budget and connections.
    pub(super) sharing: Arc<AtomicUsize>,
    /// Connections that proved useful for the last reader of each source.
    pub(super) lanes: Mutex<HashMap<SourceName, usize>>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine that has read nothing yet.
    pub fn new(options: EngineOptions) -> Arc<Self> {
        let EngineOptions { client, cache, disk, lease_caches, deadline, observer, runtime } =
            options;
        Arc::new(Self {
            client,
            cache,
            disk,
            lease_caches,
            deadline,
            observer,
            runtime,
            flights: Mutex::default(),
            contents: Mutex::default(),
            revisions: ContentRevisions::new(),
            recent: Mutex::new(LruCache::new(RECENT_CONTENTS)),
            next_content: AtomicU64::new(1),
            sharing: Arc::default(),
            lanes: Mutex::default(),
        })
    }

    /// Opens a handle. Costs no request.
    ///
    /// # Errors
    /// [`FetchError::Gone`] where the file's source is no longer mounted.
    pub fn open(&self, recording: &Recording) -> Result<Arc<OpenFile>, FetchError> {
        let leases = self.leases(&recording.id)?;
        let mut contents = self.contents.lock();
        let name = (recording.id.clone(), recording.version);
        let known = contents.get(&name).and_then(Weak::upgrade);
        let usable =
            known.filter(|content| !content.is_stale() && content.recording.size == recording.size);
        let content = usable.unwrap_or_else(|| {
            let before = contents.get(&name).and_then(Weak::upgrade);
            if contents.len() > 2 * RECENT_CONTENTS.get() {
                contents.retain(|_, content| content.strong_count() > 0);
            }
            let id = ContentId(self.next_content.fetch_add(1, Ordering::Relaxed));
            let remembered = || self.observer.last_validator(&recording.id, recording.version);
            let revision = self.revisions.current(recording, remembered);
            let content = Arc::new(Content::new(recording.clone(), id, leases, revision, before));
            contents.insert(name.clone(), Arc::downgrade(&content));
            content
        });
        let displaced = self.recent.lock().push(name, content.clone());
        drop(contents);
        drop(displaced);
        // No more than one step from the beginning: the last reader may have been a copy, and this one be a player.
        let found = self.lanes.lock().get(&recording.id.source).copied();
        let lanes = found.map_or(1, |found| found.min(FIRST_GROWTH));
        let tracks = Tracks::new(lanes, self.client.connections());
        Ok(Arc::new(OpenFile::new(content, tracks, self.sharing.clone(), self.runtime.clone())))
    }

    fn leases(&self, id: &FileId) -> Result<Arc<dyn LeaseSource>, FetchError> {
        let desk = self.lease_caches.get(&id.source);
        desk.map(|desk| desk.slot(id))
            .ok_or_else(|| FetchError::Gone("its source is not mounted".into()))
    }

    /// Starts on the first block of a file that was never read and waits a moment for the server's word on its
    /// length. Whether that came, and with which answer, the caller sees from the file's node afterwards.
    pub async fn confirm_size(self: &Arc<Self>, file: &Arc<OpenFile>) {
        let content = &file.content;
        if content.is_confirmed() || content.recent_failure(BlockIndex(0)).is_some() {
            return;
        }
        let head = ByteRange { start: 0, end: BLOCK_LENGTH.min(content.recording.size) };
        let is_held = self.cache.reach(content.key(BlockIndex(0)), 0) as u64 >= head.end;
        if self.on_disk(content, BlockIndex(0)) {
            // It was kept under this length, so the server has confirmed it before.
            content.confirm(None);
            return;
        }
        let asked = async {
            if is_held {
                // Read before, and then something went wrong: one byte tells whether the length still holds.
                if let Ok(size) =
                    self.find_size(&content.recording.id, content.recording.body).await
                {
                    self.length_told(content, size);
                }
                return;
            }
            let mut length = content.length.subscribe();
            content.length.send_replace(Length::Unconfirmed);
            self.want(
                content,
                head,
                &Purpose::Demand(TrafficClass::Interactive, Arc::downgrade(file)),
            );
            let _sender_lives_as_long_as_content =
                length.wait_for(|length| *length != Length::Unconfirmed).await;
        };
        let _slow_server_is_no_error = tokio::time::timeout(CONFIRM_TIMEOUT, asked).await;
    }

    fn length_told(&self, content: &Content, size: u64) {
        if size == content.recording.size {
            content.confirm(None);
        } else {
            self.disown(content, size);
        }
    }

    /// The server serves the file with `size` bytes: what is held under the length shown is of no use.
    pub(super) fn disown(&self, content: &Content, size: u64) {
        content
            .set_stale(&FetchError::WrongTotal { expected: content.recording.size, served: size });
        self.revisions.over(content);
        self.forget(content);
        self.observer.on_size_found(&content.recording.id, content.recording.version, size);
    }

    /// The bytes `offset..offset + length` if all of them are in memory: fewer at the end of the file. Keeps the
    /// window ahead of the reader going.
    pub fn read_now(
        self: &Arc<Self>,
        file: &Arc<OpenFile>,
        offset: u64,
        length: u32,
    ) -> Option<Bytes> {
        let content = &file.content;
        if content.is_stale() {
            return None;
        }
        let (offset, end) = clamp(offset, length, content.recording.size);
        if offset >= end {
            return Some(Bytes::new());
        }
        let (first, last) = (BlockIndex::of(offset), BlockIndex::of(end - 1));
        let bytes = if first == last {
            self.piece_now(content, first, offset, end)?
        } else {
            let mut joined = BytesMut::with_capacity(usize::try_from(end - offset).ok()?);
            let mut index = first;
            while index <= last {
                joined.extend_from_slice(&self.piece_now(content, index, offset, end)?);
                index = BlockIndex(index.0 + 1);
            }
            joined.freeze()
        };
        let observed =
            file.tracks.lock().observe(offset, end, file.meter.read()).observed(offset, end);
        self.look_ahead(file, observed);
        Some(bytes)
    }

    /// The part of block `index` that lies in `offset..end`, if it is there: held, or come so far.
    fn piece_now(
        &self,
        content: &Content,
        index: BlockIndex,
        offset: u64,
        end: u64,
    ) -> Option<Bytes> {
        let (from, to) = within(index, offset, end);
        let key = content.key(index);
        if let Some(piece) = self.cache.piece(key, from, to) {
            return Some(piece);
        }
        let flight = self.flights.lock().covering(key, from).cloned()?;
        if flight.to < to {
            return None;
        }
        flight.piece_now(from, to)?.ok()
    }

    /// Reads `length` bytes at `offset`: fewer at the end of the file, none behind it.
    ///
    /// # Errors
    /// The bytes could not be had within the deadline, exactly.
    pub async fn read(
        self: &Arc<Self>,
        file: &Arc<OpenFile>,
        offset: u64,
        length: u32,
    ) -> Result<Bytes, FetchError> {
        let (offset, end) = clamp(offset, length, file.content.recording.size);
        if offset >= end {
            return Ok(Bytes::new());
        }
        if let Some(error) = file.recent_timeout(offset) {
            return Err(error);
        }
        let started = Instant::now();
        let deadline = started + self.deadline;
        let (demand, class, observed) = {
            let mut tracks = file.tracks.lock();
            let track = tracks.observe(offset, end, file.meter.read());
            let demand = track.demand(offset, end, file.content.recording.size);
            (demand, track.class(), track.observed(offset, end))
        };
        let purpose = Purpose::Demand(class, Arc::downgrade(file));
        self.want(&file.content, demand, &purpose);
        self.look_ahead(file, observed);
        match tokio::time::timeout_at(deadline, self.gather(file, offset, end, &purpose)).await {
            Ok(result) => result,
            Err(_elapsed) => {
                let passed = format!("{} s passed", self.deadline.as_secs_f32());
                let error = FetchError::Deadline(match file.content.trouble_since(started) {
                    Some(why) => format!("{passed}; {why}").into(),
                    None => passed.into(),
                });
                file.note_timeout(offset..end, &error);
                file.content.doubt();
                Err(error)
            }
        }
    }

    async fn gather(
        self: &Arc<Self>,
        file: &OpenFile,
        offset: u64,
        end: u64,
        purpose: &Purpose,
    ) -> Result<Bytes, FetchError> {
        let first = self.piece(file, offset, end, purpose).await?;
        if offset + first.len() as u64 == end {
            return Ok(first);
        }
        let mut joined = BytesMut::with_capacity(usize::try_from(end - offset).unwrap_or_default());
        joined.extend_from_slice(&first);
        while offset + (joined.len() as u64) < end {
            let at = offset + joined.len() as u64;
            joined.extend_from_slice(&self.piece(file, at, end, purpose).await?);
        }
        Ok(joined.freeze())
    }

    /// At least one byte from `at` on, at most up to `end` and to the end of its block.
    async fn piece(
        self: &Arc<Self>,
        file: &OpenFile,
        at: u64,
        end: u64,
        purpose: &Purpose,
    ) -> Result<Bytes, FetchError> {
        let content = &file.content;
        let index = BlockIndex::of(at);
        let (from, to) = within(index, at, end);
        let key = content.key(index);
        loop {
            if content.is_stale() {
                return Err(FetchError::Changed("the file has changed since it was opened".into()));
            }
            let held = self.cache.reach(key, from).min(to);
            if held > from
                && let Some(piece) = self.cache.piece(key, from, held)
            {
                return Ok(piece);
            }
            let flight = self.flights.lock().covering(key, from).cloned();
            let Some(flight) = flight else {
                if let Some(error) = content.recent_failure(index) {
                    return Err(error);
                }
                let range =
                    ByteRange { start: at, end: end.min(index.end(content.recording.size)) };
                self.want(content, range, purpose);
                continue;
            };
            let to = to.min(flight.to);
            if let Some(Ok(piece)) = flight.piece_now(from, to) {
                return Ok(piece);
            }
            let waiting = file.meter.wait();
            let piece = flight.piece(from, to).await;
            drop(waiting);
            match piece {
                Ok(piece) => return Ok(piece),
                Err(Lost::Abandoned) => tokio::task::yield_now().await,
                Err(Lost::Failed(error)) => return Err(error),
            }
        }
    }

    /// Sees to it that `range` is held or on its way, as far as the budget allows. Returns up to where that is
    /// so, and how many requests were started. Demand is always taken whole.
    pub(super) fn want(
        self: &Arc<Self>,
        content: &Arc<Content>,
        range: ByteRange,
        purpose: &Purpose,
    ) -> (u64, usize) {
        if self.disk.is_some() {
            disk::load(self, content, range, purpose);
        }
        let mut flights = self.flights.lock();
        let mut at = range.start;
        let mut started = 0;
        while let Some(gap) =
            self.gap(&flights, content, ByteRange { start: at, end: range.end }, purpose)
        {
            let room = match purpose {
                Purpose::Demand(..) => Some(self.cache.reserve_for_demand(gap.len())),
                Purpose::Chunk(..) | Purpose::Likely | Purpose::Neighbour => {
                    self.cache.reserve_ahead(gap.len())
                }
            };
            let Some(room) = room else { return (gap.start, started) };
            let end = gap.start + room.bytes();
            let part = ByteRange { start: gap.start, end };
            fetch::start(self, &mut flights, content, part, room, purpose.clone());
            started += 1;
            at = end;
            if end < gap.end {
                return (end, started);
            }
        }
        (range.end, started)
    }

    /// The first bytes of `range` that are neither held, nor on their way, nor known to be out of reach.
    fn gap(
        &self,
        flights: &InFlightFetches,
        content: &Content,
        range: ByteRange,
        purpose: &Purpose,
    ) -> Option<ByteRange> {
        let mut start = None;
        let mut at = range.start;
        while at < range.end {
            let index = BlockIndex::of(at);
            let (from, to) = within(index, at, range.end);
            let key = content.key(index);
            let coming = flights
                .covering(key, from)
                .filter(|flight| !purpose.is_demand() || flight.distance() <= WORTH_WAITING)
                .map_or(from, |flight| flight.to);
            let is_out_of_reach = match purpose {
                Purpose::Demand(..) => content.recent_failure(index).is_some(),
                _ => content.failed_lately(index),
            };
            let unreachable = if is_out_of_reach { to } else { from };
            let reach = self.cache.reach(key, from).max(coming).max(unreachable);
            if reach > from {
                if start.is_some() {
                    break;
                }
                at = index.start() + reach as u64;
                continue;
            }
            start.get_or_insert(at);
            let next = self
                .cache
                .next_start(key, from)
                .into_iter()
                .chain(flights.next_start(key, from))
                .min();
            at = index.start() + next.unwrap_or(to).min(to) as u64;
        }
        start.map(|start| ByteRange { start, end: at.min(range.end) })
    }

    /// Asks for one byte of a file to learn its length.
    ///
    /// # Errors
    /// The length could not be learned within the deadline.
    pub async fn find_size(
        &self,
        id: &FileId,
        body: crate::model::BodyKind,
    ) -> Result<u64, FetchError> {
        let expected = ExpectedFile { total: None, body, validator: None };
        let range = ByteRange { start: 0, end: 1 };
        let leases = self.leases(id)?;
        let client = self.client.clone();
        let mut stream = RangeStream::new(
            client,
            leases,
            range,
            expected,
            (TrafficClass::Bulk, Priority::Prefetch),
            self.deadline,
        );
        match stream.open().await {
            // An empty file has no first byte: the refusal of the range tells its length.
            Err(FetchError::WrongTotal { served, .. }) => return Ok(served),
            opened => opened?,
        }
        stream
            .total()
            .ok_or_else(|| FetchError::Failed("the server did not tell the length".into()))
    }
}

/// The part of `offset..offset + length` that a file of `size` bytes has.
fn clamp(offset: u64, length: u32, size: u64) -> (u64, u64) {
    (offset, offset.saturating_add(u64::from(length)).min(size))
}

/// The part of block `index` that lies in `offset..end`, from the block's start.
fn within(index: BlockIndex, offset: u64, end: u64) -> (usize, usize) {
    let start = index.start();
    let from = offset.max(start) - start;
    let to = end.min(start + BLOCK_LENGTH).saturating_sub(start);
    (from as usize, to as usize)
}

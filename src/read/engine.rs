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

use super::fetch::{self, Urgency};
use super::flight::{Flight, Lost};
use super::open_file::{Content, Length, OpenFile};
use super::{Observer, Recording};
use crate::cache::{BLOCK_LENGTH, BlockCache, BlockIndex, BlockKey, ContentId, MemoryCache};
use crate::http::{ByteRange, Client, Expectation, FetchError, LeaseSource, RangeStream};
use crate::model::{FileId, SourceName, Version};
use crate::providers::LeaseDesk;

/// The largest window in blocks. At 50 ms a round trip and 100 MB/s a request of 32 MiB spends a sixth of its
/// time waiting; larger ones would gain little and waste more when the reader turns away.
const LARGEST_WINDOW: u64 = 32;

/// Blocks before the one wanted on a running stream that a reader would rather wait for than open a connection
/// of its own: 16 MiB pass in about a second on a common line.
const WORTH_WAITING: u64 = 16;

/// How long an `open` waits to learn whether the length shown is the length served. The kernel cannot interrupt
/// an `open` that was handed to us, so a person's Ctrl-C waits as long: it must be well below a second. A server
/// slower than this has its file opened with the length shown, and a wrong one fails the first read instead.
const CONFIRM_WITHIN: Duration = Duration::from_millis(700);

/// Closed files whose blocks can still be found: more than an indexer or a backup has had in its hands lately. Each
/// takes less than a kilobyte.
const RECENT_CONTENTS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4095);

/// What an [`Engine`] is made of.
pub struct EngineOptions {
    /// The HTTP client.
    pub client: Client,
    /// Blocks in memory.
    pub cache: Arc<MemoryCache>,
    /// Where each source's leases come from.
    pub desks: HashMap<SourceName, LeaseDesk>,
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
    desks: HashMap<SourceName, LeaseDesk>,
    pub(super) deadline: Duration,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) runtime: tokio::runtime::Handle,
    /// Lock order: never held while another lock of this room is taken, but for the cache's.
    pub(super) flights: Mutex<HashMap<BlockKey, Arc<Flight>>>,
    contents: Mutex<HashMap<(FileId, Version), Weak<Content>>>,
    /// Contents stay known for a while after their last handle was closed: their blocks in the cache belong to
    /// them, and so does the word of the server on length and validator. Locked after `contents`.
    recent: Mutex<LruCache<(FileId, Version), Arc<Content>>>,
    next_content: AtomicU64,
    /// Contents being streamed ahead; they share the budget.
    pub(super) streaming: AtomicUsize,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine that has read nothing yet.
    pub fn new(options: EngineOptions) -> Arc<Self> {
        let EngineOptions { client, cache, desks, deadline, observer, runtime } = options;
        Arc::new(Self {
            client,
            cache,
            desks,
            deadline,
            observer,
            runtime,
            flights: Mutex::default(),
            contents: Mutex::default(),
            recent: Mutex::new(LruCache::new(RECENT_CONTENTS)),
            next_content: AtomicU64::new(1),
            streaming: AtomicUsize::new(0),
        })
    }

    /// Opens a handle. Costs no request.
    ///
    /// # Errors
    /// [`FetchError::Gone`] where the file's source is no longer mounted.
    pub fn open(&self, recording: &Recording) -> Result<OpenFile, FetchError> {
        let leases = self.leases(&recording.id)?;
        let mut contents = self.contents.lock();
        let name = (recording.id.clone(), recording.version);
        let known = contents.get(&name).and_then(Weak::upgrade);
        let usable = known.filter(|content| !content.is_stale() && content.recording.size == recording.size);
        let content = usable.unwrap_or_else(|| {
            contents.retain(|_, content| content.strong_count() > 0);
            let id = ContentId(self.next_content.fetch_add(1, Ordering::Relaxed));
            let content = Arc::new(Content::new(recording.clone(), id, leases));
            contents.insert(name.clone(), Arc::downgrade(&content));
            content
        });
        let displaced = self.recent.lock().push(name, content.clone());
        drop(contents);
        drop(displaced);
        Ok(OpenFile::new(content, self.runtime.clone()))
    }

    fn leases(&self, id: &FileId) -> Result<Arc<dyn LeaseSource>, FetchError> {
        let desk = self.desks.get(&id.source);
        desk.map(|desk| desk.slot(id)).ok_or_else(|| FetchError::Gone("its source is not mounted".into()))
    }

    /// Starts on the first block of a file that was never read and waits a moment for the server's word on its
    /// length. Whether that came, and with which answer, the caller sees from the file's node afterwards.
    pub async fn confirm(self: &Arc<Self>, file: &OpenFile) {
        let content = &file.content;
        let mut length = content.length.subscribe();
        if *length.borrow() == Length::Confirmed || content.recording.size == 0 {
            return;
        }
        content.length.send_replace(Length::Unconfirmed);
        self.want(content, BlockIndex(0), 1, Urgency::Demand);
        let answered = length.wait_for(|length| *length != Length::Unconfirmed);
        let _slow_server_is_no_error = tokio::time::timeout(CONFIRM_WITHIN, answered).await;
    }

    /// The bytes `offset..offset + length` if all of them are in memory: fewer at the end of the file. Keeps the
    /// window ahead of the reader going.
    pub fn read_now(self: &Arc<Self>, file: &OpenFile, offset: u64, length: u32) -> Option<Bytes> {
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
                index = index.next();
            }
            joined.freeze()
        };
        self.look_ahead(file, offset, end);
        Some(bytes)
    }

    /// The part of block `index` that lies in `offset..end`, if it is there: held, or come so far.
    fn piece_now(&self, content: &Content, index: BlockIndex, offset: u64, end: u64) -> Option<Bytes> {
        let (from, to) = within(index, offset, end);
        let key = content.key(index);
        if let Some(block) = self.cache.get(key) {
            return (to <= block.len()).then(|| block.slice(from..to));
        }
        let flight = self.flights.lock().get(&key).cloned()?;
        flight.piece_now(from, to)?.ok()
    }

    /// Reads `length` bytes at `offset`: fewer at the end of the file, none behind it.
    ///
    /// # Errors
    /// The bytes could not be had within the deadline, exactly.
    pub async fn read(
        self: &Arc<Self>,
        file: &OpenFile,
        offset: u64,
        length: u32,
    ) -> Result<Bytes, FetchError> {
        let content = &file.content;
        let (offset, end) = clamp(offset, length, content.recording.size);
        if offset >= end {
            return Ok(Bytes::new());
        }
        let deadline = Instant::now() + self.deadline;
        let (first, last) = (BlockIndex::of(offset), BlockIndex::of(end - 1));
        self.want(content, first, last.0 - first.0 + 1, Urgency::Demand);
        self.look_ahead(file, offset, end);
        let read = async {
            let (from, to) = within(first, offset, end);
            let piece = self.piece(file, first, from, to).await?;
            if first == last {
                return Ok(piece);
            }
            let mut joined = BytesMut::with_capacity(piece.len() + (end - first.next().start()) as usize);
            joined.extend_from_slice(&piece);
            let mut index = first.next();
            while index <= last {
                let (from, to) = within(index, offset, end);
                joined.extend_from_slice(&self.piece(file, index, from, to).await?);
                index = index.next();
            }
            Ok(joined.freeze())
        };
        match tokio::time::timeout_at(deadline, read).await {
            Ok(result) => result,
            Err(_elapsed) => Err(FetchError::Deadline(format!("{} s passed", self.deadline.as_secs_f32()))),
        }
    }

    async fn piece(
        self: &Arc<Self>,
        file: &OpenFile,
        index: BlockIndex,
        from: usize,
        to: usize,
    ) -> Result<Bytes, FetchError> {
        let content = &file.content;
        loop {
            if content.is_stale() {
                return Err(FetchError::Changed("the file has changed since it was opened".into()));
            }
            if let Some(block) = self.cache.get(content.key(index)) {
                if to <= block.len() {
                    return Ok(block.slice(from..to));
                }
                return Err(FetchError::Failed(
                    "a cached block is shorter than its place in the file".into(),
                ));
            }
            let flight = self.flights.lock().get(&content.key(index)).cloned();
            let Some(flight) = flight else {
                if let Some(error) = content.recent_failure(index) {
                    return Err(error);
                }
                self.want(content, index, 1, Urgency::Demand);
                continue;
            };
            if let Some(Ok(piece)) = flight.piece_now(from, to) {
                return Ok(piece);
            }
            file.window.lock().reader_waited();
            match flight.piece(from, to).await {
                Ok(piece) => return Ok(piece),
                Err(Lost::Abandoned) => tokio::task::yield_now().await,
                Err(Lost::Failed(error)) => return Err(error),
            }
        }
    }

    fn look_ahead(self: &Arc<Self>, file: &OpenFile, offset: u64, end: u64) {
        let content = &file.content;
        let mut window = file.window.lock();
        let Some(ahead) = window.observe(offset, end, self.window_cap()) else { return };
        let last = BlockIndex::count(content.recording.size);
        let count = ahead.count.min(last.0.saturating_sub(ahead.from.0));
        if count > 0 {
            let taken = self.want(content, ahead.from, count, Urgency::Ahead);
            window.covered_up_to(BlockIndex(ahead.from.0 + taken));
        }
    }

    /// Windows share the budget: what all readers together have fetched ahead fits in half of it, or the first
    /// would lose its blocks before it came to read them.
    fn window_cap(&self) -> u64 {
        let readers = self.streaming.load(Ordering::Relaxed).max(1) as u64;
        (self.cache.budget() / 2 / BLOCK_LENGTH / (readers + 1)).clamp(1, LARGEST_WINDOW)
    }

    /// Sees to it that `count` blocks from `first` on are held or on their way, as far as the budget allows;
    /// says for how many of them, in order, that is so. Demand is always taken whole.
    pub(super) fn want(
        self: &Arc<Self>,
        content: &Arc<Content>,
        first: BlockIndex,
        count: u64,
        urgency: Urgency,
    ) -> u64 {
        let end = first.0.saturating_add(count).min(BlockIndex::count(content.recording.size).0);
        let mut at = first.0;
        while at < end {
            let mut flights = self.flights.lock();
            while at < end && self.is_coming(&flights, content, BlockIndex(at), urgency) {
                at += 1;
            }
            let start = at;
            while at < end && !self.is_coming(&flights, content, BlockIndex(at), urgency) {
                at += 1;
            }
            if start == at {
                break;
            }
            let started = fetch::start(self, &mut flights, content, BlockIndex(start), at - start, urgency);
            if started < at - start {
                return start + started - first.0;
            }
        }
        end.saturating_sub(first.0)
    }

    fn is_coming(
        &self,
        flights: &HashMap<BlockKey, Arc<Flight>>,
        content: &Content,
        index: BlockIndex,
        urgency: Urgency,
    ) -> bool {
        let key = content.key(index);
        if self.cache.get(key).is_some() || content.recent_failure(index).is_some() {
            return true;
        }
        match flights.get(&key) {
            Some(flight) => urgency == Urgency::Ahead || flight.carrier.distance(index) <= WORTH_WAITING,
            None => false,
        }
    }

    /// Asks for one byte of a file to learn its length.
    ///
    /// # Errors
    /// The length could not be learned within the deadline.
    pub async fn find_size(&self, id: &FileId, body: crate::model::BodyKind) -> Result<u64, FetchError> {
        let expected = Expectation { total: None, body, validator: None };
        let range = ByteRange { start: 0, end: 1 };
        let leases = self.leases(id)?;
        let mut stream = RangeStream::new(self.client.clone(), leases, range, expected, self.deadline);
        match stream.open().await {
            // An empty file has no first byte: the refusal of the range tells its length.
            Err(FetchError::WrongTotal { served, .. }) => return Ok(served),
            opened => opened?,
        }
        stream.total().ok_or_else(|| FetchError::Failed("the server did not tell the length".into()))
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

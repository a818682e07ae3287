//! In-flight fetches: one fetch per block, which all readers of the block share.
//!
//! A request registers one [`InFlightFetch`] for each block that it fills. Readers find the fetch
//! in the table by the key of the block, join it and wait for the bytes that they need. Bytes are
//! available as soon as they have arrived.
//!
//! 1. A fetch ends with its bytes ([`InFlightFetch::complete`]) or without them
//!    ([`InFlightFetch::fail`]). Every waiter gets the same result.
//! 2. A request that completes a fetch first inserts the bytes into the cache or the fetch, and
//!    then removes the fetch from the table. Therefore a reader that checks the cache and then the
//!    table finds the bytes in one of them.
//! 3. A new fetch takes over the bytes that it has in common with a fetch in the table: the older
//!    fetch leaves the table, and its request ends when it reaches these bytes.
//!
//! Lock order: the table, then the state of a fetch. The locks of a content and of the memory cache
//! may also be acquired while the table is locked.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::cache::{BLOCK_LENGTH, BlockExtent, BlockKey, BlockSpan, ContentId};
use crate::http::FetchError;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Maximum distance in bytes between the current position of an in-flight request and the bytes
/// that a reader needs. Up to this distance, the reader waits for that request. Beyond it, the
/// reader gets its own request. A common line transfers this many bytes in about a second.
pub(super) const MAX_JOIN_DISTANCE: u64 = 16 * BLOCK_LENGTH;

/// The same for a demand-driven request. A player that has read the start of a short video
/// continues with the index at its end, which a request of its own delivers in a round trip. The
/// read-ahead of the kernel extends up to two blocks beyond a sequential reader.
const MAX_DEMAND_JOIN_DISTANCE: u64 = 2 * BLOCK_LENGTH;

/// Number of bytes that a demand-driven request receives in addition to twice those that its
/// readers need. A program that examines the start of a file reads less than this, and its reader
/// does not wait again.
const DEMAND_MARGIN: u64 = BLOCK_LENGTH;

/// The reason why an in-flight fetch ended without its bytes.
#[derive(Clone, Debug)]
pub(super) enum FetchFailure {
    /// The request ended for a reason that does not concern the waiters: the reader closed the file
    /// or continued elsewhere in it, or another request took over the bytes. Waiters repeat the
    /// request.
    Abandoned,
    /// The bytes cannot be fetched.
    Failed(FetchError),
}

/// A fetch of a part of one block.
#[derive(Debug)]
pub(super) struct InFlightFetch {
    pub(super) extent: BlockExtent,
    /// Whether the bytes come from the disk cache.
    pub(super) is_disk_load: bool,
    position: Arc<RequestPosition>,
    state: Mutex<State>,
    progress: Notify,
}

/// The current position of a request in the file. From the position, readers determine whether to
/// wait for the request.
#[derive(Debug)]
pub(super) struct RequestPosition {
    offset: AtomicU64,
    /// The last progress, or `None` before the reply begins, for example while the request waits
    /// for a connection.
    last_progress: Mutex<Option<RequestProgress>>,
    /// Whether the request receives nothing because it waits for something else than the server.
    is_paused: AtomicBool,
    /// Notified when another request takes over bytes of this one.
    replaced: Notify,
    /// The offset up to which readers have needed bytes of a demand-driven request; [`u64::MAX`]
    /// for other requests.
    needed_until: AtomicU64,
    /// Notified when `needed_until` has grown.
    need_grown: Notify,
    /// Whether the request replaces one that has stalled.
    is_replacement: bool,
}

/// The moment at which a request received bytes or the head of its reply.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestProgress {
    pub(super) time: Instant,
    /// Number of bytes that all requests had delivered at this time.
    pub(super) total_bytes: u64,
    /// Number of bytes that the request has received so far.
    pub(super) received_bytes: u64,
}

impl RequestPosition {
    pub(super) fn new(offset: u64) -> Arc<Self> {
        Arc::new(Self::begin(offset, false, u64::MAX))
    }

    /// Returns the position of a request that receives little more than its readers need.
    pub(super) fn of_demand_driven(offset: u64) -> Arc<Self> {
        Arc::new(Self::begin(offset, false, offset))
    }

    /// Returns the position of a request that replaces one that has stalled.
    pub(super) fn of_replacement(offset: u64) -> Arc<Self> {
        Arc::new(Self::begin(offset, true, u64::MAX))
    }

    fn begin(offset: u64, is_replacement: bool, needed_until: u64) -> Self {
        Self {
            offset: AtomicU64::new(offset),
            last_progress: Mutex::default(),
            is_paused: AtomicBool::new(false),
            replaced: Notify::new(),
            needed_until: AtomicU64::new(needed_until),
            need_grown: Notify::new(),
            is_replacement,
        }
    }

    /// Whether the request receives little more than its readers need.
    fn is_demand_driven(&self) -> bool {
        self.needed_until.load(Ordering::Relaxed) < u64::MAX
    }

    /// Records that a reader needs the bytes up to `offset`.
    fn record_need(&self, offset: u64) {
        if self.is_demand_driven()
            && self.needed_until.fetch_max(offset, Ordering::Relaxed) < offset
        {
            self.need_grown.notify_one();
        }
    }

    /// Whether the request may receive the bytes at `offset`: at most twice the bytes that its
    /// readers need, and [`DEMAND_MARGIN`].
    pub(super) fn is_due(&self, offset: u64) -> bool {
        let needed_until = self.needed_until.load(Ordering::Relaxed);
        offset < needed_until.saturating_mul(2).saturating_add(DEMAND_MARGIN)
    }

    /// Waits until the request may receive the bytes at `offset`.
    pub(super) async fn wait_until_due(&self, offset: u64) {
        while !self.is_due(offset) {
            self.need_grown.notified().await;
        }
    }

    /// Waits until another request takes over bytes of this one.
    pub(super) async fn wait_for_replacement(&self) {
        self.replaced.notified().await;
    }

    /// Marks the request as waiting for something else than the server, so that it does not count
    /// as stalled.
    pub(super) fn pause(&self) {
        self.is_paused.store(true, Ordering::Relaxed);
    }

    /// Marks the end of a pause. `total_bytes` is the number of bytes that all requests have
    /// delivered so far.
    pub(super) fn resume(&self, total_bytes: u64) {
        if let Some(last) = &mut *self.last_progress.lock() {
            (last.time, last.total_bytes) = (Instant::now(), total_bytes);
        }
        self.is_paused.store(false, Ordering::Relaxed);
    }

    pub(super) fn set(&self, offset: u64) {
        self.offset.store(offset, Ordering::Relaxed);
    }

    /// Records that the request has received `bytes` bytes, or the head of its reply. `total_bytes`
    /// is the number of bytes that all requests have delivered so far.
    pub(super) fn record_progress(&self, bytes: usize, total_bytes: u64) {
        let mut last_progress = self.last_progress.lock();
        let earlier_bytes = last_progress.map_or(0, |last| last.received_bytes);
        let received_bytes = earlier_bytes + bytes as u64;
        *last_progress =
            Some(RequestProgress { time: Instant::now(), total_bytes, received_bytes });
    }
}

#[derive(Debug)]
enum State {
    /// The fetch has received these bytes and waits for more.
    Filling(Vec<u8>),
    Complete(Bytes),
    Failed(FetchFailure),
}

impl InFlightFetch {
    pub(super) fn new(extent: BlockExtent, position: Arc<RequestPosition>) -> Arc<Self> {
        Arc::new(Self::new_empty(extent, false, position))
    }

    /// Creates a fetch that is filled from the disk cache.
    pub(super) fn from_disk(extent: BlockExtent) -> Arc<Self> {
        Arc::new(Self::new_empty(extent, true, RequestPosition::new(extent.start())))
    }

    fn new_empty(extent: BlockExtent, is_disk_load: bool, position: Arc<RequestPosition>) -> Self {
        let state = Mutex::new(State::Filling(Vec::new()));
        Self { extent, is_disk_load, position, state, progress: Notify::new() }
    }

    /// Returns the number of bytes that the request must deliver before it reaches this fetch.
    fn distance(&self) -> u64 {
        self.extent.start().saturating_sub(self.position.offset.load(Ordering::Relaxed))
    }

    /// Whether the request reaches this fetch so soon that a reader waits for it.
    pub(super) fn is_near(&self) -> bool {
        let max_distance = if self.position.is_demand_driven() {
            MAX_DEMAND_JOIN_DISTANCE
        } else {
            MAX_JOIN_DISTANCE
        };
        self.distance() <= max_distance
    }

    /// Records that a reader needs the bytes of `extent`.
    pub(super) fn record_need(&self, extent: BlockExtent) {
        self.position.record_need(extent.end());
    }

    /// Whether another request can replace that of this fetch. A replacement is not replaced again:
    /// if each request takes long, the bytes would never arrive.
    pub(super) fn is_replaceable(&self) -> bool {
        !self.is_disk_load && !self.position.is_replacement
    }

    /// Whether the same request fills both fetches.
    pub(super) fn has_request_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.position, &other.position)
    }

    /// Returns the last progress of the request, or `None` before its reply begins and during a
    /// pause.
    pub(super) fn last_progress(&self) -> Option<RequestProgress> {
        let is_paused = self.position.is_paused.load(Ordering::Relaxed);
        self.position.last_progress.lock().filter(|_| !is_paused)
    }

    /// Tells the request of this fetch that another request has taken over the fetch.
    pub(super) fn notify_request(&self) {
        self.position.replaced.notify_one();
    }

    /// Appends bytes that have arrived.
    pub(super) fn append(&self, bytes: &[u8]) {
        if let State::Filling(buffer) = &mut *self.state.lock() {
            if buffer.capacity() == 0 {
                buffer.reserve_exact(self.extent.len());
            }
            buffer.extend_from_slice(bytes);
        }
        self.progress.notify_waiters();
    }

    /// Appends the bytes of the fetch that `block` contains and that have not been appended before.
    /// `block` begins with the first byte of the block. Returns the number of bytes appended.
    pub(super) fn append_from_block(&self, block: &[u8]) -> usize {
        let appended_length = match &*self.state.lock() {
            State::Filling(buffer) => buffer.len(),
            State::Complete(_) | State::Failed(_) => return 0,
        };
        let from = self.extent.from + appended_length;
        let bytes = block.get(from..block.len().min(self.extent.to)).unwrap_or_default();
        if !bytes.is_empty() {
            self.append(bytes);
        }
        bytes.len()
    }

    /// Completes the fetch with the bytes that have been appended, and returns these bytes.
    pub(super) fn complete(&self) -> Bytes {
        let mut state = self.state.lock();
        let bytes = match &mut *state {
            State::Filling(buffer) => Bytes::from(std::mem::take(buffer)),
            State::Complete(bytes) => bytes.clone(),
            State::Failed(_) => Bytes::new(),
        };
        *state = State::Complete(bytes.clone());
        drop(state);
        self.progress.notify_waiters();
        bytes
    }

    /// Completes the fetch with bytes that arrived as a whole.
    pub(super) fn complete_with(&self, bytes: &Bytes) {
        *self.state.lock() = State::Complete(bytes.clone());
        self.progress.notify_waiters();
    }

    /// Ends the fetch without its bytes. A complete fetch does not change.
    pub(super) fn fail(&self, failure: FetchFailure) {
        let mut state = self.state.lock();
        if !matches!(*state, State::Complete(_)) {
            *state = State::Failed(failure);
        }
        drop(state);
        self.progress.notify_waiters();
    }

    /// Waits for the bytes of `extent`, which must be a part of the fetch.
    pub(super) async fn wait_for(&self, extent: BlockExtent) -> Result<Bytes, FetchFailure> {
        loop {
            let progress = self.progress.notified();
            tokio::pin!(progress);
            // The waiter is registered before the check. Otherwise bytes that arrive between the
            // check and the registration would be missed.
            progress.as_mut().enable();
            if let Some(result) = self.available_bytes(extent) {
                return result;
            }
            progress.await;
        }
    }

    /// Returns the bytes of `extent` if they have arrived, or the failure if the fetch has failed.
    /// Returns `None` while the bytes are in flight.
    pub(super) fn available_bytes(
        &self,
        extent: BlockExtent,
    ) -> Option<Result<Bytes, FetchFailure>> {
        if !self.extent.contains(extent) || extent.from > extent.to {
            return Some(Err(FetchFailure::Abandoned));
        }
        let (from, to) = (extent.from - self.extent.from, extent.to - self.extent.from);
        match &*self.state.lock() {
            State::Filling(buffer) => {
                buffer.get(from..to).map(|bytes| Ok(Bytes::copy_from_slice(bytes)))
            }
            State::Complete(bytes) if to <= bytes.len() => Some(Ok(bytes.slice(from..to))),
            State::Complete(_) => Some(Err(FetchFailure::Abandoned)),
            State::Failed(failure) => Some(Err(failure.clone())),
        }
    }
}

/// The table of all in-flight fetches, by block.
#[derive(Debug, Default)]
pub(super) struct InFlightFetches {
    fetches_by_block: HashMap<BlockKey, Vec<Arc<InFlightFetch>>>,
}

impl InFlightFetches {
    /// Registers one fetch for each block of `span`. A single request fills all of these fetches.
    pub(super) fn register(
        &mut self,
        content: ContentId,
        span: BlockSpan,
        position: &Arc<RequestPosition>,
    ) -> Vec<Arc<InFlightFetch>> {
        span.extents()
            .map(|extent| {
                let fetch = InFlightFetch::new(extent, position.clone());
                self.insert(content, &fetch);
                fetch
            })
            .collect()
    }

    /// Registers a fetch, which takes over the bytes that it has in common with other fetches.
    pub(super) fn insert(&mut self, content: ContentId, fetch: &Arc<InFlightFetch>) {
        let key = BlockKey { content, index: fetch.extent.index };
        let fetches = self.fetches_by_block.entry(key).or_default();
        fetches.retain(|other| !other.extent.overlaps(fetch.extent));
        fetches.push(fetch.clone());
    }

    /// Returns the fetch that contains the byte at `position` in a block.
    pub(super) fn fetch_at(&self, key: BlockKey, position: usize) -> Option<&Arc<InFlightFetch>> {
        self.fetches_by_block
            .get(&key)?
            .iter()
            .find(|fetch| fetch.extent.from <= position && position < fetch.extent.to)
    }

    /// Returns the number of fetches in the table.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.fetches_by_block.values().map(Vec::len).sum()
    }

    /// Returns the position in a block at which the next fetch after `position` begins.
    pub(super) fn next_start(&self, key: BlockKey, position: usize) -> Option<usize> {
        let start_positions =
            self.fetches_by_block.get(&key)?.iter().map(|fetch| fetch.extent.from);
        start_positions.filter(|start| *start > position).min()
    }

    /// Whether a fetch is in the table. If not, it has ended or another fetch has taken over its
    /// bytes.
    pub(super) fn contains(&self, content: ContentId, fetch: &Arc<InFlightFetch>) -> bool {
        let key = BlockKey { content, index: fetch.extent.index };
        let fetches = self.fetches_by_block.get(&key);
        fetches.is_some_and(|fetches| fetches.iter().any(|other| Arc::ptr_eq(other, fetch)))
    }

    pub(super) fn remove(&mut self, content: ContentId, fetch: &Arc<InFlightFetch>) {
        let key = BlockKey { content, index: fetch.extent.index };
        if let Some(fetches) = self.fetches_by_block.get_mut(&key) {
            fetches.retain(|other| !Arc::ptr_eq(other, fetch));
            if fetches.is_empty() {
                self.fetches_by_block.remove(&key);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.fetches_by_block.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::BlockIndex;

    const CONTENT: ContentId = ContentId(1);

    fn extent(from: usize, to: usize) -> BlockExtent {
        BlockExtent { index: BlockIndex(0), from, to }
    }

    fn key(index: u64) -> BlockKey {
        BlockKey { content: CONTENT, index: BlockIndex(index) }
    }

    fn fetch(from: usize, to: usize) -> Arc<InFlightFetch> {
        InFlightFetch::new(extent(from, to), RequestPosition::new(0))
    }

    /// Starts a task that waits for the bytes of `extent`. Returns when the task waits.
    async fn start_waiter(
        fetch: &Arc<InFlightFetch>,
        extent: BlockExtent,
    ) -> tokio::task::JoinHandle<Result<Bytes, FetchFailure>> {
        let fetch = fetch.clone();
        let waiter = tokio::spawn(async move { fetch.wait_for(extent).await });
        tokio::task::yield_now().await;
        assert!(!waiter.is_finished());
        waiter
    }

    #[tokio::test(start_paused = true)]
    async fn waiter_gets_bytes_when_they_arrive() {
        let fetch = fetch(10, 20);
        let first_waiter = start_waiter(&fetch, extent(10, 12)).await;
        let last_waiter = start_waiter(&fetch, extent(15, 20)).await;
        fetch.append(b"abcd");
        assert_eq!(first_waiter.await.unwrap().unwrap(), "ab");
        assert!(!last_waiter.is_finished());
        fetch.append(b"efghij");
        assert_eq!(last_waiter.await.unwrap().unwrap(), "fghij");
        assert_eq!(fetch.complete(), "abcdefghij");
    }

    #[test]
    fn each_byte_of_a_block_is_appended_once() {
        let fetch = fetch(2, 5);
        for (block, length) in [("a", 0), ("abcd", 2), ("abcd", 0), ("abcdefg", 1), ("abcdefg", 0)]
        {
            assert_eq!(fetch.append_from_block(block.as_bytes()), length, "{block}");
        }
        assert_eq!(fetch.complete(), "cde");
    }

    #[tokio::test(start_paused = true)]
    async fn all_waiters_get_the_same_failure() {
        let fetch = fetch(0, 10);
        let waiters =
            [start_waiter(&fetch, extent(0, 1)).await, start_waiter(&fetch, extent(5, 10)).await];
        fetch.append(b"a");
        fetch.fail(FetchFailure::Failed(FetchError::Gone("deleted".into())));
        let [first, last] = waiters;
        assert!(matches!(last.await.unwrap(), Err(FetchFailure::Failed(FetchError::Gone(_)))));
        // This waiter wakes up after the failure. It gets the failure even though its bytes have
        // arrived.
        assert!(first.await.unwrap().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn abandoned_fetch_releases_its_waiters() {
        let fetch = fetch(0, 10);
        let waiter = start_waiter(&fetch, extent(0, 10)).await;
        fetch.fail(FetchFailure::Abandoned);
        assert!(matches!(waiter.await.unwrap(), Err(FetchFailure::Abandoned)));
    }

    #[test]
    fn complete_fetch_stays_complete() {
        let fetch = fetch(0, 4);
        fetch.append(b"abcd");
        fetch.complete();
        fetch.fail(FetchFailure::Abandoned);
        fetch.append(b"more");
        assert_eq!(fetch.available_bytes(extent(1, 4)).unwrap().unwrap(), "bcd");
        assert_eq!(fetch.complete(), "abcd");
    }

    #[test]
    fn bytes_outside_of_the_fetch_are_not_available() {
        let fetch = fetch(10, 20);
        fetch.complete_with(&Bytes::from_static(b"0123456789"));
        for (from, to) in [(9, 12), (15, 21), (0, 5)] {
            let available_bytes = fetch.available_bytes(extent(from, to));
            assert!(matches!(available_bytes, Some(Err(FetchFailure::Abandoned))), "{from}..{to}");
        }
        assert_eq!(fetch.available_bytes(extent(12, 14)).unwrap().unwrap(), "23");
    }

    #[test]
    fn fetch_is_found_by_block_position() {
        let mut table = InFlightFetches::default();
        let (first, last) = (fetch(10, 20), fetch(40, 50));
        table.insert(CONTENT, &first);
        table.insert(CONTENT, &last);
        let find_fetch = |position| table.fetch_at(key(0), position).cloned();
        assert!(find_fetch(9).is_none() && find_fetch(20).is_none());
        assert!(Arc::ptr_eq(&find_fetch(10).unwrap(), &first));
        assert!(Arc::ptr_eq(&find_fetch(49).unwrap(), &last));
        assert!(table.fetch_at(key(1), 10).is_none());
        assert_eq!(table.next_start(key(0), 0), Some(10));
        assert_eq!(table.next_start(key(0), 10), Some(40));
        assert_eq!(table.next_start(key(0), 40), None);
    }

    #[test]
    fn newer_fetch_takes_over_common_bytes() {
        let mut table = InFlightFetches::default();
        let (older, neighbor, newer) = (fetch(0, 30), fetch(30, 40), fetch(20, 30));
        table.insert(CONTENT, &older);
        table.insert(CONTENT, &neighbor);
        table.insert(CONTENT, &newer);
        assert!(!table.contains(CONTENT, &older));
        assert!(table.contains(CONTENT, &neighbor) && table.contains(CONTENT, &newer));
        // The older request can remove only its own fetches.
        table.remove(CONTENT, &older);
        assert!(table.contains(CONTENT, &newer));
        table.remove(CONTENT, &newer);
        table.remove(CONTENT, &neighbor);
        assert!(table.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn demand_driven_request_follows_its_readers() {
        let position = RequestPosition::of_demand_driven(0);
        let fetch = InFlightFetch::new(extent(0, 10_000), position.clone());
        assert!(position.is_due(DEMAND_MARGIN - 1) && !position.is_due(DEMAND_MARGIN));
        let waiter = {
            let position = position.clone();
            tokio::spawn(async move { position.wait_until_due(DEMAND_MARGIN + 10_000).await })
        };
        fetch.record_need(extent(0, 5_000));
        tokio::task::yield_now().await;
        assert!(!waiter.is_finished(), "twice the need, and the margin");
        fetch.record_need(extent(5_000, 6_000));
        fetch.record_need(extent(0, 1));
        waiter.await.unwrap();
        assert!(
            position.is_due(DEMAND_MARGIN + 11_999) && !position.is_due(DEMAND_MARGIN + 12_000)
        );
    }

    #[test]
    fn other_requests_are_always_due() {
        for position in [RequestPosition::new(0), RequestPosition::of_replacement(0)] {
            assert!(position.is_due(u64::MAX - 1));
        }
    }

    #[test]
    fn request_registers_one_fetch_per_block() {
        let mut table = InFlightFetches::default();
        let span = BlockSpan::new(BLOCK_LENGTH / 2, 2 * BLOCK_LENGTH + 7);
        let position = RequestPosition::new(span.start);
        let fetches = table.register(CONTENT, span, &position);
        assert_eq!(fetches.iter().map(|fetch| fetch.extent.index.0).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(fetches[2].distance(), 3 * BLOCK_LENGTH / 2);
        position.set(2 * BLOCK_LENGTH);
        assert_eq!(fetches[2].distance(), 0);
        assert_eq!(fetches[0].distance(), 0);
    }
}

#[cfg(all(test, feature = "model-check"))]
mod model_check {
    use super::*;
    use crate::cache::BlockIndex;

    const SCHEDULE_COUNT: usize = 10_000;
    const BYTES: &[u8] = b"0123456789";

    fn extent(from: usize, to: usize) -> BlockExtent {
        BlockExtent { index: BlockIndex(0), from, to }
    }

    fn fetch() -> Arc<InFlightFetch> {
        InFlightFetch::new(extent(0, BYTES.len()), RequestPosition::new(0))
    }

    fn spawn_waiter(
        fetch: &Arc<InFlightFetch>,
        from: usize,
        to: usize,
    ) -> shuttle::thread::JoinHandle<Result<Bytes, FetchFailure>> {
        let fetch = fetch.clone();
        shuttle::thread::spawn(move || shuttle::future::block_on(fetch.wait_for(extent(from, to))))
    }

    #[test]
    fn schedules_do_not_lose_a_wakeup() {
        let check = || {
            let fetch = fetch();
            let waiters = [(0, 1), (3, 7), (0, 10)];
            let waiters = waiters.map(|(from, to)| (from, to, spawn_waiter(&fetch, from, to)));
            for part in BYTES.chunks(4) {
                fetch.append(part);
            }
            assert_eq!(fetch.complete(), BYTES);
            for (from, to, waiter) in waiters {
                assert_eq!(waiter.join().unwrap().unwrap(), BYTES[from..to]);
            }
        };
        shuttle::check_random(check, SCHEDULE_COUNT);
    }

    #[test]
    fn schedules_report_a_failure_to_every_waiter() {
        let check = || {
            let fetch = fetch();
            let waiters = [(0, 4), (2, 10), (9, 10)];
            let waiters = waiters.map(|(from, to)| (from, to, spawn_waiter(&fetch, from, to)));
            fetch.append(&BYTES[..4]);
            fetch.fail(FetchFailure::Failed(FetchError::Gone("deleted".into())));
            for (from, to, waiter) in waiters {
                match waiter.join().unwrap() {
                    // Bytes that arrived before the failure can be returned.
                    Ok(bytes) => assert!(to <= 4 && bytes == BYTES[from..to]),
                    Err(FetchFailure::Failed(FetchError::Gone(_))) => {}
                    Err(other) => panic!("{other:?}"),
                }
            }
        };
        shuttle::check_random(check, SCHEDULE_COUNT);
    }

    #[test]
    fn schedules_end_a_fetch_only_once() {
        let check = || {
            let fetch = fetch();
            fetch.append(BYTES);
            let waiter = spawn_waiter(&fetch, 0, 10);
            let failing_thread = {
                let fetch = fetch.clone();
                shuttle::thread::spawn(move || fetch.fail(FetchFailure::Abandoned))
            };
            let completed_bytes = fetch.complete();
            failing_thread.join().unwrap();
            match waiter.join().unwrap() {
                Ok(bytes) => assert_eq!(bytes, BYTES),
                Err(failure) => assert!(matches!(failure, FetchFailure::Abandoned)),
            }
            assert!(completed_bytes == BYTES || completed_bytes.is_empty());
        };
        shuttle::check_random(check, SCHEDULE_COUNT);
    }
}

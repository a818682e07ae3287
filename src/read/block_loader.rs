//! Loads blocks: finds the missing bytes of a range, and starts loads and fetches for them.
//!
//! A byte is in the memory cache, in flight, or missing. Missing blocks are loaded from the disk
//! cache if it contains them. All other missing bytes are fetched with as few requests as possible.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::time::Instant;
use tracing::Instrument;

use super::cache_tiers::CacheTiers;
use super::content::Content;
use super::disk_load::DiskLoad;
use super::fetch_purpose::FetchPurpose;
use super::fetch_request::{FetchListener, FetchRequest, Fetcher};
use super::in_flight::{FetchFailure, InFlightFetch, InFlightFetches, RequestPosition};
use super::open_file::OpenFile;
use super::throughput::ThroughputMeter;
use crate::cache::{BLOCK_LENGTH, BlockExtent, BlockIndex, BlockSpan, Reservation};
use crate::http::FetchError;
use crate::sync::{Mutex, timeout};

/// Time without a byte after which a request is replaced if other requests deliver bytes. On a
/// lossy line, one connection in a hundred stalls for seconds, and a copy would wait for it each
/// time. A retransmission of TCP takes less time than this, unless it fails several times.
const REPLACEMENT_TIMEOUT: Duration = Duration::from_millis(500);

/// Time after which a request that delivers less than [`MIN_REQUEST_RATE`] is replaced, even if no
/// other request delivers bytes. The server may have recovered since the request began. A request
/// without any byte is repeated by its stream. The time is less than most read deadlines.
const SLOW_REQUEST_TIMEOUT: Duration = Duration::from_secs(3);

/// Minimum rate of a request that a reader waits for, in bytes per second. Below this rate, a
/// transfer counts as slow for the connection pool as well.
const MIN_REQUEST_RATE: u64 = 16 * 1024;

/// Interval at which a waiting reader checks whether its request has stalled.
const STALL_CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// Minimum number of bytes that the other requests of all files deliver after the last byte of the
/// stalled one. They do not have to deliver all the time, because the prefetch window is soon full.
/// If they deliver less, the server or the line is slow, and more requests would make it slower.
const MIN_OTHER_BYTES: u64 = 4 * BLOCK_LENGTH;

/// The bytes that a request fetches.
struct RequestTarget<'a> {
    content: &'a Arc<Content>,
    span: BlockSpan,
    position: Arc<RequestPosition>,
}

/// Loads byte ranges of files into memory.
pub(super) struct BlockLoader {
    pub(super) caches: Arc<CacheTiers>,
    pub(super) in_flight: Arc<Mutex<InFlightFetches>>,
    pub(super) fetcher: Arc<dyn Fetcher>,
    /// Counts the bytes that all requests deliver.
    pub(super) meter: Arc<ThroughputMeter>,
    pub(super) runtime: tokio::runtime::Handle,
}

/// The result of [`BlockLoader::request_missing`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Coverage {
    /// The offset in the span up to which all bytes are in memory, in flight, or known to be
    /// unavailable.
    pub(super) covered_until: u64,
    /// Number of requests that were started.
    pub(super) requests: usize,
}

impl BlockLoader {
    /// Starts loads and fetches for the missing bytes of `span`. A prefetch stops when the memory
    /// budget is used up.
    pub(super) fn request_missing(
        &self,
        content: &Arc<Content>,
        span: BlockSpan,
        purpose: &FetchPurpose,
        listener: &Arc<dyn FetchListener>,
    ) -> Coverage {
        if self.caches.disk.is_some() {
            self.load_from_disk(content, span, purpose);
        }
        let mut in_flight = self.in_flight.lock();
        let mut remaining_span = span;
        let mut requests = 0;
        while let Some(gap) = self.next_gap(&in_flight, content, remaining_span, purpose) {
            let Some(reservation) = self.reserve(gap.len(), purpose) else {
                return Coverage { covered_until: gap.start, requests };
            };
            let reserved_span = BlockSpan::new(gap.start, gap.start + reservation.bytes());
            let position = if purpose.is_demand_driven() && reserved_span.start == 0 {
                RequestPosition::of_demand_driven(reserved_span.start)
            } else {
                RequestPosition::new(reserved_span.start)
            };
            let target = RequestTarget { content, span: reserved_span, position };
            self.start_request(&mut in_flight, target, reservation, purpose, listener);
            requests += 1;
            remaining_span.start = reserved_span.end;
            if reserved_span.end < gap.end {
                return Coverage { covered_until: reserved_span.end, requests };
            }
        }
        Coverage { covered_until: span.end, requests }
    }

    /// Whether the first byte of a file is neither cached nor in flight.
    pub(super) fn is_head_missing(&self, content: &Content) -> bool {
        let head = content.key(BlockIndex(0));
        self.in_flight.lock().fetch_at(head, 0).is_none()
            && self.caches.memory.contiguous_end(head, 0) == 0
            && !self.caches.is_on_disk(content, BlockIndex(0))
    }

    /// Whether the first byte of a file is in flight from the server.
    pub(super) fn is_head_in_flight(&self, content: &Content) -> bool {
        let in_flight = self.in_flight.lock();
        let head = in_flight.fetch_at(content.key(BlockIndex(0)), 0);
        head.is_some_and(|fetch| !fetch.is_disk_load)
    }

    /// Registers the fetches of a request and starts it.
    fn start_request(
        &self,
        in_flight: &mut InFlightFetches,
        target: RequestTarget<'_>,
        reservation: Reservation,
        purpose: &FetchPurpose,
        listener: &Arc<dyn FetchListener>,
    ) {
        let RequestTarget { content, span, position } = target;
        let fetches = in_flight.register(content.id, span, &position);
        self.caches.record_fetch(fetches.len());
        self.fetcher.start(FetchRequest {
            content: content.clone(),
            span,
            fetches,
            position,
            reservation,
            purpose: purpose.clone(),
            listener: listener.clone(),
            caches: self.caches.clone(),
            in_flight: self.in_flight.clone(),
            meter: self.meter.clone(),
        });
    }

    /// Starts a new request for the bytes of a fetch and for the later bytes of the same request.
    /// The old request ends when it reaches these bytes, or at once if it waits for them.
    fn replace_request(
        &self,
        content: &Arc<Content>,
        fetch: &Arc<InFlightFetch>,
        purpose: &FetchPurpose,
        listener: &Arc<dyn FetchListener>,
    ) {
        let mut in_flight = self.in_flight.lock();
        // Another waiter may have replaced the request.
        if !in_flight.contains(content.id, fetch) {
            return;
        }
        let mut span = BlockSpan::new(fetch.extent.start(), fetch.extent.end());
        while let Some(next) = BlockSpan::new(span.end, content.recording.size).first_extent()
            && let Some(next_fetch) = in_flight.fetch_at(content.key(next.index), next.from)
            && next_fetch.has_request_of(fetch)
        {
            span.end = next_fetch.extent.end();
        }
        let position = RequestPosition::of_replacement(span.start);
        let reservation = self.caches.memory.reserve_for_demand(span.len());
        let target = RequestTarget { content, span, position };
        self.start_request(&mut in_flight, target, reservation, purpose, listener);
        drop(in_flight);
        fetch.notify_request();
    }

    /// Waits for the bytes of `extent` in a fetch. If the request has stalled while other requests
    /// deliver bytes, requests the bytes again and returns [`FetchFailure::Abandoned`].
    async fn wait_for_fetch(
        &self,
        file: &OpenFile,
        fetch: &Arc<InFlightFetch>,
        extent: BlockExtent,
        purpose: &FetchPurpose,
        listener: &Arc<dyn FetchListener>,
    ) -> Result<Bytes, FetchFailure> {
        let bytes = fetch.wait_for(extent);
        tokio::pin!(bytes);
        let (mut start, mut bytes_before) = (None, 0);
        loop {
            if let Some(result) = timeout(STALL_CHECK_INTERVAL, &mut bytes).await {
                return result;
            }
            let has_stalled = fetch.last_progress().is_some_and(|last| {
                let other_bytes = self.meter.read().bytes.saturating_sub(last.total_bytes);
                last.time.elapsed() >= REPLACEMENT_TIMEOUT && other_bytes >= MIN_OTHER_BYTES
            });
            // The wait for a connection before the reply does not count.
            let is_slow = fetch.last_progress().is_some_and(|last| {
                let start = *start.get_or_insert_with(|| {
                    bytes_before = last.received_bytes;
                    Instant::now()
                });
                let received_bytes = (last.received_bytes - bytes_before) as f64;
                let elapsed = start.elapsed();
                elapsed >= SLOW_REQUEST_TIMEOUT
                    && received_bytes > 0.0
                    && received_bytes < MIN_REQUEST_RATE as f64 * elapsed.as_secs_f64()
            });
            // A server that ignores ranges would send the whole file again.
            if (has_stalled || is_slow) && fetch.is_replaceable() && !file.content.ignores_ranges()
            {
                tracing::debug!(
                    start = fetch.extent.start(),
                    "replacing a stalled or slow request"
                );
                self.replace_request(&file.content, fetch, purpose, listener);
                return Err(FetchFailure::Abandoned);
            }
        }
    }

    /// Reserves memory for `bytes` bytes. For a prefetch, the reservation may be smaller. Returns
    /// `None` if the budget is used up.
    fn reserve(&self, bytes: u64, purpose: &FetchPurpose) -> Option<Reservation> {
        if purpose.is_demand() {
            Some(self.caches.memory.reserve_for_demand(bytes))
        } else {
            self.caches.memory.reserve_for_prefetch(bytes)
        }
    }

    /// Starts to load the blocks of `span` that are in the disk cache but not in memory. A prefetch
    /// stops when the memory budget is used up.
    fn load_from_disk(&self, content: &Arc<Content>, span: BlockSpan, purpose: &FetchPurpose) {
        for index in span.blocks() {
            let block = BlockExtent { index, from: 0, to: content.block_length(index) };
            let key = content.key(index);
            let mut in_flight = self.in_flight.lock();
            let is_loading = self.caches.memory.contiguous_end(key, 0) >= block.to
                || in_flight.fetch_at(key, 0).is_some();
            if is_loading || !self.caches.is_on_disk(content, index) {
                continue;
            }
            let reservation = self.reserve(block.len() as u64, purpose);
            let Some(reservation) =
                reservation.filter(|reserved| reserved.bytes() == block.len() as u64)
            else {
                return;
            };
            let fetch = InFlightFetch::from_disk(block);
            in_flight.insert(content.id, &fetch);
            let load = DiskLoad {
                caches: self.caches.clone(),
                in_flight: self.in_flight.clone(),
                content: content.clone(),
                fetch,
                reservation,
            };
            self.runtime.spawn(load.run().in_current_span());
        }
    }

    /// Returns the first gap in `span`: bytes that are not in memory, not in flight, and not known
    /// to be unavailable. If the bytes are urgent, a gap also includes bytes in flight if their
    /// request will not reach them soon.
    fn next_gap(
        &self,
        in_flight: &InFlightFetches,
        content: &Content,
        span: BlockSpan,
        purpose: &FetchPurpose,
    ) -> Option<BlockSpan> {
        let mut start = None;
        let mut remaining_span = span;
        while let Some(extent) = remaining_span.first_extent() {
            let BlockExtent { index, from, to } = extent;
            let key = content.key(index);
            let in_flight_until = in_flight
                .fetch_at(key, from)
                .filter(|fetch| !purpose.is_urgent() || fetch.is_near())
                .map_or(from, |fetch| fetch.extent.to);
            let is_unavailable = if purpose.is_demand() {
                content.recent_failure(index).is_some()
            } else {
                content.has_failed_recently(index) || content.breaker.is_open(remaining_span)
            };
            let unavailable_until = if is_unavailable { to } else { from };
            let available_until = self
                .caches
                .memory
                .contiguous_end(key, from)
                .max(in_flight_until)
                .max(unavailable_until);
            if available_until > from {
                if start.is_some() {
                    break;
                }
                remaining_span.start = extent.offset_of(available_until);
                continue;
            }
            start.get_or_insert(remaining_span.start);
            let next_cached = self.caches.memory.next_extent_start(key, from);
            let next_start = next_cached.into_iter().chain(in_flight.next_start(key, from)).min();
            remaining_span.start = extent.offset_of(next_start.unwrap_or(to).min(to));
        }
        start.map(|start| BlockSpan::new(start, remaining_span.start.min(span.end)))
    }

    /// Returns the number of bytes of `span` that are neither cached nor in flight.
    pub(super) fn missing_bytes(&self, content: &Content, span: BlockSpan) -> u64 {
        let in_flight = self.in_flight.lock();
        let missing_in_block = |extent: BlockExtent| {
            let BlockExtent { index, from, to } = extent;
            let key = content.key(index);
            let (mut position, mut missing) = (from, 0);
            while position < to {
                let in_flight_until =
                    in_flight.fetch_at(key, position).map_or(position, |fetch| fetch.extent.to);
                let available_until =
                    self.caches.memory.contiguous_end(key, position).max(in_flight_until);
                if available_until > position {
                    position = available_until;
                    continue;
                }
                let next_cached = self.caches.memory.next_extent_start(key, position);
                let next_starts =
                    next_cached.into_iter().chain(in_flight.next_start(key, position));
                let gap_end = next_starts.min().unwrap_or(to).min(to);
                missing += gap_end - position;
                position = gap_end;
            }
            missing as u64
        };
        let extents = span.extents();
        let fetched = extents.filter(|extent| !self.caches.is_on_disk(content, extent.index));
        fetched.map(missing_in_block).sum()
    }

    /// Returns the bytes of `span` if all of them are in memory or have arrived in a fetch.
    pub(super) fn available_bytes(&self, content: &Content, span: BlockSpan) -> Option<Bytes> {
        let first_extent = span.first_extent()?;
        if BlockIndex::containing(span.end - 1) == first_extent.index {
            return self.available_bytes_in_block(content, first_extent);
        }
        let mut bytes = BytesMut::with_capacity(usize::try_from(span.len()).ok()?);
        for extent in span.extents() {
            bytes.extend_from_slice(&self.available_bytes_in_block(content, extent)?);
        }
        Some(bytes.freeze())
    }

    fn available_bytes_in_block(&self, content: &Content, extent: BlockExtent) -> Option<Bytes> {
        let key = content.key(extent.index);
        if let Some(bytes) = self.caches.memory.bytes(key, extent.from, extent.to) {
            return Some(bytes);
        }
        let fetch = self.in_flight.lock().fetch_at(key, extent.from).cloned()?;
        if fetch.extent.to < extent.to {
            return None;
        }
        fetch.record_need(extent);
        fetch.available_bytes(extent)?.ok()
    }

    /// Returns `span` without the bytes at its start that are in memory.
    pub(super) fn skip_cached_start(&self, content: &Content, span: BlockSpan) -> BlockSpan {
        let mut remaining_span = span;
        while let Some(extent) = remaining_span.first_extent() {
            let cached_until =
                self.caches.memory.contiguous_end(content.key(extent.index), extent.from);
            remaining_span.start = extent.offset_of(cached_until.min(extent.to));
            if cached_until < extent.to {
                break;
            }
        }
        remaining_span
    }

    /// Returns the bytes of `span` if each of them is in memory or on disk or has arrived in a
    /// fetch. Neither sends requests nor waits for requests in flight.
    pub(super) async fn read_cached(
        &self,
        content: &Arc<Content>,
        span: BlockSpan,
        purpose: &FetchPurpose,
    ) -> Option<Bytes> {
        if self.caches.disk.is_some() {
            self.load_from_disk(content, span, purpose);
        }
        for extent in span.extents() {
            let key = content.key(extent.index);
            let fetch = self.in_flight.lock().fetch_at(key, extent.from).cloned();
            if let Some(fetch) = fetch.filter(|fetch| fetch.is_disk_load) {
                // If the load fails, the block remains missing.
                let _ = fetch.wait_for(extent).await;
            }
        }
        self.available_bytes(content, span)
    }

    /// Starts loads and fetches for the missing bytes of `span`, which must not be empty, and waits
    /// for all bytes of `span`. The wait has no timeout of its own, so the caller must set one.
    ///
    /// # Errors
    /// A block cannot be fetched, or the content has changed on the server.
    pub(super) async fn read(
        &self,
        file: &OpenFile,
        span: BlockSpan,
        purpose: &FetchPurpose,
        listener: &Arc<dyn FetchListener>,
    ) -> Result<Bytes, FetchError> {
        let mut remaining_span = span;
        let first_bytes = self.read_some(file, remaining_span, purpose, listener).await?;
        remaining_span.start += first_bytes.len() as u64;
        if remaining_span.is_empty() {
            return Ok(first_bytes);
        }
        let mut bytes = BytesMut::with_capacity(usize::try_from(span.len()).unwrap_or_default());
        bytes.extend_from_slice(&first_bytes);
        while !remaining_span.is_empty() {
            let next_bytes = self.read_some(file, remaining_span, purpose, listener).await?;
            remaining_span.start += next_bytes.len() as u64;
            bytes.extend_from_slice(&next_bytes);
        }
        Ok(bytes.freeze())
    }

    /// Waits until the first byte of `span` is available. Returns one or more bytes of the first
    /// block.
    async fn read_some(
        &self,
        file: &OpenFile,
        span: BlockSpan,
        purpose: &FetchPurpose,
        listener: &Arc<dyn FetchListener>,
    ) -> Result<Bytes, FetchError> {
        let content = &file.content;
        let Some(extent) = span.first_extent() else { return Ok(Bytes::new()) };
        let key = content.key(extent.index);
        loop {
            if content.is_stale() {
                return Err(FetchError::Changed("the file has changed since it was opened".into()));
            }
            let cached_until = self.caches.memory.contiguous_end(key, extent.from).min(extent.to);
            if cached_until > extent.from
                && let Some(bytes) = self.caches.memory.bytes(key, extent.from, cached_until)
            {
                return Ok(bytes);
            }
            let fetch = self.in_flight.lock().fetch_at(key, extent.from).cloned();
            let Some(fetch) = fetch else {
                if let Some(error) = content.recent_failure(extent.index) {
                    return Err(error);
                }
                let end = span.end.min(extent.index.end(content.recording.size));
                self.request_missing(content, BlockSpan::new(span.start, end), purpose, listener);
                continue;
            };
            let shared_extent = extent.truncated_at(fetch.extent.to);
            fetch.record_need(shared_extent);
            if let Some(Ok(bytes)) = fetch.available_bytes(shared_extent) {
                return Ok(bytes);
            }
            let waiter = file.meter.add_waiter();
            let result = self.wait_for_fetch(file, &fetch, shared_extent, purpose, listener).await;
            drop(waiter);
            match result {
                Ok(bytes) => return Ok(bytes),
                Err(FetchFailure::Abandoned) => tokio::task::yield_now().await,
                Err(FetchFailure::Failed(error)) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::runtime::Handle;

    use super::super::content::FAILURE_TTL;
    use super::super::in_flight::MAX_JOIN_DISTANCE;
    use super::super::test_support::{
        ManualFetcher, bytes_of, content, demand, fulfill, loader, no_listener, open, span,
    };
    use super::*;
    use crate::http::TrafficClass;

    const BUDGET: u64 = 64 * BLOCK_LENGTH;
    const SIZE: u64 = 1024 * BLOCK_LENGTH;

    /// A loader and one open file.
    struct Setup {
        loader: Arc<BlockLoader>,
        fetcher: Arc<ManualFetcher>,
        file: Arc<OpenFile>,
    }

    type ReadTask = tokio::task::JoinHandle<Result<Bytes, FetchError>>;

    impl Setup {
        fn new() -> Self {
            Self::with_budget(BUDGET)
        }

        fn with_budget(budget: u64) -> Self {
            let (loader, fetcher) = loader(budget, &Handle::current());
            let file = open(&content(SIZE), &Handle::current());
            Self { loader, fetcher, file }
        }

        /// Starts to read a span in a task. Returns when the task waits for the bytes.
        async fn read(&self, span: BlockSpan) -> ReadTask {
            let (loader, file) = (self.loader.clone(), self.file.clone());
            let read_task = tokio::spawn(async move {
                loader.read(&file, span, &demand(&file), &no_listener()).await
            });
            tokio::task::yield_now().await;
            read_task
        }

        fn request_missing(&self, span: BlockSpan, purpose: &FetchPurpose) -> Coverage {
            self.loader.request_missing(&self.file.content, span, purpose, &no_listener())
        }

        fn demand(&self) -> FetchPurpose {
            demand(&self.file)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn readers_of_one_block_share_a_request() {
        let setup = Setup::new();
        let read_tasks = [setup.read(span(0, 4)).await, setup.read(span(1, 3)).await];
        assert!(fulfill(setup.fetcher.take_only()));
        let [outer, inner] = read_tasks;
        assert_eq!(outer.await.unwrap().unwrap(), bytes_of(span(0, 4)));
        assert_eq!(inner.await.unwrap().unwrap(), bytes_of(span(1, 3)));
        assert!(setup.loader.in_flight.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn cached_and_in_flight_bytes_are_not_missing() {
        let setup = Setup::new();
        let missing = |read| setup.loader.missing_bytes(&setup.file.content, read);
        assert_eq!(missing(span(10, 50)), span(10, 50).len());
        setup.request_missing(span(12, 14), &setup.demand());
        assert!(fulfill(setup.fetcher.take_only()));
        setup.request_missing(span(20, 40), &setup.demand());
        assert_eq!(missing(span(10, 50)), span(0, 2 + 6 + 10).len());
        assert_eq!((missing(span(12, 14)), missing(span(25, 35))), (0, 0));
        assert_eq!(missing(span(13, 21)), span(14, 20).len());
    }

    #[tokio::test(start_paused = true)]
    async fn read_across_blocks_is_exact() {
        let setup = Setup::new();
        let span_across_blocks = span(10, 50);
        assert_eq!(setup.request_missing(span_across_blocks, &setup.demand()).requests, 1);
        assert!(fulfill(setup.fetcher.take_only()));
        let read_task = setup.read(span_across_blocks).await;
        assert_eq!(read_task.await.unwrap().unwrap(), bytes_of(span_across_blocks));
        assert_eq!(
            setup.loader.available_bytes(&setup.file.content, span_across_blocks),
            Some(bytes_of(span_across_blocks))
        );
        assert!(setup.fetcher.take().is_none());
    }

    /// Lets time pass, while other requests receive bytes.
    async fn receive_elsewhere(setup: &Setup) {
        setup.loader.meter.add_bytes(MIN_OTHER_BYTES as usize);
        tokio::time::sleep(REPLACEMENT_TIMEOUT).await;
        tokio::task::yield_now().await;
    }

    #[tokio::test(start_paused = true)]
    async fn stalled_request_is_replaced_once() {
        let setup = Setup::new();
        let whole_read = BlockSpan::new(0, 2 * BLOCK_LENGTH);
        setup.request_missing(whole_read, &setup.demand());
        let read_task = setup.read(whole_read).await;
        let stalled_request = setup.fetcher.take_only();
        receive_elsewhere(&setup).await;
        assert!(setup.fetcher.take().is_none(), "the request has not begun");
        stalled_request.position.record_progress(0, setup.loader.meter.read().bytes);
        receive_elsewhere(&setup).await;
        tokio::time::sleep(STALL_CHECK_INTERVAL).await;
        let replacement = setup.fetcher.take_only();
        assert_eq!(replacement.span, whole_read);
        replacement.position.record_progress(0, setup.loader.meter.read().bytes);
        for _ in 0..3 {
            receive_elsewhere(&setup).await;
        }
        assert!(setup.fetcher.take().is_none(), "the replacement is not replaced");
        assert!(fulfill(replacement));
        assert_eq!(read_task.await.unwrap().unwrap().len() as u64, whole_read.len());
        stalled_request.fail_remaining(FetchFailure::Abandoned);
        assert!(setup.loader.in_flight.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn slow_request_is_replaced_once() {
        let setup = Setup::new();
        let read_task = setup.read(span(0, 4)).await;
        let slow_request = setup.fetcher.take_only();
        slow_request.position.record_progress(0, 0);
        for _ in 0..6 {
            tokio::time::sleep(SLOW_REQUEST_TIMEOUT / 4).await;
            slow_request.position.record_progress(1000, 1000);
        }
        let replacement = setup.fetcher.take_only();
        assert!(fulfill(replacement));
        assert!(read_task.await.unwrap().is_ok());
        slow_request.fail_remaining(FetchFailure::Abandoned);
    }

    #[tokio::test(start_paused = true)]
    async fn request_is_kept_while_the_line_is_silent() {
        let setup = Setup::new();
        let _read_task = setup.read(span(0, 4)).await;
        setup.loader.meter.add_bytes(MIN_OTHER_BYTES as usize);
        let total_bytes = setup.loader.meter.read().bytes;
        setup.fetcher.take_only().position.record_progress(0, total_bytes);
        tokio::time::sleep(10 * REPLACEMENT_TIMEOUT).await;
        assert!(setup.fetcher.take().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn failure_is_shared_until_its_ttl() {
        let setup = Setup::new();
        let read_task = setup.read(span(0, 4)).await;
        let not_found = FetchFailure::Failed(FetchError::Gone("deleted".into()));
        setup.fetcher.take_only().fail_remaining(not_found);
        assert!(matches!(read_task.await.unwrap(), Err(FetchError::Gone(_))));
        let second_read = setup.read(span(0, 4)).await;
        assert!(matches!(second_read.await.unwrap(), Err(FetchError::Gone(_))));
        assert!(setup.fetcher.take().is_none(), "the stored failure is returned");
        tokio::time::advance(FAILURE_TTL).await;
        let third_read = setup.read(span(0, 4)).await;
        assert!(fulfill(setup.fetcher.take_only()));
        assert!(third_read.await.unwrap().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn new_handle_sends_requests_again_after_failure() {
        let setup = Setup::new();
        let read_task = setup.read(span(0, 4)).await;
        let not_found = FetchFailure::Failed(FetchError::Gone("deleted".into()));
        setup.fetcher.take_only().fail_remaining(not_found);
        assert!(read_task.await.unwrap().is_err());
        let _second_handle = open(&setup.file.content, &Handle::current());
        let _second_read = setup.read(span(0, 4)).await;
        assert!(setup.fetcher.take().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn reader_repeats_an_abandoned_request() {
        let setup = Setup::new();
        let read_task = setup.read(span(0, 4)).await;
        setup.fetcher.take_only().fail_remaining(FetchFailure::Abandoned);
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(fulfill(setup.fetcher.take_only()));
        assert_eq!(read_task.await.unwrap().unwrap(), bytes_of(span(0, 4)));
    }

    #[tokio::test(start_paused = true)]
    async fn failed_prefetch_does_not_fail_its_reader() {
        let setup = Setup::new();
        setup.request_missing(span(0, 16), &FetchPurpose::UpcomingFile(TrafficClass::Brief));
        let read_task = setup.read(span(0, 4)).await;
        let timeout = FetchFailure::Failed(FetchError::Deadline("no reply".into()));
        setup.fetcher.take_only().fail_remaining(timeout);
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(fulfill(setup.fetcher.take_only()));
        assert!(read_task.await.unwrap().is_ok());
        // A failed prefetch is not repeated at once.
        assert!(setup.file.content.has_failed_recently(BlockIndex(0)));
    }

    #[tokio::test(start_paused = true)]
    async fn demand_takes_over_a_distant_prefetch() {
        let setup = Setup::new();
        let distance = MAX_JOIN_DISTANCE / BLOCK_LENGTH * 16 + 16;
        setup.request_missing(
            span(0, distance + 16),
            &FetchPurpose::UpcomingFile(TrafficClass::Brief),
        );
        let prefetch = setup.fetcher.take_only();
        assert_eq!(
            setup.request_missing(span(distance - 32, distance - 16), &setup.demand()).requests,
            0,
            "near"
        );
        let last_block = span(distance, distance + 16);
        assert_eq!(setup.request_missing(last_block, &setup.demand()).requests, 1);
        let own_request = setup.fetcher.take_only();
        assert_eq!(own_request.span, last_block);
        assert!(fulfill(own_request));
        assert!(!fulfill(prefetch), "its last block has been taken over");
        let read_task = setup.read(last_block).await;
        assert_eq!(read_task.await.unwrap().unwrap(), bytes_of(last_block));
        assert!(setup.loader.in_flight.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn distant_read_gets_its_own_request() {
        let setup = Setup::new();
        let whole_file = span(0, 8 * 16);
        setup.request_missing(
            whole_file,
            &FetchPurpose::DemandDrivenFile(Arc::downgrade(&setup.file)),
        );
        let demand_driven_request = setup.fetcher.take_only();
        assert_eq!(setup.request_missing(span(16, 3 * 16), &setup.demand()).requests, 0);
        let index = span(7 * 16, 8 * 16);
        assert_eq!(setup.request_missing(index, &setup.demand()).requests, 1);
        assert_eq!(setup.fetcher.take_only().span, index);
        let read_task = setup.read(span(16, 3 * 16)).await;
        assert!(!read_task.is_finished());
        assert!(
            demand_driven_request.position.is_due(4 * BLOCK_LENGTH),
            "a reader waits for block 1"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn only_missing_bytes_are_fetched() {
        let setup = Setup::new();
        setup.request_missing(span(4, 8), &setup.demand());
        assert!(fulfill(setup.fetcher.take_only()));
        setup.request_missing(span(20, 24), &setup.demand());
        let request_in_flight = setup.fetcher.take_only();
        assert_eq!(setup.request_missing(span(0, 32), &setup.demand()).requests, 3);
        let mut fetched_spans = Vec::new();
        while let Some(request) = setup.fetcher.take() {
            fetched_spans.push(request.span);
        }
        assert_eq!(fetched_spans, [span(0, 4), span(8, 20), span(24, 32)]);
        drop(request_in_flight);
    }

    #[tokio::test(start_paused = true)]
    async fn prefetch_stops_at_the_budget() {
        let setup = Setup::with_budget(8 * BLOCK_LENGTH);
        let coverage = setup
            .request_missing(span(0, 20 * 16), &FetchPurpose::UpcomingFile(TrafficClass::Brief));
        let max_prefetch = setup.loader.caches.memory.max_prefetch();
        assert_eq!(coverage, Coverage { covered_until: max_prefetch, requests: 1 });
        let coverage = setup.request_missing(
            span(6 * 16, 7 * 16),
            &FetchPurpose::UpcomingFile(TrafficClass::Brief),
        );
        assert_eq!(coverage, Coverage { covered_until: 6 * BLOCK_LENGTH, requests: 0 });
        assert_eq!(setup.request_missing(span(6 * 16, 20 * 16), &setup.demand()).requests, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn stale_content_is_not_read() {
        let setup = Setup::new();
        setup.file.content.set_stale(&FetchError::Changed("another validator".into()));
        let read_task = setup.read(span(0, 4)).await;
        assert!(matches!(read_task.await.unwrap(), Err(FetchError::Changed(_))));
        assert!(setup.fetcher.take().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_are_available_before_their_block_is_complete() {
        let setup = Setup::new();
        setup.request_missing(span(0, 16), &setup.demand());
        let request = setup.fetcher.take_only();
        request.fetches[0].append(&bytes_of(span(0, 4)));
        let available_bytes = |span| setup.loader.available_bytes(&setup.file.content, span);
        assert_eq!(available_bytes(span(1, 4)), Some(bytes_of(span(1, 4))));
        assert_eq!(available_bytes(span(1, 5)), None);
    }
}

#[cfg(all(test, feature = "model-check"))]
mod model_check {
    use shuttle::thread::JoinHandle;

    use super::super::in_flight::MAX_JOIN_DISTANCE;
    use super::super::test_support::{
        ManualFetcher, bytes_of, content, demand, fulfill, loader, no_listener, open,
    };
    use super::*;

    const SCHEDULE_COUNT: usize = 10_000;
    /// Size of a file with one block. The block is short, because every schedule copies it.
    const SIZE: u64 = 64;
    const WHOLE_FILE: BlockSpan = BlockSpan { start: 0, end: SIZE };

    fn span(start: u64, end: u64) -> BlockSpan {
        BlockSpan::new(start, end)
    }

    /// A loader and one open file without cached bytes.
    #[derive(Clone)]
    struct Setup {
        loader: Arc<BlockLoader>,
        fetcher: Arc<ManualFetcher>,
        file: Arc<OpenFile>,
    }

    impl Setup {
        fn new(size: u64, runtime: &tokio::runtime::Handle) -> Self {
            let (loader, fetcher) = loader(64 * BLOCK_LENGTH, runtime);
            let content = content(size);
            // The additional handle stays in the count, so closing the other handles never starts a
            // task.
            content.add_handle();
            Self { loader, fetcher, file: open(&content, runtime) }
        }

        /// Starts a fetch on demand. Returns the number of requests that were started.
        fn request_missing(&self, span: BlockSpan) -> usize {
            let purpose = demand(&self.file);
            self.loader.request_missing(&self.file.content, span, &purpose, &no_listener()).requests
        }

        fn read(&self, span: BlockSpan) -> JoinHandle<Result<Bytes, FetchError>> {
            let Self { loader, file, .. } = self.clone();
            shuttle::thread::spawn(move || {
                let purpose = demand(&file);
                shuttle::future::block_on(loader.read(&file, span, &purpose, &no_listener()))
            })
        }

        fn assert_idle(&self) {
            assert!(self.fetcher.take().is_none(), "no reader has sent another request");
            assert!(self.loader.in_flight.lock().is_empty());
        }
    }

    /// Runs a test with a file of `size` bytes under many thread schedules.
    fn explore_schedules(size: u64, test: impl Fn(Setup) + Send + Sync + 'static) {
        // Handles need a runtime when they are closed. The tasks of this runtime never run.
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let handle = runtime.handle().clone();
        shuttle::check_random(move || test(Setup::new(size, &handle)), SCHEDULE_COUNT);
    }

    #[test]
    fn schedules_send_one_request_for_all_readers() {
        explore_schedules(SIZE, |setup| {
            setup.request_missing(WHOLE_FILE);
            let spans = [span(0, 20), span(10, 30)];
            let read_tasks = spans.map(|span| (span, setup.read(span)));
            assert!(fulfill(setup.fetcher.take_only()));
            for (span, read_task) in read_tasks {
                assert_eq!(read_task.join().unwrap().unwrap(), bytes_of(span));
            }
            setup.assert_idle();
        });
    }

    #[test]
    fn schedules_fetch_simultaneous_requests_once() {
        explore_schedules(SIZE, |setup| {
            let threads = [0, 1].map(|_| {
                let setup = setup.clone();
                shuttle::thread::spawn(move || setup.request_missing(WHOLE_FILE))
            });
            let requests: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
            assert_eq!(requests, 1);
            setup.fetcher.take_only();
        });
    }

    #[test]
    fn schedules_give_all_readers_the_same_failure() {
        explore_schedules(SIZE, |setup| {
            setup.request_missing(WHOLE_FILE);
            let request = setup.fetcher.take_only();
            let read_tasks = [0, 1].map(|_| setup.read(span(0, 20)));
            let not_found = FetchFailure::Failed(FetchError::Gone("deleted".into()));
            request.fail_remaining(not_found);
            for read_task in read_tasks {
                assert!(matches!(read_task.join().unwrap(), Err(FetchError::Gone(_))));
            }
            setup.assert_idle();
        });
    }

    #[test]
    fn schedules_wake_every_waiter_after_abandonment() {
        explore_schedules(SIZE, |setup| {
            setup.request_missing(WHOLE_FILE);
            let request = setup.fetcher.take_only();
            let read_tasks = [0, 1].map(|_| setup.read(span(0, 20)));
            request.fail_remaining(FetchFailure::Abandoned);
            // One reader starts a new request, and the other reader joins it.
            let fulfilling_thread = {
                let fetcher = setup.fetcher.clone();
                shuttle::thread::spawn(move || {
                    loop {
                        if let Some(request) = fetcher.take() {
                            return fulfill(request);
                        }
                        shuttle::thread::yield_now();
                    }
                })
            };
            for read_task in read_tasks {
                assert_eq!(read_task.join().unwrap().unwrap(), bytes_of(span(0, 20)));
            }
            assert!(fulfilling_thread.join().unwrap());
            setup.assert_idle();
        });
    }

    #[test]
    fn schedules_return_exact_bytes_after_a_takeover() {
        const FILE_SIZE: u64 = MAX_JOIN_DISTANCE + BLOCK_LENGTH + SIZE;
        explore_schedules(FILE_SIZE, |setup| {
            let Setup { loader, fetcher, file } = setup.clone();
            let last_block = span(FILE_SIZE - SIZE, FILE_SIZE);
            let whole_file = span(0, FILE_SIZE);
            loader.request_missing(
                &file.content,
                whole_file,
                &FetchPurpose::WholeFile(Arc::downgrade(&file)),
                &no_listener(),
            );
            let mut prefetch = fetcher.take_only();
            // The test uses only the last fetch. More fetches would only make the schedules longer.
            prefetch.fetches.drain(..prefetch.fetches.len() - 1);
            let head = span(last_block.start, last_block.start + 10);
            let read_task = setup.read(head);
            let takeover_thread = shuttle::thread::spawn(move || setup.request_missing(last_block));
            let was_registered = fulfill(prefetch);
            let requests = takeover_thread.join().unwrap();
            assert!(requests <= 1 && (was_registered || requests == 1));
            if let Some(own_request) = fetcher.take() {
                assert!(fulfill(own_request));
            }
            assert_eq!(read_task.join().unwrap().unwrap(), bytes_of(head));
        });
    }
}

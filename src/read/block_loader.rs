//! Loads blocks: finds the missing bytes of a range, and starts loads and fetches for them.
//!
//! A byte is in the memory cache, in flight, or missing. Missing blocks that the disk cache has are
//! loaded from disk. The others are fetched with as few requests as possible.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tracing::Instrument;

use super::cache_tiers::CacheTiers;
use super::content::Content;
use super::disk_load::DiskLoad;
use super::fetch_purpose::FetchPurpose;
use super::fetch_request::{FetchListener, FetchRequest, StartFetch};
use super::in_flight::{FetchFailure, InFlightFetch, InFlightFetches, RequestPosition};
use super::open_file::OpenFile;
use crate::cache::{BLOCK_LENGTH, BlockExtent, BlockIndex, BlockSpan, Reservation};
use crate::http::FetchError;
use crate::sync::Mutex;

/// Maximum distance in bytes between the current position of an in-flight request and the bytes
/// that a reader needs. Up to this distance the reader waits for that request; beyond it, the
/// reader gets its own request. A common line transfers this much in about a second.
const MAX_JOIN_DISTANCE: u64 = 16 * BLOCK_LENGTH;

/// Makes ranges of a content available in memory.
pub(super) struct BlockLoader {
    pub(super) caches: Arc<CacheTiers>,
    pub(super) in_flight: Arc<Mutex<InFlightFetches>>,
    pub(super) fetcher: Arc<dyn StartFetch>,
    pub(super) runtime: tokio::runtime::Handle,
}

/// The result of [`BlockLoader::ensure`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Coverage {
    /// All bytes of the span before this offset are in memory, in flight, or known to be
    /// unavailable.
    pub(super) until: u64,
    /// Number of requests that were started.
    pub(super) requests: usize,
}

impl BlockLoader {
    /// Starts loads and fetches for the missing bytes of `span`, as far as the memory budget
    /// allows. For demand, always starts all of them.
    pub(super) fn ensure(
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
        let mut rest = span;
        let mut requests = 0;
        while let Some(gap) = self.next_gap(&in_flight, content, rest, purpose) {
            let Some(reservation) = self.reserve(gap.len(), purpose) else {
                return Coverage { until: gap.start, requests };
            };
            let part = BlockSpan::new(gap.start, gap.start + reservation.bytes());
            let position = RequestPosition::new(part.start);
            let fetches = in_flight.register(content.id, part, &position);
            self.fetcher.start(FetchRequest {
                content: content.clone(),
                span: part,
                fetches,
                position,
                reservation,
                purpose: purpose.clone(),
                listener: listener.clone(),
                caches: self.caches.clone(),
                in_flight: self.in_flight.clone(),
            });
            requests += 1;
            rest.start = part.end;
            if part.end < gap.end {
                return Coverage { until: part.end, requests };
            }
        }
        Coverage { until: span.end, requests }
    }

    /// Reserves memory for `bytes`. For a prefetch, reserves less, or returns `None`, if the budget
    /// is used up.
    fn reserve(&self, bytes: u64, purpose: &FetchPurpose) -> Option<Reservation> {
        if purpose.is_demand() {
            Some(self.caches.memory.reserve_for_demand(bytes))
        } else {
            self.caches.memory.reserve_for_prefetch(bytes)
        }
    }

    /// Starts to load the blocks of `span` that are in the disk cache but not in memory, as far as
    /// the budget allows.
    fn load_from_disk(&self, content: &Arc<Content>, span: BlockSpan, purpose: &FetchPurpose) {
        for index in span.blocks() {
            let block = BlockExtent { index, from: 0, to: content.block_length(index) };
            let key = content.key(index);
            let mut in_flight = self.in_flight.lock();
            let is_coming = self.caches.memory.contiguous_end(key, 0) >= block.to
                || in_flight.covering(key, 0).is_some();
            if is_coming || !self.caches.is_on_disk(content, index) {
                continue;
            }
            let reservation = self.reserve(block.len() as u64, purpose);
            let Some(reservation) = reservation.filter(|it| it.bytes() == block.len() as u64)
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

    /// Returns the first bytes of `span` that are missing: not in memory, not in flight, and not
    /// known to be unavailable. For demand, bytes in flight also count as missing if their request
    /// will take long to reach them.
    fn next_gap(
        &self,
        in_flight: &InFlightFetches,
        content: &Content,
        span: BlockSpan,
        purpose: &FetchPurpose,
    ) -> Option<BlockSpan> {
        let mut start = None;
        let mut rest = span;
        while let Some(extent) = rest.first_extent() {
            let BlockExtent { index, from, to } = extent;
            let key = content.key(index);
            let coming = in_flight
                .covering(key, from)
                .filter(|fetch| !purpose.is_demand() || fetch.distance() <= MAX_JOIN_DISTANCE)
                .map_or(from, |fetch| fetch.extent.to);
            let is_unavailable = if purpose.is_demand() {
                content.recent_failure(index).is_some()
            } else {
                content.has_failed_recently(index) || content.breaker.is_open(rest)
            };
            let unavailable = if is_unavailable { to } else { from };
            let reach = self.caches.memory.contiguous_end(key, from).max(coming).max(unavailable);
            if reach > from {
                if start.is_some() {
                    break;
                }
                rest.start = extent.offset_of(reach);
                continue;
            }
            start.get_or_insert(rest.start);
            let cached = self.caches.memory.next_extent_start(key, from);
            let next = cached.into_iter().chain(in_flight.next_start(key, from)).min();
            rest.start = extent.offset_of(next.unwrap_or(to).min(to));
        }
        start.map(|start| BlockSpan::new(start, rest.start.min(span.end)))
    }

    /// Returns the bytes of `span` if all of them are in memory or have arrived.
    pub(super) fn available(&self, content: &Content, span: BlockSpan) -> Option<Bytes> {
        let first = span.first_extent()?;
        if BlockIndex::containing(span.end - 1) == first.index {
            return self.available_in_block(content, first);
        }
        let mut bytes = BytesMut::with_capacity(usize::try_from(span.len()).ok()?);
        for extent in span.extents() {
            bytes.extend_from_slice(&self.available_in_block(content, extent)?);
        }
        Some(bytes.freeze())
    }

    fn available_in_block(&self, content: &Content, extent: BlockExtent) -> Option<Bytes> {
        let key = content.key(extent.index);
        if let Some(bytes) = self.caches.memory.bytes(key, extent.from, extent.to) {
            return Some(bytes);
        }
        let fetch = self.in_flight.lock().covering(key, extent.from).cloned()?;
        if fetch.extent.to < extent.to {
            return None;
        }
        fetch.available(extent)?.ok()
    }

    /// Returns `span` without the bytes at its start that are in memory.
    pub(super) fn missing(&self, content: &Content, span: BlockSpan) -> BlockSpan {
        let mut rest = span;
        while let Some(extent) = rest.first_extent() {
            let reach = self.caches.memory.contiguous_end(content.key(extent.index), extent.from);
            rest.start = extent.offset_of(reach.min(extent.to));
            if reach < extent.to {
                break;
            }
        }
        rest
    }

    /// Returns the bytes of `span` if all of them are in memory, have arrived, or are on disk. Does
    /// not send requests or wait for any.
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
            let fetch = self.in_flight.lock().covering(key, extent.from).cloned();
            if let Some(fetch) = fetch.filter(|fetch| fetch.is_disk_load) {
                // If a load fails, the block stays missing.
                let _ = fetch.wait_for(extent).await;
            }
        }
        self.available(content, span)
    }

    /// Starts loads and fetches for the missing bytes of `span`, which must not be empty, and waits
    /// for all its bytes.
    ///
    /// # Errors
    /// A block cannot be fetched, or the content is stale. The wait has no timeout of its own: the
    /// caller sets one.
    pub(super) async fn read(
        &self,
        file: &OpenFile,
        span: BlockSpan,
        purpose: &FetchPurpose,
        listener: &Arc<dyn FetchListener>,
    ) -> Result<Bytes, FetchError> {
        let mut rest = span;
        let first = self.read_some(file, rest, purpose, listener).await?;
        rest.start += first.len() as u64;
        if rest.is_empty() {
            return Ok(first);
        }
        let mut bytes = BytesMut::with_capacity(usize::try_from(span.len()).unwrap_or_default());
        bytes.extend_from_slice(&first);
        while !rest.is_empty() {
            let more = self.read_some(file, rest, purpose, listener).await?;
            rest.start += more.len() as u64;
            bytes.extend_from_slice(&more);
        }
        Ok(bytes.freeze())
    }

    /// Waits for at least one byte from the start of `span`. Returns bytes of the first block only.
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
            let cached = self.caches.memory.contiguous_end(key, extent.from).min(extent.to);
            if cached > extent.from
                && let Some(bytes) = self.caches.memory.bytes(key, extent.from, cached)
            {
                return Ok(bytes);
            }
            let fetch = self.in_flight.lock().covering(key, extent.from).cloned();
            let Some(fetch) = fetch else {
                if let Some(error) = content.recent_failure(extent.index) {
                    return Err(error);
                }
                let end = span.end.min(extent.index.end(content.recording.size));
                self.ensure(content, BlockSpan::new(span.start, end), purpose, listener);
                continue;
            };
            let part = extent.truncated_at(fetch.extent.to);
            if let Some(Ok(bytes)) = fetch.available(part) {
                return Ok(bytes);
            }
            let waiter = file.meter.add_waiter();
            let outcome = fetch.wait_for(part).await;
            drop(waiter);
            match outcome {
                Ok(bytes) => return Ok(bytes),
                Err(FetchFailure::Abandoned) => tokio::task::yield_now().await,
                Err(FetchFailure::Failed(error)) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::runtime::Handle;

    use super::super::content::FAILURE_TTL;
    use super::super::test_support::{
        ManualFetcher, bytes_of, content, demand, fulfill, loader, no_listener, open, span,
    };
    use super::*;

    const BUDGET: u64 = 64 * BLOCK_LENGTH;
    const SIZE: u64 = 1024 * BLOCK_LENGTH;

    /// A loader and one open file.
    struct Setup {
        loader: Arc<BlockLoader>,
        fetcher: Arc<ManualFetcher>,
        file: Arc<OpenFile>,
    }

    type Reading = tokio::task::JoinHandle<Result<Bytes, FetchError>>;

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
        async fn read(&self, span: BlockSpan) -> Reading {
            let (loader, file) = (self.loader.clone(), self.file.clone());
            let reading = tokio::spawn(async move {
                loader.read(&file, span, &demand(&file), &no_listener()).await
            });
            tokio::task::yield_now().await;
            reading
        }

        fn ensure(&self, span: BlockSpan, purpose: &FetchPurpose) -> Coverage {
            self.loader.ensure(&self.file.content, span, purpose, &no_listener())
        }

        fn demand(&self) -> FetchPurpose {
            demand(&self.file)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn readers_of_one_block_share_a_request() {
        let setup = Setup::new();
        let readings = [setup.read(span(0, 4)).await, setup.read(span(1, 3)).await];
        assert!(fulfill(setup.fetcher.take_only()));
        let [outer, inner] = readings;
        assert_eq!(outer.await.unwrap().unwrap(), bytes_of(span(0, 4)));
        assert_eq!(inner.await.unwrap().unwrap(), bytes_of(span(1, 3)));
        assert!(setup.loader.in_flight.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn read_across_blocks_is_exact() {
        let setup = Setup::new();
        let across = span(10, 50);
        assert_eq!(setup.ensure(across, &setup.demand()).requests, 1);
        assert!(fulfill(setup.fetcher.take_only()));
        let reading = setup.read(across).await;
        assert_eq!(reading.await.unwrap().unwrap(), bytes_of(across));
        assert_eq!(setup.loader.available(&setup.file.content, across), Some(bytes_of(across)));
        assert!(setup.fetcher.take().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn failure_is_shared_for_a_moment() {
        let setup = Setup::new();
        let reading = setup.read(span(0, 4)).await;
        let gone = FetchFailure::Failed(FetchError::Gone("deleted".into()));
        setup.fetcher.take_only().fail_remaining(gone);
        assert!(matches!(reading.await.unwrap(), Err(FetchError::Gone(_))));
        let again = setup.read(span(0, 4)).await;
        assert!(matches!(again.await.unwrap(), Err(FetchError::Gone(_))));
        assert!(setup.fetcher.take().is_none(), "the failure answers");
        tokio::time::advance(FAILURE_TTL).await;
        let later = setup.read(span(0, 4)).await;
        assert!(fulfill(setup.fetcher.take_only()));
        assert!(later.await.unwrap().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn new_handle_asks_again_after_failure() {
        let setup = Setup::new();
        let reading = setup.read(span(0, 4)).await;
        let gone = FetchFailure::Failed(FetchError::Gone("deleted".into()));
        setup.fetcher.take_only().fail_remaining(gone);
        assert!(reading.await.unwrap().is_err());
        let _other = open(&setup.file.content, &Handle::current());
        let _again = setup.read(span(0, 4)).await;
        assert!(setup.fetcher.take().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn reader_starts_again_after_abandonment() {
        let setup = Setup::new();
        let reading = setup.read(span(0, 4)).await;
        setup.fetcher.take_only().fail_remaining(FetchFailure::Abandoned);
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(fulfill(setup.fetcher.take_only()));
        assert_eq!(reading.await.unwrap().unwrap(), bytes_of(span(0, 4)));
    }

    #[tokio::test(start_paused = true)]
    async fn failed_prefetch_does_not_fail_its_reader() {
        let setup = Setup::new();
        setup.ensure(span(0, 16), &FetchPurpose::WholeFile);
        let reading = setup.read(span(0, 4)).await;
        let slow = FetchFailure::Failed(FetchError::Deadline("no reply".into()));
        setup.fetcher.take_only().fail_remaining(slow);
        tokio::time::sleep(Duration::from_millis(1)).await;
        assert!(fulfill(setup.fetcher.take_only()));
        assert!(reading.await.unwrap().is_ok());
        // A failed prefetch is not repeated at once.
        assert!(setup.file.content.has_failed_recently(BlockIndex(0)));
    }

    #[tokio::test(start_paused = true)]
    async fn demand_takes_over_a_distant_prefetch() {
        let setup = Setup::new();
        let far = MAX_JOIN_DISTANCE / BLOCK_LENGTH * 16 + 16;
        setup.ensure(span(0, far + 16), &FetchPurpose::WholeFile);
        let prefetch = setup.fetcher.take_only();
        assert_eq!(setup.ensure(span(far - 32, far - 16), &setup.demand()).requests, 0, "near");
        let last = span(far, far + 16);
        assert_eq!(setup.ensure(last, &setup.demand()).requests, 1);
        let own = setup.fetcher.take_only();
        assert_eq!(own.span, last);
        assert!(fulfill(own));
        assert!(!fulfill(prefetch), "its last block has been taken over");
        let reading = setup.read(last).await;
        assert_eq!(reading.await.unwrap().unwrap(), bytes_of(last));
        assert!(setup.loader.in_flight.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn only_missing_bytes_are_fetched() {
        let setup = Setup::new();
        setup.ensure(span(4, 8), &setup.demand());
        assert!(fulfill(setup.fetcher.take_only()));
        setup.ensure(span(20, 24), &setup.demand());
        let in_flight = setup.fetcher.take_only();
        assert_eq!(setup.ensure(span(0, 32), &setup.demand()).requests, 3);
        let mut fetched = Vec::new();
        while let Some(request) = setup.fetcher.take() {
            fetched.push(request.span);
        }
        assert_eq!(fetched, [span(0, 4), span(8, 20), span(24, 32)]);
        drop(in_flight);
    }

    #[tokio::test(start_paused = true)]
    async fn prefetch_stops_at_the_budget() {
        let setup = Setup::with_budget(8 * BLOCK_LENGTH);
        let coverage = setup.ensure(span(0, 20 * 16), &FetchPurpose::WholeFile);
        let most = setup.loader.caches.memory.max_prefetch();
        assert_eq!(coverage, Coverage { until: most, requests: 1 });
        let none = setup.ensure(span(6 * 16, 7 * 16), &FetchPurpose::WholeFile);
        assert_eq!(none, Coverage { until: 6 * BLOCK_LENGTH, requests: 0 });
        assert_eq!(setup.ensure(span(6 * 16, 20 * 16), &setup.demand()).requests, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn stale_content_is_not_read() {
        let setup = Setup::new();
        setup.file.content.set_stale(&FetchError::Changed("another validator".into()));
        let reading = setup.read(span(0, 4)).await;
        assert!(matches!(reading.await.unwrap(), Err(FetchError::Changed(_))));
        assert!(setup.fetcher.take().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn arrived_bytes_are_available_before_the_block() {
        let setup = Setup::new();
        setup.ensure(span(0, 16), &setup.demand());
        let request = setup.fetcher.take_only();
        request.fetches[0].append(&bytes_of(span(0, 4)));
        let available = |span| setup.loader.available(&setup.file.content, span);
        assert_eq!(available(span(1, 4)), Some(bytes_of(span(1, 4))));
        assert_eq!(available(span(1, 5)), None);
    }
}

#[cfg(all(test, feature = "model-check"))]
mod model_check {
    use shuttle::thread::JoinHandle;

    use super::super::test_support::{
        ManualFetcher, bytes_of, content, demand, fulfill, loader, no_listener, open,
    };
    use super::*;

    const SCHEDULES: usize = 10_000;
    /// The file has one short block, because every schedule copies it.
    const SIZE: u64 = 64;
    const WHOLE: BlockSpan = BlockSpan { start: 0, end: SIZE };

    fn span(start: u64, end: u64) -> BlockSpan {
        BlockSpan::new(start, end)
    }

    /// A loader and one open file with no cached bytes.
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
            // An additional handle is counted, so closing the others never starts a task.
            content.add_handle();
            Self { loader, fetcher, file: open(&content, runtime) }
        }

        /// Starts a fetch on demand. Returns the number of requests.
        fn ensure(&self, span: BlockSpan) -> usize {
            let purpose = demand(&self.file);
            self.loader.ensure(&self.file.content, span, &purpose, &no_listener()).requests
        }

        fn read(&self, span: BlockSpan) -> JoinHandle<Result<Bytes, FetchError>> {
            let Self { loader, file, .. } = self.clone();
            shuttle::thread::spawn(move || {
                let purpose = demand(&file);
                shuttle::future::block_on(loader.read(&file, span, &purpose, &no_listener()))
            })
        }

        fn assert_idle(&self) {
            assert!(self.fetcher.take().is_none(), "no reader has asked again");
            assert!(self.loader.in_flight.lock().is_empty());
        }
    }

    /// Explores the schedules of a test with a file of `size` bytes.
    fn explore(size: u64, test: impl Fn(Setup) + Send + Sync + 'static) {
        // Handles need a runtime when they are closed. The tasks of this runtime never run.
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let handle = runtime.handle().clone();
        shuttle::check_random(move || test(Setup::new(size, &handle)), SCHEDULES);
    }

    #[test]
    fn schedules_of_readers_share_one_request() {
        explore(SIZE, |setup| {
            setup.ensure(WHOLE);
            let spans = [span(0, 20), span(10, 30)];
            let readings = spans.map(|span| (span, setup.read(span)));
            assert!(fulfill(setup.fetcher.take_only()));
            for (span, reading) in readings {
                assert_eq!(reading.join().unwrap().unwrap(), bytes_of(span));
            }
            setup.assert_idle();
        });
    }

    #[test]
    fn schedules_of_simultaneous_starts_fetch_once() {
        explore(SIZE, |setup| {
            let starts = [0, 1].map(|_| {
                let setup = setup.clone();
                shuttle::thread::spawn(move || setup.ensure(WHOLE))
            });
            let requests: usize = starts.into_iter().map(|start| start.join().unwrap()).sum();
            assert_eq!(requests, 1);
            setup.fetcher.take_only();
        });
    }

    #[test]
    fn schedules_of_failure_are_shared() {
        explore(SIZE, |setup| {
            setup.ensure(WHOLE);
            let request = setup.fetcher.take_only();
            let readings = [0, 1].map(|_| setup.read(span(0, 20)));
            let gone = FetchFailure::Failed(FetchError::Gone("deleted".into()));
            request.fail_remaining(gone);
            for reading in readings {
                assert!(matches!(reading.join().unwrap(), Err(FetchError::Gone(_))));
            }
            setup.assert_idle();
        });
    }

    #[test]
    fn schedules_of_abandonment_leave_no_waiter() {
        explore(SIZE, |setup| {
            setup.ensure(WHOLE);
            let abandoned = setup.fetcher.take_only();
            let readings = [0, 1].map(|_| setup.read(span(0, 20)));
            abandoned.fail_remaining(FetchFailure::Abandoned);
            // One reader starts a new request, and the other one joins it.
            let filling = {
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
            for reading in readings {
                assert_eq!(reading.join().unwrap().unwrap(), bytes_of(span(0, 20)));
            }
            assert!(filling.join().unwrap());
            setup.assert_idle();
        });
    }

    #[test]
    fn schedules_of_takeover_give_exact_bytes() {
        const FILE: u64 = MAX_JOIN_DISTANCE + BLOCK_LENGTH + SIZE;
        explore(FILE, |setup| {
            let Setup { loader, fetcher, file } = setup.clone();
            let last = span(FILE - SIZE, FILE);
            let whole = span(0, FILE);
            loader.ensure(&file.content, whole, &FetchPurpose::WholeFile, &no_listener());
            let mut prefetch = fetcher.take_only();
            // The test uses only the last fetch. The others would only make the schedules longer.
            prefetch.fetches.drain(..prefetch.fetches.len() - 1);
            let head = span(last.start, last.start + 10);
            let reading = setup.read(head);
            let taking_over = shuttle::thread::spawn(move || setup.ensure(last));
            let was_registered = fulfill(prefetch);
            let requests = taking_over.join().unwrap();
            assert!(requests <= 1 && (was_registered || requests == 1));
            if let Some(own) = fetcher.take() {
                assert!(fulfill(own));
            }
            assert_eq!(reading.join().unwrap().unwrap(), bytes_of(head));
        });
    }
}

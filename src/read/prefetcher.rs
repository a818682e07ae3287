//! Fetches bytes before a reader requests them: the prefetch windows of streams, the index of media
//! files, and small files that are expected to be opened next.

use std::sync::Arc;

use super::block_loader::BlockLoader;
use super::content::Content;
use super::fetch_purpose::FetchPurpose;
use super::fetch_request::FetchListener;
use super::media_index;
use super::open_file::OpenFile;
use super::recording::Recording;
use super::stream::{ReaderShare, StreamId, StreamRead};
use crate::cache::BlockSpan;
use crate::model::BodyKind;
use crate::sync::atomic::{AtomicUsize, Ordering};

/// Decides which bytes are prefetched.
///
/// The lock of the access pattern of a handle is not held during a call of the loader.
pub(super) struct Prefetcher {
    loader: Arc<BlockLoader>,
    max_connections: usize,
    /// Number of handles with chunks in flight. These handles share the memory budget and the
    /// connections.
    active_readers: Arc<AtomicUsize>,
}

impl Prefetcher {
    pub(super) fn new(loader: Arc<BlockLoader>, max_connections: usize) -> Arc<Self> {
        Arc::new(Self { loader, max_connections, active_readers: Arc::default() })
    }

    /// Returns the shared count of handles with chunks in flight. Each handle updates the count.
    pub(super) fn active_readers(&self) -> Arc<AtomicUsize> {
        self.active_readers.clone()
    }

    /// Fills the prefetch window of the stream to which a read belongs.
    pub(super) fn on_read(self: &Arc<Self>, file: &Arc<OpenFile>, read: StreamRead) {
        if read.is_sequential {
            self.loader.caches.mark_consumed(&file.content, read.span);
        }
        self.fill_window(file, read.stream);
    }

    /// Prefetches a whole file. Returns `false` if the memory budget does not allow it. The
    /// requests continue while the handle is open.
    pub(super) fn prefetch_whole_file(self: &Arc<Self>, file: &OpenFile) -> bool {
        let content = &file.content;
        let whole_file = BlockSpan::new(0, content.recording.size);
        content.is_stale()
            || content.is_prefetch_suspended()
            || self.request_missing(content, whole_file, &FetchPurpose::WholeFile) >= whole_file.end
    }

    /// Starts requests for the missing bytes of `span`. Returns the offset up to which the memory
    /// budget allowed requests.
    fn request_missing(
        self: &Arc<Self>,
        content: &Arc<Content>,
        span: BlockSpan,
        purpose: &FetchPurpose,
    ) -> u64 {
        self.loader.request_missing(content, span, purpose, &self.listener()).covered_until
    }

    /// Returns this prefetcher as the listener for its own fetches and for those of readers.
    pub(super) fn listener(self: &Arc<Self>) -> Arc<dyn FetchListener> {
        self.clone()
    }

    fn fill_window(self: &Arc<Self>, file: &Arc<OpenFile>, id: StreamId) {
        let size = file.content.recording.size;
        loop {
            let mut pattern = file.pattern.lock();
            let Some(stream) = pattern.stream_mut(id) else { return };
            let Some(chunk) = stream.next_chunk(size, self.reader_share(&file.content)) else {
                return;
            };
            let purpose = FetchPurpose::Chunk(Arc::downgrade(file), id, stream.chunk_token());
            // The chunk is recorded before it starts, because it may end before `request_missing`
            // returns.
            stream.record_chunk(chunk.end, 1);
            drop(pattern);
            let coverage =
                self.loader.request_missing(&file.content, chunk, &purpose, &self.listener());
            let mut pattern = file.pattern.lock();
            let Some(stream) = pattern.stream_mut(id) else { return };
            stream.correct_chunk(chunk, coverage.covered_until, coverage.requests);
            if coverage.covered_until < chunk.end {
                return;
            }
        }
    }

    /// Returns the share of the budget and the connections that each handle with chunks in flight
    /// gets. If the budget were not shared, the first reader would lose its blocks before it reads
    /// them. If the connections were not shared, all readers would request small chunks.
    /// All reads of a content share one connection if its server ignores ranges.
    fn reader_share(&self, content: &Content) -> ReaderShare {
        let readers = self.active_readers.load(Ordering::Relaxed).max(1);
        let max_connections = if content.ignores_ranges() { 1 } else { self.max_connections };
        ReaderShare {
            window: self.loader.caches.memory.max_prefetch() / readers as u64,
            connections: (max_connections / readers).max(1),
        }
    }
}

impl FetchListener for Prefetcher {
    /// Prefetches the index of a media file if the first bytes of the file show where the index is.
    fn on_head(self: Arc<Self>, content: &Arc<Content>, head: &[u8]) {
        let Recording { size, body, .. } = content.recording;
        if body == BodyKind::IsoMedia
            && let Some(index) = media_index::find_index(head, size)
        {
            self.request_missing(content, index, &FetchPurpose::MediaIndex);
        }
    }

    /// Fills the prefetch window again, because a waiting reader makes the window grow.
    fn on_progress(self: Arc<Self>, file: &Arc<OpenFile>, id: StreamId) {
        {
            let mut pattern = file.pattern.lock();
            let Some(stream) = pattern.stream_mut(id) else { return };
            stream.observe_throughput(file.meter.read());
        }
        self.fill_window(file, id);
    }

    /// Fills the prefetch window again, because there may be capacity for the next chunk.
    fn on_chunk_end(self: Arc<Self>, file: &Arc<OpenFile>, id: StreamId) {
        {
            let mut pattern = file.pattern.lock();
            let Some(stream) = pattern.stream_mut(id) else { return };
            stream.record_chunk_end();
        }
        self.fill_window(file, id);
    }
}

#[cfg(test)]
mod tests {
    use tokio::runtime::Handle;

    use super::super::fetch_request::FetchRequest;
    use super::super::in_flight::FetchFailure;
    use super::super::test_support::{ManualFetcher, content, fulfill, loader, open, recording};
    use super::*;
    use crate::cache::BLOCK_LENGTH;
    use crate::http::FetchError;

    const BUDGET: u64 = 64 * BLOCK_LENGTH;
    const SIZE: u64 = 1024 * BLOCK_LENGTH;

    struct Setup {
        prefetcher: Arc<Prefetcher>,
        fetcher: Arc<ManualFetcher>,
        file: Arc<OpenFile>,
    }

    impl Setup {
        fn new(size: u64) -> Self {
            let (loader, fetcher) = loader(BUDGET, &Handle::current());
            let prefetcher = Prefetcher::new(loader, 8);
            Self { prefetcher, fetcher, file: open(&content(size), &Handle::current()) }
        }

        /// Reports a read of a block to the prefetcher, as the engine does.
        fn read(&self, block: u64) {
            let span = BlockSpan::new(block * BLOCK_LENGTH, (block + 1) * BLOCK_LENGTH);
            let read = {
                let mut pattern = self.file.pattern.lock();
                pattern.observe(span, self.file.meter.read()).describe_read(span)
            };
            self.prefetcher.on_read(&self.file, read);
        }

        fn take_requests(&self) -> Vec<FetchRequest> {
            std::iter::from_fn(|| self.fetcher.take()).collect()
        }

        fn requested_spans(&self) -> Vec<BlockSpan> {
            self.take_requests().iter().map(|request| request.span).collect()
        }
    }

    fn blocks(start: u64, end: u64) -> BlockSpan {
        BlockSpan::new(start * BLOCK_LENGTH, end * BLOCK_LENGTH)
    }

    #[tokio::test(start_paused = true)]
    async fn sequential_read_starts_a_prefetch() {
        let setup = Setup::new(SIZE);
        setup.read(0);
        let requests = setup.take_requests();
        assert_eq!(requests[0].span, blocks(1, 2));
        assert!(requests.iter().all(|request| matches!(request.purpose, FetchPurpose::Chunk(..))));
    }

    #[tokio::test(start_paused = true)]
    async fn seek_starts_no_prefetch() {
        let setup = Setup::new(SIZE);
        let span = BlockSpan::new(500 * BLOCK_LENGTH, 500 * BLOCK_LENGTH + 4096);
        let read = {
            let mut pattern = setup.file.pattern.lock();
            pattern.observe(span, setup.file.meter.read()).describe_read(span)
        };
        setup.prefetcher.on_read(&setup.file, read);
        assert_eq!(setup.requested_spans(), []);
    }

    #[tokio::test(start_paused = true)]
    async fn next_chunk_starts_when_a_chunk_ends() {
        let setup = Setup::new(SIZE);
        setup.read(0);
        let [request, second_request]: [FetchRequest; 2] =
            setup.take_requests().try_into().ok().unwrap();
        let FetchPurpose::Chunk(_, stream, _) = request.purpose.clone() else { panic!() };
        assert_eq!((request.span, second_request.span), (blocks(1, 2), blocks(2, 3)));
        // A waiting reader makes the window grow.
        let _waiter = setup.file.meter.add_waiter();
        assert!(fulfill(request));
        setup.prefetcher.clone().on_progress(&setup.file, stream);
        setup.take_requests();
        setup.read(1);
        setup.prefetcher.clone().on_chunk_end(&setup.file, stream);
        let new_spans: Vec<_> = setup.requested_spans();
        assert_eq!(new_spans, [blocks(3, 4), blocks(4, 5)]);
    }

    #[tokio::test(start_paused = true)]
    async fn active_readers_share_budget_and_connections() {
        let setup = Setup::new(SIZE);
        let max_prefetch = setup.prefetcher.loader.caches.memory.max_prefetch();
        for (readers, connections) in [(0, 8), (1, 8), (2, 4), (16, 1)] {
            setup.prefetcher.active_readers.store(readers, Ordering::Relaxed);
            let share = setup.prefetcher.reader_share(&setup.file.content);
            let window = max_prefetch / readers.max(1) as u64;
            assert_eq!((share.window, share.connections), (window, connections), "{readers}");
        }
        setup.prefetcher.active_readers.store(1, Ordering::Relaxed);
        setup.file.content.record_ignored_range();
        assert_eq!(setup.prefetcher.reader_share(&setup.file.content).connections, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn media_index_is_fetched_after_the_head() {
        let setup = Setup::new(SIZE);
        let mut video = recording(SIZE);
        video.body = BodyKind::IsoMedia;
        let revision = (setup.file.content.revision(), None);
        let leases = setup.file.content.leases.clone();
        let id = setup.file.content.id;
        let content = Arc::new(Content::new(video, id, leases, revision));
        let media_length = SIZE - 16 - BLOCK_LENGTH;
        let mut head = b"\0\0\0\x10ftypisom\0\0\0\0\0\0\0\x01mdat".to_vec();
        head.extend_from_slice(&media_length.to_be_bytes());
        setup.prefetcher.clone().on_head(&content, &head);
        let request = setup.fetcher.take_only();
        assert!(matches!(request.purpose, FetchPurpose::MediaIndex));
        assert_eq!(request.span, BlockSpan::new(SIZE - BLOCK_LENGTH, SIZE));
        // The first bytes of a file of another type do not show an index.
        setup.prefetcher.clone().on_head(&setup.file.content, &head);
        assert_eq!(setup.requested_spans(), []);
    }

    #[tokio::test(start_paused = true)]
    async fn failed_prefetch_is_not_repeated_for_a_minute() {
        let setup = Setup::new(2 * BLOCK_LENGTH);
        assert!(setup.prefetcher.prefetch_whole_file(&setup.file));
        let request = setup.fetcher.take_only();
        assert_eq!(request.span, blocks(0, 2));
        request.fail_remaining(FetchFailure::Failed(FetchError::Gone("deleted".into())));
        setup.file.content.record_prefetch_failure();
        tokio::time::advance(std::time::Duration::from_secs(30)).await;
        assert!(setup.prefetcher.prefetch_whole_file(&setup.file));
        assert_eq!(setup.requested_spans(), []);
        tokio::time::advance(std::time::Duration::from_secs(30)).await;
        assert!(setup.prefetcher.prefetch_whole_file(&setup.file));
        assert_eq!(setup.requested_spans(), [blocks(0, 2)]);
    }

    #[tokio::test(start_paused = true)]
    async fn whole_file_beyond_the_budget_is_refused() {
        let setup = Setup::new(SIZE);
        assert!(!setup.prefetcher.prefetch_whole_file(&setup.file));
    }
}

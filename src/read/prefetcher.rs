//! Fetches bytes before a reader requests them: the prefetch windows of streams, the index of media
//! files, and small files that are expected to be opened next.

use std::sync::Arc;

use super::block_loader::{BlockLoader, Coverage};
use super::content::Content;
use super::fetch_purpose::FetchPurpose;
use super::fetch_request::FetchListener;
use super::media_index;
use super::open_file::OpenFile;
use super::read_forecast::MAX_WHOLE_FILE_LENGTH;
use super::recording::Recording;
use super::stream::{ReaderShare, StreamId, StreamRead};
use crate::cache::{BLOCK_LENGTH, BlockSpan};
use crate::http::TrafficClass;
use crate::model::BodyKind;
use crate::sync::atomic::{AtomicUsize, Ordering};

/// Length of the prefetch windows of all readers together, in seconds of the bandwidth limit. A
/// read may have to wait until all of these bytes have arrived.
const LIMITED_WINDOW_SECONDS: u64 = 2;

/// Number of bytes after a seek that are prefetched for a player. The kernel requests half of them
/// with its largest read-ahead, but only after the first bytes have arrived, which is a round trip
/// later. A program that cuts a clip reads more, and would wait for another round trip.
const PLAYBACK_LENGTH: u64 = 2 * BLOCK_LENGTH;

/// Maximum length of a request for a player, in bytes. A player shows nothing before all of its
/// bytes have arrived, and many servers limit the rate of each connection: 1 MiB over one
/// connection with 4 MB/s takes 260 ms, and over four connections 65 ms.
const MAX_PLAYBACK_REQUEST: u64 = BLOCK_LENGTH / 4;

/// Decides which bytes are prefetched.
///
/// The lock of the access pattern of a handle is not held during a call of the loader.
pub(super) struct Prefetcher {
    loader: Arc<BlockLoader>,
    max_connections: usize,
    /// The general bandwidth limit in bytes per second.
    bandwidth: Option<u64>,
    /// Number of handles with chunks in flight. These handles share the memory budget and the
    /// connections.
    active_readers: Arc<AtomicUsize>,
}

impl Prefetcher {
    pub(super) fn new(
        loader: Arc<BlockLoader>,
        max_connections: usize,
        bandwidth: Option<u64>,
    ) -> Arc<Self> {
        Arc::new(Self { loader, max_connections, bandwidth, active_readers: Arc::default() })
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
        let index = file.content.media_index();
        if index.is_some_and(|index| (index.start..index.end).contains(&read.span.start)) {
            file.record_index_read();
        } else if read.is_seek && file.has_read_index() {
            let end = read.span.end.saturating_add(PLAYBACK_LENGTH);
            let next_bytes = BlockSpan::new(read.span.end, end.min(file.content.recording.size));
            self.prefetch_for_player(&file.content, next_bytes);
        }
        self.fill_window(file, read.stream);
    }

    /// Prefetches a whole file. Returns `false` if the memory budget does not allow it. The
    /// requests continue while the handle is open.
    pub(super) fn prefetch_whole_file(self: &Arc<Self>, file: &OpenFile) -> bool {
        let content = &file.content;
        let whole_file = BlockSpan::new(0, content.recording.size);
        // A file of one block takes little more than a round trip.
        let class = match whole_file.len() {
            ..=BLOCK_LENGTH => TrafficClass::Brief,
            _ => TrafficClass::Bulk,
        };
        content.is_stale()
            || content.is_prefetch_suspended()
            || self
                .request_missing(content, whole_file, &FetchPurpose::UpcomingFile(class))
                .covered_until
                >= whole_file.end
    }

    /// Prefetches bytes that a player is expected to read next, over several connections.
    fn prefetch_for_player(self: &Arc<Self>, content: &Arc<Content>, span: BlockSpan) {
        let max_length = if content.has_strong_tag() { MAX_PLAYBACK_REQUEST } else { u64::MAX };
        let mut remaining_span = span;
        while !remaining_span.is_empty() {
            let end = remaining_span.end.min(remaining_span.start.saturating_add(max_length));
            let part = BlockSpan::new(remaining_span.start, end);
            self.request_missing(content, part, &FetchPurpose::Playback);
            remaining_span.start = end;
        }
    }

    /// Requests the missing bytes of `span`, which contains `read`, for a waiting reader. The first
    /// block of a long media file is fetched over several connections, because a player shows
    /// nothing before it has read most of it. Returns the number of requests for the reader.
    pub(super) fn request_for_reader(
        self: &Arc<Self>,
        content: &Arc<Content>,
        read: BlockSpan,
        span: BlockSpan,
        purpose: &FetchPurpose,
    ) -> usize {
        let Recording { size, body, .. } = content.recording;
        let is_long_media = body == BodyKind::IsoMedia && size > MAX_WHOLE_FILE_LENGTH;
        let is_divided = span.start == 0 && is_long_media && content.has_strong_tag();
        let end =
            if is_divided { read.end.max(MAX_PLAYBACK_REQUEST).min(span.end) } else { span.end };
        let span_for_reader = BlockSpan::new(span.start, end);
        // The reader's request comes first, so it gets the connection that is already open.
        let requests = self.request_missing(content, span_for_reader, purpose).requests;
        self.prefetch_for_player(content, BlockSpan::new(end, span.end));
        requests
    }

    /// Starts requests for the missing bytes of `span`.
    fn request_missing(
        self: &Arc<Self>,
        content: &Arc<Content>,
        span: BlockSpan,
        purpose: &FetchPurpose,
    ) -> Coverage {
        self.loader.request_missing(content, span, purpose, &self.listener())
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
            if file.has_read_index() && stream.is_near_file_start() {
                return;
            }
            let Some(chunk) = stream.next_chunk(size, self.reader_share(&file.content)) else {
                return;
            };
            let purpose = FetchPurpose::Chunk(Arc::downgrade(file), id, stream.chunk_token());
            // The chunk is recorded before it starts, because it may end before `request_missing`
            // returns.
            stream.record_chunk(chunk.end, 1);
            drop(pattern);
            let coverage = self.request_missing(&file.content, chunk, &purpose);
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
        let source_bandwidth =
            content.leases.bandwidth_limiter().map(|limiter| limiter.bytes_per_second());
        let bandwidths = self.bandwidth.into_iter().chain(source_bandwidth);
        let max_window = bandwidths
            .map(|bandwidth| bandwidth.saturating_mul(LIMITED_WINDOW_SECONDS))
            .fold(self.loader.caches.memory.max_prefetch(), u64::min);
        ReaderShare {
            window: max_window / readers as u64,
            connections: (max_connections / readers).max(1),
        }
    }
}

impl FetchListener for Prefetcher {
    /// Prefetches the index of a media file if the first bytes of the file show where the index is.
    fn on_head(self: Arc<Self>, content: &Arc<Content>, head: &[u8]) {
        if let Some(index) = record_index(content, head) {
            self.prefetch_for_player(content, index);
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

/// A listener that records where the index of a media file is, but prefetches nothing.
pub(super) struct IndexRecorder;

impl FetchListener for IndexRecorder {
    fn on_head(self: Arc<Self>, content: &Arc<Content>, head: &[u8]) {
        record_index(content, head);
    }

    fn on_progress(self: Arc<Self>, _file: &Arc<OpenFile>, _stream: StreamId) {}

    fn on_chunk_end(self: Arc<Self>, _file: &Arc<OpenFile>, _stream: StreamId) {}
}

/// Records the index of a media file if the first bytes of the file show where it is. Returns it.
fn record_index(content: &Content, head: &[u8]) -> Option<BlockSpan> {
    let Recording { size, body, .. } = content.recording;
    if body != BodyKind::IsoMedia {
        return None;
    }
    let index = media_index::find_index(head, size)?;
    content.record_media_index(index);
    Some(index)
}

#[cfg(test)]
mod tests {
    use tokio::runtime::Handle;

    use super::super::fetch_request::FetchRequest;
    use super::super::in_flight::FetchFailure;
    use super::super::test_support::{
        ManualFetcher, content, content_with, demand, fulfill, loader, open, recording,
    };
    use super::*;
    use crate::http::{FetchError, Validator};

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
            let prefetcher = Prefetcher::new(loader, 8, None);
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

    fn half_blocks(start: u64, end: u64) -> BlockSpan {
        BlockSpan::new(start * BLOCK_LENGTH / 2, end * BLOCK_LENGTH / 2)
    }

    #[tokio::test(start_paused = true)]
    async fn sequential_read_starts_a_prefetch() {
        let setup = Setup::new(SIZE);
        setup.read(0);
        let requests = setup.take_requests();
        assert_eq!(requests[0].span, half_blocks(2, 3));
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
        let mut requests = setup.take_requests();
        let spans: Vec<_> = requests.iter().map(|request| request.span).collect();
        assert_eq!(spans, (2..8).map(|index| half_blocks(index, index + 1)).collect::<Vec<_>>());
        let request = requests.remove(0);
        let FetchPurpose::Chunk(_, stream, _) = request.purpose.clone() else { panic!() };
        // A waiting reader makes the window grow.
        let _waiter = setup.file.meter.add_waiter();
        assert!(fulfill(request));
        setup.prefetcher.clone().on_progress(&setup.file, stream);
        setup.take_requests();
        setup.read(1);
        setup.prefetcher.clone().on_chunk_end(&setup.file, stream);
        let new_spans = [half_blocks(8, 9), half_blocks(9, 10), half_blocks(10, 11)];
        assert_eq!(setup.requested_spans(), new_spans);
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

    /// A video whose index is the last block, and its first bytes.
    fn video() -> (Arc<Content>, Vec<u8>) {
        let media_length = SIZE - 16 - BLOCK_LENGTH;
        let mut head = b"\0\0\0\x10ftypisom\0\0\0\0\0\0\0\x01mdat".to_vec();
        head.extend_from_slice(&media_length.to_be_bytes());
        (content_with(Recording { body: BodyKind::IsoMedia, ..recording(SIZE) }), head)
    }

    fn record_strong_tag(content: &Content) {
        let validator = Validator::parse("\"tag\"").unwrap();
        content.record_validator(&validator).unwrap();
    }

    /// The spans of a block that is fetched for a player.
    fn parts(start: u64) -> Vec<BlockSpan> {
        let part = |index| start + index * MAX_PLAYBACK_REQUEST;
        (0..4).map(|index| BlockSpan::new(part(index), part(index + 1))).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn media_index_is_fetched_in_parts_after_the_head() {
        let setup = Setup::new(SIZE);
        let (content, head) = video();
        record_strong_tag(&content);
        setup.prefetcher.clone().on_head(&content, &head);
        let requests = setup.take_requests();
        let is_playback =
            |request: &FetchRequest| matches!(request.purpose, FetchPurpose::Playback);
        assert!(requests.iter().all(is_playback));
        let spans: Vec<_> = requests.iter().map(|request| request.span).collect();
        assert_eq!(spans, parts(SIZE - BLOCK_LENGTH));
        // Without a strong tag, each part would cost another request.
        let (content, head) = video();
        let setup = Setup::new(SIZE);
        setup.prefetcher.clone().on_head(&content, &head);
        assert_eq!(setup.requested_spans(), [BlockSpan::new(SIZE - BLOCK_LENGTH, SIZE)]);
        // The first bytes of a file of another type do not show an index.
        setup.prefetcher.clone().on_head(&setup.file.content, &head);
        assert_eq!(setup.requested_spans(), []);
    }

    #[tokio::test(start_paused = true)]
    async fn head_of_long_video_is_fetched_in_parts() {
        let (content, _) = video();
        let file = open(&content, &Handle::current());
        let request_head = || {
            let (setup, read) = (Setup::new(SIZE), BlockSpan::new(0, 4096));
            let purpose = demand(&file);
            setup.prefetcher.request_for_reader(&content, read, blocks(0, 1), &purpose);
            setup.requested_spans()
        };
        assert_eq!(request_head(), [blocks(0, 1)]);
        record_strong_tag(&content);
        assert_eq!(request_head(), parts(0));
    }

    #[tokio::test(start_paused = true)]
    async fn seek_is_prefetched_after_a_read_of_the_index() {
        let mut setup = Setup::new(SIZE);
        let (content, head) = video();
        record_strong_tag(&content);
        setup.file = open(&content, &Handle::current());
        setup.prefetcher.clone().on_head(&content, &head);
        setup.take_requests();
        let read = |start: u64| {
            let span = BlockSpan::new(start, start + 4096);
            let read = {
                let mut pattern = setup.file.pattern.lock();
                pattern.observe(span, setup.file.meter.read()).describe_read(span)
            };
            setup.prefetcher.on_read(&setup.file, read);
            setup.requested_spans()
        };
        assert_eq!(read(300 * BLOCK_LENGTH), []);
        assert_eq!(read(SIZE - BLOCK_LENGTH), []);
        let start = 500 * BLOCK_LENGTH + 4096;
        let next_bytes = [parts(start), parts(start + BLOCK_LENGTH)].concat();
        assert_eq!(read(500 * BLOCK_LENGTH), next_bytes);
        assert_eq!(read(500 * BLOCK_LENGTH + 4096), [], "no seek");
    }

    #[tokio::test(start_paused = true)]
    async fn first_frames_of_a_player_are_not_prefetched() {
        let setup = Setup::new(SIZE);
        setup.file.record_index_read();
        for block in 0..3 {
            setup.read(block);
            assert_eq!(setup.requested_spans(), [], "{block}");
        }
        setup.read(3);
        assert!(!setup.requested_spans().is_empty());
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

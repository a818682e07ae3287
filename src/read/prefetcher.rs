//! Fetches bytes before a reader asks for them: the windows of streams, the index of media files, and
//! small files that are expected to be opened next.

use std::collections::HashMap;
use std::sync::Arc;

use super::access_pattern::AccessPattern;
use super::block_loader::BlockLoader;
use super::concurrency::FIRST_GROWTH;
use super::content::Content;
use super::fetch_purpose::FetchPurpose;
use super::fetch_request::FetchListener;
use super::media_index;
use super::open_file::OpenFile;
use super::recording::Recording;
use super::stream::{ReaderShare, StreamId, StreamRead};
use crate::cache::BlockSpan;
use crate::model::{BodyKind, SourceName};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicUsize, Ordering};

/// Decides what to prefetch.
///
/// Lock order: the access pattern of a handle, then `useful_connections`. Neither is held while the
/// loader is called.
pub(super) struct Prefetcher {
    loader: Arc<BlockLoader>,
    max_connections: usize,
    /// Handles with chunks in flight: they share memory budget and connections.
    active_readers: Arc<AtomicUsize>,
    /// The number of connections that proved useful for the last reader of each source.
    useful_connections: Mutex<HashMap<SourceName, usize>>,
}

impl Prefetcher {
    pub(super) fn new(loader: Arc<BlockLoader>, max_connections: usize) -> Arc<Self> {
        Arc::new(Self {
            loader,
            max_connections,
            active_readers: Arc::default(),
            useful_connections: Mutex::default(),
        })
    }

    /// The count of handles with chunks in flight, which each handle updates.
    pub(super) fn active_readers(&self) -> Arc<AtomicUsize> {
        self.active_readers.clone()
    }

    /// Returns the access pattern for a new handle. It begins at most one growth step above one
    /// connection: the last reader may have been a copy, and this one a player.
    pub(super) fn new_pattern(&self, source: &SourceName) -> AccessPattern {
        let useful = self.useful_connections.lock().get(source).copied();
        let first = useful.map_or(1, |useful| useful.min(FIRST_GROWTH));
        AccessPattern::new(first, self.max_connections)
    }

    /// Fills the window of the stream that a read belongs to.
    pub(super) fn after_read(self: &Arc<Self>, file: &Arc<OpenFile>, read: StreamRead) {
        if read.is_sequential {
            self.loader.store.mark_consumed(&file.content, read.span);
        }
        self.fill_window(file, read.stream);
    }

    /// Prefetches a whole file. Returns whether the memory budget allowed it. The requests continue as
    /// long as the handle is open.
    pub(super) fn prefetch_whole_file(self: &Arc<Self>, file: &OpenFile) -> bool {
        let content = &file.content;
        let whole = BlockSpan::new(0, content.recording.size);
        content.is_stale()
            || content.is_prefetch_suspended()
            || self.ensure(content, whole, &FetchPurpose::WholeFile) >= whole.end
    }

    /// Starts what is missing of `span`. Returns the offset up to which the budget allowed it.
    fn ensure(
        self: &Arc<Self>,
        content: &Arc<Content>,
        span: BlockSpan,
        purpose: &FetchPurpose,
    ) -> u64 {
        self.loader.ensure(content, span, purpose, &self.listener()).until
    }

    /// This prefetcher as the listener of the fetches that it or a reader starts.
    pub(super) fn listener(self: &Arc<Self>) -> Arc<dyn FetchListener> {
        self.clone()
    }

    fn fill_window(self: &Arc<Self>, file: &Arc<OpenFile>, id: StreamId) {
        let size = file.content.recording.size;
        loop {
            let mut pattern = file.pattern.lock();
            let Some(stream) = pattern.get(id) else { return };
            let Some(chunk) = stream.next_chunk(size, self.share()) else { return };
            let purpose = FetchPurpose::Chunk(Arc::downgrade(file), id, stream.chunk_token());
            // Recorded before it starts, because it may end before `ensure` returns.
            stream.record_chunk(chunk.end, 1);
            drop(pattern);
            let coverage = self.loader.ensure(&file.content, chunk, &purpose, &self.listener());
            let mut pattern = file.pattern.lock();
            let Some(stream) = pattern.get(id) else { return };
            stream.correct_chunk(chunk, coverage.until, coverage.requests);
            if coverage.until < chunk.end {
                return;
            }
        }
    }

    /// Returns the share of one of the handles with chunks in flight. Without a share of the budget,
    /// the first reader would lose its blocks before it reads them. Without a share of the
    /// connections, all readers would ask for small chunks.
    fn share(&self) -> ReaderShare {
        let readers = self.active_readers.load(Ordering::Relaxed).max(1);
        ReaderShare {
            window: self.loader.store.memory.most_ahead() / readers as u64,
            connections: (self.max_connections / readers).max(1),
        }
    }
}

impl FetchListener for Prefetcher {
    /// Prefetches the index of a media file if its head shows where the index is.
    fn on_head(self: Arc<Self>, content: &Arc<Content>, head: &[u8]) {
        let Recording { size, body, .. } = content.recording;
        if body == BodyKind::IsoMedia
            && let Some(index) = media_index::find(head, size)
        {
            self.ensure(content, index, &FetchPurpose::MediaIndex);
        }
    }

    /// Fills the window again: the throughput may show that more connections would help.
    fn on_progress(self: Arc<Self>, file: &Arc<OpenFile>, id: StreamId) {
        {
            let mut pattern = file.pattern.lock();
            let Some(stream) = pattern.get(id) else { return };
            stream.observe_throughput(file.meter.read());
        }
        self.fill_window(file, id);
    }

    /// Fills the window again: there may be capacity for the next chunk.
    fn on_chunk_end(self: Arc<Self>, file: &Arc<OpenFile>, id: StreamId) {
        {
            let mut pattern = file.pattern.lock();
            let Some(stream) = pattern.get(id) else { return };
            stream.record_chunk_end();
            if let Some(connections) = stream.useful_connections() {
                let source = file.content.recording.id.source.clone();
                self.useful_connections.lock().insert(source, connections);
            }
        }
        self.fill_window(file, id);
    }
}

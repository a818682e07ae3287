//! Contents, handles and a fetcher for the tests of the read path.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::block_loader::BlockLoader;
use super::cache_tiers::CacheTiers;
use super::content::Content;
use super::fetch_purpose::FetchPurpose;
use super::fetch_request::{FetchListener, FetchRequest, Fetcher};
use super::in_flight::FetchFailure;
use super::open_file::OpenFile;
use super::recording::{ContentRevision, Recording};
use super::stream::StreamId;
use crate::cache::{BLOCK_LENGTH, BlockExtent, BlockSpan, ContentId, MemoryCache};
use crate::http::{FetchError, LeaseSource, Priority, TrafficClass};
use crate::model::{BodyKind, FileId, Lease, SourceName, Version};
use crate::sync::Mutex;

/// A lease source whose leases are never available.
pub(super) struct NoLeases;

#[async_trait]
impl LeaseSource for NoLeases {
    async fn current_lease(&self, _priority: Priority) -> Result<Arc<Lease>, FetchError> {
        Err(FetchError::Gone("a lease is not available".into()))
    }

    fn report_refused(&self, _lease: &Arc<Lease>) {}

    fn report_served(&self, _lease: &Arc<Lease>) {}

    fn is_error_body(&self, _body: &[u8]) -> bool {
        false
    }
}

pub(super) fn recording(size: u64) -> Recording {
    let source = SourceName::new("acme").unwrap();
    let id = FileId { source, meeting: "meeting".into(), key: "file".into() };
    Recording { id, version: Version(1), size, body: BodyKind::Opaque }
}

pub(super) fn content(size: u64) -> Arc<Content> {
    content_with(recording(size))
}

pub(super) fn content_with(recording: Recording) -> Arc<Content> {
    let revision = (ContentRevision(1), None);
    Arc::new(Content::new(recording, ContentId(1), Arc::new(NoLeases), revision))
}

/// Opens a handle on a content.
pub(super) fn open(content: &Arc<Content>, runtime: &tokio::runtime::Handle) -> Arc<OpenFile> {
    Arc::new(OpenFile::new(content.clone(), Arc::default(), Arc::default(), runtime.clone()))
}

pub(super) fn demand(file: &Arc<OpenFile>) -> FetchPurpose {
    FetchPurpose::Demand(TrafficClass::Interactive, Arc::downgrade(file))
}

/// Returns the byte that every test file has at `offset`.
pub(super) fn byte_at(offset: u64) -> u8 {
    (offset % 251) as u8
}

pub(super) fn bytes_of(span: BlockSpan) -> Bytes {
    (span.start..span.end).map(byte_at).collect()
}

pub(super) fn bytes_in(extent: BlockExtent) -> Bytes {
    bytes_of(BlockSpan::new(extent.start(), extent.end()))
}

/// A listener that ignores the progress of fetches.
pub(super) struct NoListener;

impl FetchListener for NoListener {
    fn on_head(self: Arc<Self>, _content: &Arc<Content>, _head: &[u8]) {}

    fn on_progress(self: Arc<Self>, _file: &Arc<OpenFile>, _stream: StreamId) {}

    fn on_chunk_end(self: Arc<Self>, _file: &Arc<OpenFile>, _stream: StreamId) {}
}

pub(super) fn no_listener() -> Arc<dyn FetchListener> {
    Arc::new(NoListener)
}

/// A fetcher that collects requests, which the test fulfills.
#[derive(Default)]
pub(super) struct ManualFetcher {
    requests: Mutex<Vec<FetchRequest>>,
}

impl Fetcher for ManualFetcher {
    fn start(&self, request: FetchRequest) {
        self.requests.lock().push(request);
    }
}

impl ManualFetcher {
    /// Removes and returns the oldest request.
    pub(super) fn take(&self) -> Option<FetchRequest> {
        let mut requests = self.requests.lock();
        (!requests.is_empty()).then(|| requests.remove(0))
    }

    /// Removes and returns a request, and checks that there is only one.
    pub(super) fn take_only(&self) -> FetchRequest {
        let request = self.take().expect("a request");
        assert!(self.take().is_none(), "one request only");
        request
    }
}

/// Delivers all bytes of a request, as a range fetch does. Returns `false` if another request has
/// taken over some of the bytes.
pub(super) fn fulfill(mut request: FetchRequest) -> bool {
    for fetch in request.fetches.clone() {
        if !request.is_registered(&fetch) {
            request.fail_remaining(FetchFailure::Abandoned);
            return false;
        }
        request.position.set(fetch.extent.start());
        fetch.append(&bytes_in(fetch.extent));
        request.complete(&fetch);
    }
    true
}

/// Creates a loader without a disk cache, and the fetcher of the loader.
pub(super) fn loader(
    memory: u64,
    runtime: &tokio::runtime::Handle,
) -> (Arc<BlockLoader>, Arc<ManualFetcher>) {
    let fetcher = Arc::new(ManualFetcher::default());
    let loader = BlockLoader {
        caches: Arc::new(CacheTiers::new(MemoryCache::new(memory), None)),
        in_flight: Arc::default(),
        fetcher: fetcher.clone(),
        meter: Arc::default(),
        runtime: runtime.clone(),
    };
    (Arc::new(loader), fetcher)
}

/// Returns a span. `start` and `end` are multiples of a sixteenth of a block.
pub(super) fn span(start: u64, end: u64) -> BlockSpan {
    const UNIT: u64 = BLOCK_LENGTH / 16;
    BlockSpan::new(start * UNIT, end * UNIT)
}

//! Range fetches: one range request each, which fills the in-flight fetches of its blocks.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::block_store::BlockStore;
use super::content::Content;
use super::content_table::ContentTable;
use super::fetch_purpose::FetchPurpose;
use super::in_flight::{FetchFailure, InFlightFetch, InFlightFetches, RequestPosition};
use super::open_file::OpenFile;
use super::stream::StreamId;
use crate::cache::{BlockSpan, Reservation};
use crate::http::{ByteRange, Client, FetchError, RangeStream};
use crate::sync::Mutex;

/// Bytes after which the progress of a fetch is reported: about ten times in the time of a
/// measurement by [`ConcurrencyController`](super::concurrency::ConcurrencyController), and a few
/// thousand times per second on the fastest line.
const PROGRESS_INTERVAL: usize = 256 * 1024;

/// Receives the progress of range fetches.
pub(super) trait FetchListener: Send + Sync {
    /// The first bytes of a file have arrived.
    fn on_head(self: Arc<Self>, content: &Arc<Content>, head: &[u8]);

    /// Bytes have arrived for a stream of a handle.
    fn on_progress(self: Arc<Self>, file: &Arc<OpenFile>, stream: StreamId);

    /// A chunk of a stream has arrived or failed.
    fn on_chunk_end(self: Arc<Self>, file: &Arc<OpenFile>, stream: StreamId);
}

/// A range to fetch, with the in-flight fetches that are registered for it.
pub(super) struct FetchRequest {
    pub(super) content: Arc<Content>,
    pub(super) span: BlockSpan,
    pub(super) fetches: Vec<Arc<InFlightFetch>>,
    pub(super) position: Arc<RequestPosition>,
    pub(super) reservation: Reservation,
    pub(super) purpose: FetchPurpose,
    pub(super) listener: Arc<dyn FetchListener>,
}

/// Starts the requests that fill in-flight fetches. A seam for tests of the loader.
pub(super) trait StartFetch: Send + Sync {
    /// Starts to fill the fetches of `request`, and returns at once. It is called with the table of
    /// in-flight fetches locked.
    fn start(&self, request: FetchRequest);
}

/// What all range fetches share.
pub(super) struct FetchContext {
    pub(super) client: Client,
    /// The longest time that a fetch continues without a new byte.
    pub(super) deadline: Duration,
    pub(super) contents: Arc<ContentTable>,
    pub(super) store: Arc<BlockStore>,
    pub(super) in_flight: Arc<Mutex<InFlightFetches>>,
    pub(super) runtime: tokio::runtime::Handle,
}

/// Starts range fetches over HTTP.
pub(super) struct RangeFetcher(pub(super) Arc<FetchContext>);

impl StartFetch for RangeFetcher {
    fn start(&self, request: FetchRequest) {
        let span = tracing::debug_span!(
            "fetch",
            content = request.content.id.0,
            start = request.span.start,
            end = request.span.end,
            purpose = request.purpose.name(),
        );
        if let FetchPurpose::Chunk(file, ..) = &request.purpose
            && let Some(file) = file.upgrade()
        {
            file.add_chunk();
        }
        let closed = request.content.request_token();
        let fetch = RangeFetch {
            context: self.0.clone(),
            request,
            has_delivered: false,
            unreported_bytes: 0,
        };
        self.0.runtime.spawn(async move { fetch.run(closed).await }.instrument(span));
    }
}

struct RangeFetch {
    context: Arc<FetchContext>,
    request: FetchRequest,
    /// Whether the first bytes have arrived, so that the handle's meter counts the connection.
    has_delivered: bool,
    /// Bytes that have arrived since the listener last heard of them.
    unreported_bytes: usize,
}

impl RangeFetch {
    /// Fills its in-flight fetches, until `closed` or the token of its purpose ends it.
    async fn run(mut self, closed: CancellationToken) {
        tracing::debug!("fetch started");
        let left = self.request.purpose.token();
        let outcome = tokio::select! {
            outcome = self.fill() => outcome,
            () = closed.cancelled() => Err(FetchFailure::Abandoned),
            () = left.cancelled() => Err(FetchFailure::Abandoned),
        };
        match &outcome {
            Ok(()) => tracing::debug!("fetch complete"),
            Err(FetchFailure::Abandoned) => tracing::debug!("fetch canceled"),
            Err(FetchFailure::Failed(error)) => {
                tracing::debug!("fetch failed: {}", crate::model::one_line(error));
            }
        }
        if let Err(failure) = outcome {
            let FetchRequest { content, purpose, .. } = &self.request;
            if let FetchFailure::Failed(error) = &failure {
                content.record_request_failure(error);
                self.context.contents.record_error(content, error);
                if matches!(purpose, FetchPurpose::WholeFile) {
                    content.record_prefetch_failure();
                }
            }
            self.fail_remaining(failure);
        }
        if self.has_delivered
            && let Some(file) = self.request.purpose.handle()
        {
            file.meter.remove_connection();
        }
        let FetchRequest { purpose, reservation, listener, .. } = self.request;
        drop(reservation);
        if let FetchPurpose::Chunk(file, stream, _) = purpose
            && let Some(file) = file.upgrade()
        {
            file.remove_chunk();
            listener.on_chunk_end(&file, stream);
        }
    }

    async fn fill(&mut self) -> Result<(), FetchFailure> {
        let FetchRequest { content, span, purpose, .. } = &self.request;
        let (content, span) = (content.clone(), *span);
        let mut body = RangeStream::new(
            self.context.client.clone(),
            content.leases.clone(),
            ByteRange { start: span.start, end: span.end },
            content.expectation(),
            (purpose.traffic_class(), purpose.priority()),
            self.context.deadline,
        );
        body.open().await.map_err(FetchFailure::Failed)?;
        self.context.contents.confirm(&content, body.validator());
        let mut bytes = self.receive(&mut body).await?;
        if span.start == 0 {
            self.request.listener.clone().on_head(&content, &bytes);
        }
        for fetch in self.request.fetches.clone() {
            if !self.is_registered(&fetch) {
                return Err(FetchFailure::Abandoned);
            }
            self.request.position.set(fetch.extent.start());
            let mut missing = fetch.extent.len();
            while missing > 0 {
                if bytes.is_empty() {
                    bytes = self.receive(&mut body).await?;
                }
                let part = bytes.split_to(bytes.remaining().min(missing));
                fetch.append(&part);
                missing -= part.len();
            }
            self.complete(&fetch);
            if let (FetchPurpose::Chunk(..), Some(disk)) =
                (&self.request.purpose, &self.context.store.disk)
            {
                disk.let_catch_up().await;
            }
        }
        Ok(())
    }

    /// Returns the next bytes of the body, and counts them for the handle that they are for.
    async fn receive(&mut self, body: &mut RangeStream) -> Result<Bytes, FetchFailure> {
        let bytes = body.chunk().await.map_err(FetchFailure::Failed)?;
        let bytes = bytes.ok_or_else(|| {
            FetchFailure::Failed(FetchError::Failed("the reply ended before its range did".into()))
        })?;
        if let Some(file) = self.request.purpose.handle() {
            if !std::mem::replace(&mut self.has_delivered, true) {
                file.meter.add_connection();
            }
            file.meter.add_bytes(bytes.len());
            self.unreported_bytes += bytes.len();
            if self.unreported_bytes >= PROGRESS_INTERVAL {
                self.unreported_bytes = 0;
                let stream = match self.request.purpose {
                    FetchPurpose::Chunk(_, stream, _) => Some(stream),
                    _ => file.pattern.lock().latest(),
                };
                if let Some(stream) = stream {
                    self.request.listener.clone().on_progress(&file, stream);
                }
            }
        }
        Ok(bytes)
    }

    /// Whether no other request has taken the bytes of `fetch` over. That happens if a reader could not
    /// wait until this request reaches them.
    fn is_registered(&self, fetch: &Arc<InFlightFetch>) -> bool {
        self.context.in_flight.lock().contains(self.request.content.id, fetch)
    }

    /// Moves the bytes of a fetch into the cache. The fetch leaves the table last, so that a reader
    /// finds the bytes in the cache or in the table.
    fn complete(&mut self, fetch: &Arc<InFlightFetch>) {
        let FetchRequest { content, reservation, .. } = &mut self.request;
        let bytes = fetch.complete();
        reservation.release(bytes.len() as u64);
        if !content.is_stale() {
            self.context.store.insert(content, fetch.extent, &bytes);
        }
        self.context.in_flight.lock().remove(content.id, fetch);
    }

    /// Ends the fetches that are not complete. A reader that joined a prefetch may have waited for a
    /// moment only when the prefetch fails: it starts again, unless its own request would fail in
    /// the same way.
    fn fail_remaining(&self, failure: FetchFailure) {
        let FetchRequest { content, fetches, purpose, .. } = &self.request;
        // The failure for waiters, and the error to record for the block if there is one to record.
        let (failure, recorded) = match failure {
            FetchFailure::Failed(
                FetchError::Deadline(_) | FetchError::Failed(_) | FetchError::Down(_),
            ) if !purpose.is_demand() => (FetchFailure::Abandoned, Some(None)),
            FetchFailure::Failed(error) => (FetchFailure::Failed(error.clone()), Some(Some(error))),
            FetchFailure::Abandoned => (FetchFailure::Abandoned, None),
        };
        for fetch in fetches {
            if let Some(error) = &recorded
                && self.is_registered(fetch)
            {
                content.record_failure(fetch.extent.index, error.as_ref());
            }
            self.context.in_flight.lock().remove(content.id, fetch);
            fetch.fail(failure.clone());
        }
    }
}

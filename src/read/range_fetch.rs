//! Range fetches: each sends one range request, which fills the in-flight fetches of its blocks.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::content_table::ContentTable;
use super::fetch_purpose::FetchPurpose;
use super::fetch_request::{FetchRequest, Fetcher};
use super::in_flight::FetchFailure;
use crate::cache::BlockSpan;
use crate::http::{ByteRange, Client, FetchError, RangeStream};

/// Number of bytes between two progress reports of a fetch. This gives about ten reports during a
/// measurement by [`ConcurrencyController`](super::concurrency::ConcurrencyController), and a few
/// thousand reports per second on the fastest line.
const PROGRESS_INTERVAL: usize = 256 * 1024;

/// The components that all range fetches share.
pub(super) struct FetchContext {
    pub(super) client: Client,
    /// Maximum time that a fetch waits for a new byte.
    pub(super) deadline: Duration,
    pub(super) contents: Arc<ContentTable>,
    pub(super) runtime: tokio::runtime::Handle,
}

/// Starts range fetches over HTTP.
pub(super) struct RangeFetcher(pub(super) Arc<FetchContext>);

impl Fetcher for RangeFetcher {
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
        let content_token = request.content.request_token();
        let fetch = RangeFetch {
            context: self.0.clone(),
            start: Instant::now(),
            delivered_until: request.span.start,
            request,
            has_delivered: false,
            unreported_bytes: 0,
        };
        self.0.runtime.spawn(async move { fetch.run(content_token).await }.instrument(span));
    }
}

struct RangeFetch {
    context: Arc<FetchContext>,
    request: FetchRequest,
    start: Instant,
    /// The offset after the last byte that has arrived.
    delivered_until: u64,
    /// Whether the first bytes have arrived. If so, the meter of the handle counts the connection.
    has_delivered: bool,
    /// Number of bytes that have arrived since the last progress report.
    unreported_bytes: usize,
}

impl RangeFetch {
    /// Fills the in-flight fetches. Ends early if `content_token` or the token of the purpose is
    /// canceled.
    async fn run(mut self, content_token: CancellationToken) {
        tracing::debug!("fetch started");
        let purpose_token = self.request.purpose.cancellation_token();
        let result = tokio::select! {
            result = self.fill_fetches() => result,
            () = content_token.cancelled() => Err(FetchFailure::Abandoned),
            () = purpose_token.cancelled() => Err(FetchFailure::Abandoned),
        };
        match &result {
            Ok(()) => tracing::debug!("fetch complete"),
            Err(FetchFailure::Abandoned) => tracing::debug!("fetch canceled"),
            Err(FetchFailure::Failed(error)) => {
                tracing::debug!("fetch failed: {}", crate::model::one_line(error));
            }
        }
        if let Err(failure) = result {
            let FetchRequest { content, purpose, .. } = &self.request;
            if let FetchFailure::Failed(error) = &failure {
                content.record_request_failure(error);
                self.context.contents.record_error(content, error);
                if matches!(purpose, FetchPurpose::WholeFile) {
                    content.record_prefetch_failure();
                }
            }
            self.request.fail_remaining(failure);
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

    async fn fill_fetches(&mut self) -> Result<(), FetchFailure> {
        let FetchRequest { content, span, purpose, .. } = &self.request;
        let (content, span) = (content.clone(), *span);
        let mut body = RangeStream::new(
            self.context.client.clone(),
            content.leases.clone(),
            ByteRange { start: span.start, end: span.end },
            content.expected_file(),
            (purpose.traffic_class(), purpose.priority()),
            self.context.deadline,
        );
        body.open().await.map_err(FetchFailure::Failed)?;
        let contents = &self.context.contents;
        contents.record_reply(&content, body.validator()).map_err(FetchFailure::Failed)?;
        let mut bytes = self.receive(&mut body).await?;
        if span.start == 0 {
            self.request.listener.clone().on_head(&content, &bytes);
        }
        for fetch in self.request.fetches.clone() {
            if !self.request.is_registered(&fetch) {
                return Err(FetchFailure::Abandoned);
            }
            self.request.position.set(fetch.extent.start());
            let mut missing_bytes = fetch.extent.len();
            while missing_bytes > 0 {
                if bytes.is_empty() {
                    bytes = self.receive(&mut body).await?;
                }
                let part = bytes.split_to(bytes.remaining().min(missing_bytes));
                fetch.append(&part);
                missing_bytes -= part.len();
            }
            self.request.complete(&fetch);
            if let (FetchPurpose::Chunk(..), Some(disk)) =
                (&self.request.purpose, &self.request.caches.disk)
            {
                disk.wait_for_writer().await;
            }
        }
        Ok(())
    }

    /// Returns the next bytes of the body, and adds them to the meter of the handle that needs
    /// them.
    async fn receive(&mut self, body: &mut RangeStream) -> Result<Bytes, FetchFailure> {
        let bytes = body.chunk().await.map_err(FetchFailure::Failed)?;
        let bytes = bytes.ok_or_else(|| {
            FetchFailure::Failed(FetchError::Failed(
                "the reply ended before the end of the requested range".into(),
            ))
        })?;
        self.delivered_until += bytes.len() as u64;
        let FetchRequest { content, span, .. } = &self.request;
        let delivered_span = BlockSpan::new(span.start, self.delivered_until);
        content.breaker.record_delivery(
            self.start,
            delivered_span,
            self.delivered_until >= span.end,
        );
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
                    _ => file.pattern.lock().latest_stream(),
                };
                if let Some(stream) = stream {
                    self.request.listener.clone().on_progress(&file, stream);
                }
            }
        }
        Ok(bytes)
    }
}

//! Range fetches: each sends one range request, which fills the in-flight fetches of its blocks.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::content_table::ContentTable;
use super::fetch_purpose::FetchPurpose;
use super::fetch_request::FetchRequest;
use super::in_flight::{FetchFailure, InFlightFetch};
use crate::cache::{BlockExtent, BlockIndex, BlockSpan};
use crate::http::{ByteRange, Client, FetchError, RangeStream};

/// Number of bytes between two progress reports of a fetch. After each report, the prefetch window
/// can grow. On the fastest line, there are a few thousand reports per second.
const PROGRESS_INTERVAL: usize = 256 * 1024;

/// Maximum time for which a demand-driven request waits for its readers. A program that reads
/// nothing for this time has probably found what it needs in the first bytes, and the request keeps
/// memory for the rest of the file.
const DEMAND_TIMEOUT: Duration = Duration::from_secs(2);

/// The components that all range fetches share.
pub(super) struct FetchContext {
    pub(super) client: Client,
    /// Maximum time that a fetch waits for a new byte.
    pub(super) deadline: Duration,
    pub(super) contents: Arc<ContentTable>,
    pub(super) runtime: tokio::runtime::Handle,
}

/// One fetch of a range.
pub(super) struct RangeFetch {
    context: Arc<FetchContext>,
    request: FetchRequest,
    /// The token that cancels the requests of the content.
    content_token: CancellationToken,
    start: Instant,
    /// The offset after the last byte that has arrived.
    delivered_until: u64,
    /// Number of bytes that have arrived since the last progress report.
    unreported_bytes: usize,
}

impl RangeFetch {
    pub(super) fn new(context: Arc<FetchContext>, request: FetchRequest) -> Self {
        if let FetchPurpose::Chunk(file, ..) = &request.purpose
            && let Some(file) = file.upgrade()
        {
            file.add_chunk();
        }
        Self {
            context,
            content_token: request.content.request_token(),
            start: Instant::now(),
            delivered_until: request.span.start,
            request,
            unreported_bytes: 0,
        }
    }

    pub(super) fn request(&self) -> &FetchRequest {
        &self.request
    }

    /// Returns the token that cancels the requests of the content.
    pub(super) fn content_token(&self) -> CancellationToken {
        self.content_token.clone()
    }

    /// Sends the request and fills the in-flight fetches. Returns the stream without filling them
    /// if the server sends the whole file instead of the range. Ends early if the token of the
    /// content or of the purpose is canceled.
    pub(super) async fn run(&mut self) -> Result<Option<RangeStream>, FetchFailure> {
        tracing::debug!("fetch started");
        let content_token = self.content_token.clone();
        let purpose_token = self.request.purpose.cancellation_token();
        tokio::select! {
            result = self.fill_fetches() => result,
            () = content_token.cancelled() => Err(FetchFailure::Abandoned),
            () = purpose_token.cancelled() => Err(FetchFailure::Abandoned),
        }
    }

    /// Whether a reader or the prefetch window still needs the missing bytes.
    pub(super) fn is_needed(&self) -> bool {
        let is_reader_gone = matches!(&self.request.purpose, FetchPurpose::Demand(_, file) if file.strong_count() == 0);
        let mut missing = self.request.fetches.iter();
        !is_reader_gone
            && !self.request.purpose.cancellation_token().is_cancelled()
            && missing.any(|fetch| self.request.is_registered(fetch))
    }

    /// Whether a transfer can start again for the fetch: a reader waits for it, and no byte of it
    /// has arrived.
    pub(super) fn can_restart(&self) -> bool {
        self.request.purpose.is_demand() && self.delivered_until == self.request.span.start
    }

    /// Returns the first block with missing bytes, or `None` if no byte is missing.
    pub(super) fn next_block(&self) -> Option<BlockIndex> {
        self.request.fetches.first().map(|fetch| fetch.extent.index)
    }

    /// Fills the in-flight fetch of a block from the bytes that `block` contains. `block` begins
    /// with the first byte of the block. Fetches are filled in order, so nothing happens if an
    /// earlier block is missing. Returns the extent that has become complete, if any.
    pub(super) fn fill_from_block(
        &mut self,
        index: BlockIndex,
        block: &[u8],
    ) -> Option<BlockExtent> {
        let next = self.request.fetches.first();
        let fetch = next.filter(|fetch| fetch.extent.index == index).cloned()?;
        let length = fetch.append_from_block(block);
        if length > 0 {
            self.record_bytes(length);
        }
        if block.len() < fetch.extent.to {
            return None;
        }
        self.request.complete(&fetch);
        self.request.fetches.remove(0);
        Some(fetch.extent)
    }

    /// Ends the fetch. If it has failed, its waiters get the failure.
    pub(super) fn finish(self, result: Result<(), FetchFailure>) {
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
                if matches!(purpose, FetchPurpose::UpcomingFile(_)) {
                    content.record_prefetch_failure();
                }
            }
            self.request.fail_remaining(failure);
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

    async fn fill_fetches(&mut self) -> Result<Option<RangeStream>, FetchFailure> {
        let FetchRequest { content, span, purpose, .. } = &self.request;
        let (content, span) = (content.clone(), *span);
        let open_body = async || {
            let mut body = RangeStream::new(
                self.context.client.clone(),
                content.leases.clone(),
                ByteRange { start: span.start, end: span.end },
                content.expected_file(),
                (purpose.traffic_class(), purpose.priority()),
                self.context.deadline,
            );
            body.open().await?;
            self.context.contents.record_reply(&content, body.validator())?;
            Ok(body)
        };
        let is_first_reply = content.expected_file().validator.is_none();
        let mut body = match open_body().await {
            // The first requests of a file start without an expected validator. If another request
            // has recorded its validator in the meantime, this request is sent again and checked
            // against it.
            Err(FetchError::Changed(_)) if is_first_reply => open_body().await,
            result => result,
        }
        .map_err(FetchFailure::Failed)?;
        self.record_progress(0);
        if body.sends_whole_file() {
            return Ok(Some(body));
        }
        let Some(first_fetch) = self.request.fetches.first().cloned() else { return Ok(None) };
        let mut bytes = self.receive_for(&first_fetch, &mut body).await?;
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
                    bytes = self.receive_for(&fetch, &mut body).await?;
                }
                let part = bytes.split_to(bytes.remaining().min(missing_bytes));
                fetch.append(&part);
                missing_bytes -= part.len();
            }
            self.request.complete(&fetch);
            if let (FetchPurpose::Chunk(..), Some(disk)) =
                (&self.request.purpose, &self.request.caches.disk)
            {
                self.request.position.pause();
                disk.wait_for_writer().await;
                self.request.position.resume(self.request.meter.read().bytes);
            }
        }
        Ok(None)
    }

    /// Returns the next bytes of the body, which belong to a fetch. Ends if another request takes
    /// over the fetch.
    async fn receive_for(
        &mut self,
        fetch: &Arc<InFlightFetch>,
        body: &mut RangeStream,
    ) -> Result<Bytes, FetchFailure> {
        let (position, in_flight) = (self.request.position.clone(), self.request.in_flight.clone());
        let content_id = self.request.content.id;
        let fetch_is_taken = async {
            while in_flight.lock().contains(content_id, fetch) {
                position.wait_for_replacement().await;
            }
        };
        let next_bytes = async {
            self.wait_for_readers(body).await?;
            self.receive(body).await
        };
        tokio::select! {
            bytes = next_bytes => bytes,
            () = fetch_is_taken => Err(FetchFailure::Abandoned),
        }
    }

    /// Waits until a reader needs more bytes of a demand-driven request. Gives up the request if
    /// that takes too long.
    async fn wait_for_readers(&self, body: &mut RangeStream) -> Result<(), FetchFailure> {
        let FetchRequest { position, meter, .. } = &self.request;
        if position.is_due(self.delivered_until) {
            return Ok(());
        }
        position.pause();
        let is_due = body.pause_and_yield(position.wait_until_due(self.delivered_until));
        let result = tokio::time::timeout(DEMAND_TIMEOUT, is_due).await;
        position.resume(meter.read().bytes);
        result.map_err(|_elapsed| FetchFailure::Abandoned)
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
        self.record_bytes(bytes.len());
        Ok(bytes)
    }

    /// Records that `length` bytes have arrived, so that the request is replaced when it stalls.
    /// With a limited bandwidth, a request waits for the limit while others deliver, so it is never
    /// replaced.
    fn record_progress(&self, length: usize) {
        let FetchRequest { content, position, meter, .. } = &self.request;
        let is_limited = self.context.client.bandwidth_limiter().is_some()
            || content.leases.bandwidth_limiter().is_some();
        if !is_limited {
            position.record_progress(length, meter.read().bytes);
        }
    }

    /// Records that the next `length` bytes of the range have arrived.
    fn record_bytes(&mut self, length: usize) {
        self.delivered_until += length as u64;
        self.request.meter.add_bytes(length);
        self.request.content.delivery.lock().add_bytes(length);
        self.record_progress(length);
        let FetchRequest { content, span, .. } = &self.request;
        let delivered_span = BlockSpan::new(span.start, self.delivered_until);
        content.breaker.record_delivery(
            self.start,
            delivered_span,
            self.delivered_until >= span.end,
        );
        if let Some(file) = self.request.purpose.handle() {
            file.meter.add_bytes(length);
            self.unreported_bytes += length;
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
    }
}

//! Loads blocks: finds out which bytes of a range are missing, and starts what brings them.
//!
//! A byte is in the memory cache, or in flight, or missing. Missing blocks that the disk cache holds
//! are loaded from there. The others are fetched, with as few requests as possible.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tracing::Instrument;

use super::block_store::BlockStore;
use super::content::Content;
use super::disk_load::DiskLoad;
use super::fetch_purpose::FetchPurpose;
use super::in_flight::{FetchFailure, InFlightFetch, InFlightFetches, RequestPosition};
use super::open_file::OpenFile;
use super::range_fetch::{FetchListener, FetchRequest, StartFetch};
use crate::cache::{BLOCK_LENGTH, BlockExtent, BlockIndex, BlockSpan, Reservation};
use crate::http::FetchError;
use crate::sync::Mutex;

/// Bytes that an in-flight request may still have to deliver before it reaches those that a reader
/// needs, for the reader to wait for it. They pass in about a second on a common line. If there are
/// more, the reader gets a request of its own.
const MAX_JOIN_DISTANCE: u64 = 16 * BLOCK_LENGTH;

/// Makes ranges of a content available in memory.
pub(super) struct BlockLoader {
    pub(super) store: Arc<BlockStore>,
    pub(super) in_flight: Arc<Mutex<InFlightFetches>>,
    pub(super) fetcher: Arc<dyn StartFetch>,
    pub(super) runtime: tokio::runtime::Handle,
}

/// What [`BlockLoader::ensure`] has achieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Coverage {
    /// Bytes before this offset are in memory, in flight, or known to be unavailable.
    pub(super) until: u64,
    /// Requests that were started.
    pub(super) requests: usize,
}

impl BlockLoader {
    /// Starts what is missing of `span`, as far as the memory budget allows. Demand is always started
    /// completely.
    pub(super) fn ensure(
        &self,
        content: &Arc<Content>,
        span: BlockSpan,
        purpose: &FetchPurpose,
        listener: &Arc<dyn FetchListener>,
    ) -> Coverage {
        if self.store.disk.is_some() {
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
            });
            requests += 1;
            rest.start = part.end;
            if part.end < gap.end {
                return Coverage { until: part.end, requests };
            }
        }
        Coverage { until: span.end, requests }
    }

    /// Reserves memory for `bytes`; for a prefetch less than that, or nothing, if the budget is used.
    fn reserve(&self, bytes: u64, purpose: &FetchPurpose) -> Option<Reservation> {
        if purpose.is_demand() {
            Some(self.store.memory.reserve_for_demand(bytes))
        } else {
            self.store.memory.reserve_ahead(bytes)
        }
    }

    /// Starts to load the blocks of `span` that the disk cache has and memory has not, as far as the
    /// budget allows.
    fn load_from_disk(&self, content: &Arc<Content>, span: BlockSpan, purpose: &FetchPurpose) {
        for index in span.blocks() {
            let block = BlockExtent { index, from: 0, to: content.block_length(index) };
            let key = content.key(index);
            let mut in_flight = self.in_flight.lock();
            let is_coming =
                self.store.memory.reach(key, 0) >= block.to || in_flight.covering(key, 0).is_some();
            if is_coming || !self.store.is_on_disk(content, index) {
                continue;
            }
            let reservation = self.reserve(block.len() as u64, purpose);
            let Some(reservation) = reservation.filter(|it| it.bytes() == block.len() as u64)
            else {
                return;
            };
            let fetch = InFlightFetch::new(block, RequestPosition::new(block.start()));
            in_flight.insert(content.id, &fetch);
            let load = DiskLoad {
                store: self.store.clone(),
                in_flight: self.in_flight.clone(),
                content: content.clone(),
                fetch,
                reservation,
            };
            self.runtime.spawn(load.run().in_current_span());
        }
    }

    /// Returns the first bytes of `span` that are missing: not in memory, not in flight, and not known
    /// to be unavailable. For demand, bytes that are far behind in their request are missing, too.
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
                content.has_failed_recently(index)
            };
            let unavailable = if is_unavailable { to } else { from };
            let reach = self.store.memory.reach(key, from).max(coming).max(unavailable);
            if reach > from {
                if start.is_some() {
                    break;
                }
                rest.start = extent.offset_of(reach);
                continue;
            }
            start.get_or_insert(rest.start);
            let cached = self.store.memory.next_start(key, from);
            let next = cached.into_iter().chain(in_flight.next_start(key, from)).min();
            rest.start = extent.offset_of(next.unwrap_or(to).min(to));
        }
        start.map(|start| BlockSpan::new(start, rest.start.min(span.end)))
    }

    /// Returns the bytes of `span` if all of them are in memory or have arrived.
    pub(super) fn available(&self, content: &Content, span: BlockSpan) -> Option<Bytes> {
        let first = span.first_extent()?;
        if BlockIndex::of(span.end - 1) == first.index {
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
        if let Some(bytes) = self.store.memory.piece(key, extent.from, extent.to) {
            return Some(bytes);
        }
        let fetch = self.in_flight.lock().covering(key, extent.from).cloned()?;
        if fetch.extent.to < extent.to {
            return None;
        }
        fetch.available(extent)?.ok()
    }

    /// Waits for the bytes of `span`, which is not empty, and starts what is missing of it.
    ///
    /// # Errors
    /// A block cannot be fetched, or the content is stale. The caller bounds the wait.
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

    /// Waits for at least one byte from the start of `span`. Returns no bytes of the next block.
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
            let cached = self.store.memory.reach(key, extent.from).min(extent.to);
            if cached > extent.from
                && let Some(bytes) = self.store.memory.piece(key, extent.from, cached)
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
            let part = extent.up_to(fetch.extent.to);
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

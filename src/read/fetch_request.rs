//! A request for a byte range: its purpose, and the in-flight fetches that it fills.

use std::sync::Arc;

use super::cache_tiers::CacheTiers;
use super::content::Content;
use super::fetch_purpose::FetchPurpose;
use super::in_flight::{FetchFailure, InFlightFetch, InFlightFetches, RequestPosition};
use super::open_file::OpenFile;
use super::stream::StreamId;
use super::throughput::ThroughputMeter;
use crate::cache::{BlockSpan, Reservation};
use crate::http::FetchError;
use crate::sync::Mutex;

/// Receives the progress of range fetches.
pub(super) trait FetchListener: Send + Sync {
    /// Called when the first bytes of a file have arrived.
    fn on_head(self: Arc<Self>, content: &Arc<Content>, head: &[u8]);

    /// Called when bytes have arrived for a stream of a handle.
    fn on_progress(self: Arc<Self>, file: &Arc<OpenFile>, stream: StreamId);

    /// Called when a chunk of a stream has arrived or failed.
    fn on_chunk_end(self: Arc<Self>, file: &Arc<OpenFile>, stream: StreamId);
}

/// A range to fetch, and the in-flight fetches that are registered for it.
pub(super) struct FetchRequest {
    pub(super) content: Arc<Content>,
    pub(super) span: BlockSpan,
    pub(super) fetches: Vec<Arc<InFlightFetch>>,
    pub(super) position: Arc<RequestPosition>,
    pub(super) reservation: Reservation,
    pub(super) purpose: FetchPurpose,
    pub(super) listener: Arc<dyn FetchListener>,
    pub(super) caches: Arc<CacheTiers>,
    pub(super) in_flight: Arc<Mutex<InFlightFetches>>,
    /// Counts the bytes that all requests deliver.
    pub(super) meter: Arc<ThroughputMeter>,
}

/// Starts the requests that fill in-flight fetches. Tests of the loader use their own
/// implementation.
pub(super) trait Fetcher: Send + Sync {
    /// Starts to fill the in-flight fetches of `request` and returns at once. The caller holds the
    /// lock of the table of in-flight fetches.
    fn start(&self, request: FetchRequest);
}

impl FetchRequest {
    /// Whether `fetch` still belongs to this request. If a reader cannot wait until this request
    /// reaches the bytes of the fetch, another request takes these bytes over.
    pub(super) fn is_registered(&self, fetch: &Arc<InFlightFetch>) -> bool {
        self.in_flight.lock().contains(self.content.id, fetch)
    }

    /// Moves the bytes of a fetch into the cache, and then removes the fetch from the table. In
    /// this order, a reader always finds the bytes in the cache or in the table.
    pub(super) fn complete(&mut self, fetch: &Arc<InFlightFetch>) {
        let bytes = fetch.complete();
        self.reservation.release(bytes.len() as u64);
        if !self.content.is_stale() {
            self.caches.insert(&self.content, fetch.extent, &bytes);
        }
        self.in_flight.lock().remove(self.content.id, fetch);
    }

    /// Ends the in-flight fetches that are not complete. A reader may have joined a prefetch just
    /// before the prefetch fails. Such a reader starts its own request, unless that request would
    /// fail in the same way.
    pub(super) fn fail_remaining(&self, failure: FetchFailure) {
        // The failure that waiters get, and the error to record for the block, if any.
        let (failure, error_to_record) = match failure {
            FetchFailure::Failed(
                FetchError::Deadline(_)
                | FetchError::Failed(_)
                | FetchError::Down(_)
                | FetchError::RangesIgnored(_),
            ) if !self.purpose.is_demand() => (FetchFailure::Abandoned, Some(None)),
            FetchFailure::Failed(error) => (FetchFailure::Failed(error.clone()), Some(Some(error))),
            FetchFailure::Abandoned => (FetchFailure::Abandoned, None),
        };
        for fetch in &self.fetches {
            if let Some(error) = &error_to_record
                && self.is_registered(fetch)
            {
                self.content.record_failure(fetch.extent.index, error.as_ref());
            }
            self.in_flight.lock().remove(self.content.id, fetch);
            fetch.fail(failure.clone());
        }
    }
}

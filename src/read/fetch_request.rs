//! A request for a range: what it must fetch, for whom, and how its in-flight fetches end.

use std::sync::Arc;

use super::cache_tiers::CacheTiers;
use super::content::Content;
use super::fetch_purpose::FetchPurpose;
use super::in_flight::{FetchFailure, InFlightFetch, InFlightFetches, RequestPosition};
use super::open_file::OpenFile;
use super::stream::StreamId;
use crate::cache::{BlockSpan, Reservation};
use crate::http::FetchError;
use crate::sync::Mutex;

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
    pub(super) caches: Arc<CacheTiers>,
    pub(super) in_flight: Arc<Mutex<InFlightFetches>>,
}

/// Starts the requests that fill in-flight fetches. A seam for tests of the loader.
pub(super) trait StartFetch: Send + Sync {
    /// Starts to fill the fetches of `request`, and returns at once. It is called with the table of
    /// in-flight fetches locked.
    fn start(&self, request: FetchRequest);
}

impl FetchRequest {
    /// Whether no other request has taken the bytes of `fetch` over. That happens if a reader could
    /// not wait until this request reaches them.
    pub(super) fn is_registered(&self, fetch: &Arc<InFlightFetch>) -> bool {
        self.in_flight.lock().contains(self.content.id, fetch)
    }

    /// Moves the bytes of a fetch into the cache. The fetch leaves the table last, so that a reader
    /// finds the bytes in the cache or in the table.
    pub(super) fn complete(&mut self, fetch: &Arc<InFlightFetch>) {
        let bytes = fetch.complete();
        self.reservation.release(bytes.len() as u64);
        if !self.content.is_stale() {
            self.caches.insert(&self.content, fetch.extent, &bytes);
        }
        self.in_flight.lock().remove(self.content.id, fetch);
    }

    /// Ends the fetches that are not complete. A reader that joined a prefetch may have waited for
    /// a moment only when the prefetch fails: it starts again, unless its own request would fail in
    /// the same way.
    pub(super) fn fail_remaining(&self, failure: FetchFailure) {
        // The failure for waiters, and the error to record for the block if there is one to record.
        let (failure, recorded) = match failure {
            FetchFailure::Failed(
                FetchError::Deadline(_) | FetchError::Failed(_) | FetchError::Down(_),
            ) if !self.purpose.is_demand() => (FetchFailure::Abandoned, Some(None)),
            FetchFailure::Failed(error) => (FetchFailure::Failed(error.clone()), Some(Some(error))),
            FetchFailure::Abandoned => (FetchFailure::Abandoned, None),
        };
        for fetch in &self.fetches {
            if let Some(error) = &recorded
                && self.is_registered(fetch)
            {
                self.content.record_failure(fetch.extent.index, error.as_ref());
            }
            self.in_flight.lock().remove(self.content.id, fetch);
            fetch.fail(failure.clone());
        }
    }
}

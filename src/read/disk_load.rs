//! Loads one block from the disk cache into its in-flight fetch.
//!
//! Readers wait for a block that is being loaded in the same way as for a block that is being
//! fetched. If the load fails, the fetch is abandoned, and its waiters fetch the block from the
//! network.

use std::sync::Arc;

use super::cache_tiers::CacheTiers;
use super::content::Content;
use super::in_flight::{FetchFailure, InFlightFetch, InFlightFetches};
use crate::cache::Reservation;
use crate::sync::Mutex;

pub(super) struct DiskLoad {
    pub(super) caches: Arc<CacheTiers>,
    pub(super) in_flight: Arc<Mutex<InFlightFetches>>,
    pub(super) content: Arc<Content>,
    pub(super) fetch: Arc<InFlightFetch>,
    pub(super) reservation: Reservation,
}

impl DiskLoad {
    pub(super) async fn run(self) {
        let Self { caches, in_flight, content, fetch, reservation } = self;
        let extent = fetch.extent;
        let block = match &caches.disk {
            Some(disk) => disk.load(content.disk_key(), extent.index, extent.len()).await,
            None => None,
        };
        match block {
            Some(block) => {
                tracing::trace!(start = extent.start(), end = extent.end(), "loaded from disk");
                caches.record_disk_hit();
                fetch.complete_with(&block);
                drop(reservation);
                if !content.is_stale() {
                    caches.memory.insert(content.key(extent.index), 0, &block);
                }
                in_flight.lock().remove(content.id, &fetch);
            }
            None => {
                content.record_disk_miss(extent.index);
                in_flight.lock().remove(content.id, &fetch);
                fetch.fail(FetchFailure::Abandoned);
            }
        }
    }
}

//! Blocks that come from the disk instead of the network.
//!
//! A block on disk is a flight like any other: whoever wants it waits for it, and finds it in memory afterwards.

use std::sync::Arc;

use bytes::Bytes;

use super::engine::{CONFIRM_TIMEOUT, Engine};
use super::fetch::Purpose;
use super::in_flight::{Carrier, InFlightFetch, Lost};
use super::open_file::{Content, OpenFile};
use crate::cache::disk::CompleteFile;
use crate::cache::{BLOCK_LENGTH, BlockIndex, Reservation};
use crate::http::ByteRange;

/// Starts to load the blocks of `range` that the disk holds and memory does not, as far as the budget allows.
pub(super) fn load(
    engine: &Arc<Engine>,
    content: &Arc<Content>,
    range: ByteRange,
    purpose: &Purpose,
) {
    let mut index = BlockIndex::of(range.start);
    while index.start() < range.end {
        let key = content.key(index);
        let length = content.block_length(index);
        let mut flights = engine.flights.lock();
        let is_coming = engine.cache.reach(key, 0) >= length || flights.covering(key, 0).is_some();
        if !is_coming && engine.on_disk(content, index) {
            let room = match purpose {
                Purpose::Demand(..) => engine.cache.reserve_for_demand(length as u64),
                Purpose::Chunk(..) | Purpose::Likely | Purpose::Neighbour => {
                    match engine.cache.reserve_ahead(length as u64) {
                        Some(room) if room.bytes() == length as u64 => room,
                        _ => return,
                    }
                }
            };
            let flight = InFlightFetch::new(index, 0, length, Carrier::starting_at(index.start()));
            flights.insert(key, &flight);
            let loading = Load { engine: engine.clone(), content: content.clone(), flight, room };
            engine.runtime.spawn(loading.run());
        }
        drop(flights);
        index = BlockIndex(index.0 + 1);
    }
}

struct Load {
    engine: Arc<Engine>,
    content: Arc<Content>,
    flight: Arc<InFlightFetch>,
    room: Reservation,
}

impl Load {
    async fn run(self) {
        let Self { engine, content, flight, room } = self;
        let key = content.key(flight.index);
        let block = match &engine.disk {
            Some(disk) => disk.load(content.disk_key(), flight.index, flight.len()).await,
            None => None,
        };
        match block {
            Some(block) => {
                flight.land_whole(&block);
                drop(room);
                if !content.is_stale() {
                    engine.cache.insert(key, 0, &block);
                }
                engine.flights.lock().remove(key, &flight);
            }
            None => {
                content.note_disk_miss(flight.index);
                engine.flights.lock().remove(key, &flight);
                flight.lose(Lost::Abandoned);
            }
        }
    }
}

impl Engine {
    /// Whether the disk can be asked for a block.
    pub(super) fn on_disk(&self, content: &Content, index: BlockIndex) -> bool {
        self.disk.as_ref().is_some_and(|disk| {
            !content.missed_on_disk(index) && disk.holds(content.disk_key(), index)
        })
    }

    /// Whether the disk holds the whole file, and all of it is known to be right: from memory. A file of one block
    /// is never said to be, for it costs one read either way.
    pub fn has_complete_file(&self, file: &OpenFile) -> bool {
        let content = &file.content;
        content.recording.size > BLOCK_LENGTH
            && !content.is_stale()
            && self.disk.as_ref().is_some_and(|disk| disk.is_complete(content.disk_key()))
    }

    /// The file as it lies on the disk, if it is whole there. A disk that is slow to open it counts as one that
    /// does not have it.
    pub async fn open_complete_file(&self, file: &OpenFile) -> Option<CompleteFile> {
        let content = &file.content;
        let opening = self.disk.as_ref()?.complete(content.disk_key());
        let whole = tokio::time::timeout(CONFIRM_TIMEOUT, opening).await.ok().flatten()?;
        // It was kept under this length, so the server has confirmed it before.
        content.confirm(None);
        Some(whole)
    }

    /// Keeps bytes that have come from the network, if they are a whole block or have made one whole in memory.
    pub(super) fn keep_on_disk(&self, content: &Content, index: BlockIndex, bytes: &Bytes) {
        let Some(disk) = &self.disk else { return };
        let length = content.block_length(index);
        let block = if bytes.len() == length {
            Some(bytes.clone())
        } else {
            self.cache.piece(content.key(index), 0, length)
        };
        if let Some(block) = block {
            disk.store(content.disk_key(), index, block);
        }
    }

    /// Drops everything held of a content.
    pub(super) fn forget(&self, content: &Content) {
        self.cache.forget(content.id);
        if let Some(disk) = &self.disk {
            disk.forget(content.disk_key());
        }
    }
}

//! Bytes of a block on their way, and everybody who waits for them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::cache::{BlockIndex, BlockKey};
use crate::http::FetchError;

/// How a flight ended without its bytes.
#[derive(Clone, Debug)]
pub(super) enum Lost {
    /// The stream that carried it ended for reasons of its own (its reader closed the file or turned elsewhere,
    /// another stream took the bytes over): whoever still wants them starts again.
    Abandoned,
    /// They cannot be had.
    Failed(FetchError),
}

/// A part of one block being fetched. Its first bytes are readable as soon as they are there.
#[derive(Debug)]
pub(super) struct InFlightFetch {
    /// Which block.
    pub(super) index: BlockIndex,
    /// First byte within the block.
    pub(super) from: usize,
    /// Behind the last byte within the block.
    pub(super) to: usize,
    carrier: Arc<Carrier>,
    state: Mutex<State>,
    progress: Notify,
}

/// A stream's position in the file, for those who decide whether to wait for it.
#[derive(Debug)]
pub(super) struct Carrier {
    at: AtomicU64,
}

impl Carrier {
    pub(super) fn starting_at(offset: u64) -> Arc<Self> {
        Arc::new(Self { at: AtomicU64::new(offset) })
    }

    pub(super) fn reach(&self, offset: u64) {
        self.at.store(offset, Ordering::Relaxed);
    }
}

#[derive(Debug)]
enum State {
    /// The bytes so far.
    Filling(Vec<u8>),
    Landed(Bytes),
    Lost(Lost),
}

impl InFlightFetch {
    pub(super) fn new(
        index: BlockIndex,
        from: usize,
        to: usize,
        carrier: Arc<Carrier>,
    ) -> Arc<Self> {
        let state = Mutex::new(State::Filling(Vec::new()));
        Arc::new(Self { index, from, to, carrier, state, progress: Notify::new() })
    }

    /// Length in bytes.
    pub(super) fn len(&self) -> usize {
        self.to - self.from
    }

    /// Bytes that come before it on its stream.
    pub(super) fn distance(&self) -> u64 {
        (self.index.start() + self.from as u64)
            .saturating_sub(self.carrier.at.load(Ordering::Relaxed))
    }

    /// Adds bytes behind those that are there.
    pub(super) fn append(&self, bytes: &[u8]) {
        if let State::Filling(buffer) = &mut *self.state.lock() {
            if buffer.capacity() == 0 {
                buffer.reserve_exact(self.len());
            }
            buffer.extend_from_slice(bytes);
        }
        self.progress.notify_waiters();
    }

    /// Ends the flight with bytes that came all at once.
    pub(super) fn land_whole(&self, bytes: &Bytes) {
        *self.state.lock() = State::Landed(bytes.clone());
        self.progress.notify_waiters();
    }

    /// Ends the flight with its bytes, which are returned for the cache.
    pub(super) fn land(&self) -> Bytes {
        let mut state = self.state.lock();
        let bytes = match &mut *state {
            State::Filling(buffer) => Bytes::from(std::mem::take(buffer)),
            State::Landed(bytes) => bytes.clone(),
            State::Lost(_) => Bytes::new(),
        };
        *state = State::Landed(bytes.clone());
        drop(state);
        self.progress.notify_waiters();
        bytes
    }

    /// Ends the flight without its bytes. A landed one stays landed.
    pub(super) fn lose(&self, lost: Lost) {
        let mut state = self.state.lock();
        if !matches!(*state, State::Landed(_)) {
            *state = State::Lost(lost);
        }
        drop(state);
        self.progress.notify_waiters();
    }

    /// Waits for the bytes `from..to` of the block, which must lie within the flight.
    pub(super) async fn piece(&self, from: usize, to: usize) -> Result<Bytes, Lost> {
        loop {
            let progress = self.progress.notified();
            tokio::pin!(progress);
            // Registered before looking, or a piece that arrives in between would be missed.
            progress.as_mut().enable();
            if let Some(piece) = self.piece_now(from, to) {
                return piece;
            }
            progress.await;
        }
    }

    /// The bytes `from..to` of the block if they are there already.
    pub(super) fn piece_now(&self, from: usize, to: usize) -> Option<Result<Bytes, Lost>> {
        let inside = from >= self.from && to <= self.to && from <= to;
        if !inside {
            return Some(Err(Lost::Abandoned));
        }
        let (from, to) = (from - self.from, to - self.from);
        match &*self.state.lock() {
            State::Filling(buffer) => {
                buffer.get(from..to).map(|piece| Ok(Bytes::copy_from_slice(piece)))
            }
            State::Landed(bytes) if to <= bytes.len() => Some(Ok(bytes.slice(from..to))),
            State::Landed(_) => Some(Err(Lost::Abandoned)),
            State::Lost(lost) => Some(Err(lost.clone())),
        }
    }
}

/// All flights under way, by block.
#[derive(Debug, Default)]
pub(super) struct InFlightFetches {
    by_block: HashMap<BlockKey, Vec<Arc<InFlightFetch>>>,
}

impl InFlightFetches {
    /// Adds a flight. Others that carry some of its bytes are taken out: their streams end when they come to
    /// them.
    pub(super) fn insert(&mut self, key: BlockKey, flight: &Arc<InFlightFetch>) {
        let flights = self.by_block.entry(key).or_default();
        flights.retain(|other| other.to <= flight.from || flight.to <= other.from);
        flights.push(flight.clone());
    }

    /// The flight that carries the byte at `at` of a block.
    pub(super) fn covering(&self, key: BlockKey, at: usize) -> Option<&Arc<InFlightFetch>> {
        self.by_block.get(&key)?.iter().find(|flight| flight.from <= at && at < flight.to)
    }

    /// Where the next flight behind `from` begins in the block.
    pub(super) fn next_start(&self, key: BlockKey, from: usize) -> Option<usize> {
        self.by_block
            .get(&key)?
            .iter()
            .map(|flight| flight.from)
            .filter(|start| *start > from)
            .min()
    }

    pub(super) fn holds(&self, key: BlockKey, flight: &Arc<InFlightFetch>) -> bool {
        self.by_block
            .get(&key)
            .is_some_and(|flights| flights.iter().any(|known| Arc::ptr_eq(known, flight)))
    }

    pub(super) fn remove(&mut self, key: BlockKey, flight: &Arc<InFlightFetch>) {
        if let Some(flights) = self.by_block.get_mut(&key) {
            flights.retain(|known| !Arc::ptr_eq(known, flight));
            if flights.is_empty() {
                self.by_block.remove(&key);
            }
        }
    }
}

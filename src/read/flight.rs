//! A block on its way, and everybody who waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::cache::BlockIndex;
use crate::http::FetchError;

/// How a flight ended without its block.
#[derive(Clone, Debug)]
pub(super) enum Lost {
    /// The stream that carried it ended for reasons of its own (its reader closed the file, another stream took
    /// the block over): whoever still wants the block starts again.
    Abandoned,
    /// It cannot be had.
    Failed(FetchError),
}

/// One block being fetched. Its first bytes are readable as soon as they are there.
#[derive(Debug)]
pub(super) struct Flight {
    /// Which block.
    pub(super) index: BlockIndex,
    /// Where the stream that carries it has got to.
    pub(super) carrier: Arc<Carrier>,
    state: Mutex<State>,
    progress: Notify,
}

/// A stream's position, for those who decide whether to wait for it.
#[derive(Debug, Default)]
pub(super) struct Carrier {
    at: AtomicU64,
}

impl Carrier {
    pub(super) fn starting_at(index: BlockIndex) -> Self {
        Self { at: AtomicU64::new(index.0) }
    }

    pub(super) fn reach(&self, index: BlockIndex) {
        self.at.store(index.0, Ordering::Relaxed);
    }

    /// How many blocks come before `index` on this stream.
    pub(super) fn distance(&self, index: BlockIndex) -> u64 {
        index.0.saturating_sub(self.at.load(Ordering::Relaxed))
    }
}

#[derive(Debug)]
enum State {
    /// The bytes so far.
    Filling(Vec<u8>),
    Whole(Bytes),
    Lost(Lost),
}

impl Flight {
    pub(super) fn new(index: BlockIndex, carrier: Arc<Carrier>) -> Arc<Self> {
        let state = Mutex::new(State::Filling(Vec::new()));
        Arc::new(Self { index, carrier, state, progress: Notify::new() })
    }

    /// Adds bytes at the end of what is there; `length` is the whole block's, so that its buffer is made once.
    pub(super) fn append(&self, bytes: &[u8], length: usize) {
        if let State::Filling(buffer) = &mut *self.state.lock() {
            if buffer.capacity() == 0 {
                buffer.reserve_exact(length);
            }
            buffer.extend_from_slice(bytes);
        }
        self.progress.notify_waiters();
    }

    /// Ends the flight with its block, which is returned for the cache.
    pub(super) fn complete(&self) -> Bytes {
        let mut state = self.state.lock();
        let block = match &mut *state {
            State::Filling(buffer) => Bytes::from(std::mem::take(buffer)),
            State::Whole(block) => block.clone(),
            State::Lost(_) => Bytes::new(),
        };
        *state = State::Whole(block.clone());
        drop(state);
        self.progress.notify_waiters();
        block
    }

    /// Ends the flight without its block. A whole one stays whole.
    pub(super) fn lose(&self, lost: Lost) {
        let mut state = self.state.lock();
        if !matches!(*state, State::Whole(_)) {
            *state = State::Lost(lost);
        }
        drop(state);
        self.progress.notify_waiters();
    }

    /// Waits for the bytes `from..to` of the block. Says beside them whether there was anything to wait for.
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
        match &*self.state.lock() {
            State::Filling(buffer) => buffer.get(from..to).map(|piece| Ok(Bytes::copy_from_slice(piece))),
            State::Whole(block) if from <= to && to <= block.len() => Some(Ok(block.slice(from..to))),
            State::Whole(_) => Some(Err(Lost::Abandoned)),
            State::Lost(lost) => Some(Err(lost.clone())),
        }
    }
}

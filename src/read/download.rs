//! Downloads of contents whose servers ignore ranges: one transfer of the whole file serves all
//! reads.
//!
//! - Input: the stream of the whole file, and the fetches in the queue of the content.
//! - The transfer advances only while a fetch needs bytes after its position. So a reader that
//!   stops also stops the transfer, and the memory for prefetched bytes is limited as usual.
//! - All bytes that pass by are put in the caches, whether a fetch needs them or not.
//! - A fetch for bytes before the position starts the transfer again if a reader waits for it. This
//!   is rare, because these bytes were put in the caches.
//! - A fetch that is too far after the position fails at once.
//! - If the transfer fails, all its fetches fail with the same error. It ends when the last handle
//!   is closed.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use tokio::sync::Notify;

use super::cache_tiers::CacheTiers;
use super::content::Content;
use super::in_flight::FetchFailure;
use super::range_fetch::RangeFetch;
use crate::cache::{BLOCK_LENGTH, BlockExtent, BlockIndex, Reservation};
use crate::http::{MAX_SKIPPED_BYTES, RangeStream, skip_limit_error};
use crate::sync::Mutex;

/// The fetches that wait for a download to take them over.
#[derive(Default)]
pub(super) struct FetchQueue {
    fetches: Mutex<Vec<RangeFetch>>,
    added: Notify,
}

impl FetchQueue {
    pub(super) fn push(&self, fetch: RangeFetch) {
        self.fetches.lock().push(fetch);
        self.added.notify_one();
    }

    /// Removes and returns all fetches.
    pub(super) fn drain(&self) -> Vec<RangeFetch> {
        std::mem::take(&mut *self.fetches.lock())
    }
}

/// The transfer of a whole file.
pub(super) struct Download {
    content: Arc<Content>,
    /// The fetches with missing bytes, oldest first.
    fetches: Vec<RangeFetch>,
    /// The block that contains the position of the transfer.
    index: BlockIndex,
    /// The bytes of this block that have arrived.
    block: Vec<u8>,
    caches: Arc<CacheTiers>,
    /// The memory of `block`.
    _block_reservation: Reservation,
}

/// What a download does next.
enum Step {
    Receive,
    Wait,
    /// Starts the transfer again for a fetch that needs bytes before the position.
    Restart(RangeFetch),
    End,
}

impl Download {
    /// Creates a download at the start of the file, for its first fetch.
    pub(super) fn new(fetch: RangeFetch) -> Self {
        let content = fetch.request().content.clone();
        let caches = fetch.request().caches.clone();
        let block_reservation = caches.memory.reserve_for_demand(BLOCK_LENGTH);
        Self {
            content,
            fetches: vec![fetch],
            index: BlockIndex(0),
            block: Vec::new(),
            caches,
            _block_reservation: block_reservation,
        }
    }

    /// Transfers the file, and fills the fetches of the queue. Returns a fetch that needs a new
    /// transfer, or `None` if no fetch needs bytes any longer.
    pub(super) async fn run(
        mut self,
        mut stream: RangeStream,
        queue: &FetchQueue,
    ) -> Option<RangeFetch> {
        tracing::debug!("the server ignores ranges; the whole file is transferred");
        stream.extend_to_whole_file();
        let content_token = self.fetches.first()?.content_token();
        let result = tokio::select! {
            result = self.fill_fetches(&mut stream, queue) => result,
            () = content_token.cancelled() => Err(FetchFailure::Abandoned),
        };
        tracing::debug!(position = self.position(), "the transfer of the whole file ends");
        let (next_fetch, result) = match result {
            Ok(next_fetch) => (next_fetch, Err(FetchFailure::Abandoned)),
            Err(failure) => (None, Err(failure)),
        };
        for fetch in self.fetches {
            fetch.finish(result.clone());
        }
        next_fetch
    }

    async fn fill_fetches(
        &mut self,
        stream: &mut RangeStream,
        queue: &FetchQueue,
    ) -> Result<Option<RangeFetch>, FetchFailure> {
        loop {
            if self.content.is_stale() {
                return Err(FetchFailure::Abandoned);
            }
            self.admit(queue);
            match self.next_step() {
                Step::End => return Ok(None),
                Step::Restart(fetch) => return Ok(Some(fetch)),
                Step::Wait => stream.pause(queue.added.notified()).await,
                Step::Receive => {
                    let bytes = self.receive(stream, queue).await?;
                    self.deliver(bytes).await;
                }
            }
        }
    }

    /// Receives the next bytes. In the meantime, takes over the fetches that are added to the
    /// queue.
    async fn receive(
        &mut self,
        stream: &mut RangeStream,
        queue: &FetchQueue,
    ) -> Result<Bytes, FetchFailure> {
        let chunk = stream.chunk();
        tokio::pin!(chunk);
        loop {
            let chunk = tokio::select! {
                biased;
                chunk = &mut chunk => chunk,
                () = queue.added.notified() => {
                    self.admit(queue);
                    continue;
                }
            };
            // An empty chunk is impossible, because the position is before the end of the file.
            return Ok(chunk.map_err(FetchFailure::Failed)?.unwrap_or_default());
        }
    }

    /// Takes over the fetches of the queue. A fetch that is too far away fails at once.
    fn admit(&mut self, queue: &FetchQueue) {
        for mut fetch in queue.drain() {
            let start = fetch.request().span.start;
            let skipped = match start < self.index.start() {
                true => start,
                false => start.saturating_sub(self.needed_until()),
            };
            if skipped > MAX_SKIPPED_BYTES {
                fetch.finish(Err(FetchFailure::Failed(skip_limit_error(skipped))));
                continue;
            }
            fetch.fill_from_block(self.index, &self.block);
            self.fetches.push(fetch);
        }
        self.finish_complete_fetches();
    }

    /// Returns the offset up to which bytes have arrived or are needed by fetches.
    fn needed_until(&self) -> u64 {
        let ends = self.fetches.iter().map(|fetch| fetch.request().span.end);
        ends.max().unwrap_or_default().max(self.position())
    }

    /// Returns the offset in the file of the next byte that arrives.
    fn position(&self) -> u64 {
        self.index.start() + self.block.len() as u64
    }

    /// Decides what to do next. The oldest fetch of a reader is served first. The transfer is never
    /// started again for a prefetch.
    fn next_step(&mut self) -> Step {
        let index = self.index;
        let is_passed = |fetch: &RangeFetch| fetch.next_block().is_some_and(|block| block < index);
        self.abandon_fetches(|fetch| {
            !fetch.is_needed() || (is_passed(fetch) && !fetch.can_restart())
        });
        let is_demand = |fetch: &RangeFetch| fetch.request().purpose.is_demand();
        let next = self.fetches.iter().position(is_demand).unwrap_or_default();
        match self.fetches.get(next) {
            Some(fetch) if is_passed(fetch) => Step::Restart(self.fetches.remove(next)),
            Some(_) => Step::Receive,
            None if self.position() < self.content.recording.size => Step::Wait,
            None => Step::End,
        }
    }

    /// Fills the fetches with the next bytes of the file, and puts all blocks in the caches.
    async fn deliver(&mut self, mut bytes: Bytes) {
        while bytes.has_remaining() {
            let length = self.content.block_length(self.index);
            let missing_length = length.saturating_sub(self.block.len());
            if missing_length == 0 {
                return;
            }
            self.block.reserve_exact(missing_length);
            self.block.extend_from_slice(&bytes.split_to(missing_length.min(bytes.len())));
            let whole_block = BlockExtent { index: self.index, from: 0, to: length };
            let mut is_cached = false;
            for fetch in &mut self.fetches {
                is_cached |= fetch.fill_from_block(self.index, &self.block) == Some(whole_block);
            }
            self.finish_complete_fetches();
            if self.block.len() == length {
                let block = Bytes::from(std::mem::take(&mut self.block));
                self.index.0 += 1;
                if !is_cached && !self.content.is_stale() {
                    self.caches.insert(&self.content, whole_block, &block);
                }
                if let Some(disk) = &self.caches.disk {
                    disk.wait_for_writer().await;
                }
            }
        }
    }

    fn finish_complete_fetches(&mut self) {
        let complete = self.fetches.extract_if(.., |fetch| fetch.next_block().is_none());
        complete.for_each(|fetch| fetch.finish(Ok(())));
    }

    fn abandon_fetches(&mut self, is_abandoned: impl Fn(&RangeFetch) -> bool) {
        let abandoned = self.fetches.extract_if(.., |fetch| is_abandoned(fetch));
        abandoned.for_each(|fetch| fetch.finish(Err(FetchFailure::Abandoned)));
    }
}

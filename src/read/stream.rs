//! Streams: the positions in a file at which a handle reads in sequence.

use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::concurrency::ConcurrencyController;
use super::prefetch_window::{MIN_WINDOW, PrefetchWindow, WindowLimits};
use super::sequential_run::SequentialRun;
use super::throughput::{MeterReading, Rate};
use crate::cache::{BLOCK_LENGTH, BlockSpan};
use crate::http::TrafficClass;

/// Minimum length of a run at the start of a file before any bytes are prefetched. Scanners and
/// thumbnailers read the first few hundred kilobytes and stop. After half a block, a reader is
/// likely to continue. The rest of the block is still in flight at that time, so the reader does
/// not lose time.
const MIN_RUN_AT_START: u64 = BLOCK_LENGTH / 2;

/// Minimum length of a run after a seek before any bytes are prefetched. Of fifty seeks in an hour
/// of video, some are close together, and two reads of 256 KiB there would look like a sequential
/// reader. The rest of the block is fetched in any case.
const MIN_RUN_AFTER_SEEK: u64 = BLOCK_LENGTH;

/// Maximum number of bytes at the start of a file that a player reads before it seeks. Programs
/// that play a part of a video, or cut a clip, read the index and some frames at the start for
/// their formats. The read-ahead of the kernel makes two blocks of them.
const MAX_FIRST_FRAMES: u64 = 4 * BLOCK_LENGTH;

/// Maximum time that the bytes of a window may need to arrive. The chunks of a window share the
/// line, so on a slow line the block that a reader waits for would arrive only after its deadline.
/// At two megabits per second, 64 chunks of one block take more than four minutes. A window of
/// eight seconds is the largest that a line of 100 MB/s needs with the default memory.
const MAX_WINDOW_DURATION: Duration = Duration::from_secs(8);

/// Identifies a stream within its handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct StreamId(pub(super) u64);

/// One sequential reader of a handle.
#[derive(Debug)]
pub(super) struct Stream {
    id: StreamId,
    run: SequentialRun,
    window: PrefetchWindow,
    connections: ConcurrencyController,
    /// The rate at which bytes arrive from the network.
    arrival_rate: Rate,
    /// The rate at which the run grows. It is higher than the arrival rate if the bytes are cached.
    read_rate: Rate,
    /// The meter reading at the first read of the stream.
    first_reading: MeterReading,
    latest_reading: MeterReading,
    last_read_at: Instant,
    chunk_token: CancellationToken,
}

/// The part of the shared resources that one reader may use.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReaderShare {
    /// Maximum number of bytes that may be prefetched for the reader.
    pub(super) window: u64,
    pub(super) connections: usize,
}

/// A read, and whether its stream classifies it as sequential. A read must be added to its stream
/// only once: adding it again would count as filling a gap that still exists.
#[derive(Clone, Copy, Debug)]
pub(super) struct StreamRead {
    pub(super) stream: StreamId,
    pub(super) span: BlockSpan,
    /// Whether the reader reads in sequence and will not return to these bytes.
    pub(super) is_sequential: bool,
    /// Whether it is the first read at a new position, which is not the start of the file.
    pub(super) is_seek: bool,
}

impl Stream {
    /// Begins a stream with its first read.
    pub(super) fn new(id: StreamId, read: BlockSpan, reading: MeterReading) -> Self {
        let run = SequentialRun::new(read);
        Self {
            id,
            window: PrefetchWindow::default(),
            connections: ConcurrencyController::new(reading.time),
            arrival_rate: Rate::new(reading.time, reading.bytes),
            read_rate: Rate::new(reading.time, run.end()),
            run,
            first_reading: reading,
            latest_reading: reading,
            last_read_at: reading.time,
            chunk_token: CancellationToken::new(),
        }
    }

    pub(super) fn id(&self) -> StreamId {
        self.id
    }

    /// Whether a read at `offset` belongs to the stream.
    pub(super) fn is_continued_at(&self, offset: u64) -> bool {
        self.run.is_continued_at(offset)
    }

    /// Adds a read that belongs to the stream.
    pub(super) fn add(&mut self, read: BlockSpan, reading: MeterReading) {
        self.run.add(read);
        self.last_read_at = reading.time;
    }

    /// Returns the description of the read that was just added, for the prefetcher.
    pub(super) fn describe_read(&self, span: BlockSpan) -> StreamRead {
        let is_sequential = self.run.length() >= BLOCK_LENGTH;
        let is_seek = !self.run.starts_at_file_start() && self.run.length() == span.len();
        StreamRead { stream: self.id, span, is_sequential, is_seek }
    }

    /// Whether the stream has read only the first bytes of the file.
    pub(super) fn is_near_file_start(&self) -> bool {
        self.run.starts_at_file_start() && self.run.length() < MAX_FIRST_FRAMES
    }

    /// Returns the span to fetch if bytes of `read` are missing. `size` is the length of the file
    /// in bytes.
    pub(super) fn span_to_fetch(&self, read: BlockSpan, size: u64) -> BlockSpan {
        self.run.span_to_fetch(read, size)
    }

    /// Whether the stream has read all bytes of a file of `size` bytes.
    pub(super) fn has_read_all(&self, size: u64) -> bool {
        self.run.starts_at_file_start() && self.run.length() >= size
    }

    pub(super) fn traffic_class(&self) -> TrafficClass {
        self.run.traffic_class()
    }

    pub(super) fn last_read_at(&self) -> Instant {
        self.last_read_at
    }

    pub(super) fn has_chunks(&self) -> bool {
        self.window.has_chunks()
    }

    /// Returns the token that cancels the chunks of the stream.
    pub(super) fn chunk_token(&self) -> CancellationToken {
        self.chunk_token.clone()
    }

    /// Returns the next chunk to request in a file of `file_size` bytes, if the window is not full.
    /// The caller must record the chunk with [`record_chunk`](Self::record_chunk).
    pub(super) fn next_chunk(&mut self, file_size: u64, share: ReaderShare) -> Option<BlockSpan> {
        let length = self.run.length();
        let min_run =
            if self.run.starts_at_file_start() { MIN_RUN_AT_START } else { MIN_RUN_AFTER_SEEK };
        if length < min_run {
            return None;
        }
        if !self.window.advance(&self.run, file_size) {
            return None;
        }
        let bytes_to_arrive = self.arrival_rate.growth_in(MAX_WINDOW_DURATION);
        let bytes_to_read = self.read_rate.growth_in(MAX_WINDOW_DURATION);
        let bytes_in_time = bytes_to_arrive.max(bytes_to_read).max(MIN_WINDOW);
        let limits = WindowLimits {
            file_size,
            max_size: share.window.min(bytes_in_time),
            connections: self.connections.connections(share.connections),
            received_bytes: self.latest_reading.bytes.saturating_sub(self.first_reading.bytes),
        };
        self.window.next_chunk(&self.run, limits)
    }

    /// Records that `requests` requests have been sent for the bytes up to `end`.
    pub(super) fn record_chunk(&mut self, end: u64, requests: usize) {
        self.window.record_chunk(end, requests);
    }

    /// Corrects the record of a chunk as [`PrefetchWindow::correct_chunk`] does.
    pub(super) fn correct_chunk(
        &mut self,
        chunk: BlockSpan,
        requested_until: u64,
        requests: usize,
    ) {
        self.window.correct_chunk(chunk, requested_until, requests);
    }

    /// Records that a chunk has arrived or failed.
    pub(super) fn record_chunk_end(&mut self) {
        self.window.record_chunk_end();
    }

    pub(super) fn observe_throughput(&mut self, reading: MeterReading) {
        self.latest_reading = reading;
        self.window.record_wait(reading.has_waiter);
        self.arrival_rate.observe(reading.time, reading.bytes);
        self.read_rate.observe(reading.time, self.run.end());
        self.connections.observe(reading);
    }

    /// Cancels the chunks in flight, because the reader continues elsewhere in the file.
    pub(super) fn cancel_chunks(&mut self) {
        self.chunk_token.cancel();
        self.chunk_token = CancellationToken::new();
        self.window.reset(&self.run);
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.chunk_token.cancel();
    }
}

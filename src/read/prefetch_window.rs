//! Prefetch windows: the bytes ahead of a sequential reader that are fetched before the reader
//! requests them.

use super::sequential_run::SequentialRun;
use crate::cache::{BLOCK_LENGTH, BlockSpan, block_ceil};

/// Maximum length of a chunk. The connection is idle for one round trip before each chunk. At 12
/// MB/s and 50 ms, this costs 13 % of the throughput with chunks of 4 MiB. With many connections,
/// larger chunks gain nothing: on 32 such connections, chunks of 2, 4 and 12 MiB reach the same
/// throughput. Many servers send the first second of each reply faster than the rest, which favors
/// short chunks.
const MAX_CHUNK: u64 = 4 * BLOCK_LENGTH;

/// Minimum length of a run before its window can double. Programs that show the properties or a
/// thumbnail of a video, or detect its type, read up to 15 MB of it. Below this length, at most
/// twice the bytes of the run and two blocks are fetched.
const MIN_RUN_FOR_FULL_WINDOW: u64 = 16 * BLOCK_LENGTH;

/// Minimum window of a run that is long enough. With less, the connections of a slow line would be
/// idle for a round trip between two chunks.
pub(super) const MIN_WINDOW: u64 = 4 * BLOCK_LENGTH;

/// Unit of the chunk length while the run is shorter than [`MIN_RUN_FOR_FULL_WINDOW`]. The window
/// grows with the run, so it can be twice as long each time its chunks have arrived. At 4 MB/s per
/// connection, chunks of whole blocks take twice as long, so a copy reaches its full speed a second
/// later. Shorter chunks gain little and need twice the requests.
const SHORT_RUN_UNIT: u64 = BLOCK_LENGTH / 2;

/// Minimum number of connections for which [`SHORT_RUN_UNIT`] is used. With fewer, the window has
/// enough whole blocks for all of them.
const MIN_CONNECTIONS_FOR_SHORT_RUN_UNIT: usize = 8;

/// The prefetch window of one stream. It is filled with *chunks*. Each chunk is one request.
///
/// While a run is shorter than [`MIN_RUN_FOR_FULL_WINDOW`], the window is two blocks longer than
/// the run. After that, it doubles each time the reader has waited since the last growth. Therefore
/// a player that reads at the bit rate of its video keeps a small window, and a copy soon gets a
/// large one.
#[derive(Debug, Default)]
pub(super) struct PrefetchWindow {
    /// Number of bytes ahead of the reader that should be cached or in flight; 0 before the first
    /// chunk.
    size: u64,
    /// The offset up to which bytes have been requested.
    requested_until: u64,
    /// Total length of all chunks that have been requested.
    requested_bytes: u64,
    /// Number of chunks in flight.
    chunks: usize,
    /// Whether the reader has waited since the last growth of the window.
    has_reader_waited: bool,
}

/// The limits of a window in addition to its own size.
#[derive(Clone, Copy, Debug)]
pub(super) struct WindowLimits {
    /// Size of the file in bytes.
    pub(super) file_size: u64,
    /// Maximum size of the window in bytes.
    pub(super) max_size: u64,
    /// Maximum number of concurrent requests.
    pub(super) connections: usize,
    /// Number of bytes that have arrived for the stream.
    pub(super) received_bytes: u64,
}

impl PrefetchWindow {
    pub(super) fn has_chunks(&self) -> bool {
        self.chunks > 0
    }

    pub(super) fn record_wait(&mut self, has_waiter: bool) {
        self.has_reader_waited |= has_waiter;
    }

    /// Skips the blocks that the reader has read or is reading. Returns whether any bytes of the
    /// file remain to be requested. `file_size` is the length of the file in bytes.
    pub(super) fn advance(&mut self, run: &SequentialRun, file_size: u64) -> bool {
        self.requested_until = self.requested_until.max(block_ceil(run.end()));
        self.requested_until < file_size
    }

    /// Returns the next chunk to request, if the window is not full. Call it after
    /// [`advance`](Self::advance).
    pub(super) fn next_chunk(
        &mut self,
        run: &SequentialRun,
        limits: WindowLimits,
    ) -> Option<BlockSpan> {
        let WindowLimits { file_size, max_size, connections, received_bytes } = limits;
        let max_size = max_size.max(BLOCK_LENGTH);
        let is_run_long = run.length() >= MIN_RUN_FOR_FULL_WINDOW;
        let (min_size, max_end) = match connections {
            _ if !is_run_long => {
                let size = run.length() + 2 * BLOCK_LENGTH;
                let end = run.end() + size;
                (size, end - end % SHORT_RUN_UNIT)
            }
            1 => (BLOCK_LENGTH, u64::MAX),
            _ => (MIN_WINDOW, u64::MAX),
        };
        self.size = self.size.clamp(min_size.min(max_size), max_size);
        let bytes_ahead = self.requested_until - run.end();
        // All connections should be busy. If that requires more bytes than the window contains
        // while the reader waits, the window is too small. A single connection gets its next
        // request before it has finished the previous one. Otherwise it would be idle for a round
        // trip between two chunks.
        let is_due = match connections {
            1 => self.chunks < 2 && bytes_ahead <= self.size / 2,
            _ => self.chunks < connections && (bytes_ahead < self.size || self.has_reader_waited),
        };
        if !is_due {
            return None;
        }
        if std::mem::take(&mut self.has_reader_waited) && is_run_long {
            self.size = self.size.saturating_mul(2).min(max_size);
        }
        if bytes_ahead >= self.size {
            return None;
        }
        // Near the end of the file, the missing bytes, including those in flight, are divided
        // equally among all connections, so all connections finish at the same time.
        let bytes_in_flight = self.requested_bytes.saturating_sub(received_bytes);
        let missing_bytes = (file_size - self.requested_until).saturating_add(bytes_in_flight);
        let equal_part = missing_bytes.div_ceil(connections as u64).next_multiple_of(BLOCK_LENGTH);
        let unit = if is_run_long || connections < MIN_CONNECTIONS_FOR_SHORT_RUN_UNIT {
            BLOCK_LENGTH
        } else {
            SHORT_RUN_UNIT
        };
        let length = self.size.div_ceil(connections as u64).next_multiple_of(unit).min(MAX_CHUNK);
        let length = length.min(equal_part);
        let start = self.requested_until;
        let end = start.saturating_add(length).min(max_end).min(file_size);
        (start < end).then(|| BlockSpan::new(start, end))
    }

    /// Records that `requests` requests have been sent for the bytes up to `end`.
    pub(super) fn record_chunk(&mut self, end: u64, requests: usize) {
        self.requested_bytes += end.saturating_sub(self.requested_until);
        self.requested_until = self.requested_until.max(end);
        self.chunks += requests;
    }

    /// Corrects the record of a chunk that was counted as one request for all its bytes. In fact,
    /// `requests` requests have been sent for the bytes up to `requested_until`.
    pub(super) fn correct_chunk(
        &mut self,
        chunk: BlockSpan,
        requested_until: u64,
        requests: usize,
    ) {
        self.chunks = (self.chunks + requests).saturating_sub(1);
        if requested_until < chunk.end && self.requested_until == chunk.end {
            let requested_until = requested_until.max(chunk.start);
            self.requested_bytes = self.requested_bytes.saturating_sub(chunk.end - requested_until);
            self.requested_until = requested_until;
        }
    }

    /// Records that a chunk has arrived or failed.
    pub(super) fn record_chunk_end(&mut self) {
        self.chunks = self.chunks.saturating_sub(1);
    }

    /// Empties the window, because its chunks have been canceled.
    pub(super) fn reset(&mut self, run: &SequentialRun) {
        self.requested_until = run.end();
        self.size = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE_SIZE: u64 = 1024 * BLOCK_LENGTH;

    fn limits(connections: usize) -> WindowLimits {
        let max_size = 64 * BLOCK_LENGTH;
        WindowLimits { file_size: FILE_SIZE, max_size, connections, received_bytes: 0 }
    }

    fn run() -> SequentialRun {
        SequentialRun::new(BlockSpan::new(0, BLOCK_LENGTH))
    }

    fn long_run() -> SequentialRun {
        SequentialRun::new(BlockSpan::new(0, 2 * MIN_RUN_FOR_FULL_WINDOW))
    }

    fn window(run: &SequentialRun) -> PrefetchWindow {
        let mut window = PrefetchWindow::default();
        assert!(window.advance(run, FILE_SIZE));
        window
    }

    #[test]
    fn window_begins_after_the_current_block() {
        let run = SequentialRun::new(BlockSpan::new(0, BLOCK_LENGTH / 2 + 1));
        let chunk = window(&run).next_chunk(&run, limits(1));
        assert_eq!(chunk, Some(BlockSpan::new(BLOCK_LENGTH, 3 * BLOCK_LENGTH)));
    }

    #[test]
    fn window_of_short_run_is_two_blocks_longer() {
        let run = SequentialRun::new(BlockSpan::new(0, 2 * BLOCK_LENGTH));
        for connections in [1, 8] {
            let mut window = window(&run);
            window.record_wait(true);
            let mut end = run.end();
            while let Some(chunk) = window.next_chunk(&run, limits(connections)) {
                assert_eq!(chunk.start, end);
                window.record_chunk(chunk.end, 1);
                end = chunk.end;
            }
            assert_eq!(end, 6 * BLOCK_LENGTH);
        }
    }

    #[test]
    fn single_connection_gets_at_most_two_requests() {
        let run = run();
        let mut window = window(&run);
        window.record_chunk(window.requested_until, 2);
        assert_eq!(window.next_chunk(&run, limits(1)), None);
        window.record_chunk_end();
        assert!(window.next_chunk(&run, limits(1)).is_some());
    }

    #[test]
    fn window_doubles_after_each_wait() {
        let run = long_run();
        let mut window = window(&run);
        assert!(window.next_chunk(&run, limits(1)).is_some());
        for blocks in [2, 4, 8, 16, 32, 64, 64] {
            window.record_wait(true);
            assert!(window.next_chunk(&run, limits(1)).is_some());
            assert_eq!(window.size, blocks * BLOCK_LENGTH);
        }
    }

    #[test]
    fn window_without_wait_keeps_its_size() {
        let run = long_run();
        let mut window = window(&run);
        for _ in 0..3 {
            window.record_wait(false);
            window.next_chunk(&run, limits(1));
            assert_eq!(window.size, BLOCK_LENGTH);
        }
    }

    #[test]
    fn remaining_bytes_are_divided_among_connections() {
        let run = long_run();
        let mut window = window(&run);
        window.size = 32 * BLOCK_LENGTH;
        let limits_near_end = WindowLimits { file_size: 40 * BLOCK_LENGTH, ..limits(4) };
        let mut chunks = Vec::new();
        while window.advance(&run, limits_near_end.file_size)
            && let Some(chunk) = window.next_chunk(&run, limits_near_end)
        {
            window.record_chunk(chunk.end, 1);
            chunks.push(chunk.len() / BLOCK_LENGTH);
        }
        assert_eq!(chunks, [2, 2, 2, 2]);
    }

    #[test]
    fn unrequested_part_of_a_chunk_is_returned_again() {
        let run = run();
        let mut window = window(&run);
        let chunk = window.next_chunk(&run, limits(4)).unwrap();
        window.record_chunk(chunk.end, 1);
        window.correct_chunk(chunk, chunk.start + BLOCK_LENGTH, 1);
        assert!(window.has_chunks());
        let second_chunk = window.next_chunk(&run, limits(4)).unwrap();
        assert_eq!(second_chunk.start, chunk.start + BLOCK_LENGTH);
        window.record_chunk(second_chunk.end, 1);
        window.correct_chunk(second_chunk, second_chunk.start, 0);
        window.record_chunk_end();
        assert!(!window.has_chunks());
    }

    #[test]
    fn reset_window_starts_small_again() {
        let run = long_run();
        let mut window = window(&run);
        window.size = 32 * BLOCK_LENGTH;
        window.record_chunk(40 * BLOCK_LENGTH, 1);
        window.reset(&run);
        assert!(window.advance(&run, FILE_SIZE));
        assert_eq!(window.next_chunk(&run, limits(1)).map(BlockSpan::len), Some(BLOCK_LENGTH));
    }
}

//! Sequential runs: how much of a file a reader has read in sequence. This shows whether the reader
//! seeks or continues.
//!
//! The kernel sends neighboring reads in any order and does not send reads of cached bytes. So a
//! run consists of reads that are near each other and need not be consecutive. A reader that seeks
//! needs only the bytes that it requests. A reader that continues also needs the rest of the block.

use crate::cache::{BLOCK_LENGTH, BlockSpan, block_ceil};
use crate::http::TrafficClass;

/// Maximum distance between the end of a run and the start of a read that still belongs to it. The
/// read-ahead of the kernel sends several requests at once, and the event threads process them in
/// any order. Two blocks cover the largest read-ahead. If such a read turns out to be a seek, the
/// wrong assumption costs little.
const MAX_DISTANCE: u64 = 2 * BLOCK_LENGTH;

/// Maximum distance between the start of a run and the start of an earlier read that still belongs
/// to it. The first requests of a read-ahead have at most one block, and the later one may come
/// first. A player that has read the index at the end of a file and then reads shortly before it
/// begins another run.
const MAX_DISTANCE_BEFORE_START: u64 = BLOCK_LENGTH;

/// Minimum length of a run that may have gaps. The kernel does not request cached pages again, so
/// the reads of a copy may have gaps. But two or three reads with gaps usually come from a player
/// that seeks.
const MIN_RUN_WITH_GAPS: u64 = 3 * BLOCK_LENGTH;

/// Maximum length of a run for which only the requested bytes are fetched. A program that seeks
/// reads up to 256 KiB at one position. The kernel rounds these reads up to pages, or splits them
/// if its read-ahead is small. If a run exceeds half a block, the rest of the block is also
/// fetched.
const MAX_EXACT_RUN: u64 = BLOCK_LENGTH / 2;

/// Minimum number of bytes per request. A request takes a round trip, in which many more bytes than
/// this can arrive.
const MIN_REQUEST: u64 = 64 * 1024;

/// Minimum length of a run that counts as a copy. The requests of a copy wait for those of other
/// readers.
const MIN_BULK_RUN: u64 = 8 * BLOCK_LENGTH;

/// A run of reads that are near each other.
#[derive(Debug)]
pub(super) struct SequentialRun {
    start: u64,
    /// The furthest offset at which a read has ended.
    end: u64,
    /// Number of bytes between the start and the end of the run that have not been read.
    unread_bytes: u64,
}

impl SequentialRun {
    /// Begins a run with its first read.
    pub(super) fn new(read: BlockSpan) -> Self {
        Self { start: read.start, end: read.end, unread_bytes: 0 }
    }

    /// Returns the furthest offset at which a read of the run has ended.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    pub(super) fn starts_at_file_start(&self) -> bool {
        self.start == 0
    }

    /// Whether a read at `offset` belongs to the run.
    pub(super) fn is_continued_at(&self, offset: u64) -> bool {
        offset.saturating_add(MAX_DISTANCE) >= self.end
            && offset <= self.end.saturating_add(MAX_DISTANCE)
            && offset.saturating_add(MAX_DISTANCE_BEFORE_START) >= self.start
    }

    /// Adds a read that belongs to the run. The read may leave a gap or fill a gap.
    pub(super) fn add(&mut self, read: BlockSpan) {
        if read.start > self.end {
            self.unread_bytes += read.start - self.end;
        } else if read.end < self.start {
            self.unread_bytes += self.start - read.end;
        } else if read.end <= self.end {
            self.unread_bytes = self.unread_bytes.saturating_sub(read.len());
        }
        self.start = self.start.min(read.start);
        self.end = self.end.max(read.end);
    }

    /// Returns the number of bytes that have been read in sequence. Returns 0 if the gaps show that
    /// the reads are seeks that happen to be near each other.
    pub(super) fn length(&self) -> u64 {
        let length = self.end - self.start;
        let are_seeks =
            self.unread_bytes > length / 4 || (self.unread_bytes > 0 && length < MIN_RUN_WITH_GAPS);
        if are_seeks { 0 } else { length }
    }

    /// Returns the span to fetch if bytes of `read` are missing. `size` is the length of the file
    /// in bytes.
    pub(super) fn span_to_fetch(&self, read: BlockSpan, size: u64) -> BlockSpan {
        // The first bytes of a file are usually read in sequence. But a program that shows the
        // properties of a video skips most of each block.
        let min_length = if self.starts_at_file_start() { 0 } else { MAX_EXACT_RUN };
        let end = if self.length() > min_length {
            block_ceil(read.end)
        } else {
            read.end.max(read.start.saturating_add(MIN_REQUEST))
        };
        BlockSpan::new(read.start, end.min(size))
    }

    pub(super) fn traffic_class(&self) -> TrafficClass {
        if self.length() > MIN_BULK_RUN { TrafficClass::Bulk } else { TrafficClass::Interactive }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: u64 = 1024;
    const SIZE: u64 = 1024 * BLOCK_LENGTH;

    fn read(start: u64, length: u64) -> BlockSpan {
        BlockSpan::new(start, start + length)
    }

    /// Continues the run in steps of 128 KiB, as the kernel does.
    fn continue_run(run: &mut SequentialRun, to: u64) {
        while run.end < to {
            run.add(read(run.end, 128 * KIB));
        }
    }

    #[test]
    fn seek_fetches_only_the_requested_bytes() {
        let offset = 77 * BLOCK_LENGTH + 5 * KIB;
        for (length, fetched_length) in [(128 * KIB, 128 * KIB), (10, MIN_REQUEST)] {
            let seek = read(offset, length);
            assert_eq!(SequentialRun::new(seek).span_to_fetch(seek, SIZE).len(), fetched_length);
        }
    }

    #[test]
    fn read_at_file_start_fetches_whole_block() {
        let head = read(0, 4 * KIB);
        assert_eq!(
            SequentialRun::new(head).span_to_fetch(head, SIZE),
            BlockSpan::new(0, BLOCK_LENGTH)
        );
    }

    #[test]
    fn samples_near_file_start_fetch_only_themselves() {
        let mut run = SequentialRun::new(read(0, 900 * KIB));
        for index in 1..8 {
            let sample = read(900 * KIB + index * 810 * KIB, 128 * KIB);
            run.add(sample);
            assert_eq!(run.span_to_fetch(sample, SIZE), sample);
        }
    }

    #[test]
    fn longer_run_fetches_rest_of_block() {
        let mut run = SequentialRun::new(read(200 * BLOCK_LENGTH, 0));
        continue_run(&mut run, 200 * BLOCK_LENGTH + 640 * KIB);
        let last_read = read(200 * BLOCK_LENGTH + 512 * KIB, 128 * KIB);
        assert_eq!(run.span_to_fetch(last_read, SIZE).end, 201 * BLOCK_LENGTH);
    }

    #[test]
    fn span_to_fetch_ends_at_the_end_of_file() {
        let file_end = read(SIZE - 10, 10);
        assert_eq!(SequentialRun::new(file_end).span_to_fetch(file_end, SIZE), file_end);
    }

    #[test]
    fn gap_that_is_filled_later_does_not_count() {
        let mut run = SequentialRun::new(read(BLOCK_LENGTH, BLOCK_LENGTH));
        run.add(read(2 * BLOCK_LENGTH + 128 * KIB, 128 * KIB));
        assert_eq!(run.length(), 0);
        run.add(read(2 * BLOCK_LENGTH, 128 * KIB));
        assert_eq!(run.length(), BLOCK_LENGTH + 256 * KIB);
    }

    #[test]
    fn read_before_the_run_begins_another_run() {
        let run = SequentialRun::new(read(100 * BLOCK_LENGTH, 16 * KIB));
        assert!(run.is_continued_at(100 * BLOCK_LENGTH - 512 * KIB));
        assert!(!run.is_continued_at(100 * BLOCK_LENGTH - 1600 * KIB));
        assert!(run.is_continued_at(101 * BLOCK_LENGTH));
    }

    #[test]
    fn long_run_is_bulk_traffic() {
        let mut run = SequentialRun::new(read(0, 0));
        continue_run(&mut run, MIN_BULK_RUN);
        assert_eq!(run.traffic_class(), TrafficClass::Interactive);
        continue_run(&mut run, MIN_BULK_RUN + 1);
        assert_eq!(run.traffic_class(), TrafficClass::Bulk);
    }
}

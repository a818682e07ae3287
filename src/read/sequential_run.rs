//! Sequential runs: how much of a file has been read in sequence, and what that shows about the
//! reader.
//!
//! The kernel sends neighboring reads in any order and does not send reads of cached bytes. So a
//! run consists of reads that are near each other, not of exactly consecutive ones. A reader that
//! seeks needs only the bytes that it asks for. A reader that continues also needs the rest of the
//! block.

use crate::cache::{BLOCK_LENGTH, BlockSpan, block_ceil};
use crate::http::TrafficClass;

/// Maximum distance between the end of a run and the start of a read that still belongs to it. The
/// kernel's read-ahead sends several requests at once, and the event threads take them in any
/// order. Two blocks cover the largest read-ahead. If the read turns out to be a seek, they cost
/// little.
const MAX_DISTANCE: u64 = 2 * BLOCK_LENGTH;

/// Minimum length of a run that may have gaps. The kernel does not ask again for pages that it has
/// cached, so the reads of a copy may have gaps. But two or three reads with gaps usually come from
/// a player that seeks.
const MIN_RUN_WITH_GAPS: u64 = 3 * BLOCK_LENGTH;

/// Maximum length of a run for which only the requested bytes are fetched. A program that seeks
/// reads up to 256 KiB at one position. The kernel rounds that up to pages, or splits it in two if
/// its read-ahead is small. After half a block, the rest of the block is also fetched.
const MAX_EXACT_RUN: u64 = BLOCK_LENGTH / 2;

/// Minimum length of a request. A request costs a round trip, and far more bytes than this arrive
/// in that time.
const MIN_REQUEST: u64 = 64 * 1024;

/// Minimum length of a run of a copy. The requests of a copy wait for those of other readers.
const MIN_BULK_RUN: u64 = 8 * BLOCK_LENGTH;

/// A run of reads that are near each other.
#[derive(Debug)]
pub(super) struct SequentialRun {
    start: u64,
    /// The furthest offset at which a read has ended.
    end: u64,
    /// Number of bytes between the start and the end that have not been read.
    skipped: u64,
}

impl SequentialRun {
    /// Begins a run with a first read.
    pub(super) fn new(read: BlockSpan) -> Self {
        Self { start: read.start, end: read.end, skipped: 0 }
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
    }

    /// Adds a read that belongs to the run. The read may leave a gap or fill one.
    pub(super) fn add(&mut self, read: BlockSpan) {
        if read.start > self.end {
            self.skipped += read.start - self.end;
        } else if read.end < self.start {
            self.skipped += self.start - read.end;
        } else if read.end <= self.end {
            self.skipped = self.skipped.saturating_sub(read.len());
        }
        self.start = self.start.min(read.start);
        self.end = self.end.max(read.end);
    }

    /// Returns the number of bytes that have been read in sequence. Returns 0 if the gaps show that
    /// the reads are seeks that happen to be near each other.
    pub(super) fn length(&self) -> u64 {
        let length = self.end - self.start;
        let are_seeks =
            self.skipped > length / 4 || (self.skipped > 0 && length < MIN_RUN_WITH_GAPS);
        if are_seeks { 0 } else { length }
    }

    /// Returns the span to fetch if bytes of `read` are missing. `size` is the length of the file
    /// in bytes.
    pub(super) fn demand(&self, read: BlockSpan, size: u64) -> BlockSpan {
        let end = if self.starts_at_file_start() || self.length() > MAX_EXACT_RUN {
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
    fn read_on(run: &mut SequentialRun, to: u64) {
        while run.end < to {
            run.add(read(run.end, 128 * KIB));
        }
    }

    #[test]
    fn seek_fetches_what_is_read() {
        let place = 77 * BLOCK_LENGTH + 5 * KIB;
        for (length, fetched) in [(128 * KIB, 128 * KIB), (10, MIN_REQUEST)] {
            let seek = read(place, length);
            assert_eq!(SequentialRun::new(seek).demand(seek, SIZE).len(), fetched);
        }
    }

    #[test]
    fn file_start_fetches_its_block() {
        let head = read(0, 4 * KIB);
        assert_eq!(SequentialRun::new(head).demand(head, SIZE), BlockSpan::new(0, BLOCK_LENGTH));
    }

    #[test]
    fn run_fetches_rest_of_block() {
        let mut run = SequentialRun::new(read(200 * BLOCK_LENGTH, 0));
        read_on(&mut run, 200 * BLOCK_LENGTH + 640 * KIB);
        let last = read(200 * BLOCK_LENGTH + 512 * KIB, 128 * KIB);
        assert_eq!(run.demand(last, SIZE).end, 201 * BLOCK_LENGTH);
    }

    #[test]
    fn demand_ends_with_the_file() {
        let tail = read(SIZE - 10, 10);
        assert_eq!(SequentialRun::new(tail).demand(tail, SIZE), tail);
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
    fn long_run_is_bulk_traffic() {
        let mut run = SequentialRun::new(read(0, 0));
        read_on(&mut run, MIN_BULK_RUN);
        assert_eq!(run.traffic_class(), TrafficClass::Interactive);
        read_on(&mut run, MIN_BULK_RUN + 1);
        assert_eq!(run.traffic_class(), TrafficClass::Bulk);
    }
}

//! How much of a file has been read in sequence, and what that says about the reader.
//!
//! The kernel sends neighboring reads in any order and leaves out what it has cached, so that a run
//! consists of reads that are near each other. A reader that seeks needs only the bytes that it
//! asks for. A reader that continues needs the rest of the block, too.

use crate::cache::{BLOCK_LENGTH, BlockSpan, block_ceil};
use crate::http::TrafficClass;

/// How far from the end of the last read a read may begin and still belong to its run. The kernel's
/// read-ahead sends several requests at once and the event threads take them in any order. Two
/// blocks cover the largest read-ahead, and cost little if the read is a seek after all.
const MAX_DISTANCE: u64 = 2 * BLOCK_LENGTH;

/// Length from which a run may have gaps. The kernel does not ask again for pages that it has, so
/// that a copy may have gaps; but two or three reads with gaps are a player that seeks.
const MIN_RUN_WITH_GAPS: u64 = 3 * BLOCK_LENGTH;

/// Length up to which only the bytes that are asked for are fetched. A program that seeks reads up
/// to 256 KiB at a place; the kernel rounds that up to pages, or splits it in two if its read-ahead
/// is small. After half a block the rest of the block is fetched, too.
const MAX_EXACT_RUN: u64 = BLOCK_LENGTH / 2;

/// The smallest request. A request costs a round trip, in which far more bytes than this arrive.
const MIN_REQUEST: u64 = 64 * 1024;

/// Length from which a reader counts as a copy, whose requests wait for those of other readers.
const MIN_BULK_RUN: u64 = 8 * BLOCK_LENGTH;

/// Reads near each other.
#[derive(Debug)]
pub(super) struct SequentialRun {
    start: u64,
    /// Where the furthest read ended.
    end: u64,
    /// Bytes in between that were not read.
    skipped: u64,
}

impl SequentialRun {
    /// Begins a run with a first read.
    pub(super) fn new(read: BlockSpan) -> Self {
        Self { start: read.start, end: read.end, skipped: 0 }
    }

    /// Where its furthest read ended.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    pub(super) fn starts_at_file_start(&self) -> bool {
        self.start == 0
    }

    /// Whether a read at `offset` belongs to it.
    pub(super) fn is_continued_at(&self, offset: u64) -> bool {
        offset.saturating_add(MAX_DISTANCE) >= self.end
            && offset <= self.end.saturating_add(MAX_DISTANCE)
    }

    /// Adds a read that belongs to it. The read may leave a gap, or fill one.
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

    /// Returns how much has been read in sequence: 0 if the gaps show that the reads are seeks
    /// which happen to be near each other.
    pub(super) fn length(&self) -> u64 {
        let length = self.end - self.start;
        let are_seeks =
            self.skipped > length / 4 || (self.skipped > 0 && length < MIN_RUN_WITH_GAPS);
        if are_seeks { 0 } else { length }
    }

    /// Returns what to fetch if bytes of `read` are missing, in a file of `size` bytes.
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

    /// Reads on in steps of 128 KiB, as the kernel does.
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

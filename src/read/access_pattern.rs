//! How much of a file has been read in a row, and what that says of its reader.
//!
//! Neighbours arrive swapped and what the kernel has is left out, so a run is where reads fall near each other. Whoever seeks
//! about wants no more than it reads; whoever reads on wants the rest of the block too.

use crate::cache::BLOCK_LENGTH;
use crate::http::{ByteRange, TrafficClass};

/// How far from where the last read ended a read may begin and still belong to its track. The kernel's readahead
/// sends several requests at once and the event threads take them in any order, so neighbours arrive swapped;
/// two blocks cover its largest readahead and are still near enough to cost nothing when they are a seek.
const SLACK: u64 = 2 * BLOCK_LENGTH;

/// How long a run must be in which something was left out. What the kernel has already is not asked for again, so a copy
/// may have gaps; but two or three reads with gaps between them are a player looking for a place.
const RUN_WITH_GAPS: u64 = 3 * BLOCK_LENGTH;

/// How much of a run is fetched as it is asked for. A program that seeks about wants no more than it reads, which is
/// commonly up to 256 KiB; the kernel rounds that out to pages, or splits it in two where it was not allowed a longer
/// readahead. Behind half a block the rest of it comes along.
const EXACT_RUN: u64 = BLOCK_LENGTH / 2;

/// The least asked of a server at once: a request costs a round trip, in which far more than this could come.
const MIN_REQUEST: u64 = 64 * 1024;

/// A run longer than this is a copy and waits behind those who look.
const BULK_RUN: u64 = 8 * BLOCK_LENGTH;

/// Reads near each other.
#[derive(Debug)]
pub(super) struct Run {
    start: u64,
    /// Where the furthest read ended.
    end: u64,
    /// Bytes between the two that were not read.
    skipped: u64,
}

impl Run {
    /// One that begins with a read of `offset..end`.
    pub(super) fn of(offset: u64, end: u64) -> Self {
        Self { start: offset, end, skipped: 0 }
    }

    /// Where its furthest read ended.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// Whether it began with the file.
    pub(super) fn is_of_start(&self) -> bool {
        self.start == 0
    }

    /// Whether a read from `offset` on belongs to it.
    pub(super) fn continues(&self, offset: u64) -> bool {
        offset.saturating_add(SLACK) >= self.end && offset <= self.end.saturating_add(SLACK)
    }

    /// Takes in a read of `offset..end` that belongs to it, with what that leaves out, or fills in: neighbours may arrive
    /// swapped.
    pub(super) fn take_in(&mut self, offset: u64, end: u64) {
        if offset > self.end {
            self.skipped += offset - self.end;
        } else if end < self.start {
            self.skipped += self.start - end;
        } else if end <= self.end {
            self.skipped = self.skipped.saturating_sub(end - offset);
        }
        self.start = self.start.min(offset);
        self.end = self.end.max(end);
    }

    /// How much has been read in a row; 0 where what was left out says that these are seeks that fell near each other.
    pub(super) fn length(&self) -> u64 {
        let length = self.end - self.start;
        let are_seeks = self.skipped > length / 4 || (self.skipped > 0 && length < RUN_WITH_GAPS);
        if are_seeks { 0 } else { length }
    }

    /// What to ask for when the bytes `offset..end` of a file of `size` bytes are missing.
    pub(super) fn demand(&self, offset: u64, end: u64, size: u64) -> ByteRange {
        let block_end = end.div_ceil(BLOCK_LENGTH).saturating_mul(BLOCK_LENGTH);
        let end = if self.is_of_start() || self.length() > EXACT_RUN {
            block_end
        } else {
            end.max(offset.saturating_add(MIN_REQUEST))
        };
        ByteRange { start: offset, end: end.min(size) }
    }

    /// What its reader is.
    pub(super) fn class(&self) -> TrafficClass {
        if self.length() > BULK_RUN { TrafficClass::Bulk } else { TrafficClass::Interactive }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: u64 = 1024;
    const SIZE: u64 = 1024 * BLOCK_LENGTH;

    /// Reads on in pieces of 128 KiB, as the kernel does.
    fn read_on(run: &mut Run, to: u64) {
        while run.end < to {
            run.take_in(run.end, run.end + 128 * KIB);
        }
    }

    #[test]
    fn a_seek_asks_for_what_is_read_and_a_run_for_the_rest_of_its_block() {
        let place = 77 * BLOCK_LENGTH + 5 * KIB;
        let seek = Run::of(place, place + 128 * KIB).demand(place, place + 128 * KIB, SIZE);
        assert_eq!(seek.len(), 128 * KIB);
        let small = Run::of(place, place + 10).demand(place, place + 10, SIZE);
        assert_eq!(small.len(), MIN_REQUEST);
        let head = Run::of(0, 4 * KIB).demand(0, 4 * KIB, SIZE);
        assert_eq!(head, ByteRange { start: 0, end: BLOCK_LENGTH });
        let mut run = Run::of(200 * BLOCK_LENGTH, 200 * BLOCK_LENGTH);
        read_on(&mut run, 200 * BLOCK_LENGTH + 640 * KIB);
        let place = 200 * BLOCK_LENGTH + 512 * KIB;
        assert_eq!(run.demand(place, place + 128 * KIB, SIZE).end, 201 * BLOCK_LENGTH);
        let end = Run::of(SIZE - 10, SIZE).demand(SIZE - 10, SIZE, SIZE);
        assert_eq!(end, ByteRange { start: SIZE - 10, end: SIZE });
    }

    #[test]
    fn what_is_filled_in_later_was_not_left_out() {
        let mut run = Run::of(BLOCK_LENGTH, 2 * BLOCK_LENGTH);
        run.take_in(2 * BLOCK_LENGTH + 128 * KIB, 2 * BLOCK_LENGTH + 256 * KIB);
        assert_eq!(run.length(), 0);
        run.take_in(2 * BLOCK_LENGTH, 2 * BLOCK_LENGTH + 128 * KIB);
        assert_eq!(run.length(), BLOCK_LENGTH + 256 * KIB);
    }

    #[test]
    fn whoever_reads_long_waits_behind_those_who_look() {
        let mut run = Run::of(0, 0);
        read_on(&mut run, BULK_RUN);
        assert_eq!(run.class(), TrafficClass::Interactive);
        read_on(&mut run, BULK_RUN + 1);
        assert_eq!(run.class(), TrafficClass::Bulk);
    }
}

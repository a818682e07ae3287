//! Block arithmetic: converts between byte ranges of a file and the blocks of the caches.
//!
//! Every conversion between offsets and blocks is here, so the rest of the program never divides by
//! [`BLOCK_LENGTH`].

/// Length of a block in bytes.
///
/// The kernel requests at most 1 MiB at a time. With a larger block, the first read of a file would
/// wait for bytes that the reader has not requested. A smaller block would increase the number of
/// requests to the server.
pub const BLOCK_LENGTH: u64 = 1024 * 1024;

/// Identifies the bytes of one file version in this process. A changed file gets a new id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentId(pub u64);

/// Index of a block within its file. The first block has index 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockIndex(pub u64);

impl BlockIndex {
    /// Returns the block that contains the byte at `offset`.
    pub fn containing(offset: u64) -> Self {
        Self(offset / BLOCK_LENGTH)
    }

    /// Returns the number of blocks in a file of `size` bytes. It is also the index after the last
    /// block.
    pub fn count(size: u64) -> Self {
        Self(size.div_ceil(BLOCK_LENGTH))
    }

    /// Returns the offset of the first byte of the block.
    pub fn start(self) -> u64 {
        self.0.saturating_mul(BLOCK_LENGTH)
    }

    /// Returns the offset after the last byte of the block in a file of `size` bytes.
    pub fn end(self, size: u64) -> u64 {
        self.start().saturating_add(BLOCK_LENGTH).min(size)
    }

    /// Returns the length of the block in a file of `size` bytes, or 0 if the block starts after
    /// the end of the file.
    pub fn length(self, size: u64) -> usize {
        // The difference is at most `BLOCK_LENGTH`, so it fits in a `usize`.
        self.end(size).saturating_sub(self.start()) as usize
    }

    /// Returns the byte range of the block in a file of `size` bytes.
    pub fn span(self, size: u64) -> BlockSpan {
        BlockSpan { start: self.start(), end: self.end(size) }
    }
}

/// Identifies a block by its file version and its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlockKey {
    pub content: ContentId,
    pub index: BlockIndex,
}

/// A byte range `start..end` of a file. [`extents`](Self::extents) splits it into parts of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockSpan {
    /// Offset of the first byte.
    pub start: u64,
    /// Offset after the last byte. The span is empty if `end <= start`.
    pub end: u64,
}

impl BlockSpan {
    pub fn new(start: u64, end: u64) -> Self {
        Self { start, end }
    }

    /// Returns the byte range of a read of `length` bytes at `offset`. `size` is the length of the
    /// file in bytes. A read beyond the end of the file is shortened.
    pub fn for_read(offset: u64, length: u32, size: u64) -> Self {
        Self { start: offset, end: offset.saturating_add(u64::from(length)).min(size) }
    }

    pub fn is_empty(self) -> bool {
        self.start >= self.end
    }

    /// Returns the length in bytes.
    pub fn len(self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Returns the blocks that the span overlaps, in order.
    pub fn blocks(self) -> impl Iterator<Item = BlockIndex> + Clone {
        let end_index =
            if self.is_empty() { 0 } else { BlockIndex::containing(self.end - 1).0 + 1 };
        (BlockIndex::containing(self.start).0..end_index).map(BlockIndex)
    }

    /// Splits the span at the boundaries of blocks, and returns the parts in order.
    pub fn extents(self) -> impl Iterator<Item = BlockExtent> + Clone {
        self.blocks().map(move |index| self.extent_of_block(index))
    }

    /// Returns the part of the span that is in its first block, or `None` if the span is empty.
    pub fn first_extent(self) -> Option<BlockExtent> {
        (!self.is_empty()).then(|| self.extent_of_block(BlockIndex::containing(self.start)))
    }

    /// Returns the blocks whose last byte is in the span, in order. `size` is the length of the
    /// file in bytes.
    pub fn ending_blocks(self, size: u64) -> impl Iterator<Item = BlockIndex> {
        self.blocks().filter(move |index| index.end(size) <= self.end)
    }

    fn extent_of_block(self, index: BlockIndex) -> BlockExtent {
        let block_start = index.start();
        // Both differences are at most `BLOCK_LENGTH`, so they fit in a `usize`.
        let from = self.start.max(block_start) - block_start;
        let to = self.end.min(block_start.saturating_add(BLOCK_LENGTH)).saturating_sub(block_start);
        BlockExtent { index, from: from as usize, to: to as usize }
    }
}

/// A contiguous part of one block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockExtent {
    pub index: BlockIndex,
    /// Position of the first byte within the block.
    pub from: usize,
    /// Position after the last byte within the block.
    pub to: usize,
}

impl BlockExtent {
    /// Returns the length in bytes.
    pub fn len(self) -> usize {
        self.to.saturating_sub(self.from)
    }

    pub fn is_empty(self) -> bool {
        self.from >= self.to
    }

    /// Returns the offset of the first byte of the extent in the file.
    pub fn start(self) -> u64 {
        self.offset_of(self.from)
    }

    /// Returns the offset in the file after the last byte of the extent.
    pub fn end(self) -> u64 {
        self.offset_of(self.to)
    }

    /// Converts a position within the block to an offset in the file.
    pub fn offset_of(self, position: usize) -> u64 {
        self.index.start().saturating_add(position as u64)
    }

    /// Returns the part of the extent before position `to` of the block.
    pub fn truncated_at(self, to: usize) -> Self {
        Self { to: self.to.min(to), ..self }
    }

    /// Whether the extent contains all bytes of `other`. An extent never contains bytes of another
    /// block.
    pub fn contains(self, other: Self) -> bool {
        self.index == other.index && self.from <= other.from && other.to <= self.to
    }

    /// Whether the extent and `other` have at least one byte in common. Extents of different blocks
    /// never overlap.
    pub fn overlaps(self, other: Self) -> bool {
        self.index == other.index && self.from < other.to && other.from < self.to
    }
}

/// Rounds down to a multiple of the block length.
pub fn block_floor(bytes: u64) -> u64 {
    BlockIndex::containing(bytes).start()
}

/// Rounds up to a multiple of the block length.
pub fn block_ceil(bytes: u64) -> u64 {
    BlockIndex::count(bytes).start()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn span_contains_the_blocks_it_overlaps() {
        let offset = |blocks: u64, bytes: u64| blocks * BLOCK_LENGTH + bytes;
        for (start, end, blocks) in [
            (0, 0, 0..0),
            (5, 5, 0..0),
            (9, 3, 0..0),
            (0, 1, 0..1),
            (0, offset(1, 0), 0..1),
            (0, offset(1, 1), 0..2),
            (offset(2, 7), offset(4, 0), 2..4),
            (offset(3, 0), offset(3, 1), 3..4),
        ] {
            let span = BlockSpan::new(start, end);
            let actual: Vec<u64> = span.blocks().map(|index| index.0).collect();
            assert_eq!(actual, blocks.collect::<Vec<_>>(), "{start}..{end}");
        }
    }

    #[test]
    fn read_is_cut_off_at_end_of_file() {
        assert_eq!(BlockSpan::for_read(10, 5, 12), BlockSpan::new(10, 12));
        assert!(BlockSpan::for_read(12, 5, 12).is_empty());
        assert_eq!(BlockSpan::for_read(u64::MAX - 1, 5, u64::MAX).len(), 1);
    }

    #[test]
    fn last_block_has_the_remaining_bytes() {
        let size = 2 * BLOCK_LENGTH + 5;
        assert_eq!(BlockIndex::count(size), BlockIndex(3));
        assert_eq!(BlockIndex(1).length(size), BLOCK_LENGTH as usize);
        assert_eq!(BlockIndex(2).length(size), 5);
        assert_eq!(BlockIndex(3).length(size), 0);
    }

    #[test]
    fn ending_blocks_have_their_last_byte_in_span() {
        let size = 3 * BLOCK_LENGTH + 5;
        let ending_indexes = |start, end| -> Vec<u64> {
            BlockSpan::new(start, end).ending_blocks(size).map(|index| index.0).collect()
        };
        assert_eq!(ending_indexes(0, BLOCK_LENGTH - 1), [0; 0]);
        assert_eq!(ending_indexes(7, BLOCK_LENGTH), [0]);
        assert_eq!(ending_indexes(7, 2 * BLOCK_LENGTH + 1), [0, 1]);
        assert_eq!(ending_indexes(3 * BLOCK_LENGTH, size), [3]);
    }

    #[test]
    fn multiples_are_not_rounded() {
        for blocks in 0..3 {
            let multiple = blocks * BLOCK_LENGTH;
            assert_eq!((block_floor(multiple), block_ceil(multiple)), (multiple, multiple));
            assert_eq!(block_floor(multiple + 1), multiple);
            assert_eq!(block_ceil(multiple + 1), multiple + BLOCK_LENGTH);
        }
    }

    proptest! {
        #[test]
        fn extents_cover_the_span_without_gaps(
            start in 0..8 * BLOCK_LENGTH, length in 0..8 * BLOCK_LENGTH
        ) {
            let span = BlockSpan::new(start, start + length);
            let mut expected_start = span.start;
            for extent in span.extents() {
                prop_assert_eq!(extent.start(), expected_start);
                prop_assert!(!extent.is_empty() && extent.to <= BLOCK_LENGTH as usize);
                expected_start = extent.end();
            }
            prop_assert_eq!(expected_start, span.end);
            prop_assert_eq!(span.first_extent(), span.extents().next());
        }
    }
}

//! Blocks of files, in memory with the budget that all block buffers share, and on disk.
//!
//! Enters: whole, checked blocks under a [`BlockKey`] or a [`DiskKey`](disk::DiskKey). Leaves: the same bytes, or
//! nothing. A block is known by the content it belongs to, never by an address; what a provider, a link or a path
//! in the tree is, this room never knows.

use bytes::Bytes;

pub mod disk;
pub mod memory;

pub use memory::{MemoryCache, Reservation};

/// Length of a block in bytes. The kernel asks for at most 1 MiB at once, so a larger block would make the first
/// read of a file wait for bytes nobody asked for, and a smaller one would cost more requests than it saves.
pub const BLOCK_LENGTH: u64 = 1024 * 1024;

/// One content of one file, unique in the process: another content of the same file has another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentId(pub u64);

/// Number of a block within its file, from 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BlockIndex(pub u64);

impl BlockIndex {
    /// The block that holds the byte at `offset`.
    pub fn of(offset: u64) -> Self {
        Self(offset / BLOCK_LENGTH)
    }

    /// Offset of its first byte.
    pub fn start(self) -> u64 {
        self.0.saturating_mul(BLOCK_LENGTH)
    }

    /// Offset after its last byte in a file of `size` bytes.
    pub fn end(self, size: u64) -> u64 {
        self.start().saturating_add(BLOCK_LENGTH).min(size)
    }

    /// The block behind it.
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The first block that a file of `size` bytes does not have.
    pub fn count(size: u64) -> Self {
        Self(size.div_ceil(BLOCK_LENGTH))
    }
}

/// Names a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlockKey {
    /// The content it is of.
    pub content: ContentId,
    /// Which block.
    pub index: BlockIndex,
}

/// Where whole blocks are kept. The memory cache is one; a disk cache stands behind the same calls.
pub trait BlockCache: Send + Sync {
    /// The block, if it is held.
    fn get(&self, key: BlockKey) -> Option<Bytes>;

    /// Takes a whole, checked block. It may be dropped at any time.
    fn insert(&self, key: BlockKey, block: Bytes);

    /// Drops every block of a content that turned out not to be the file's any more.
    fn forget(&self, content: ContentId);
}

//! Caches blocks of files in memory and on disk.
//!
//! Input: verified bytes of blocks with a [`BlockKey`] or a [`DiskKey`](disk::DiskKey). Output: the
//! same bytes, or nothing. A failure counts as a miss.
//!
//! A block is identified by its content and never by a URL. This module must not know what a
//! provider, a URL or a path in the tree is.

mod block;
pub mod disk;
mod memory;

pub use block::{
    BLOCK_LENGTH, BlockExtent, BlockIndex, BlockKey, BlockSpan, ContentId, block_ceil, block_floor,
};
pub use memory::{MemoryCache, MemoryStatus, Reservation};

//! Blocks of files, in memory with the budget that all block buffers share, and on disk.
//!
//! Enters: checked bytes of blocks under a [`BlockKey`] or a [`DiskKey`](disk::DiskKey). Leaves: the same bytes, or
//! nothing. A block is known by the content it belongs to, never by an address; what a provider, a link or a path
//! in the tree is, this room never knows.

mod block;
pub mod disk;
pub mod memory;

pub use block::{
    BLOCK_LENGTH, BlockExtent, BlockIndex, BlockKey, BlockSpan, ContentId, block_ceil, block_floor,
};
pub use memory::{MemoryCache, Reservation};

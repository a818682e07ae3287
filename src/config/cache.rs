//! Settings of the cache: its directory, and limits for the blocks in memory and on disk.

use std::path::PathBuf;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheConfig {
    /// Absolute path of the cache directory, which may not exist yet.
    pub dir: PathBuf,
    pub memory: MemoryBudget,
    pub disk: DiskLimit,
}

impl CacheConfig {
    /// Returns the directory that contains the blocks. The catalog is stored next to it.
    pub fn blocks_directory(&self) -> PathBuf {
        self.dir.join("blocks")
    }
}

/// Maximum memory for the buffers of all blocks, in bytes: at least [`MemoryBudget::MIN`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemoryBudget(u64);

impl MemoryBudget {
    /// The size of eight blocks of 1 MiB. This is sufficient for two readers, each with the current
    /// block, the next block in flight, and space for a distant seek. With less memory, readers
    /// would have to wait until other readers release their blocks.
    pub const MIN: Self = Self(8 * 1024 * 1024);

    /// Returns the budget, or `None` if `bytes` is below [`Self::MIN`].
    pub fn new(bytes: u64) -> Option<Self> {
        (bytes >= Self::MIN.0).then_some(Self(bytes))
    }

    pub const fn bytes(self) -> u64 {
        self.0
    }
}

/// Maximum size of all blocks on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskLimit {
    /// Blocks are not stored on disk.
    Off,
    /// Maximum size in bytes, which is at least [`DiskLimit::MIN_BYTES`].
    Bytes(u64),
}

impl DiskLimit {
    /// The size of one block. With a lower limit, no block could be stored, as with [`Self::Off`].
    pub const MIN_BYTES: u64 = 1024 * 1024;
}

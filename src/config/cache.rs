//! Where downloaded blocks are stored, and how many.

use std::path::PathBuf;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheConfig {
    /// An absolute path. The directory may be missing.
    pub dir: PathBuf,
    /// Limit for all block buffers.
    pub memory: MemoryBudget,
    /// Limit for the blocks on disk.
    pub disk: DiskLimit,
}

impl CacheConfig {
    /// Returns the directory of the blocks, which is next to the catalog.
    pub fn blocks_directory(&self) -> PathBuf {
        self.dir.join("blocks")
    }
}

/// Bytes of memory for block buffers: at least [`MemoryBudget::MIN`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemoryBudget(u64);

impl MemoryBudget {
    /// Eight blocks of 1 MiB. Two files can be read at once, each with the block that is read, the
    /// next one in flight, and space for a far seek. With less, readers wait for each other's
    /// blocks to be released.
    pub const MIN: Self = Self(8 * 1024 * 1024);

    /// Returns `None` if `bytes` is below the minimum.
    pub fn new(bytes: u64) -> Option<Self> {
        (bytes >= Self::MIN.0).then_some(Self(bytes))
    }

    pub const fn bytes(self) -> u64 {
        self.0
    }
}

/// Limit for the blocks on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskLimit {
    /// No block is stored on disk.
    Off,
    /// At most so many bytes, at least [`DiskLimit::MIN_BYTES`].
    Bytes(u64),
}

impl DiskLimit {
    /// One block of the cache. A lower limit stores nothing, which `Off` expresses.
    pub const MIN_BYTES: u64 = 1024 * 1024;
}

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

/// Maximum memory for file contents, in bytes: at least [`MemoryBudget::MIN`]. It is divided
/// between the buffers of connections and those of blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemoryBudget(u64);

impl MemoryBudget {
    /// The size of eight blocks of 1 MiB. This is sufficient for two readers, each with the current
    /// block, the next block in flight, and space for a distant seek. With less memory, readers
    /// would have to wait until other readers release their blocks.
    pub const MIN: Self = Self(8 * 1024 * 1024);

    /// Memory of the buffers of one connection. The HTTP library receives up to 400 KiB at once,
    /// and while these bytes are copied into blocks, it receives the next ones into another buffer.
    /// The rest is for memory between the buffers that the allocator cannot use.
    const CONNECTION_BUFFERS: u64 = 1024 * 1024;

    /// Memory per connection. With less, the chunks of a connection would be shorter than one
    /// block, and the connection would wait for a round trip after each of them.
    const PER_CONNECTION: u64 = 2 * 1024 * 1024;

    /// Returns the budget, or `None` if `bytes` is below [`Self::MIN`].
    pub fn new(bytes: u64) -> Option<Self> {
        (bytes >= Self::MIN.0).then_some(Self(bytes))
    }

    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// Returns the number of connections that the budget allows, which is at most `connections`.
    pub fn limit_connections(self, connections: usize) -> usize {
        let allowed_connections = usize::try_from(self.0 / Self::PER_CONNECTION);
        connections.min(allowed_connections.unwrap_or(connections))
    }

    /// Returns the memory for the buffers of blocks if at most `connections` connections are
    /// configured.
    pub fn block_bytes(self, connections: usize) -> u64 {
        self.0 - self.limit_connections(connections) as u64 * Self::CONNECTION_BUFFERS
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budget_is_divided_between_connections_and_blocks() {
        const MIB: u64 = 1 << 20;
        for (memory, connections, limit, block_bytes) in [
            (256 * MIB, 64, 64, 192 * MIB),
            (128 * MIB, 64, 64, 64 * MIB),
            (32 * MIB, 64, 16, 16 * MIB),
            (8 * MIB, 64, 4, 4 * MIB),
            (256 * MIB, 8, 8, 248 * MIB),
        ] {
            let budget = MemoryBudget::new(memory).unwrap();
            assert_eq!(budget.limit_connections(connections), limit, "{memory}");
            assert_eq!(budget.block_bytes(connections), block_bytes, "{memory}");
        }
    }
}

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
    /// Four blocks of 1 MiB and the buffers of four connections. With less memory, each of two
    /// readers would have to wait until the other releases its blocks.
    pub const MIN: Self = Self(8 * 1024 * 1024);

    /// Memory of the buffers of one connection. The HTTP library has up to three buffers of 400
    /// KiB: while the bytes of the first are copied into blocks, the second waits and the third
    /// receives. All three are in use when the processor is busy, but rarely for every connection.
    const CONNECTION_BUFFERS: u64 = 1152 * 1024;

    /// Minimum memory for the buffers of blocks: for two readers, each with the current block and
    /// the next block in flight.
    const MIN_BLOCK_BYTES: u64 = 4 * 1024 * 1024;

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
        let connection_buffers =
            self.limit_connections(connections) as u64 * Self::CONNECTION_BUFFERS;
        self.0.saturating_sub(connection_buffers).max(Self::MIN_BLOCK_BYTES)
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
            (256 * MIB, 64, 64, 184 * MIB),
            (128 * MIB, 64, 64, 56 * MIB),
            (32 * MIB, 64, 16, 14 * MIB),
            (8 * MIB, 64, 4, 4 * MIB),
            (256 * MIB, 8, 8, 247 * MIB),
        ] {
            let budget = MemoryBudget::new(memory).unwrap();
            assert_eq!(budget.limit_connections(connections), limit, "{memory}");
            assert_eq!(budget.block_bytes(connections), block_bytes, "{memory}");
        }
    }
}

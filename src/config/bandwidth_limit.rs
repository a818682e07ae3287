//! The maximum bandwidth of file contents.

/// Number of connections per MiB of the limit. With more connections, the buffers of the kernel
/// would receive several times the limit in the first second: 128 KiB or more for each connection.
const CONNECTIONS_PER_MIB: u64 = 2;

/// Minimum number of connections. With fewer, the first read of a file waits until the chunks of
/// copies have arrived, which takes seconds at the minimum limit.
const MIN_CONNECTIONS: usize = 8;

/// Maximum number of bytes of file contents that are received per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BandwidthLimit(u64);

impl BandwidthLimit {
    /// The minimum. With a lower limit, several concurrent copies exceed the default read deadline:
    /// each of them waits for up to two MiB at a time.
    pub const MIN: Self = Self(1024 * 1024);

    /// Returns `None` if the limit is below the minimum.
    pub fn new(bytes_per_second: u64) -> Option<Self> {
        (bytes_per_second >= Self::MIN.0).then_some(Self(bytes_per_second))
    }

    pub fn bytes_per_second(self) -> u64 {
        self.0
    }

    /// Returns the number of connections that the limit needs, which is at most `connections`.
    pub fn limit_connections(self, connections: usize) -> usize {
        let needed_connections = self.0.saturating_mul(CONNECTIONS_PER_MIB).div_ceil(1 << 20);
        let needed_connections = usize::try_from(needed_connections).unwrap_or(connections);
        needed_connections.max(MIN_CONNECTIONS).min(connections)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn limit_determines_the_connections() {
        for (bytes_per_second, connections) in
            [(MIB, 8), (4 * MIB, 8), (10 * MIB, 20), (MIB << 20, 64)]
        {
            let limit = BandwidthLimit::new(bytes_per_second).unwrap();
            assert_eq!(limit.limit_connections(64), connections, "{bytes_per_second}");
            assert_eq!(limit.limit_connections(1), 1);
        }
        assert_eq!(BandwidthLimit::new(MIB - 1), None);
    }
}

//! Counts reads, for status reports.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts the reads that the kernel sends to the daemon.
#[derive(Debug, Default)]
pub(super) struct ReadCounters {
    bytes: AtomicU64,
    failures: AtomicU64,
    memory_hits: AtomicU64,
    memory_misses: AtomicU64,
}

/// The reads since the mount started. Reads that the kernel answers itself, from its pages or by
/// passthrough, are not counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadCounts {
    pub bytes: u64,
    /// Number of reads that failed.
    pub failures: u64,
    /// Number of reads of recordings whose bytes were all in memory.
    pub memory_hits: u64,
    /// Number of reads of recordings that waited for the disk or the server.
    pub memory_misses: u64,
}

impl ReadCounters {
    pub(super) fn record_read(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn record_memory_hit(&self, bytes: usize) {
        self.memory_hits.fetch_add(1, Ordering::Relaxed);
        self.record_read(bytes);
    }

    pub(super) fn record_memory_miss(&self) {
        self.memory_misses.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn record_failure(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn counts(&self) -> ReadCounts {
        let value = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ReadCounts {
            bytes: value(&self.bytes),
            failures: value(&self.failures),
            memory_hits: value(&self.memory_hits),
            memory_misses: value(&self.memory_misses),
        }
    }
}

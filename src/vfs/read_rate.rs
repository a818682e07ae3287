//! The rate at which a program reads an open file.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::Instant;

/// Number of bits of a counter that contain the bytes. The remaining 24 bits contain the second, so
/// a counter is valid for half a year.
const BYTE_BITS: u32 = 40;

const BYTE_MASK: u64 = (1 << BYTE_BITS) - 1;

/// Measures the rate of the last second or two. It needs no lock: bytes of concurrent reads can be
/// lost at the end of a second.
#[derive(Debug)]
pub(super) struct ReadRate {
    start: Instant,
    /// The current second since `start`, and the bytes that were read in it.
    current: AtomicU64,
    /// The second before it in which bytes were read, and these bytes.
    previous: AtomicU64,
}

impl ReadRate {
    pub(super) fn new() -> Self {
        Self { start: Instant::now(), current: AtomicU64::new(0), previous: AtomicU64::new(0) }
    }

    pub(super) fn record(&self, bytes: usize) {
        let second = self.start.elapsed().as_secs();
        let bytes = (bytes as u64).min(BYTE_MASK);
        let current = self.current.load(Ordering::Relaxed);
        if current >> BYTE_BITS == second {
            self.current.fetch_add(bytes, Ordering::Relaxed);
        } else {
            self.previous.store(current, Ordering::Relaxed);
            self.current.store(second << BYTE_BITS | bytes, Ordering::Relaxed);
        }
    }

    /// Returns the number of bytes per second, since the start of the previous second.
    pub(super) fn bytes_per_second(&self) -> u64 {
        let elapsed = self.start.elapsed();
        let second = elapsed.as_secs();
        let first_second = second.saturating_sub(1);
        let counters =
            [self.current.load(Ordering::Relaxed), self.previous.load(Ordering::Relaxed)];
        let recent = counters.iter().filter(|counter| *counter >> BYTE_BITS >= first_second);
        let bytes: u64 = recent.map(|counter| counter & BYTE_MASK).sum();
        // Within the first second, the counters of second 0 are both in this range, and the
        // previous one is 0.
        let seconds = elapsed.as_secs_f64() - first_second as f64;
        // A cast from a floating-point number saturates.
        (bytes as f64 / seconds.max(1.0)) as u64
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn rate_is_that_of_the_last_seconds() {
        let rate = ReadRate::new();
        assert_eq!(rate.bytes_per_second(), 0);
        for _ in 0..50 {
            rate.record(1000);
            tokio::time::advance(Duration::from_millis(100)).await;
        }
        let bytes_per_second = rate.bytes_per_second();
        assert!((9_000..=11_000).contains(&bytes_per_second), "{bytes_per_second}");
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!(rate.bytes_per_second(), 0);
        rate.record(5000);
        assert!(rate.bytes_per_second() > 0);
    }
}

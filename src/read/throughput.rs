//! Measures how many bytes arrive for a handle, and whether its reads wait for them.

use std::time::Duration;

use tokio::time::Instant;

use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Counts the bytes that arrive for one handle, and the reads that wait for bytes.
#[derive(Debug, Default)]
pub(super) struct ThroughputMeter {
    bytes: AtomicU64,
    waiters: AtomicUsize,
}

/// The values of a [`ThroughputMeter`] at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct MeterReading {
    pub(super) time: Instant,
    /// Number of bytes that have arrived.
    pub(super) bytes: u64,
    /// Whether a read is waiting for its bytes.
    pub(super) has_waiter: bool,
}

/// A read that is waiting for its bytes. Dropping this value ends the wait.
#[derive(Debug)]
pub(super) struct Waiter<'a>(&'a ThroughputMeter);

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.waiters.fetch_sub(1, Ordering::Relaxed);
    }
}

impl ThroughputMeter {
    pub(super) fn add_bytes(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Adds a read that starts to wait for its bytes.
    pub(super) fn add_waiter(&self) -> Waiter<'_> {
        self.waiters.fetch_add(1, Ordering::Relaxed);
        Waiter(self)
    }

    pub(super) fn read(&self) -> MeterReading {
        MeterReading {
            time: Instant::now(),
            bytes: self.bytes.load(Ordering::Relaxed),
            has_waiter: self.waiters.load(Ordering::Relaxed) > 0,
        }
    }
}

/// Duration of an interval for which a rate is measured. It covers several round trips and the
/// chunks of several connections, which arrive out of order.
const RATE_INTERVAL: Duration = Duration::from_secs(1);

/// Time after which a rate can be derived from a part of an interval.
const MIN_RATE_INTERVAL: Duration = Duration::from_millis(100);

/// The rate at which a counter of bytes grows.
#[derive(Debug)]
pub(super) struct Rate {
    interval_start: (Instant, u64),
    /// The rate in the last complete interval, in bytes per second.
    last_rate: f64,
    /// The rate in the current interval so far.
    current_rate: f64,
}

impl Rate {
    pub(super) fn new(now: Instant, bytes: u64) -> Self {
        Self { interval_start: (now, bytes), last_rate: 0.0, current_rate: 0.0 }
    }

    /// Records the current value of the counter.
    pub(super) fn observe(&mut self, now: Instant, bytes: u64) {
        let (start, bytes_at_start) = self.interval_start;
        let elapsed = now.saturating_duration_since(start);
        let growth = bytes.saturating_sub(bytes_at_start) as f64;
        self.current_rate = growth / elapsed.max(MIN_RATE_INTERVAL).as_secs_f64();
        if elapsed >= RATE_INTERVAL {
            self.last_rate = self.current_rate;
            self.current_rate = 0.0;
            self.interval_start = (now, bytes);
        }
    }

    /// Returns the growth to expect within `duration`, in bytes.
    pub(super) fn growth_in(&self, duration: Duration) -> u64 {
        // A cast from a floating-point number saturates.
        (self.last_rate.max(self.current_rate) * duration.as_secs_f64()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_follows_the_last_interval() {
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let mut rate = Rate::new(start, 1000);
        assert_eq!(rate.growth_in(RATE_INTERVAL), 0);
        rate.observe(at(500), 2000);
        assert_eq!(rate.growth_in(RATE_INTERVAL), 2000);
        rate.observe(at(1000), 2000);
        assert_eq!(rate.growth_in(2 * RATE_INTERVAL), 2000);
        // A line that becomes faster shows at once, and one that becomes slower after an interval.
        rate.observe(at(1100), 3000);
        assert_eq!(rate.growth_in(RATE_INTERVAL), 10_000);
        rate.observe(at(2000), 3000);
        rate.observe(at(3000), 3010);
        assert_eq!(rate.growth_in(RATE_INTERVAL), 10);
    }

    #[test]
    fn burst_at_the_start_is_not_a_rate() {
        let start = Instant::now();
        let mut rate = Rate::new(start, 0);
        rate.observe(start + Duration::from_micros(10), 1000);
        assert_eq!(rate.growth_in(RATE_INTERVAL), 10_000);
    }

    #[test]
    fn read_waits_until_its_waiter_is_dropped() {
        let meter = ThroughputMeter::default();
        let (one, other) = (meter.add_waiter(), meter.add_waiter());
        drop(one);
        assert!(meter.read().has_waiter);
        drop(other);
        assert!(!meter.read().has_waiter);
    }

    #[test]
    fn bytes_of_all_requests_add_up() {
        let meter = ThroughputMeter::default();
        meter.add_bytes(7);
        meter.add_bytes(3);
        assert_eq!(meter.read().bytes, 10);
    }
}

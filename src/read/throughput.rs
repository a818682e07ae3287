//! Measures how many bytes arrive for a handle or for all of them, and whether reads wait for them.

use std::time::Duration;

use tokio::time::Instant;

use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Counts the bytes that arrive for one handle or for all requests, and the reads that wait for
/// bytes.
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

/// Minimum rate at which a file counts as advancing, in bytes per second. Transfers below this rate
/// are slow for the connection pool as well.
const MIN_ADVANCING_RATE: u64 = 16 * 1024;

/// Measures whether bytes of a file have arrived lately.
#[derive(Debug)]
pub(super) struct RecentDelivery {
    /// Length of a period. The current and the last period are measured.
    period: Duration,
    start: Instant,
    /// The number of the current period since `start`.
    current_period: u64,
    current_bytes: u64,
    last_bytes: u64,
}

impl RecentDelivery {
    pub(super) fn new(period: Duration) -> Self {
        let start = Instant::now();
        Self { period, start, current_period: 0, current_bytes: 0, last_bytes: 0 }
    }

    /// Records the arrival of bytes.
    pub(super) fn add_bytes(&mut self, bytes: usize) {
        self.advance();
        self.current_bytes += bytes as u64;
    }

    /// Whether the bytes of the last one to two periods arrived at [`MIN_ADVANCING_RATE`] or
    /// faster.
    pub(super) fn is_advancing(&mut self) -> bool {
        self.advance();
        let bytes = (self.current_bytes + self.last_bytes) as f64;
        let time = self.start.elapsed().as_secs_f64()
            - self.period.as_secs_f64() * self.current_period.saturating_sub(1) as f64;
        bytes > 0.0 && bytes >= MIN_ADVANCING_RATE as f64 * time
    }

    fn advance(&mut self) {
        let elapsed = self.start.elapsed().as_millis() / self.period.as_millis().max(1);
        let period = u64::try_from(elapsed).unwrap_or(u64::MAX);
        self.last_bytes = match period - self.current_period {
            0 => return,
            1 => self.current_bytes,
            _ => 0,
        };
        self.current_bytes = 0;
        self.current_period = period;
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

    #[tokio::test(start_paused = true)]
    async fn slow_or_ended_delivery_is_not_advancing() {
        const PERIOD: Duration = Duration::from_secs(1);
        let mut delivery = RecentDelivery::new(PERIOD);
        assert!(!delivery.is_advancing());
        for _ in 0..20 {
            tokio::time::advance(PERIOD / 4).await;
            delivery.add_bytes(6 * 1024);
        }
        assert!(delivery.is_advancing());
        for _ in 0..20 {
            tokio::time::advance(PERIOD / 4).await;
            delivery.add_bytes(1024);
        }
        assert!(!delivery.is_advancing(), "4 KiB per second");
        delivery.add_bytes(10 * 1024 * 1024);
        assert!(delivery.is_advancing());
        tokio::time::advance(2 * PERIOD).await;
        assert!(!delivery.is_advancing(), "nothing has arrived since");
    }

    #[test]
    fn bytes_of_all_requests_add_up() {
        let meter = ThroughputMeter::default();
        meter.add_bytes(7);
        meter.add_bytes(3);
        assert_eq!(meter.read().bytes, 10);
    }
}

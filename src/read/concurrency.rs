//! Controls how many connections one stream uses.

use std::time::Duration;

use super::throughput::MeterReading;
use crate::cache::BLOCK_LENGTH;

/// Minimum factor by which the throughput must grow for additional connections to be kept. Two
/// connections that share one full line gain nothing. Two connections that are each limited by the
/// server or by their round trips gain almost a factor of two. A factor of 1.2 is far from both.
const MIN_GAIN: f64 = 1.2;

/// Growth factors of the number of connections: the first step, and all further steps. The first
/// step is large because each measurement takes a round trip: a copy of a few hundred megabytes
/// would be half done before 2, 4 and 8 connections have been tried.
pub(super) const FIRST_GROWTH: usize = 4;
const GROWTH: usize = 2;

/// Number of measurements before more connections are tried again after they have gained nothing.
/// The capacity of a line changes within minutes, not within a few megabytes.
const PAUSED_MEASUREMENTS: u32 = 64;

/// Minimum bytes per connection and minimum duration of a measurement. On a common line the bytes
/// take 20 ms, so it takes four round trips to find out that eight connections help. On a fast line
/// the bytes take almost no time. Without a minimum duration, the measurement would show scheduling
/// delays instead of throughput.
const MIN_MEASURED_BYTES: u64 = BLOCK_LENGTH / 4;
const MIN_MEASURED_TIME: Duration = Duration::from_millis(20);

/// Controls the number of connections of one stream. The number begins small and grows while the
/// throughput grows with it. If the throughput does not grow, the smaller number is restored.
///
/// Only intervals in which a reader waited are measured. If the reader never waits, the throughput
/// shows the speed of the reader, not the capacity of the line.
#[derive(Debug)]
pub(super) struct ConcurrencyController {
    current: usize,
    /// The current limit, and the configured maximum.
    limit: usize,
    maximum: usize,
    /// The number of connections before the last growth, and its estimated throughput in bytes per
    /// second. `None` once a measurement has decided whether to keep the growth.
    before_growth: Option<(usize, f64)>,
    paused: u32,
    /// The meter reading at the start of the measured interval, and whether a reader has waited in
    /// the interval.
    interval: MeterReading,
    has_waiter: bool,
    /// Whether all connections have delivered bytes since the last growth. Before that, a
    /// measurement would count the round trip of the new ones.
    is_settled: bool,
}

impl ConcurrencyController {
    /// Creates a controller that starts with `first` connections. An earlier stream of the same
    /// source may have determined this number.
    pub(super) fn new(first: usize, maximum: usize, reading: MeterReading) -> Self {
        let maximum = maximum.max(1);
        Self {
            current: first.clamp(1, maximum),
            limit: maximum,
            maximum,
            before_growth: None,
            paused: 0,
            interval: reading,
            has_waiter: false,
            is_settled: true,
        }
    }

    pub(super) fn current(&self) -> usize {
        self.current
    }

    /// Limits the number of connections while other readers need their share.
    pub(super) fn set_limit(&mut self, limit: usize) {
        self.limit = limit.clamp(1, self.maximum);
        if self.current > self.limit {
            self.current = self.limit;
            self.before_growth = None;
        }
    }

    /// Returns the number of connections that measurements have confirmed; `None` while other
    /// readers limit it.
    pub(super) fn proven_connections(&self) -> Option<usize> {
        (self.limit == self.maximum).then_some(self.current)
    }

    /// Observes the throughput. At the end of each measured interval, decides on the number of
    /// connections.
    pub(super) fn observe(&mut self, reading: MeterReading) {
        self.has_waiter |= reading.has_waiter;
        if !self.is_settled && reading.delivering >= self.current {
            self.is_settled = true;
            self.has_waiter = reading.has_waiter;
            self.interval = reading;
        }
        let bytes = reading.bytes.saturating_sub(self.interval.bytes);
        let is_enough = bytes >= self.current as u64 * MIN_MEASURED_BYTES
            && reading.at.saturating_duration_since(self.interval.at) >= MIN_MEASURED_TIME;
        if !self.is_settled || !is_enough {
            return;
        }
        if std::mem::take(&mut self.has_waiter) {
            let before = self.current;
            self.decide(bytes, reading.seconds - self.interval.seconds);
            self.is_settled = self.current <= before;
        }
        self.interval = reading;
    }

    /// Evaluates a measurement: `bytes` that arrived, and the `seconds` in which connections
    /// delivered them, summed over all connections. The estimated throughput is that of one
    /// connection times the number of connections.
    fn decide(&mut self, bytes: u64, seconds: f64) {
        let throughput = self.current as f64 * bytes as f64 / seconds.max(1e-6);
        if let Some((fewer, before)) = self.before_growth.take()
            && throughput < before * MIN_GAIN
        {
            self.current = fewer;
            self.paused = PAUSED_MEASUREMENTS;
            return;
        }
        if self.paused > 0 {
            self.paused -= 1;
        } else if self.current < self.limit {
            self.before_growth = Some((self.current, throughput));
            let growth = if self.current == 1 { FIRST_GROWTH } else { GROWTH };
            self.current = (self.current * growth).min(self.limit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::throughput::ThroughputMeter;
    use super::*;

    const MIB: u64 = 1024 * 1024;

    fn controller(first: usize, maximum: usize) -> ConcurrencyController {
        ConcurrencyController::new(first, maximum, ThroughputMeter::new().read())
    }

    /// Simulates measurements of a line that delivers `throughput(connections)` bytes per second.
    fn measure(
        controller: &mut ConcurrencyController,
        throughput: impl Fn(usize) -> u64,
        measurements: usize,
    ) {
        for _ in 0..measurements {
            controller.decide(throughput(controller.current()), controller.current() as f64);
        }
    }

    #[test]
    fn connections_grow_to_the_maximum_while_they_help() {
        let mut controller = controller(1, 8);
        measure(&mut controller, |connections| connections as u64 * 12 * MIB, 3);
        assert_eq!(controller.current(), 8);
        measure(&mut controller, |connections| connections as u64 * 12 * MIB, 30);
        assert_eq!(controller.current(), 8);
    }

    #[test]
    fn line_filled_by_one_connection_keeps_one() {
        let mut controller = controller(1, 8);
        measure(&mut controller, |_| 100 * MIB, 2);
        assert_eq!(controller.current(), 1);
        measure(&mut controller, |_| 100 * MIB, PAUSED_MEASUREMENTS as usize);
        assert_eq!(controller.current(), 1);
    }

    #[test]
    fn more_connections_are_tried_again_later() {
        let mut controller = controller(1, 8);
        measure(&mut controller, |_| 100 * MIB, 2 + PAUSED_MEASUREMENTS as usize + 1);
        assert_eq!(controller.current(), FIRST_GROWTH);
    }

    #[test]
    fn line_filled_by_four_connections_keeps_four() {
        let mut controller = controller(1, 8);
        measure(&mut controller, |connections| connections.min(4) as u64 * 10 * MIB, 4);
        assert_eq!(controller.current(), 4);
    }

    #[test]
    fn limit_by_other_readers_is_not_remembered() {
        let mut controller = controller(8, 8);
        controller.set_limit(2);
        assert_eq!((controller.current(), controller.proven_connections()), (2, None));
        measure(&mut controller, |connections| connections as u64 * 12 * MIB, 5);
        assert_eq!(controller.current(), 2);
        controller.set_limit(100);
        measure(&mut controller, |connections| connections as u64 * 12 * MIB, 3);
        assert_eq!((controller.current(), controller.proven_connections()), (8, Some(8)));
    }

    #[test]
    fn first_number_is_kept_within_bounds() {
        for (first, maximum, current) in [(8, 8, 8), (0, 8, 1), (64, 4, 4), (1, 0, 1)] {
            assert_eq!(controller(first, maximum).current(), current);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn throughput_without_waiter_is_not_measured() {
        let meter = ThroughputMeter::new();
        let mut controller = ConcurrencyController::new(1, 8, meter.read());
        meter.add_connection();
        for _ in 0..10 {
            tokio::time::advance(2 * MIN_MEASURED_TIME).await;
            meter.add_bytes(MIB as usize);
            controller.observe(meter.read());
        }
        assert_eq!(controller.current(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn short_interval_is_not_measured() {
        let meter = ThroughputMeter::new();
        let _waiter = meter.add_waiter();
        let mut controller = ConcurrencyController::new(1, 8, meter.read());
        meter.add_connection();
        tokio::time::advance(MIN_MEASURED_TIME / 2).await;
        meter.add_bytes(MIB as usize);
        controller.observe(meter.read());
        assert_eq!(controller.current(), 1);
        tokio::time::advance(MIN_MEASURED_TIME / 2).await;
        controller.observe(meter.read());
        assert_eq!(controller.current(), FIRST_GROWTH);
    }

    #[tokio::test(start_paused = true)]
    async fn growth_is_measured_once_all_connections_deliver() {
        let meter = ThroughputMeter::new();
        let _waiter = meter.add_waiter();
        let mut controller = ConcurrencyController::new(1, 8, meter.read());
        meter.add_connection();
        tokio::time::advance(Duration::from_millis(100)).await;
        meter.add_bytes(MIB as usize);
        controller.observe(meter.read());
        assert_eq!(controller.current(), FIRST_GROWTH);
        // One of four connections delivers bytes. The others wait for their replies.
        tokio::time::advance(Duration::from_millis(100)).await;
        meter.add_bytes(8 * MIB as usize);
        controller.observe(meter.read());
        assert_eq!(controller.current(), FIRST_GROWTH);
        (0..3).for_each(|_| meter.add_connection());
        controller.observe(meter.read());
        tokio::time::advance(Duration::from_millis(100)).await;
        meter.add_bytes(4 * MIB as usize);
        controller.observe(meter.read());
        assert_eq!(controller.current(), 8);
    }
}

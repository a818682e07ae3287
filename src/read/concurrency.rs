//! Controls how many connections one stream uses.

use std::time::Duration;

use super::throughput::MeterReading;
use crate::cache::BLOCK_LENGTH;

/// Minimum factor by which the throughput must grow for additional connections to be kept. Two
/// connections that share a full line gain nothing. Two connections that are each limited by the
/// server or by their round trips gain almost a factor of two. A factor of 1.2 lies clearly between
/// these cases.
const MIN_GAIN: f64 = 1.2;

/// Factor of the first growth of the number of connections. It is large because each measurement
/// takes a round trip: a copy of a few hundred megabytes would be half done before 2, 4 and 8
/// connections have been tried.
pub(super) const FIRST_GROWTH_FACTOR: usize = 4;

/// Factor of all further growth of the number of connections.
const GROWTH_FACTOR: usize = 2;

/// Number of measurements to skip before more connections are tried again, after they have gained
/// nothing. The capacity of a line changes within minutes, not within a few megabytes.
const PAUSED_MEASUREMENTS: u32 = 64;

/// Minimum number of bytes per connection in a measurement. On a common line they take 20 ms, so it
/// takes four round trips to find out that eight connections help.
const MIN_MEASURED_BYTES: u64 = BLOCK_LENGTH / 4;

/// Minimum duration of a measurement. On a fast line, [`MIN_MEASURED_BYTES`] arrive almost at once,
/// and the measurement would show scheduling delays instead of throughput.
const MIN_MEASUREMENT_DURATION: Duration = Duration::from_millis(20);

/// Controls the number of connections of one stream. The number starts small and grows as long as
/// the throughput grows with it. If the throughput does not grow, the previous number is restored.
///
/// Only intervals in which a reader waited are measured. If the reader never waits, the throughput
/// shows the speed of the reader and not the capacity of the line.
#[derive(Debug)]
pub(super) struct ConcurrencyController {
    current_connections: usize,
    /// The current maximum, which is lower than `maximum` while other readers are active.
    limit: usize,
    maximum: usize,
    /// The number of connections before the last growth, and their estimated throughput in bytes
    /// per second. `None` if the last growth has been accepted or reversed.
    before_growth: Option<(usize, f64)>,
    paused_measurements: u32,
    /// The meter reading at the start of the current interval.
    interval_start: MeterReading,
    /// Whether a reader has waited in the current interval.
    has_waiter: bool,
    /// Whether all connections have delivered bytes since the last growth. A measurement before
    /// that would include the round trip of the new connections.
    is_settled: bool,
}

impl ConcurrencyController {
    /// Creates a controller that starts with `initial` connections. The number can come from an
    /// earlier stream of the same source.
    pub(super) fn new(initial: usize, maximum: usize, reading: MeterReading) -> Self {
        let maximum = maximum.max(1);
        Self {
            current_connections: initial.clamp(1, maximum),
            limit: maximum,
            maximum,
            before_growth: None,
            paused_measurements: 0,
            interval_start: reading,
            has_waiter: false,
            is_settled: true,
        }
    }

    pub(super) fn current_connections(&self) -> usize {
        self.current_connections
    }

    /// Limits the number of connections while other readers need their share.
    pub(super) fn set_limit(&mut self, limit: usize) {
        self.limit = limit.clamp(1, self.maximum);
        if self.current_connections > self.limit {
            self.current_connections = self.limit;
            self.before_growth = None;
        }
    }

    /// Returns the number of connections that measurements have confirmed. Returns `None` while
    /// other readers limit the number.
    pub(super) fn proven_connections(&self) -> Option<usize> {
        (self.limit == self.maximum).then_some(self.current_connections)
    }

    /// Processes a meter reading. Adjusts the number of connections at the end of each interval.
    pub(super) fn observe(&mut self, reading: MeterReading) {
        self.has_waiter |= reading.has_waiter;
        if !self.is_settled && reading.active_connections >= self.current_connections {
            self.is_settled = true;
            self.has_waiter = reading.has_waiter;
            self.interval_start = reading;
        }
        let bytes = reading.bytes.saturating_sub(self.interval_start.bytes);
        let is_long_enough = bytes >= self.current_connections as u64 * MIN_MEASURED_BYTES
            && reading.time.saturating_duration_since(self.interval_start.time)
                >= MIN_MEASUREMENT_DURATION;
        if !self.is_settled || !is_long_enough {
            return;
        }
        if std::mem::take(&mut self.has_waiter) {
            let previous_connections = self.current_connections;
            self.evaluate(bytes, reading.delivery_seconds - self.interval_start.delivery_seconds);
            self.is_settled = self.current_connections <= previous_connections;
        }
        self.interval_start = reading;
    }

    /// Evaluates an interval in which `bytes` bytes arrived. `delivery_seconds` is the time in
    /// which connections delivered bytes, summed over all connections. The estimated throughput is
    /// the throughput of one connection times the number of connections.
    fn evaluate(&mut self, bytes: u64, delivery_seconds: f64) {
        let throughput =
            self.current_connections as f64 * bytes as f64 / delivery_seconds.max(1e-6);
        if let Some((fewer_connections, previous_throughput)) = self.before_growth.take()
            && throughput < previous_throughput * MIN_GAIN
        {
            self.current_connections = fewer_connections;
            self.paused_measurements = PAUSED_MEASUREMENTS;
            return;
        }
        if self.paused_measurements > 0 {
            self.paused_measurements -= 1;
        } else if self.current_connections < self.limit {
            self.before_growth = Some((self.current_connections, throughput));
            let growth_factor =
                if self.current_connections == 1 { FIRST_GROWTH_FACTOR } else { GROWTH_FACTOR };
            self.current_connections = (self.current_connections * growth_factor).min(self.limit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::throughput::ThroughputMeter;
    use super::*;

    const MIB: u64 = 1024 * 1024;

    fn controller(initial: usize, maximum: usize) -> ConcurrencyController {
        ConcurrencyController::new(initial, maximum, ThroughputMeter::new().read())
    }

    /// Simulates measurements on a line that delivers `throughput(connections)` bytes per second.
    fn measure(
        controller: &mut ConcurrencyController,
        throughput: impl Fn(usize) -> u64,
        measurements: usize,
    ) {
        for _ in 0..measurements {
            controller.evaluate(
                throughput(controller.current_connections()),
                controller.current_connections() as f64,
            );
        }
    }

    #[test]
    fn connections_grow_to_the_maximum_while_they_help() {
        let mut controller = controller(1, 8);
        measure(&mut controller, |connections| connections as u64 * 12 * MIB, 3);
        assert_eq!(controller.current_connections(), 8);
        measure(&mut controller, |connections| connections as u64 * 12 * MIB, 30);
        assert_eq!(controller.current_connections(), 8);
    }

    #[test]
    fn line_filled_by_one_connection_keeps_one() {
        let mut controller = controller(1, 8);
        measure(&mut controller, |_| 100 * MIB, 2);
        assert_eq!(controller.current_connections(), 1);
        measure(&mut controller, |_| 100 * MIB, PAUSED_MEASUREMENTS as usize);
        assert_eq!(controller.current_connections(), 1);
    }

    #[test]
    fn more_connections_are_tried_again_later() {
        let mut controller = controller(1, 8);
        measure(&mut controller, |_| 100 * MIB, 2 + PAUSED_MEASUREMENTS as usize + 1);
        assert_eq!(controller.current_connections(), FIRST_GROWTH_FACTOR);
    }

    #[test]
    fn line_filled_by_four_connections_keeps_four() {
        let mut controller = controller(1, 8);
        measure(&mut controller, |connections| connections.min(4) as u64 * 10 * MIB, 4);
        assert_eq!(controller.current_connections(), 4);
    }

    #[test]
    fn limit_for_other_readers_is_temporary() {
        let mut controller = controller(8, 8);
        controller.set_limit(2);
        assert_eq!((controller.current_connections(), controller.proven_connections()), (2, None));
        measure(&mut controller, |connections| connections as u64 * 12 * MIB, 5);
        assert_eq!(controller.current_connections(), 2);
        controller.set_limit(100);
        measure(&mut controller, |connections| connections as u64 * 12 * MIB, 3);
        assert_eq!(
            (controller.current_connections(), controller.proven_connections()),
            (8, Some(8))
        );
    }

    #[test]
    fn initial_number_of_connections_is_clamped() {
        for (initial, maximum, current_connections) in [(8, 8, 8), (0, 8, 1), (64, 4, 4), (1, 0, 1)]
        {
            assert_eq!(controller(initial, maximum).current_connections(), current_connections);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn throughput_without_waiter_is_not_measured() {
        let meter = ThroughputMeter::new();
        let mut controller = ConcurrencyController::new(1, 8, meter.read());
        meter.add_connection();
        for _ in 0..10 {
            tokio::time::advance(2 * MIN_MEASUREMENT_DURATION).await;
            meter.add_bytes(MIB as usize);
            controller.observe(meter.read());
        }
        assert_eq!(controller.current_connections(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn short_interval_is_not_measured() {
        let meter = ThroughputMeter::new();
        let _waiter = meter.add_waiter();
        let mut controller = ConcurrencyController::new(1, 8, meter.read());
        meter.add_connection();
        tokio::time::advance(MIN_MEASUREMENT_DURATION / 2).await;
        meter.add_bytes(MIB as usize);
        controller.observe(meter.read());
        assert_eq!(controller.current_connections(), 1);
        tokio::time::advance(MIN_MEASUREMENT_DURATION / 2).await;
        controller.observe(meter.read());
        assert_eq!(controller.current_connections(), FIRST_GROWTH_FACTOR);
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
        assert_eq!(controller.current_connections(), FIRST_GROWTH_FACTOR);
        // One of four connections delivers bytes. The other three wait for their replies.
        tokio::time::advance(Duration::from_millis(100)).await;
        meter.add_bytes(8 * MIB as usize);
        controller.observe(meter.read());
        assert_eq!(controller.current_connections(), FIRST_GROWTH_FACTOR);
        (0..3).for_each(|_| meter.add_connection());
        controller.observe(meter.read());
        tokio::time::advance(Duration::from_millis(100)).await;
        meter.add_bytes(4 * MIB as usize);
        controller.observe(meter.read());
        assert_eq!(controller.current_connections(), 8);
    }
}

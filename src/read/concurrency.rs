//! Finds out whether a long stream needs all of its connections.

use std::time::Duration;

use tokio::time::Instant;

use super::throughput::MeterReading;

/// Time between two trials. The capacity of a line changes within minutes. Most copies end before
/// the first trial.
const TRIAL_INTERVAL: Duration = Duration::from_secs(10);

/// Time until the next trial after a trial with fewer connections was slower.
const LONG_TRIAL_INTERVAL: Duration = Duration::from_secs(60);

/// Duration of one measurement. Many servers send the first second of each reply faster than the
/// rest, so a shorter measurement would show the burst and not the line.
const MEASUREMENT_DURATION: Duration = Duration::from_secs(3);

/// Time after a change of the number of connections before the next measurement. The chunks in
/// flight are transferred in this time.
const SETTLING_TIME: Duration = Duration::from_secs(1);

/// Minimum part of the throughput that must remain with fewer connections. Measurements of the same
/// line differ by a few percent.
const MIN_REMAINING_THROUGHPUT: f64 = 0.9;

/// Minimum number of connections. A trial with fewer would save little.
const MIN_CONNECTIONS: usize = 4;

/// Controls the number of connections of one stream.
///
/// A stream begins with all connections of its share. A stream that lasts tries half of them, and
/// keeps the smaller number if the throughput stays the same: more connections gain nothing on a
/// full line, and other programs get less of it. After a trial that was slower, the stream tries
/// twice the number, because the line may have changed.
///
/// A measurement counts only if a reader has waited during it. Otherwise, the throughput shows the
/// speed of the reader and not that of the line.
#[derive(Debug)]
pub(super) struct ConcurrencyController {
    /// The number that trials have found, or `None` for the whole share.
    limit: Option<usize>,
    /// The number of connections that the stream may use.
    share: usize,
    has_share_changed: bool,
    /// Whether a reader has waited during the current measurement.
    has_waiter: bool,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// No trial is running.
    Steady { next_trial: Instant },
    /// The throughput of the current number is being measured.
    Baseline { start: MeterReading },
    /// Another number is used for the trial.
    Trial { previous_limit: Option<usize>, baseline: f64, settled_at: Instant, start: MeterReading },
}

impl ConcurrencyController {
    pub(super) fn new(now: Instant) -> Self {
        let phase = Phase::Steady { next_trial: now + TRIAL_INTERVAL };
        Self { limit: None, share: usize::MAX, has_share_changed: false, has_waiter: false, phase }
    }

    /// Returns the number of connections for a stream that may use `share` connections.
    pub(super) fn connections(&mut self, share: usize) -> usize {
        if std::mem::replace(&mut self.share, share) != share {
            self.has_share_changed = true;
        }
        self.current_connections()
    }

    fn current_connections(&self) -> usize {
        self.limit.map_or(self.share, |limit| limit.min(self.share)).max(1)
    }

    /// Processes a meter reading. A trial ends without a result if the share has changed, or if the
    /// reader has not waited during a measurement.
    pub(super) fn observe(&mut self, reading: MeterReading) {
        let has_changed = std::mem::take(&mut self.has_share_changed);
        self.has_waiter |= reading.has_waiter;
        match self.phase {
            Phase::Steady { next_trial } => {
                if reading.time >= next_trial && !has_changed {
                    self.has_waiter = false;
                    self.phase = Phase::Baseline { start: reading };
                }
            }
            Phase::Baseline { .. } if has_changed => {
                self.wait_for_trial(reading.time, TRIAL_INTERVAL);
            }
            Phase::Trial { previous_limit, .. } if has_changed => {
                self.limit = previous_limit;
                self.wait_for_trial(reading.time, TRIAL_INTERVAL);
            }
            Phase::Baseline { start } => match throughput(start, reading) {
                None => {}
                Some(_) if !std::mem::take(&mut self.has_waiter) => {
                    self.wait_for_trial(reading.time, TRIAL_INTERVAL);
                }
                Some(baseline) => self.begin_trial(baseline, reading),
            },
            Phase::Trial { settled_at, ref mut start, .. } if reading.time < settled_at => {
                *start = reading;
                self.has_waiter = false;
            }
            Phase::Trial { previous_limit, baseline, start, .. } => {
                match throughput(start, reading) {
                    None => {}
                    Some(_) if !std::mem::take(&mut self.has_waiter) => {
                        self.limit = previous_limit;
                        self.wait_for_trial(reading.time, TRIAL_INTERVAL);
                    }
                    Some(throughput) => {
                        self.end_trial(previous_limit, throughput / baseline, reading.time);
                    }
                }
            }
        }
    }

    fn begin_trial(&mut self, baseline: f64, reading: MeterReading) {
        let previous_limit = self.limit;
        let half = self.current_connections() / 2;
        if half < MIN_CONNECTIONS {
            self.limit = self.doubled(previous_limit);
            return self.wait_for_trial(reading.time, LONG_TRIAL_INTERVAL);
        }
        self.limit = Some(half);
        let settled_at = reading.time + SETTLING_TIME;
        self.phase = Phase::Trial { previous_limit, baseline, settled_at, start: reading };
    }

    /// Keeps or reverses the number of a trial. `gain` is the throughput of the trial, relative to
    /// that before.
    fn end_trial(&mut self, previous_limit: Option<usize>, gain: f64, now: Instant) {
        if gain >= MIN_REMAINING_THROUGHPUT {
            return self.wait_for_trial(now, TRIAL_INTERVAL);
        }
        // The line may need more than the number before the trial.
        self.limit = self.doubled(previous_limit);
        self.wait_for_trial(now, LONG_TRIAL_INTERVAL);
    }

    /// Returns twice a limit, or `None` if that is the whole share.
    fn doubled(&self, limit: Option<usize>) -> Option<usize> {
        limit.map(|limit| limit.saturating_mul(2)).filter(|limit| *limit < self.share)
    }

    fn wait_for_trial(&mut self, now: Instant, interval: Duration) {
        self.phase = Phase::Steady { next_trial: now + interval };
    }
}

/// Returns the throughput between two readings in bytes per second. Returns `None` if the time
/// between them is too short.
fn throughput(start: MeterReading, end: MeterReading) -> Option<f64> {
    let duration = end.time.saturating_duration_since(start.time);
    let bytes = end.bytes.saturating_sub(start.bytes);
    (duration >= MEASUREMENT_DURATION).then(|| bytes as f64 / duration.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1_000_000;
    const STEP: Duration = Duration::from_millis(20);

    /// A stream on a simulated line.
    struct Simulation {
        controller: ConcurrencyController,
        now: Instant,
        bytes: u64,
        steps: u64,
        share: usize,
    }

    impl Simulation {
        fn new(share: usize) -> Self {
            let now = Instant::now();
            Self { controller: ConcurrencyController::new(now), now, bytes: 0, steps: 0, share }
        }

        fn connections(&mut self) -> usize {
            self.controller.connections(self.share)
        }

        /// Transfers for `seconds` on a line that delivers `line(connections)` bytes per second.
        /// Returns the mean throughput in bytes per second.
        fn transfer(&mut self, seconds: u64, line: impl Fn(usize) -> u64) -> u64 {
            let (end, bytes_before) = (self.now + Duration::from_secs(seconds), self.bytes);
            while self.now < end {
                self.now += STEP;
                let connections = self.connections();
                self.bytes += line(connections) * STEP.as_millis() as u64 / 1000;
                // A reader that waits for most of the time starts a read now and then.
                self.steps += 1;
                self.observe(!self.steps.is_multiple_of(3));
            }
            (self.bytes - bytes_before) / seconds
        }

        fn observe(&mut self, has_waiter: bool) {
            let reading = MeterReading { time: self.now, bytes: self.bytes, has_waiter };
            self.controller.observe(reading);
        }
    }

    #[test]
    fn stream_begins_with_its_whole_share() {
        let mut stream = Simulation::new(64);
        assert_eq!(stream.connections(), 64);
        stream.transfer(TRIAL_INTERVAL.as_secs() - 1, |_| 100 * MB);
        assert_eq!(stream.connections(), 64);
        stream.share = 8;
        assert_eq!(stream.connections(), 8);
    }

    #[test]
    fn line_filled_by_few_connections_keeps_few() {
        let line = |connections: usize| (connections as u64 * 12 * MB).min(100 * MB);
        let mut stream = Simulation::new(64);
        let throughput = stream.transfer(120, line);
        let connections = stream.connections();
        assert!((8..=16).contains(&connections), "{connections}");
        assert!(throughput > 95 * MB, "{throughput}");
    }

    #[test]
    fn limited_connections_are_all_used() {
        let line = |connections: usize| connections as u64 * 12 * MB;
        let mut stream = Simulation::new(64);
        let throughput = stream.transfer(300, line);
        assert_eq!(stream.connections(), 64);
        assert!(throughput > 64 * 12 * MB * 9 / 10, "{throughput}");
    }

    #[test]
    fn connections_grow_again_when_the_line_changes() {
        let mut stream = Simulation::new(64);
        stream.transfer(120, |_| 50 * MB);
        assert!(stream.connections() <= MIN_CONNECTIONS * 2);
        stream.transfer(600, |connections| connections as u64 * 12 * MB);
        assert!(stream.connections() >= 32);
    }

    #[test]
    fn trial_without_waiter_is_reversed() {
        let mut stream = Simulation::new(64);
        let until_trial = (TRIAL_INTERVAL + MEASUREMENT_DURATION + SETTLING_TIME).as_secs();
        stream.transfer(until_trial, |_| 100 * MB);
        assert_eq!(stream.connections(), 32, "a trial is running");
        let end = stream.now + MEASUREMENT_DURATION + SETTLING_TIME;
        while stream.now < end {
            stream.now += STEP;
            stream.observe(false);
        }
        assert_eq!(stream.connections(), 64);
    }

    #[test]
    fn trial_with_another_share_is_reversed() {
        let mut stream = Simulation::new(64);
        let until_trial = (TRIAL_INTERVAL + MEASUREMENT_DURATION + SETTLING_TIME).as_secs();
        stream.transfer(until_trial, |_| 100 * MB);
        assert_eq!(stream.connections(), 32, "a trial is running");
        stream.share = 48;
        stream.connections();
        stream.observe(true);
        assert_eq!(stream.connections(), 48);
    }
}

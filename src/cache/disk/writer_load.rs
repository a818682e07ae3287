//! Determines whether the processor or the disk limits the speed of the writer.

use std::time::{Duration, Instant};

use nix::time::ClockId;

/// Each new block reduces the weight of the earlier blocks by a sixteenth. A single delayed block
/// does not change the result, and a disk that becomes slow is noticed within one prefetch window.
const DECAY_DIVISOR: u32 = 16;

/// The time that the writer has spent on recent blocks. The weight of a block decreases with its
/// age.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct WriterLoad(TimeSpent);

/// The time that a thread spent on an operation.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TimeSpent {
    elapsed: Duration,
    /// Time in which the thread ran on a processor or waited for one. In the remaining time it
    /// waited for the disk.
    processor_time: Duration,
}

impl WriterLoad {
    /// Adds the time that the writer spent on a block.
    pub(super) fn record(&mut self, time_spent: TimeSpent) {
        let decay = |sum: Duration| sum - sum / DECAY_DIVISOR;
        self.0.elapsed = decay(self.0.elapsed) + time_spent.elapsed;
        self.0.processor_time = decay(self.0.processor_time) + time_spent.processor_time;
    }

    /// Whether the writer spends most of its time on the processor, so more processor time would
    /// speed it up.
    pub(super) fn is_processor_bound(&self) -> bool {
        self.0.processor_time > self.0.elapsed / 2
    }
}

/// Measures the time that the calling thread spends on an operation.
pub(super) struct Stopwatch {
    start: Instant,
    processor_time_before: Duration,
}

impl Stopwatch {
    pub(super) fn start() -> Self {
        Self { start: Instant::now(), processor_time_before: processor_time() }
    }

    pub(super) fn time_spent(&self) -> TimeSpent {
        TimeSpent {
            elapsed: self.start.elapsed(),
            processor_time: processor_time().saturating_sub(self.processor_time_before),
        }
    }
}

/// Returns the time for which the calling thread has run on a processor or has waited for a
/// processor. Returns zero if the system does not report it: `schedstat` needs `CONFIG_SCHED_INFO`
/// (Linux, Documentation/scheduler/sched-stats.rst).
fn processor_time() -> Duration {
    let waiting_time = || {
        let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        Some(Duration::from_nanos(statistics.split_whitespace().nth(1)?.parse().ok()?))
    };
    // `schedstat` updates the time on the processor with a delay. This clock is always current.
    let running_time = || ClockId::CLOCK_THREAD_CPUTIME_ID.now().map(Duration::from).ok();
    running_time()
        .zip(waiting_time())
        .map(|(running, waiting)| running + waiting)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time_spent(elapsed: u64, processor: u64) -> TimeSpent {
        TimeSpent {
            elapsed: Duration::from_millis(elapsed),
            processor_time: Duration::from_millis(processor),
        }
    }

    #[test]
    fn a_new_writer_is_not_processor_bound() {
        assert!(!WriterLoad::default().is_processor_bound());
    }

    #[test]
    fn only_a_busy_thread_is_processor_bound() {
        let stopwatch = Stopwatch::start();
        let deadline = Instant::now() + Duration::from_millis(60);
        while Instant::now() < deadline {
            std::hint::spin_loop();
        }
        let mut load = WriterLoad::default();
        load.record(stopwatch.time_spent());
        assert!(load.is_processor_bound(), "{load:?}");

        let stopwatch = Stopwatch::start();
        std::thread::sleep(Duration::from_millis(60));
        let mut load = WriterLoad::default();
        load.record(stopwatch.time_spent());
        assert!(!load.is_processor_bound(), "{load:?}");
    }

    #[test]
    fn one_delayed_block_does_not_change_the_result() {
        let mut load = WriterLoad::default();
        (0..100).for_each(|_| load.record(time_spent(10, 9)));
        load.record(time_spent(80, 9));
        assert!(load.is_processor_bound());
        (0..4).for_each(|_| load.record(time_spent(80, 9)));
        assert!(!load.is_processor_bound());
    }
}

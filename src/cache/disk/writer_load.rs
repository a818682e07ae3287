//! Why the writer is behind, when it is: for want of processor, or because the disk takes its time.

use std::time::{Duration, Instant};

use nix::time::ClockId;

/// What blocks took fades by this part with each further one, so that one that was held up does not decide, and a disk
/// that becomes slow is noticed within a window.
const MEMORY: u32 = 16;

/// What the last blocks took the writer.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Effort(Spent);

/// What something took a thread.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spent {
    /// From its beginning to its end.
    elapsed: Duration,
    /// Of that, with the processor or waiting for it; not with or for the disk.
    processor: Duration,
}

impl Effort {
    /// Counts a block.
    pub(super) fn note(&mut self, block: Spent) {
        let fade = |sum: Duration| sum - sum / MEMORY;
        self.0.elapsed = fade(self.0.elapsed) + block.elapsed;
        self.0.processor = fade(self.0.processor) + block.processor;
    }

    /// Whether the writer would be faster if it got more of the processor: that takes up most of its time.
    pub(super) fn wants_processor(&self) -> bool {
        self.0.processor > self.0.elapsed / 2
    }
}

/// Measures what something takes the calling thread.
pub(super) struct Clock {
    began: Instant,
    had: Duration,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self { began: Instant::now(), had: processor_time() }
    }

    pub(super) fn spent(&self) -> Spent {
        Spent {
            elapsed: self.began.elapsed(),
            processor: processor_time().saturating_sub(self.had),
        }
    }
}

/// Time for which the calling thread has had the processor or has waited for it, so far. Zero where the system does not
/// say: without `CONFIG_SCHED_INFO` there is no `schedstat` (Linux, Documentation/scheduler/sched-stats.rst).
fn processor_time() -> Duration {
    let waited = || {
        let statistics = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        Some(Duration::from_nanos(statistics.split_whitespace().nth(1)?.parse().ok()?))
    };
    // What the thread has had so far is brought up to date by this clock only, not by `schedstat`.
    let had = || ClockId::CLOCK_THREAD_CPUTIME_ID.now().map(Duration::from).ok();
    had().zip(waited()).map(|(had, waited)| had + waited).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spent(elapsed: u64, processor: u64) -> Spent {
        Spent {
            elapsed: Duration::from_millis(elapsed),
            processor: Duration::from_millis(processor),
        }
    }

    #[test]
    fn nothing_is_wanted_before_anything_was_done() {
        assert!(!Effort::default().wants_processor());
    }

    #[test]
    fn work_is_told_from_waiting() {
        let clock = Clock::start();
        let until = Instant::now() + Duration::from_millis(60);
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        let mut effort = Effort::default();
        effort.note(clock.spent());
        assert!(effort.wants_processor(), "{effort:?}");

        let clock = Clock::start();
        std::thread::sleep(Duration::from_millis(60));
        let mut effort = Effort::default();
        effort.note(clock.spent());
        assert!(!effort.wants_processor(), "{effort:?}");
    }

    #[test]
    fn one_block_that_was_held_up_does_not_decide_and_a_slow_disk_does() {
        let mut effort = Effort::default();
        (0..100).for_each(|_| effort.note(spent(10, 9)));
        effort.note(spent(80, 9));
        assert!(effort.wants_processor());
        (0..4).for_each(|_| effort.note(spent(80, 9)));
        assert!(!effort.wants_processor());
    }
}

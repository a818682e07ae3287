//! The time of day. A test can replace it.

use jiff::Timestamp;

/// Returns the time of day. In a test with a [`SimulatedTimeOfDay`], it passes with tokio's clock.
pub fn current_time() -> Timestamp {
    #[cfg(test)]
    if let Some(time) = simulated_time_of_day::read() {
        return time;
    }
    Timestamp::now()
}

#[cfg(test)]
pub(crate) use simulated_time_of_day::SimulatedTimeOfDay;

#[cfg(test)]
mod simulated_time_of_day {
    use std::collections::HashMap;

    use jiff::Timestamp;
    use parking_lot::Mutex;
    use tokio::runtime::{Handle, Id};
    use tokio::time::Instant;

    /// The runtimes with a simulated time of day, and when it began on both clocks. The runtime is
    /// the key, because the blocking threads of a runtime share its clock.
    static STARTS: Mutex<Option<HashMap<Id, (Instant, Timestamp)>>> = Mutex::new(None);

    /// Lets the time of day pass with tokio's clock in the current runtime, until it is dropped.
    #[derive(Debug)]
    pub(crate) struct SimulatedTimeOfDay(Id);

    impl SimulatedTimeOfDay {
        pub(crate) fn start(time: Timestamp) -> Self {
            let id = Handle::current().id();
            let time_of_day = Self(id);
            time_of_day.set(time);
            time_of_day
        }

        /// Sets the time of day, as an administrator or a time server does.
        pub(crate) fn set(&self, time: Timestamp) {
            STARTS.lock().get_or_insert_default().insert(self.0, (Instant::now(), time));
        }
    }

    impl Drop for SimulatedTimeOfDay {
        fn drop(&mut self) {
            STARTS.lock().get_or_insert_default().remove(&self.0);
        }
    }

    pub(super) fn read() -> Option<Timestamp> {
        let runtime = Handle::try_current().ok()?.id();
        let (start, time) = *STARTS.lock().as_ref()?.get(&runtime)?;
        time.checked_add(start.elapsed()).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn simulated_time_passes_with_the_clock() {
        let start = Timestamp::UNIX_EPOCH;
        let time_of_day = SimulatedTimeOfDay::start(start);
        let hour = Duration::from_secs(3600);
        tokio::time::advance(hour).await;
        assert_eq!(current_time(), start + hour);
        let blocking_time = tokio::task::spawn_blocking(current_time).await;
        assert_eq!(blocking_time.unwrap(), start + hour);
        drop(time_of_day);
        assert!(current_time() > start + hour);
    }
}

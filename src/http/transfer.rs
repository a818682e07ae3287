//! Measures the rate of a transfer, and asks a slow transfer to give up its connection for a
//! waiting request.
//!
//! If a server sends a few bytes every few seconds, the stall timeout never expires, and the
//! transfer keeps its connection for minutes. Enough such transfers would occupy all
//! connections to a host.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Minimum rate in bytes per second. A transfer below this rate must give up its connection while
/// other requests wait. A video needs a higher rate to be played. On a slow line, the
/// prefetch window limits the number of transfers, so each of them is faster than this.
pub(super) const MIN_RATE: u64 = 16 * 1024;

/// Duration of one measurement of the rate. It includes the wait for the head of the reply, which
/// takes one or two seconds on a busy server.
pub(super) const RATE_INTERVAL: Duration = Duration::from_secs(3);

/// The transfer of one range, which can take several consecutive requests. The connection pool
/// treats them as one transfer.
#[derive(Debug, Default)]
pub(super) struct Transfer {
    state: Mutex<State>,
    yield_requested: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Whether the transfer has been asked to give up a connection and has not reached the minimum
    /// rate since then.
    is_slow: bool,
    /// Whether the last measurement with the current connection was below the minimum rate.
    is_below_rate: bool,
    /// Whether the transfer has been asked to give up its current connection.
    must_yield: bool,
    /// The time that the transfer has waited for bytes since the last measurement. It does not
    /// include the time in which the consumer of the bytes is busy.
    wait_time: Duration,
    /// Number of bytes that have arrived since the last measurement.
    bytes: u64,
    waiting_since: Option<Instant>,
    /// Whether the consumer needs no bytes at the moment.
    is_paused: bool,
}

impl State {
    fn measure(&mut self, now: Instant) {
        let current_wait = self.waiting_since.map(|since| now.saturating_duration_since(since));
        let wait_time = self.wait_time + current_wait.unwrap_or_default();
        if wait_time < RATE_INTERVAL {
            return;
        }
        self.is_below_rate = (self.bytes as f64) < MIN_RATE as f64 * wait_time.as_secs_f64();
        self.is_slow &= self.is_below_rate;
        self.wait_time = Duration::ZERO;
        self.bytes = 0;
        self.waiting_since = self.waiting_since.map(|_| now);
    }
}

impl Transfer {
    /// Starts a new measurement, because the transfer got a connection.
    pub(super) fn start_measurement(&self) {
        let mut state = self.state.lock();
        *state = State {
            is_slow: state.is_slow,
            waiting_since: Some(Instant::now()),
            ..State::default()
        };
    }

    /// Whether the transfer is slow, so it competes only with other slow transfers.
    pub(super) fn is_slow(&self) -> bool {
        self.state.lock().is_slow
    }

    /// Marks the beginning or the end of a time in which the consumer needs no bytes.
    pub(super) fn set_paused(&self, is_paused: bool) {
        self.state.lock().is_paused = is_paused;
    }

    /// Whether the transfer is paused or below [`MIN_RATE`], and has not been asked to give up its
    /// connection yet.
    pub(super) fn can_yield(&self) -> bool {
        let mut state = self.state.lock();
        state.measure(Instant::now());
        (state.is_below_rate || state.is_paused) && !state.must_yield
    }

    pub(super) fn must_yield(&self) -> bool {
        self.state.lock().must_yield
    }

    /// Asks the transfer to give up its connection: [`wait`](Self::wait) then returns `None`.
    pub(super) fn request_yield(&self) {
        let mut state = self.state.lock();
        state.must_yield = true;
        // A paused transfer is not slow.
        state.is_slow |= state.is_below_rate;
        drop(state);
        self.yield_requested.notify_one();
    }

    /// Records the arrival of `bytes` bytes.
    pub(super) fn add_bytes(&self, bytes: usize) {
        let mut state = self.state.lock();
        state.bytes += bytes as u64;
        state.measure(Instant::now());
    }

    /// Waits for a part of the reply. Returns `None` if the transfer must give up its connection
    /// before the part arrives.
    pub(super) async fn wait<T>(&self, reply: impl Future<Output = T>) -> Option<T> {
        self.state.lock().waiting_since.get_or_insert_with(Instant::now);
        tokio::pin!(reply);
        let result = loop {
            tokio::select! {
                biased;
                result = &mut reply => break Some(result),
                // The notification may come from an earlier connection.
                () = self.yield_requested.notified() => if self.must_yield() { break None },
            }
        };
        let mut state = self.state.lock();
        if let Some(since) = state.waiting_since.take() {
            state.wait_time += since.elapsed();
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Simulates the arrival of `bytes` bytes after `wait`.
    async fn receive(transfer: &Transfer, bytes: usize, wait: Duration) {
        transfer.wait(tokio::time::sleep(wait)).await.unwrap();
        transfer.add_bytes(bytes);
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn paused_transfer_yields_without_becoming_slow() {
        let transfer = Transfer::default();
        transfer.start_measurement();
        receive(&transfer, 1024 * 1024, SECOND).await;
        assert!(!transfer.can_yield());
        transfer.set_paused(true);
        assert!(transfer.can_yield());
        transfer.request_yield();
        assert_eq!(transfer.wait(std::future::pending::<()>()).await, None);
        assert!(!transfer.is_slow());
    }

    #[tokio::test(start_paused = true)]
    async fn slow_transfer_is_below_the_minimum_rate() {
        let transfer = Transfer::default();
        transfer.start_measurement();
        assert!(!transfer.can_yield(), "it has just begun");
        receive(&transfer, 8 * 1024, 5 * SECOND).await;
        assert!(transfer.can_yield());
        receive(&transfer, 1024 * 1024, 5 * SECOND).await;
        assert!(!transfer.can_yield());
    }

    #[tokio::test(start_paused = true)]
    async fn transfer_without_reply_is_below_the_minimum_rate() {
        let transfer = Transfer::default();
        transfer.start_measurement();
        let reply = transfer.wait(std::future::pending::<()>());
        assert!(tokio::time::timeout(RATE_INTERVAL, reply).await.is_err());
        assert!(transfer.can_yield());
    }

    #[tokio::test(start_paused = true)]
    async fn busy_time_of_the_consumer_does_not_count() {
        let transfer = Transfer::default();
        transfer.start_measurement();
        for _ in 0..10 {
            receive(&transfer, 64 * 1024, SECOND / 10).await;
            tokio::time::sleep(60 * SECOND).await;
        }
        assert!(!transfer.can_yield());
    }

    #[tokio::test(start_paused = true)]
    async fn slow_transfer_yields_once_and_is_measured_again() {
        let transfer = Transfer::default();
        transfer.start_measurement();
        receive(&transfer, 1, RATE_INTERVAL).await;
        assert!(transfer.can_yield() && !transfer.is_slow());
        transfer.request_yield();
        assert!(!transfer.can_yield() && transfer.is_slow());
        assert!(transfer.wait(std::future::pending::<()>()).await.is_none());
        transfer.start_measurement();
        assert!(transfer.is_slow() && !transfer.must_yield());
        receive(&transfer, 1024 * 1024, RATE_INTERVAL).await;
        assert!(!transfer.is_slow());
    }

    #[tokio::test(start_paused = true)]
    async fn yield_request_applies_to_one_connection_only() {
        let transfer = Transfer::default();
        transfer.start_measurement();
        transfer.request_yield();
        transfer.start_measurement();
        receive(&transfer, 1, SECOND).await;
    }
}

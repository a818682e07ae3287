//! Detects hosts that are down. Requests for readers then fail at once instead of at their
//! deadline.
//!
//! Every request reports its outcome. A host without a good reply for [`FAILING_TIMEOUT`] is down:
//! its breaker is open, and new reads fail at once. Every [`PROBE_INTERVAL`], one new read probes
//! the host (half-open). A good reply closes the breaker. Reads that started earlier continue until
//! their deadline, and listings continue to retry. Their outcomes count as well.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use reqwest::StatusCode;
use tokio::time::Instant;

/// How long a host must fail until it counts as down. A restart of a server or a change of network
/// takes a few seconds, and a read survives that. The value is two thirds of the default deadline
/// of a read: after that time, a new read would most likely reach its own deadline.
pub(super) const FAILING_TIMEOUT: Duration = Duration::from_secs(20);

/// Minimum number of failures until a host counts as down. A single failure can be caused by the
/// request.
const MIN_FAILURES: u32 = 2;

/// Minimum time between two probes of a host that is down.
pub(super) const PROBE_INTERVAL: Duration = Duration::from_secs(5);

/// A request that is canceled without a reply counts as failed if it has waited at least this long.
const NO_REPLY_TIMEOUT: Duration = Duration::from_secs(5);

/// The circuit breaker of one host.
#[derive(Debug, Default)]
pub(super) struct CircuitBreaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Start of the first failed request after the last good reply.
    failing_since: Option<Instant>,
    failures: u32,
    last_probe: Option<Instant>,
}

/// The state of a circuit breaker, which decides whether a request may be sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BreakerState {
    Closed,
    /// The host is down and a probe is due. The caller must send it.
    HalfOpen,
    /// The host has been down for this long, and the next probe is not due yet.
    Open(Duration),
}

impl State {
    /// Returns how long the host has been failing if it is down; `None` otherwise.
    fn down_for(&self, now: Instant) -> Option<Duration> {
        let failing = now.saturating_duration_since(self.failing_since?);
        (failing >= FAILING_TIMEOUT && self.failures >= MIN_FAILURES).then_some(failing)
    }
}

impl CircuitBreaker {
    /// Records that a reply without a server error arrived.
    pub(super) fn record_success(&self) {
        *self.0.lock() = State::default();
    }

    /// Records that the request that started at `start` failed: no connection, no reply, or 5xx.
    pub(super) fn record_failure(&self, start: Instant) {
        let mut state = self.0.lock();
        state.failing_since.get_or_insert(start);
        state.failures = state.failures.saturating_add(1);
    }

    pub(super) fn state(&self, now: Instant) -> BreakerState {
        let mut state = self.0.lock();
        let Some(failing) = state.down_for(now) else { return BreakerState::Closed };
        if state.last_probe.is_some_and(|at| now.saturating_duration_since(at) < PROBE_INTERVAL) {
            return BreakerState::Open(failing);
        }
        state.last_probe = Some(now);
        BreakerState::HalfOpen
    }

    /// If the host is down, returns how long it has been failing, and the time until the next probe
    /// is due.
    pub(super) fn outage(&self, now: Instant) -> Option<(Duration, Duration)> {
        let state = self.0.lock();
        let failing = state.down_for(now)?;
        let next_probe = state.last_probe.map(|at| at + PROBE_INTERVAL);
        Some((failing, next_probe.map_or(Duration::ZERO, |at| at.saturating_duration_since(now))))
    }
}

/// A request whose outcome has not been recorded yet.
///
/// If it is dropped without an outcome, it counts as failed if it has lasted at least
/// [`NO_REPLY_TIMEOUT`].
#[derive(Debug)]
pub(super) struct PendingRequest {
    breaker: Arc<CircuitBreaker>,
    start: Instant,
    is_recorded: bool,
}

impl PendingRequest {
    pub(super) fn start(breaker: Arc<CircuitBreaker>) -> Self {
        Self { breaker, start: Instant::now(), is_recorded: false }
    }

    /// Records the status of the reply.
    pub(super) fn record_reply(mut self, status: StatusCode) {
        self.is_recorded = true;
        if status.is_server_error() {
            self.breaker.record_failure(self.start)
        } else {
            self.breaker.record_success()
        }
    }

    /// Records that there was no connection or no reply in time.
    pub(super) fn record_failure(mut self) {
        self.is_recorded = true;
        self.breaker.record_failure(self.start);
    }
}

impl Drop for PendingRequest {
    fn drop(&mut self) {
        if !self.is_recorded && self.start.elapsed() >= NO_REPLY_TIMEOUT {
            self.breaker.record_failure(self.start);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn repeated_failures_over_time_open_the_breaker() {
        let (breaker, start) = (CircuitBreaker::default(), Instant::now());
        let at = |seconds: u32| breaker.state(start + SECOND * seconds);
        assert_eq!(at(100), BreakerState::Closed);
        breaker.record_failure(start);
        assert_eq!(at(100), BreakerState::Closed, "the request can be the cause of one failure");
        breaker.record_failure(start + SECOND * 10);
        assert_eq!(at(19), BreakerState::Closed);
        assert_eq!(at(20), BreakerState::HalfOpen);
        assert_eq!(at(21), BreakerState::Open(SECOND * 21));
        assert_eq!(breaker.outage(start + SECOND * 22), Some((SECOND * 22, SECOND * 3)));
        assert_eq!(at(26), BreakerState::HalfOpen);
    }

    #[test]
    fn one_good_reply_closes_the_breaker() {
        let (breaker, start) = (CircuitBreaker::default(), Instant::now());
        (0..5).for_each(|second| breaker.record_failure(start + SECOND * second));
        breaker.record_success();
        assert_eq!(breaker.state(start + SECOND * 60), BreakerState::Closed);
        breaker.record_failure(start + SECOND * 61);
        breaker.record_failure(start + SECOND * 62);
        assert_eq!(breaker.state(start + SECOND * 70), BreakerState::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn an_abandoned_request_fails_after_five_seconds() {
        for (wait, is_open) in [(4, false), (5, true)] {
            let breaker = Arc::new(CircuitBreaker::default());
            for _ in 0..MIN_FAILURES {
                let request = PendingRequest::start(breaker.clone());
                tokio::time::advance(SECOND * wait).await;
                drop(request);
            }
            tokio::time::advance(FAILING_TIMEOUT).await;
            assert_eq!(breaker.state(Instant::now()) != BreakerState::Closed, is_open, "{wait} s");
        }
    }
}

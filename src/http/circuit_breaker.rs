//! Detects hosts that are down, so requests for readers fail at once instead of at their deadline.
//!
//! Every request reports its outcome. A reply without a server error is a good reply. A host
//! without a good reply for [`MIN_OUTAGE`] is down: its breaker is open, and new reads fail at
//! once. Every [`PROBE_INTERVAL`], one new read probes the host (half-open), and the reads that
//! start in the meantime wait for the result: a host that has recovered must not fail any of them.
//! A good reply closes the breaker. Reads that started earlier continue until their deadline, and
//! listings continue to retry. The outcomes of these requests count as well.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use reqwest::StatusCode;
use tokio::time::Instant;

use crate::model::log_event;

/// Minimum duration of failures after which a host counts as down. A server restart or a change of
/// the network takes a few seconds, and a read survives that. The value is two thirds of the
/// default deadline of a read: after that time, a new read would most likely reach its own
/// deadline.
pub(super) const MIN_OUTAGE: Duration = Duration::from_secs(20);

/// Minimum number of failures after which a host counts as down. A single failure can be caused by
/// the request itself.
const MIN_FAILURES: u32 = 2;

/// Minimum time between two probes of a host that is down.
pub(super) const PROBE_INTERVAL: Duration = Duration::from_secs(5);

/// Minimum wait after which a request that is canceled without a reply counts as failed.
const NO_REPLY_TIMEOUT: Duration = Duration::from_secs(5);

/// The circuit breaker of one host.
#[derive(Debug)]
pub(super) struct CircuitBreaker {
    /// Origin of the host: scheme, host name and port.
    host: String,
    state: Mutex<State>,
    /// Locked during a probe. Other reads wait for the result of the probe.
    pub(super) probe_flight: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    /// The time at which the first failed request after the last good reply started.
    failing_since: Option<Instant>,
    failures: u32,
    last_probe: Option<Instant>,
    /// Whether the log states that the host is down.
    is_logged: bool,
}

/// The state of a circuit breaker, which decides whether a request may be sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BreakerState {
    Closed,
    /// The host is down and a probe is due. The caller must send it.
    HalfOpen,
    /// The host has been failing for this long, and no probe is due yet.
    Open(Duration),
}

impl State {
    /// Returns how long the host has been failing if it counts as down, and otherwise `None`.
    fn outage_duration(&self, now: Instant) -> Option<Duration> {
        let failing_for = now.saturating_duration_since(self.failing_since?);
        (failing_for >= MIN_OUTAGE && self.failures >= MIN_FAILURES).then_some(failing_for)
    }
}

impl CircuitBreaker {
    pub(super) fn new(host: String) -> Self {
        Self { host, state: Mutex::default(), probe_flight: tokio::sync::Mutex::default() }
    }

    /// Records that a reply without a server error arrived.
    pub(super) fn record_success(&self) {
        let former_state = std::mem::take(&mut *self.state.lock());
        if former_state.is_logged {
            tracing::info!(name: log_event::HOST_UP, host = %self.host, "the host answers again");
        }
    }

    /// Records that a request that started at `start` failed: no connection, no reply, or status
    /// 5xx.
    pub(super) fn record_failure(&self, start: Instant) {
        let mut state = self.state.lock();
        state.failing_since.get_or_insert(start);
        state.failures = state.failures.saturating_add(1);
        let failing_for = state.outage_duration(Instant::now());
        self.log_outage(&mut state, failing_for);
    }

    /// Logs once that the host is down, if it is. The reads that fail for this reason are not
    /// logged.
    fn log_outage(&self, state: &mut State, failing_for: Option<Duration>) {
        let Some(failing_for) = failing_for.filter(|_| !state.is_logged) else { return };
        state.is_logged = true;
        tracing::warn!(
            name: log_event::HOST_DOWN,
            host = %self.host,
            "the host has been failing for more than {} s; reads that need it fail at once",
            failing_for.as_secs()
        );
    }

    pub(super) fn state(&self, now: Instant) -> BreakerState {
        let mut state = self.state.lock();
        let Some(failing_for) = state.outage_duration(now) else { return BreakerState::Closed };
        self.log_outage(&mut state, Some(failing_for));
        if state
            .last_probe
            .is_some_and(|probe| now.saturating_duration_since(probe) < PROBE_INTERVAL)
        {
            return BreakerState::Open(failing_for);
        }
        state.last_probe = Some(now);
        BreakerState::HalfOpen
    }

    /// Returns how long the host has been failing and the time until the next probe, or `None` if
    /// the host is not down.
    pub(super) fn outage(&self, now: Instant) -> Option<(Duration, Duration)> {
        let state = self.state.lock();
        let failing_for = state.outage_duration(now)?;
        let next_probe = state.last_probe.map(|last_probe| last_probe + PROBE_INTERVAL);
        Some((
            failing_for,
            next_probe
                .map_or(Duration::ZERO, |next_probe| next_probe.saturating_duration_since(now)),
        ))
    }
}

/// A request whose outcome has not been recorded yet.
///
/// A request that is dropped without an outcome counts as failed if it has lasted at least
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

    /// Records the outcome of a request that got a reply with this status.
    pub(super) fn record_reply(mut self, status: StatusCode) {
        self.is_recorded = true;
        if status.is_server_error() {
            self.breaker.record_failure(self.start)
        } else {
            self.breaker.record_success()
        }
    }

    /// Records that no connection was opened or no reply arrived in time.
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

    fn new_breaker() -> CircuitBreaker {
        CircuitBreaker::new("https://example.org".to_owned())
    }

    #[test]
    fn repeated_failures_over_time_open_the_breaker() {
        let (breaker, start) = (new_breaker(), Instant::now());
        let state_after = |seconds: u32| breaker.state(start + SECOND * seconds);
        assert_eq!(state_after(100), BreakerState::Closed);
        breaker.record_failure(start);
        assert_eq!(
            state_after(100),
            BreakerState::Closed,
            "the request can be the cause of one failure"
        );
        breaker.record_failure(start + SECOND * 10);
        assert_eq!(state_after(19), BreakerState::Closed);
        assert_eq!(state_after(20), BreakerState::HalfOpen);
        assert_eq!(state_after(21), BreakerState::Open(SECOND * 21));
        assert_eq!(breaker.outage(start + SECOND * 22), Some((SECOND * 22, SECOND * 3)));
        assert_eq!(state_after(26), BreakerState::HalfOpen);
    }

    #[test]
    fn one_good_reply_closes_the_breaker() {
        let (breaker, start) = (new_breaker(), Instant::now());
        (0..5).for_each(|second| breaker.record_failure(start + SECOND * second));
        breaker.record_success();
        assert_eq!(breaker.state(start + SECOND * 60), BreakerState::Closed);
        breaker.record_failure(start + SECOND * 61);
        breaker.record_failure(start + SECOND * 62);
        assert_eq!(breaker.state(start + SECOND * 70), BreakerState::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn request_canceled_after_five_seconds_counts_as_failed() {
        for (wait, is_open) in [(4, false), (5, true)] {
            let breaker = Arc::new(new_breaker());
            for _ in 0..MIN_FAILURES {
                let request = PendingRequest::start(breaker.clone());
                tokio::time::advance(SECOND * wait).await;
                drop(request);
            }
            tokio::time::advance(MIN_OUTAGE).await;
            assert_eq!(breaker.state(Instant::now()) != BreakerState::Closed, is_open, "{wait} s");
        }
    }
}

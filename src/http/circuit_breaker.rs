//! Hosts that keep failing: whoever would wait for one in vain is told at once.
//!
//! Every request tells what came of it. A host of which nothing good has been heard for [`FAILING_FOR`] is down: reads
//! that begin now fail at once, and one of them in [`PROBE_INTERVAL`] tries whether it answers again. Reads that are under
//! way go on until their deadline; what they hear counts as well, and so does what listings hear, which go on asking at
//! their own pace.
//!
//! A call says by its [`Priority`](super::Priority) whether a reader waits for it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use reqwest::StatusCode;
use tokio::time::Instant;

use super::client::Client;
use super::error::{HttpError, origin};
use crate::model::SecretUrl;

/// How long a host fails without a good answer until it is down. A restart or a change of network takes a few seconds,
/// and a read survives it; after two thirds of the usual deadline the next one would most likely wait in vain.
const FAILING_FOR: Duration = Duration::from_secs(20);

/// Failures that make a host one that is down: one that stood alone may have been the request's own.
const FAILURES: u32 = 2;

/// How often a host that is down is tried.
const PROBE_INTERVAL: Duration = Duration::from_secs(5);

/// How long a try may take: what has not answered by then would not start a film either.
const PROBED_TIMEOUT: Duration = Duration::from_secs(2);

/// A host that is down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DownHost {
    /// Scheme and host.
    pub host: String,
    /// Since when nothing good was heard of it.
    pub since: Timestamp,
    /// From when on the next read tries it.
    pub next: Timestamp,
}

/// What was heard of one host.
#[derive(Debug, Default)]
pub(super) struct CircuitBreaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Since when there was nothing good.
    failing_since: Option<Instant>,
    failures: u32,
    probed: Option<Instant>,
}

/// A request under way, of which it is to be told what came of it. One that was given up without an answer counts as
/// failed if it had waited for [`NO_ANSWER`].
#[derive(Debug)]
pub(super) struct Asked {
    breaker: Arc<CircuitBreaker>,
    began: Instant,
    told: bool,
}

/// Without an answer for so long, a request has failed even if its caller did not wait for the end.
const NO_ANSWER: Duration = Duration::from_secs(5);

impl Asked {
    /// The head of an answer has come.
    pub(super) fn answered_with(mut self, status: StatusCode) {
        self.told = true;
        if status.is_server_error() {
            self.breaker.failed(self.began)
        } else {
            self.breaker.answered()
        }
    }

    /// There was no connection, or no answer within its bound.
    pub(super) fn failed(mut self) {
        self.told = true;
        self.breaker.failed(self.began);
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if !self.told && self.began.elapsed() >= NO_ANSWER {
            self.breaker.failed(self.began);
        }
    }
}

impl State {
    /// For how long nothing good was heard, if that is long enough.
    fn down_for(&self, now: Instant) -> Option<Duration> {
        let failing = now.saturating_duration_since(self.failing_since?);
        (failing >= FAILING_FOR && self.failures >= FAILURES).then_some(failing)
    }
}

/// Whether a host may be asked.
#[derive(Debug, PartialEq, Eq)]
enum Standing {
    Fine,
    /// Down, and it is time to try it.
    Probe,
    /// Down for so long, and tried a moment ago.
    Down(Duration),
}

impl CircuitBreaker {
    /// The host has answered, whatever it said.
    fn answered(&self) {
        *self.0.lock() = State::default();
    }

    /// The host failed a request that was begun then: no connection, no answer, or 5xx.
    fn failed(&self, began: Instant) {
        let mut state = self.0.lock();
        state.failing_since.get_or_insert(began);
        state.failures = state.failures.saturating_add(1);
    }

    fn standing(&self, now: Instant) -> Standing {
        let mut state = self.0.lock();
        let Some(failing) = state.down_for(now) else { return Standing::Fine };
        if state.probed.is_some_and(|at| now.saturating_duration_since(at) < PROBE_INTERVAL) {
            return Standing::Down(failing);
        }
        state.probed = Some(now);
        Standing::Probe
    }
}

impl Client {
    /// The hosts that are down, by name.
    pub fn hosts_down(&self) -> Vec<DownHost> {
        let (now, clock) = (Instant::now(), Timestamp::now());
        let breakers = self.breakers();
        let mut down: Vec<_> = breakers
            .into_iter()
            .filter_map(|(host, breaker)| {
                let state = breaker.0.lock();
                let since = clock.checked_sub(state.down_for(now)?).ok()?;
                let wait =
                    state.probed.map(|at| (at + PROBE_INTERVAL).saturating_duration_since(now));
                let next = clock.checked_add(wait.unwrap_or_default()).ok()?;
                Some(DownHost { host, since, next })
            })
            .collect();
        down.sort_by(|one, other| one.host.cmp(&other.host));
        down
    }

    /// Notes that the host of `address` is being asked.
    pub(super) fn asked(&self, address: &SecretUrl) -> Asked {
        Asked { breaker: self.breaker(address), began: Instant::now(), told: false }
    }

    /// Says whether a read may begin that needs the host of `address`; tries the host if it is down and nobody has in
    /// the last seconds.
    ///
    /// # Errors
    /// [`HttpError::Down`].
    pub async fn admit(&self, address: &SecretUrl) -> Result<(), HttpError> {
        let breaker = self.breaker(address);
        let began = Instant::now();
        let failing = match breaker.standing(began) {
            Standing::Fine => return Ok(()),
            Standing::Down(failing) => failing,
            Standing::Probe => {
                let mut root = address.expose().clone();
                root.set_path("/");
                root.set_query(None);
                let probe = self.get(&SecretUrl::new(root)).send();
                match tokio::time::timeout(PROBED_TIMEOUT, probe).await {
                    Ok(Ok(reply)) if !reply.status().is_server_error() => {
                        breaker.answered();
                        return Ok(());
                    }
                    _ => breaker.failed(began),
                }
                FAILING_FOR
            }
        };
        Err(HttpError::Down { host: origin(address), failing, next: PROBE_INTERVAL })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_host_is_down_after_failures_only_and_over_time() {
        let (breaker, start) = (CircuitBreaker::default(), Instant::now());
        let at = |seconds: u32| breaker.standing(start + SECOND * seconds);
        assert_eq!(at(100), Standing::Fine);
        breaker.failed(start);
        assert_eq!(at(100), Standing::Fine, "one failure may be the request's own");
        breaker.failed(start + SECOND * 10);
        assert_eq!(at(19), Standing::Fine);
        assert_eq!(at(20), Standing::Probe);
        assert_eq!(at(21), Standing::Down(SECOND * 21));
        assert_eq!(at(26), Standing::Probe);
    }

    #[test]
    fn one_answer_makes_it_fine_again() {
        let (breaker, start) = (CircuitBreaker::default(), Instant::now());
        (0..5).for_each(|second| breaker.failed(start + SECOND * second));
        breaker.answered();
        assert_eq!(breaker.standing(start + SECOND * 60), Standing::Fine);
        breaker.failed(start + SECOND * 61);
        breaker.failed(start + SECOND * 62);
        assert_eq!(breaker.standing(start + SECOND * 70), Standing::Fine);
    }
}

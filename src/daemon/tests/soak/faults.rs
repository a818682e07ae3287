//! When the servers of the simulated provider fail.

use std::time::Duration;

use tokio::time::Instant;

/// What is wrong with the servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Some requests get status 429 or 5xx, no reply, or a body that ends early.
    RandomFailures,
    /// The host that serves the files is down.
    MediaOutage,
    /// The API, the token service and the host of the download URLs are down.
    ApiOutage,
    /// The token service refuses the credentials, and no token is valid.
    TokenRefusal,
}

/// The faults over time. A cycle begins with random failures and then has none. Two of six cycles
/// are outages.
#[derive(Clone, Copy, Debug)]
pub(super) struct FaultSchedule {
    start: Instant,
    cycle: Duration,
    /// The time from which the servers have no faults.
    end: Option<Instant>,
}

/// Parts of a cycle, which has 60.
const RANDOM_FAILURES_END: u128 = 12;
const REVOCATION: u128 = 30;
const TOKEN_REFUSAL_START: u128 = 40;
const TOKEN_REFUSAL_END: u128 = 42;

impl FaultSchedule {
    pub(super) fn new(cycle: Duration) -> Self {
        Self { start: Instant::now(), cycle, end: None }
    }

    /// Begins the first cycle.
    pub(super) fn restart(&mut self) {
        *self = Self::new(self.cycle);
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Ends all faults.
    pub(super) fn end(&mut self) {
        self.end = Some(Instant::now());
    }

    /// Returns the number of the cycle and the part of the cycle.
    fn position(&self, at: Instant) -> (u128, u128) {
        let elapsed = (at - self.start).as_millis();
        let cycle = self.cycle.as_millis();
        (elapsed / cycle, elapsed % cycle * 60 / cycle)
    }

    pub(super) fn fault_at(&self, at: Instant) -> Option<Fault> {
        if self.end.is_some_and(|end| at >= end) {
            return None;
        }
        match self.position(at) {
            (cycle, _) if cycle % 6 == 1 => Some(Fault::MediaOutage),
            (cycle, _) if cycle % 6 == 4 => Some(Fault::ApiOutage),
            (_, part) if part < RANDOM_FAILURES_END => Some(Fault::RandomFailures),
            (cycle, TOKEN_REFUSAL_START..TOKEN_REFUSAL_END) if cycle % 2 == 1 => {
                Some(Fault::TokenRefusal)
            }
            _ => None,
        }
    }

    /// Returns the number of times that the provider has revoked all tokens. Unlike a refusal, a
    /// program must not notice a revocation.
    pub(super) fn revocations(&self, at: Instant) -> u128 {
        let (cycle, part) = self.position(at);
        cycle + u128::from(part >= REVOCATION)
    }

    /// Whether there was a fault between two times.
    pub(super) fn has_fault_between(&self, from: Instant, to: Instant) -> bool {
        let step = self.cycle / 60;
        let mut at = from.max(self.start);
        while at < to {
            if self.fault_at(at).is_some() {
                return true;
            }
            at += step;
        }
        self.fault_at(to).is_some()
    }

    /// Returns when the API outage began that ended at most `time` before `at`.
    pub(super) fn recent_api_outage(&self, at: Instant, time: Duration) -> Option<Instant> {
        let (cycle, _) = self.position(at);
        let starts = [cycle, cycle.saturating_sub(1)].into_iter().filter(|cycle| cycle % 6 == 4);
        let starts = starts.map(|cycle| self.start + self.cycle * cycle as u32);
        starts.filter(|start| *start + self.cycle + time > at).min()
    }
}

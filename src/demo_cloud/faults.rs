//! Scripted faults: which requests they hit, and with what effect.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::body::Bandwidth;
use super::request_log::Server;

/// A fault and the requests that it hits.
#[derive(Clone, Debug)]
pub struct Fault {
    pub when: Trigger,
    pub what: Effect,
}

/// Selects requests. Of those that match, the first `skip` pass and the next `count` are hit.
#[derive(Clone, Debug)]
pub struct Trigger {
    pub server: Server,
    /// A part of the path in the request line; empty matches every path.
    pub path_contains: String,
    pub skip: u32,
    /// `u32::MAX` hits all further requests.
    pub count: u32,
    /// Matches only ranges that begin at this byte or later.
    pub min_offset: Option<u64>,
}

impl Trigger {
    /// Matches the next `count` requests to a server.
    pub fn next(server: Server, count: u32) -> Self {
        Self { server, path_contains: String::new(), skip: 0, count, min_offset: None }
    }

    /// Matches every request to a server.
    pub fn always(server: Server) -> Self {
        Self::next(server, u32::MAX)
    }

    /// Restricts the trigger to paths that contain `part`.
    pub fn on(mut self, part: &str) -> Self {
        self.path_contains = part.into();
        self
    }

    /// Lets `skip` matching requests pass first.
    pub fn after(mut self, skip: u32) -> Self {
        self.skip = skip;
        self
    }

    /// Restricts the trigger to ranges from `offset` on.
    pub fn from_offset(mut self, offset: u64) -> Self {
        self.min_offset = Some(offset);
        self
    }

    pub fn with_effect(self, what: Effect) -> Fault {
        Fault { when: self, what }
    }

    fn matches(&self, server: Server, path: &str, offset: Option<u64>) -> bool {
        self.server == server
            && path.contains(&self.path_contains)
            && self.min_offset.is_none_or(|least| offset.is_some_and(|offset| offset >= least))
    }
}

#[derive(Clone, Debug)]
pub enum Effect {
    /// Replaces the response.
    Status {
        status: u16,
        body: String,
        content_type: String,
        headers: Vec<(String, String)>,
    },
    /// Declares the full length and closes the connection, cleanly, this many bytes before the end.
    ShortBody {
        missing: u64,
    },
    /// Sends part of the body, then nothing until the client closes or the faults are cleared; then
    /// sends the rest.
    Stall {
        after: u64,
    },
    /// Sends part of the body and resets the connection.
    Reset {
        after: u64,
    },
    /// Answers a range request with 200 and the whole file.
    WholeFile,
    /// Answers with another range than the requested one, and declares it.
    WrongRange {
        /// Bytes by which the range is moved, within the file.
        shift: i64,
    },
    /// Declares a wrong total length in `Content-Range`.
    WrongTotal {
        delta: i64,
    },
    /// Answers a range request with its first bytes only, and declares them.
    ShortRange {
        length: u64,
    },
    /// States `*` as the total length in `Content-Range`.
    UnknownTotal,
    /// 200 and a web page.
    Html200,
    /// 200 and the 59 bytes of JSON that Zoom sends instead of a recording for an invalid token.
    Json59,
    /// The response to an expired token. The token stays valid.
    ExpiredToken,
    /// The response to an expired signed URL. The URL stays valid.
    ExpiredLink,
    /// The response to an unknown `next_page_token`.
    DeadPageToken,
    TooManyRequests(RetryAfter),
    /// Accepts the request and never answers. Clearing the faults closes the connection.
    BlackHole,
    /// Delays the response. Combines with a later fault in the list.
    Latency(Duration),
    /// Changes the headers of the response. Combines with a later fault in the list.
    Headers(Vec<HeaderChange>),
    /// Limits the body to this many bytes per second. Combines with a later fault in the list.
    Bandwidth(u64),
    /// Sends the body in pieces of so many bytes, with a pause before each. Combines with a later
    /// fault in the list.
    Drip {
        bytes: u64,
        every: Duration,
    },
}

impl Effect {
    /// A status with a short text.
    pub fn status(status: u16) -> Self {
        Self::Status {
            status,
            body: format!("status {status}\n"),
            content_type: "text/plain".into(),
            headers: Vec::new(),
        }
    }
}

/// A change of one response header.
#[derive(Clone, Debug)]
pub enum HeaderChange {
    Add(&'static str, String),
    Remove(&'static str),
    /// Replaces all values.
    Set(&'static str, String),
}

/// How a 429 states the retry delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAfter {
    /// Not at all: the per-second limit.
    None,
    Seconds(u64),
    /// An HTTP date this many seconds ahead.
    HttpDate(u64),
    /// An ISO 8601 time this many seconds ahead: the daily limit.
    IsoDate(u64),
}

/// The combined effect of the faults on one request.
#[derive(Debug, Default)]
pub(super) struct FaultOutcome {
    pub(super) latency: Duration,
    pub(super) bandwidth: Option<Bandwidth>,
    pub(super) header_changes: Vec<HeaderChange>,
    pub(super) effect: Option<Effect>,
}

/// The pending faults.
#[derive(Debug)]
pub(super) struct Faults {
    waiting: Mutex<Vec<PendingFault>>,
    cleared: watch::Sender<u64>,
}

#[derive(Debug)]
struct PendingFault {
    fault: Fault,
    seen: u32,
}

impl Faults {
    pub(super) fn new(faults: Vec<Fault>) -> Self {
        let waiting = faults.into_iter().map(|fault| PendingFault { fault, seen: 0 }).collect();
        Self { waiting: Mutex::new(waiting), cleared: watch::Sender::new(0) }
    }

    pub(super) fn inject(&self, fault: Fault) {
        self.waiting.lock().push(PendingFault { fault, seen: 0 });
    }

    /// Removes all faults and ends their stalls.
    pub(super) fn clear_faults(&self) {
        self.waiting.lock().clear();
        self.cleared.send_modify(|times| *times += 1);
    }

    /// Returns a receiver that changes when the faults are cleared.
    pub(super) fn subscribe_cleared(&self) -> watch::Receiver<u64> {
        self.cleared.subscribe()
    }

    /// Returns the effect on a request. The first fault that is due decides; faults after it do not
    /// count the request.
    pub(super) fn outcome_for(
        &self,
        server: Server,
        path: &str,
        offset: Option<u64>,
    ) -> FaultOutcome {
        let mut outcome = FaultOutcome::default();
        for waiting in self.waiting.lock().iter_mut() {
            let when = &waiting.fault.when;
            if !when.matches(server, path, offset) {
                continue;
            }
            let turn = waiting.seen;
            waiting.seen = turn.saturating_add(1);
            let due =
                turn >= when.skip && (when.count == u32::MAX || turn - when.skip < when.count);
            if !due {
                continue;
            }
            match &waiting.fault.what {
                Effect::Latency(latency) => outcome.latency += *latency,
                Effect::Bandwidth(rate) => outcome.bandwidth = Some(Bandwidth::smooth(*rate)),
                Effect::Drip { bytes, every } => {
                    outcome.bandwidth = Some(Bandwidth { slice: *bytes, interval: *every });
                }
                Effect::Headers(changes) => outcome.header_changes.extend(changes.iter().cloned()),
                effect => {
                    outcome.effect = Some(effect.clone());
                    break;
                }
            }
        }
        outcome
    }
}

/// Reproducible mixtures of faults for stress tests.
#[derive(Debug)]
pub struct FaultPlan;

impl FaultPlan {
    /// Returns `faults` faults on the web and media hosts, each due once among the first `span`
    /// requests to its host.
    ///
    /// All are transient: a reader that retries gets every byte. None hangs; see
    /// [`FaultPlan::seeded_with_hangs`].
    pub fn seeded(seed: u64, faults: u32, span: u32) -> Vec<Fault> {
        let mut random = fastrand::Rng::with_seed(seed);
        (0..faults).map(|_| Self::transient(&mut random, span)).collect()
    }

    /// The same mixture with `hangs` stalls and unanswered requests. Each costs a reader its idle
    /// timeout.
    pub fn seeded_with_hangs(seed: u64, faults: u32, hangs: u32, span: u32) -> Vec<Fault> {
        let mut random = fastrand::Rng::with_seed(seed ^ 0x5a5a_5a5a);
        let mut plan = Self::seeded(seed, faults, span);
        plan.extend((0..hangs).map(|_| {
            let what = if random.bool() {
                Effect::Stall { after: random.u64(0..200_000) }
            } else {
                Effect::BlackHole
            };
            Trigger::next(Server::Media, 1).after(random.u32(0..span.max(1))).with_effect(what)
        }));
        plan
    }

    fn transient(random: &mut fastrand::Rng, span: u32) -> Fault {
        let (server, what) = match random.u32(0..16) {
            0 => (Server::Media, Effect::status(500)),
            1 => (Server::Media, Effect::status(502)),
            2 | 3 => (Server::Media, Effect::status(503)),
            4 => (Server::Media, Effect::ShortBody { missing: random.u64(1..60_000) }),
            5 => (Server::Media, Effect::ShortBody { missing: 50 * 1024 }),
            6 | 7 => (Server::Media, Effect::Reset { after: random.u64(0..300_000) }),
            8 => (Server::Media, Effect::WholeFile),
            9 => (Server::Media, Effect::WrongRange { shift: random.i64(1..5_000) }),
            10 => (Server::Media, Effect::Html200),
            11 => (Server::Media, Effect::ExpiredLink),
            12 => (Server::Media, Effect::Latency(Duration::from_millis(random.u64(1..150)))),
            13 => (Server::Web, Effect::ExpiredToken),
            14 => (Server::Web, Effect::status(503)),
            _ => (Server::Web, Effect::TooManyRequests(RetryAfter::Seconds(1))),
        };
        Trigger::next(server, 1).after(random.u32(0..span.max(1))).with_effect(what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plan_is_reproducible_from_its_seed() {
        let plan = |seed| format!("{:?}", FaultPlan::seeded_with_hangs(seed, 40, 4, 100));
        assert_eq!(plan(1), plan(1));
        assert_ne!(plan(1), plan(2));
        assert_eq!(FaultPlan::seeded(1, 40, 100).len(), 40);
    }

    #[test]
    fn fault_skips_then_hits_then_ends() {
        let faults = Faults::new(vec![
            Trigger::next(Server::Media, 2).after(1).with_effect(Effect::Html200),
        ]);
        let hits: Vec<bool> = (0..5)
            .map(|_| faults.outcome_for(Server::Media, "/a", None).effect.is_some())
            .collect();
        assert_eq!(hits, [false, true, true, false, false]);
    }

    #[test]
    fn fault_matches_server_path_and_offset() {
        let trigger = Trigger::next(Server::Media, 1).on("b.mp4").from_offset(100);
        let faults = Faults::new(vec![trigger.with_effect(Effect::Html200)]);
        assert!(faults.outcome_for(Server::Web, "/b.mp4", Some(100)).effect.is_none());
        assert!(faults.outcome_for(Server::Media, "/a.mp4", Some(100)).effect.is_none());
        assert!(faults.outcome_for(Server::Media, "/b.mp4", Some(99)).effect.is_none());
        assert!(faults.outcome_for(Server::Media, "/b.mp4", None).effect.is_none());
        assert!(faults.outcome_for(Server::Media, "/b.mp4", Some(100)).effect.is_some());
    }

    #[test]
    fn latency_combines_with_a_later_fault() {
        let always = || Trigger::always(Server::Api);
        let faults = Faults::new(vec![
            always().with_effect(Effect::Latency(Duration::from_millis(5))),
            always().with_effect(Effect::Html200),
        ]);
        let outcome = faults.outcome_for(Server::Api, "/", None);
        assert_eq!(outcome.latency, Duration::from_millis(5));
        assert!(matches!(outcome.effect, Some(Effect::Html200)));
    }
}

//! Scripted faults: the requests that they affect, and their effects.

use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::body::Bandwidth;
use super::request_log::Server;

/// An effect and the requests that it affects.
#[derive(Clone, Debug)]
pub struct Fault {
    pub trigger: Trigger,
    pub effect: Effect,
}

/// Selects the requests that a fault affects. Of the matching requests, the first `skip` are not
/// affected and the next `count` are.
#[derive(Clone, Debug)]
pub struct Trigger {
    pub server: Server,
    /// Part of the path in the request line. An empty string matches every path.
    pub path_contains: String,
    /// Part of the query, as it is encoded. An empty string matches every query.
    pub query_contains: String,
    pub skip: u32,
    /// Number of affected requests; `u32::MAX` for all further requests.
    pub count: u32,
    /// Minimum start of the requested range in bytes. Requests without a range do not match.
    pub min_offset: Option<u64>,
}

impl Trigger {
    /// Creates a trigger that matches the next `count` requests to a server.
    pub fn next(server: Server, count: u32) -> Self {
        let (path_contains, query_contains) = (String::new(), String::new());
        Self { server, path_contains, query_contains, skip: 0, count, min_offset: None }
    }

    /// Creates a trigger that matches every request to a server.
    pub fn always(server: Server) -> Self {
        Self::next(server, u32::MAX)
    }

    /// Restricts the trigger to paths that contain `part`.
    pub fn with_path(mut self, part: &str) -> Self {
        self.path_contains = part.into();
        self
    }

    /// Restricts the trigger to requests whose query contains `part`.
    pub fn with_query(mut self, part: &str) -> Self {
        self.query_contains = part.into();
        self
    }

    /// Excludes the first `skip` matching requests.
    pub fn after_requests(mut self, skip: u32) -> Self {
        self.skip = skip;
        self
    }

    /// Restricts the trigger to ranges that start at `offset` or later.
    pub fn from_offset(mut self, offset: u64) -> Self {
        self.min_offset = Some(offset);
        self
    }

    pub fn with_effect(self, effect: Effect) -> Fault {
        Fault { trigger: self, effect }
    }

    fn matches(&self, server: Server, path: &str, query: &str, offset: Option<u64>) -> bool {
        self.server == server
            && path.contains(&self.path_contains)
            && query.contains(&self.query_contains)
            && self.min_offset.is_none_or(|minimum| offset.is_some_and(|offset| offset >= minimum))
    }
}

#[derive(Clone, Debug)]
pub enum Effect {
    /// Sends this response in place of the real one.
    Status {
        status: u16,
        body: String,
        content_type: String,
        headers: Vec<(String, String)>,
    },
    /// Declares the full length, but closes the connection cleanly this many bytes before the end.
    ShortBody {
        missing_bytes: u64,
    },
    /// Sends this many bytes of the body, and the remaining bytes only after the faults are
    /// cleared.
    Stall {
        after_bytes: u64,
    },
    /// Sends this many bytes of the body and resets the connection.
    Reset {
        after_bytes: u64,
    },
    /// Answers a range request with 200 and the whole file. A later fault can apply to the same
    /// request, for example to interrupt the body.
    WholeFile,
    /// Sends the body without stating its length. A later fault can apply to the same request.
    UnknownLength,
    /// Returns a range other than the requested one. `Content-Range` states the returned range.
    WrongRange {
        /// Number of bytes by which the range is moved. The range stays within the file.
        shift: i64,
    },
    /// Declares a total length in `Content-Range` that differs from the true length by `delta`.
    WrongTotal {
        delta: i64,
    },
    /// Returns only the first bytes of the requested range. `Content-Range` states the returned
    /// range.
    ShortRange {
        length: u64,
    },
    /// States `*` as the total length in `Content-Range`.
    UnknownTotal,
    /// Returns 200 and a web page.
    Html200,
    /// Returns 200 and the 59 bytes of JSON that Zoom sends instead of a recording for an invalid
    /// token.
    Json59,
    /// Returns 200 and these bytes as JSON. The bytes need not be valid JSON.
    Json(Bytes),
    /// Returns the response to an expired token. The token stays valid.
    ExpiredToken,
    /// Returns the response to an expired signed URL. The URL stays valid.
    ExpiredUrl,
    /// Returns the response to an invalid `next_page_token`, if the request has one.
    InvalidPageToken,
    TooManyRequests(RetryAfter),
    /// Accepts the request and never answers. Clearing the faults closes the connection.
    BlackHole,
    /// Delays the response. Can be combined with other faults on the same request.
    Latency(Duration),
    /// Changes the headers of the response. Can be combined with other faults on the same request.
    Headers(Vec<HeaderChange>),
    /// Limits the body to this many bytes per second. Can be combined with other faults on the same
    /// request.
    Bandwidth(u64),
    /// Sends the body in slices of this many bytes, with a pause before each slice. Can be combined
    /// with other faults on the same request.
    Drip {
        slice_bytes: u64,
        interval: Duration,
    },
}

impl Effect {
    /// Creates an effect that returns this status and a short text.
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
    /// Replaces all values of the header.
    Set(&'static str, String),
}

/// How a response with status 429 states the retry delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryAfter {
    /// The response has no `Retry-After` header, as with Zoom's limit per second.
    None,
    Seconds(u64),
    /// An HTTP date that is this many seconds in the future.
    HttpDate(u64),
    /// An ISO 8601 time that is this many seconds in the future, as with Zoom's daily limit.
    IsoDate(u64),
}

/// The combined effect of the faults on one request.
#[derive(Debug, Default)]
pub(super) struct FaultOutcome {
    pub(super) latency: Duration,
    pub(super) bandwidth: Option<Bandwidth>,
    pub(super) header_changes: Vec<HeaderChange>,
    pub(super) hides_length: bool,
    pub(super) ignores_range: bool,
    pub(super) effect: Option<Effect>,
}

/// The faults that can still affect a request.
#[derive(Debug)]
pub(super) struct Faults {
    pending_faults: Mutex<Vec<PendingFault>>,
    clear_count: watch::Sender<u64>,
}

#[derive(Debug)]
struct PendingFault {
    fault: Fault,
    match_count: u32,
}

impl Faults {
    pub(super) fn new(faults: Vec<Fault>) -> Self {
        let pending_faults =
            faults.into_iter().map(|fault| PendingFault { fault, match_count: 0 }).collect();
        Self { pending_faults: Mutex::new(pending_faults), clear_count: watch::Sender::new(0) }
    }

    pub(super) fn inject(&self, fault: Fault) {
        self.pending_faults.lock().push(PendingFault { fault, match_count: 0 });
    }

    /// Removes all faults and resumes stalled bodies.
    pub(super) fn clear_faults(&self) {
        self.pending_faults.lock().clear();
        self.clear_count.send_modify(|count| *count += 1);
    }

    /// Returns a receiver that is notified when the faults are cleared.
    pub(super) fn subscribe_to_clearing(&self) -> watch::Receiver<u64> {
        self.clear_count.subscribe()
    }

    /// Returns the combined effect of the faults on a request. The first fault that replaces or
    /// damages the response ends the search, so the faults after it do not count the request.
    pub(super) fn outcome_for(
        &self,
        server: Server,
        path: &str,
        query: &str,
        offset: Option<u64>,
    ) -> FaultOutcome {
        let mut outcome = FaultOutcome::default();
        for pending_fault in self.pending_faults.lock().iter_mut() {
            let trigger = &pending_fault.fault.trigger;
            if !trigger.matches(server, path, query, offset) {
                continue;
            }
            let index = pending_fault.match_count;
            pending_fault.match_count = index.saturating_add(1);
            let is_affected = index >= trigger.skip
                && (trigger.count == u32::MAX || index - trigger.skip < trigger.count);
            if !is_affected {
                continue;
            }
            match &pending_fault.fault.effect {
                Effect::Latency(latency) => outcome.latency += *latency,
                Effect::Bandwidth(rate) => outcome.bandwidth = Some(Bandwidth::from_rate(*rate)),
                Effect::Drip { slice_bytes, interval } => {
                    outcome.bandwidth =
                        Some(Bandwidth { slice_bytes: *slice_bytes, interval: *interval });
                }
                Effect::WholeFile => outcome.ignores_range = true,
                Effect::UnknownLength => outcome.hides_length = true,
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

/// Generates reproducible mixtures of faults for stress tests.
#[derive(Debug)]
pub struct FaultPlan;

impl FaultPlan {
    /// Returns `faults` faults of the web host and the media host. Each occurs once, among the
    /// first `span` requests to its host.
    ///
    /// All faults are transient: a reader that retries gets every byte. No fault makes a request
    /// hang; see [`FaultPlan::from_seed_with_hangs`].
    pub fn from_seed(seed: u64, faults: u32, span: u32) -> Vec<Fault> {
        let mut rng = fastrand::Rng::with_seed(seed);
        (0..faults).map(|_| Self::transient_fault(&mut rng, span)).collect()
    }

    /// Returns the faults of [`FaultPlan::from_seed`] and `hangs` additional faults that stall a
    /// body or leave a request unanswered. Each of these makes a reader wait for its idle timeout.
    pub fn from_seed_with_hangs(seed: u64, faults: u32, hangs: u32, span: u32) -> Vec<Fault> {
        let mut rng = fastrand::Rng::with_seed(seed ^ 0x5a5a_5a5a);
        let mut plan = Self::from_seed(seed, faults, span);
        plan.extend((0..hangs).map(|_| {
            let effect = if rng.bool() {
                Effect::Stall { after_bytes: rng.u64(0..200_000) }
            } else {
                Effect::BlackHole
            };
            Trigger::next(Server::Media, 1)
                .after_requests(rng.u32(0..span.max(1)))
                .with_effect(effect)
        }));
        plan
    }

    fn transient_fault(rng: &mut fastrand::Rng, span: u32) -> Fault {
        let (server, effect) = match rng.u32(0..16) {
            0 => (Server::Media, Effect::status(500)),
            1 => (Server::Media, Effect::status(502)),
            2 | 3 => (Server::Media, Effect::status(503)),
            4 => (Server::Media, Effect::ShortBody { missing_bytes: rng.u64(1..60_000) }),
            5 => (Server::Media, Effect::ShortBody { missing_bytes: 50 * 1024 }),
            6 | 7 => (Server::Media, Effect::Reset { after_bytes: rng.u64(0..300_000) }),
            8 => (Server::Media, Effect::WholeFile),
            9 => (Server::Media, Effect::WrongRange { shift: rng.i64(1..5_000) }),
            10 => (Server::Media, Effect::Html200),
            11 => (Server::Media, Effect::ExpiredUrl),
            12 => (Server::Media, Effect::Latency(Duration::from_millis(rng.u64(1..150)))),
            13 => (Server::Web, Effect::ExpiredToken),
            14 => (Server::Web, Effect::status(503)),
            _ => (Server::Web, Effect::TooManyRequests(RetryAfter::Seconds(1))),
        };
        Trigger::next(server, 1).after_requests(rng.u32(0..span.max(1))).with_effect(effect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plan_is_reproducible_from_its_seed() {
        let plan = |seed| format!("{:?}", FaultPlan::from_seed_with_hangs(seed, 40, 4, 100));
        assert_eq!(plan(1), plan(1));
        assert_ne!(plan(1), plan(2));
        assert_eq!(FaultPlan::from_seed(1, 40, 100).len(), 40);
    }

    #[test]
    fn fault_affects_requests_after_the_skipped_ones() {
        let faults = Faults::new(vec![
            Trigger::next(Server::Media, 2).after_requests(1).with_effect(Effect::Html200),
        ]);
        let is_affected: Vec<bool> = (0..5)
            .map(|_| faults.outcome_for(Server::Media, "/a", "", None).effect.is_some())
            .collect();
        assert_eq!(is_affected, [false, true, true, false, false]);
    }

    #[test]
    fn fault_matches_server_path_and_offset() {
        let trigger = Trigger::next(Server::Media, 1).with_path("b.mp4").from_offset(100);
        let faults = Faults::new(vec![trigger.with_effect(Effect::Html200)]);
        assert!(faults.outcome_for(Server::Web, "/b.mp4", "", Some(100)).effect.is_none());
        assert!(faults.outcome_for(Server::Media, "/a.mp4", "", Some(100)).effect.is_none());
        assert!(faults.outcome_for(Server::Media, "/b.mp4", "", Some(99)).effect.is_none());
        assert!(faults.outcome_for(Server::Media, "/b.mp4", "", None).effect.is_none());
        assert!(faults.outcome_for(Server::Media, "/b.mp4", "", Some(100)).effect.is_some());
    }

    #[test]
    fn latency_combines_with_a_later_fault() {
        let every_request = || Trigger::always(Server::Api);
        let faults = Faults::new(vec![
            every_request().with_effect(Effect::Latency(Duration::from_millis(5))),
            every_request().with_effect(Effect::Html200),
        ]);
        let outcome = faults.outcome_for(Server::Api, "/", "", None);
        assert_eq!(outcome.latency, Duration::from_millis(5));
        assert!(matches!(outcome.effect, Some(Effect::Html200)));
    }
}

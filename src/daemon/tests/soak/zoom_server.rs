//! The servers of a simulated Zoom account: API, token service, download URLs and signed URLs.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::time::Instant;
use url::form_urlencoded;

use super::faults::{Fault, FaultSchedule};
use super::zoom_cloud::{HOST_EMAIL, HOST_ID, ZoomCloud};
use crate::http::{
    BodyPart, ServedRange, SimulatedHead, SimulatedReply, SimulatedRequest, SimulatedServer,
};
use crate::model::current_time;

const TOKEN_LIFETIME: Duration = Duration::from_secs(3600);
const LEASE_LIFETIME: Duration = Duration::from_secs(600);

/// Number of entries on a page of a list.
const PAGE_SIZE: usize = 50;

const MEDIA_HOST: &str = "ssrweb.zoom.us";

/// How often each kind of request was answered.
pub(super) type RequestCounts = HashMap<&'static str, u64>;

/// The servers of the account.
#[derive(Debug)]
pub(super) struct ZoomServer(pub(super) Mutex<ServerState>);

#[derive(Debug)]
pub(super) struct ServerState {
    pub(super) cloud: ZoomCloud,
    pub(super) faults: FaultSchedule,
    pub(super) counts: RequestCounts,
    /// The valid tokens, and when they expire.
    tokens: Vec<(String, Instant)>,
    next_token: u64,
    /// The number of revocations that have been applied.
    revocations: u128,
    start: Instant,
    rng: Rng,
}

impl ZoomServer {
    pub(super) fn new(cloud: ZoomCloud, faults: FaultSchedule, rng: Rng) -> Self {
        Self(Mutex::new(ServerState {
            cloud,
            faults,
            counts: RequestCounts::new(),
            tokens: Vec::new(),
            next_token: 0,
            revocations: 0,
            start: Instant::now(),
            rng,
        }))
    }
}

impl SimulatedServer for ZoomServer {
    fn reply(&self, request: &SimulatedRequest<'_>) -> SimulatedReply {
        let state = &mut *self.0.lock();
        let fault = state.faults.fault_at(Instant::now());
        let reply =
            state.fault_reply(request, fault).unwrap_or_else(|| state.reply(request, fault));
        SimulatedReply { delay: Duration::from_millis(state.rng.u64(10..60)), ..reply }
    }
}

fn reply(status: u16, headers: Vec<(&'static str, String)>) -> SimulatedReply {
    let head = SimulatedHead::Received { status, headers };
    SimulatedReply { delay: Duration::ZERO, head, body: Vec::new() }
}

fn without_head(head: SimulatedHead) -> SimulatedReply {
    SimulatedReply { head, ..reply(0, Vec::new()) }
}

fn json_reply(status: u16, body: &Value) -> SimulatedReply {
    let headers = vec![("content-type", "application/json".to_owned())];
    let body = vec![BodyPart::Bytes(Bytes::from(body.to_string()))];
    SimulatedReply { body, ..reply(status, headers) }
}

fn error_reply(status: u16, code: u64, message: &str) -> SimulatedReply {
    json_reply(status, &json!({"code": code, "message": message}))
}

/// Returns the values of two path segments that are numbers.
fn two_numbers(path: &str) -> Option<(u64, u64)> {
    let (one, other) = path.split_once('/')?;
    Some((one.parse().ok()?, other.parse().ok()?))
}

impl ServerState {
    fn count(&mut self, kind: &'static str) {
        *self.counts.entry(kind).or_default() += 1;
    }

    /// Returns the reply to a request that fails because of a fault.
    fn fault_reply(
        &mut self,
        request: &SimulatedRequest<'_>,
        fault: Option<Fault>,
    ) -> Option<SimulatedReply> {
        let is_media = request.host == MEDIA_HOST;
        let number = self.rng.u32(0..1000);
        let failure = match fault? {
            Fault::MediaOutage if is_media => number % 8,
            Fault::ApiOutage if !is_media => number % 8,
            Fault::RandomFailures => match number {
                0..30 => 0,
                30..40 => 5,
                40..43 => 7,
                43..60 => 8,
                _ => return None,
            },
            _ => return None,
        };
        self.count("failures");
        Some(match failure {
            0..5 => reply(503, Vec::new()),
            5..7 => without_head(SimulatedHead::Broken),
            7 => without_head(SimulatedHead::Silent),
            _ => reply(429, vec![("retry-after", "1".to_owned())]),
        })
    }

    fn reply(&mut self, request: &SimulatedRequest<'_>, fault: Option<Fault>) -> SimulatedReply {
        let path = request.path;
        let revocations = self.faults.revocations(Instant::now());
        if fault == Some(Fault::TokenRefusal) || revocations > self.revocations {
            self.revocations = revocations;
            self.tokens.clear();
        }
        match request.host {
            "zoom.us" if path == "/oauth/token" => self.issue_token(fault),
            "zoom.us" if path.starts_with("/rec/download/") => {
                self.redirect(request, &path["/rec/download/".len()..])
            }
            "api.zoom.us" if path.starts_with("/v2/") => {
                self.answer(request, &path["/v2/".len()..])
            }
            MEDIA_HOST if path.starts_with("/file/") => {
                self.serve(request, fault, &path["/file/".len()..])
            }
            _ => reply(404, Vec::new()),
        }
    }

    fn new_token(&mut self) -> String {
        let token = format!("token{}", self.next_token);
        self.next_token += 1;
        self.tokens.retain(|(_, end)| *end > Instant::now());
        self.tokens.push((token.clone(), Instant::now() + TOKEN_LIFETIME));
        token
    }

    fn issue_token(&mut self, fault: Option<Fault>) -> SimulatedReply {
        if fault == Some(Fault::TokenRefusal) {
            self.count("refused tokens");
            return json_reply(
                401,
                &json!({"reason": "Invalid client", "error": "invalid_client"}),
            );
        }
        self.count("issued tokens");
        let (token, lifetime) = (self.new_token(), TOKEN_LIFETIME.as_secs());
        json_reply(
            200,
            &json!({"access_token": token, "token_type": "bearer", "expires_in": lifetime}),
        )
    }

    fn is_authorized(&self, request: &SimulatedRequest<'_>) -> bool {
        let header = request.authorization.and_then(|value| value.strip_prefix("Bearer "));
        let mut query = form_urlencoded::parse(request.query.as_bytes());
        let token = match header {
            Some(token) => token.into(),
            None => match query.find(|(name, _)| name == "access_token") {
                Some((_, token)) => token,
                None => return false,
            },
        };
        self.tokens.iter().any(|(other, end)| *other == token && *end > Instant::now())
    }

    /// Answers an API call.
    fn answer(&mut self, request: &SimulatedRequest<'_>, path: &str) -> SimulatedReply {
        if !self.is_authorized(request) {
            self.count("calls with an invalid token");
            return error_reply(401, 124, "Invalid access token.");
        }
        self.count("API calls");
        let query: HashMap<_, _> =
            form_urlencoded::parse(request.query.as_bytes()).into_owned().collect();
        let segments: Vec<_> = path.split('/').collect();
        match segments.as_slice() {
            ["users"] => {
                let is_active = query.get("status").is_some_and(|status| status == "active");
                let user = json!({"id": HOST_ID, "email": HOST_EMAIL});
                let users = if is_active { vec![user] } else { Vec::new() };
                json_reply(200, &json!({"users": users, "next_page_token": ""}))
            }
            ["users", _, "recordings"] => {
                let has_meetings =
                    query.get("trash_type").is_some_and(|kind| kind == "meeting_recordings");
                let entries = self.cloud.list(|_| has_meetings, true);
                list_reply("meetings", entries, &query)
            }
            ["accounts", _, "recordings"] => {
                self.count("requests of listings");
                let day = |name: &str| query.get(name).and_then(|day| day.parse::<Date>().ok());
                let (from, to) = (day("from").unwrap(), day("to").unwrap());
                let is_listed = |start: Timestamp| {
                    (from..=to).contains(&TimeZone::UTC.to_datetime(start).date())
                };
                list_reply("meetings", self.cloud.list(is_listed, false), &query)
            }
            ["meetings", uuid, "recordings"] => match self.cloud.meeting(uuid) {
                Some(mut meeting) => {
                    if query.contains_key("include_fields") {
                        meeting["download_access_token"] = json!(self.new_token());
                    }
                    json_reply(200, &meeting)
                }
                None => error_reply(404, 3301, "This recording does not exist."),
            },
            ["past_meetings", uuid] => match self.cloud.meeting(uuid) {
                Some(_) => json_reply(200, &json!({"uuid": uuid, "user_name": "Ana Pop"})),
                None => error_reply(404, 3001, "Meeting does not exist."),
            },
            ["past_meetings", _, "participants"] => {
                let participant = |number: usize| json!({"name": format!("Guest {number}"), "user_email": "", "duration": 60});
                let participants = (0..5).map(participant).collect();
                list_reply("participants", participants, &query)
            }
            _ => error_reply(404, 2300, "This API endpoint is not recognized."),
        }
    }

    /// Answers a request for a download URL.
    fn redirect(&mut self, request: &SimulatedRequest<'_>, path: &str) -> SimulatedReply {
        if !self.is_authorized(request) {
            self.count("downloads with an invalid token");
            let body = json!({"status": false, "errorCode": 124, "errorMessage": "Forbidden"});
            return json_reply(401, &body);
        }
        let Some((number, version)) = two_numbers(path) else { return reply(404, Vec::new()) };
        if self.cloud.refuses_download(number) {
            return reply(200, vec![("content-type", "text/html".to_owned())]);
        }
        if self.cloud.served_revision(number, version).is_none() {
            return reply(404, Vec::new());
        }
        self.count("issued leases");
        let issued_at = self.start.elapsed().as_secs();
        let expiry = (current_time() + LEASE_LIFETIME).as_second();
        let url = format!(
            "https://{MEDIA_HOST}/file/{number}/{version}?Expires={expiry}&Signature={issued_at}&Key-Pair-Id=k"
        );
        reply(302, vec![("location", url)])
    }

    /// Answers a request for the bytes of a file.
    fn serve(
        &mut self,
        request: &SimulatedRequest<'_>,
        fault: Option<Fault>,
        path: &str,
    ) -> SimulatedReply {
        let query: HashMap<_, _> = form_urlencoded::parse(request.query.as_bytes()).collect();
        let issued_at: u64 = query["Signature"].parse().unwrap();
        let Some((number, version)) = two_numbers(path) else { return reply(404, Vec::new()) };
        // The leases of a third of the files end earlier than their URL states.
        let lifetime = if number.is_multiple_of(3) { LEASE_LIFETIME / 2 } else { LEASE_LIFETIME };
        if self.start.elapsed() >= Duration::from_secs(issued_at) + lifetime {
            self.count("requests with an expired lease");
            return reply(403, Vec::new());
        }
        let Some(revision) = self.cloud.served_revision(number, version) else {
            return reply(404, Vec::new());
        };
        self.count("requests for bytes");
        let served = revision.served_range(request.range);
        let mut headers = served.headers(revision.length);
        headers.push(("etag", format!("\"r{}\"", revision.number)));
        let ServedRange { status, first, end } = served;
        let middle = self.rng.u64(first..=end);
        let bytes = |from, to| BodyPart::Bytes(revision.bytes(from, to));
        let is_broken = fault == Some(Fault::RandomFailures);
        let body = match self.rng.u32(0..100) {
            0..3 if is_broken => vec![bytes(first, middle), BodyPart::Break],
            3 if is_broken => vec![bytes(first, middle), BodyPart::Silence],
            0..25 => {
                let pause = BodyPart::Pause(Duration::from_millis(self.rng.u64(0..100)));
                vec![bytes(first, middle), pause, bytes(middle, end)]
            }
            _ => vec![bytes(first, end)],
        };
        SimulatedReply { body, ..reply(status, headers) }
    }
}

/// Returns one page of a list.
fn list_reply(
    name: &'static str,
    entries: Vec<Value>,
    query: &HashMap<String, String>,
) -> SimulatedReply {
    let first = query.get("next_page_token").and_then(|token| token.parse().ok()).unwrap_or(0);
    let last = entries.len().min(first + PAGE_SIZE);
    let next_token = if last < entries.len() { last.to_string() } else { String::new() };
    let entries = entries.get(first..last).unwrap_or_default();
    json_reply(200, &json!({name: entries, "next_page_token": next_token}))
}

//! Webex's REST API: recordings, details, transcripts and token renewal.
//!
//! The quirks are deliberate. Each one states its source.

use jiff::{SignedDuration, Timestamp};
use parking_lot::RwLock;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::archive::Archive;
use super::faults::Effect;
use super::oauth::{Grant, TokenState, Tokens};
use super::reply::Reply;
use super::request_head::RequestHead;
use super::sign_in::InvalidGrant;
use super::webex_archive::{WebexArchive, WebexRecording};
use super::webex_json::{SITE, detail_json, listed_json, transcript_json};
use super::webex_tickets::{self, Tickets};

/// Default and maximum number of entries per page ("List Recordings").
const DEFAULT_PAGE_SIZE: usize = 10;
const MAX_PAGE_SIZE: usize = 100;

/// Maximum number of days in an administrator's list ("List Recordings For an Admin or Compliance
/// Officer").
const MAX_ADMIN_DAYS: i64 = 30;

/// Number of days in a list without `from`.
const DEFAULT_DAYS: i64 = 7;

/// Credentials of an integration or a service app.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebexCredentials {
    pub client_id: String,
    /// Client secret, which only the demo server accepts.
    pub client_secret: String,
    /// Refresh token. A renewal returns the same token.
    pub refresh_token: String,
}

impl WebexCredentials {
    pub fn demo() -> Self {
        Self {
            client_id: "demo-integration".into(),
            client_secret: "demo-integration-secret".into(),
            refresh_token: "demo-refresh-token".into(),
        }
    }
}

#[derive(Debug)]
pub(super) struct WebexSite {
    pub(super) archive: RwLock<WebexArchive>,
    pub(super) tokens: Tokens,
    pub(super) tickets: Tickets,
    /// Maximum number of entries per page, at most [`MAX_PAGE_SIZE`].
    pub(super) max_page_size: usize,
    /// Whether the files of recordings in the recycle bin are served.
    pub(super) is_trash_served: bool,
    /// Scheme, host and port of the API: `http://127.0.0.1:PORT`.
    pub(super) origin: String,
    /// Scheme, host and port of the media host: `http://127.0.0.1:PORT`.
    pub(super) media_origin: String,
}

type ReplyResult = Result<Reply, Reply>;

impl WebexSite {
    /// Answers a request to the API. `form` is the request body.
    pub(super) fn answer(&self, request: &RequestHead, form: &[u8]) -> Reply {
        self.route(request, form).unwrap_or_else(|refusal| refusal)
    }

    pub(super) fn serve_file(&self, request: &RequestHead, effect: Option<&Effect>) -> Reply {
        webex_tickets::answer(
            &self.archive.read(),
            &self.tickets,
            self.is_trash_served,
            request,
            effect,
        )
    }

    fn route(&self, request: &RequestHead, form: &[u8]) -> ReplyResult {
        let path = request.path.strip_prefix("/v1/").unwrap_or("");
        let segments: Vec<String> = path
            .split('/')
            .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
            .collect();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        if let (["access_token"], "POST") = (segments.as_slice(), request.method.as_str()) {
            return self.issue_token(form);
        }
        if let (["authorize"], "GET") = (segments.as_slice(), request.method.as_str()) {
            let credentials = WebexCredentials::demo();
            return Ok(self.tokens.sign_ins().authorize(request, &[&credentials.client_id]));
        }
        match request.bearer_token().map(|token| self.tokens.state_of(token)) {
            Some(TokenState::Valid(Grant::Account)) => {}
            _ => return Err(expired_token()),
        }
        if request.method != "GET" {
            return Err(error(405, "The request method is not supported."));
        }
        let archive = self.archive.read();
        match segments.as_slice() {
            ["recordings"] => self.list_recordings(&archive, request, false),
            ["admin", "recordings"] => self.list_recordings(&archive, request, true),
            ["recordings", id] => {
                let recording = find_recording(&archive, id, request)?;
                let now = Timestamp::now();
                let detail = detail_json(
                    recording,
                    &self.tickets,
                    &self.media_origin,
                    now,
                    self.is_trash_served,
                );
                Ok(Reply::json(200, &detail))
            }
            ["meetingTranscripts"] => self.list_transcripts(&archive, request),
            ["admin", "meetingTranscripts"] => self.list_site_transcripts(&archive, request),
            ["meetingTranscripts", id, "download"] => transcript_reply(&archive, id, request),
            _ => Err(error(404, "The requested resource could not be found.")),
        }
    }

    /// Answers `POST /access_token`. A renewal returns the same refresh token.
    fn issue_token(&self, form: &[u8]) -> ReplyResult {
        let field = |name: &str| {
            let parameter = url::form_urlencoded::parse(form).find(|(key, _)| key == name);
            parameter.map(|(_, value)| value.into_owned()).unwrap_or_default()
        };
        let credentials = WebexCredentials::demo();
        if (field("client_id"), field("client_secret"))
            != (credentials.client_id.clone(), credentials.client_secret)
        {
            return Err(error(401, "The client credentials are invalid."));
        }
        match field("grant_type").as_str() {
            "authorization_code" => {
                let redemption = self
                    .tokens
                    .sign_ins()
                    .redeem_code(&credentials.client_id, |name| Some(field(name)));
                redemption
                    .map_err(|InvalidGrant| error(400, "The authorization code is invalid."))?;
            }
            "refresh_token" if field("refresh_token") == credentials.refresh_token => {}
            "refresh_token" => {
                let message =
                    "The refresh token provided is expired, revoked, malformed, or invalid.";
                return Err(error(400, message));
            }
            _ => return Err(error(400, "The grant type is not supported.")),
        }
        let token = self.tokens.issue(Grant::Account, None);
        Ok(Reply::json(
            200,
            &json!({"access_token": token, "expires_in": self.tokens.ttl_seconds(), "refresh_token": credentials.refresh_token,
                    "refresh_token_expires_in": 7_775_999, "token_type": "Bearer", "scope": "meeting:recordings_read meeting:transcripts_read"}),
        ))
    }

    fn list_recordings(
        &self,
        archive: &WebexArchive,
        request: &RequestHead,
        is_admin: bool,
    ) -> ReplyResult {
        let now = Timestamp::now();
        let (from, to) = requested_span(request, now)?;
        if is_admin && to.duration_since(from) > SignedDuration::from_hours(24 * MAX_ADMIN_DAYS) {
            return Err(error(
                400,
                "The interval between from and to must not be longer than 30 days.",
            ));
        }
        let status = request.parameter("status").unwrap_or_else(|| "available".into());
        let meeting_host = request
            .parameter("hostEmail")
            .or_else(|| (!is_admin).then(|| Archive::OWNER_EMAIL.to_owned()));
        let mut entries: Vec<&WebexRecording> = archive
            .recordings
            .iter()
            .filter(|recording| {
                recording.status == status
                    && from <= recording.create_time
                    && recording.create_time < to
            })
            .filter(|recording| {
                meeting_host.as_ref().is_none_or(|host| *host == recording.host_email)
            })
            .collect();
        entries.sort_by(|a, b| (b.create_time, &b.id).cmp(&(a.create_time, &a.id)));
        let includes_host = is_admin || request.parameter("hostEmail").is_some();
        self.page_reply(archive, request, &entries, |recording| {
            listed_json(recording, includes_host).into()
        })
    }

    /// Lists the transcripts of the meeting in `meetingId`. Without `meetingId`, lists the
    /// transcripts of the owner. An administrator can state another meeting host in `hostEmail`,
    /// but only together with `meetingId` ("List Meeting Transcripts").
    fn list_transcripts(&self, archive: &WebexArchive, request: &RequestHead) -> ReplyResult {
        let (meeting, meeting_host) =
            (request.parameter("meetingId"), request.parameter("hostEmail"));
        if meeting.is_none() && meeting_host.is_some() {
            return Err(error(400, "hostEmail is not supported without meetingId."));
        }
        let (from, to) = match meeting {
            Some(_) => (Timestamp::MIN, Timestamp::MAX),
            None => requested_span(request, Timestamp::now())?,
        };
        let meeting_host = meeting_host.unwrap_or_else(|| Archive::OWNER_EMAIL.into());
        let is_requested = |recording: &WebexRecording| {
            recording.host_email == meeting_host
                && meeting.as_ref().is_none_or(|meeting| *meeting == recording.meeting_id)
        };
        self.transcript_page(archive, request, (from, to), is_requested)
    }

    /// Lists the transcripts of the whole site. Only compliance officers can list them.
    fn list_site_transcripts(&self, archive: &WebexArchive, request: &RequestHead) -> ReplyResult {
        if !archive.is_compliance_officer {
            return Err(error(403, "The user is not a compliance officer."));
        }
        if request.parameter("siteUrl").is_none() {
            return Err(error(400, "siteUrl: must not be null."));
        }
        self.transcript_page(archive, request, requested_span(request, Timestamp::now())?, |_| true)
    }

    fn transcript_page(
        &self,
        archive: &WebexArchive,
        request: &RequestHead,
        (from, to): (Timestamp, Timestamp),
        is_requested: impl Fn(&WebexRecording) -> bool,
    ) -> ReplyResult {
        let is_requested_site = request.parameter("siteUrl").is_none_or(|site| site == SITE);
        let mut entries: Vec<_> = archive
            .recordings
            .iter()
            .filter(|recording| {
                is_requested_site
                    && recording.is_available()
                    && recording.stored_transcript.is_some()
                    && is_requested(recording)
            })
            .filter(|recording| from <= recording.time_recorded && recording.time_recorded < to)
            .collect();
        entries.sort_by(|a, b| (b.time_recorded, &b.id).cmp(&(a.time_recorded, &a.id)));
        self.page_reply(archive, request, &entries, |recording| {
            transcript_json(recording, &self.origin)
        })
    }

    /// Returns the requested page of a list.
    fn page_reply(
        &self,
        archive: &WebexArchive,
        request: &RequestHead,
        entries: &[&WebexRecording],
        to_json: impl Fn(&WebexRecording) -> Value,
    ) -> ReplyResult {
        let page_size = match request.parameter("max").map(|value| value.parse::<usize>()) {
            None => DEFAULT_PAGE_SIZE,
            Some(Ok(page_size @ 1..=MAX_PAGE_SIZE)) => page_size,
            Some(_) => return Err(error(400, "max: must be a number from 1 to 100.")),
        };
        let page_size = page_size.min(self.max_page_size.clamp(1, MAX_PAGE_SIZE));
        let start = request
            .parameter("cursor")
            .and_then(|cursor| cursor.parse::<usize>().ok())
            .unwrap_or(0);
        let items: Vec<Value> = entries
            .iter()
            .skip(start)
            .take(page_size)
            .map(|recording| to_json(recording))
            .collect();
        let reply = Reply::json(200, &json!({"items": items}));
        let end = start.saturating_add(page_size);
        Ok(if end < entries.len() {
            reply.with_header("link", self.next_page_header(archive, request, page_size, end))
        } else {
            reply
        })
    }

    /// Returns the value of the `Link` header, with the URL of the next page.
    fn next_page_header(
        &self,
        archive: &WebexArchive,
        request: &RequestHead,
        page_size: usize,
        cursor: usize,
    ) -> String {
        let other_parameters = request
            .query
            .split('&')
            .filter(|field| !field.starts_with("max=") && !field.starts_with("cursor="))
            .filter(|field| {
                let name = field.split('=').next().unwrap_or_default();
                archive.missing_in_next_pages.iter().all(|missing_name| missing_name != name)
            });
        let page_size =
            if archive.has_null_page_size { "null".to_owned() } else { page_size.to_string() };
        let fields: Vec<String> = other_parameters
            .map(str::to_owned)
            .chain([format!("max={page_size}"), format!("cursor={cursor}")])
            .collect();
        format!("<{}{}?{}>; rel=\"next\"", self.origin, request.path, fields.join("&"))
    }
}

/// Returns a recording of the meeting host in `hostEmail`, by default the owner. Recordings of
/// other meeting hosts and purged recordings are not found.
fn find_recording<'a>(
    archive: &'a WebexArchive,
    id: &str,
    request: &RequestHead,
) -> Result<&'a WebexRecording, Reply> {
    let meeting_host =
        request.parameter("hostEmail").unwrap_or_else(|| Archive::OWNER_EMAIL.into());
    let recording = archive
        .recordings
        .iter()
        .find(|recording| recording.id == id && recording.host_email == meeting_host);
    recording
        .filter(|recording| recording.status != "purged")
        .ok_or_else(|| error(404, "The recording could not be found."))
}

/// Returns a whole transcript. Ranges are ignored. An administrator states the meeting host in
/// `hostEmail`.
fn transcript_reply(archive: &WebexArchive, id: &str, request: &RequestHead) -> ReplyResult {
    let meeting_host =
        request.parameter("hostEmail").unwrap_or_else(|| Archive::OWNER_EMAIL.into());
    let is_requested = |recording: &&WebexRecording| {
        recording.stored_transcript_id() == id
            && (recording.host_email == meeting_host || archive.is_compliance_officer)
    };
    let recording = archive.recordings.iter().find(is_requested);
    let content = recording.and_then(|recording| recording.stored_transcript.as_ref());
    let Some(content) = content else {
        return Err(error(404, "The transcript could not be found."));
    };
    let content_type = if request.parameter("format").as_deref() == Some("vtt") {
        "text/vtt"
    } else {
        "text/plain"
    };
    Ok(Reply::new(200, content_type, content.slice(0..content.length())))
}

/// Returns the start and the end of the requested time span. The end is exclusive.
fn requested_span(request: &RequestHead, now: Timestamp) -> Result<(Timestamp, Timestamp), Reply> {
    let parse_time = |name: &str, default: Timestamp| match request
        .parameter(name)
        .filter(|value| !value.is_empty())
    {
        None => Ok(default),
        Some(text) => {
            text.parse().map_err(|_| error(400, &format!("{name}: must be an ISO 8601 time.")))
        }
    };
    let to = parse_time("to", now)?;
    let default_from =
        to.checked_sub(SignedDuration::from_hours(24 * DEFAULT_DAYS)).unwrap_or(Timestamp::MIN);
    let from = parse_time("from", default_from)?;
    if from > to {
        return Err(error(400, "from must not be after to."));
    }
    Ok((from, to))
}

/// Returns an error in the format of Webex's API.
pub(super) fn error(status: u16, message: &str) -> Reply {
    let tracking_id = format!("ROUTER_{:016X}", fastrand::u64(..));
    Reply::json(
        status,
        &json!({"message": message, "errors": [{"description": message}], "trackingId": tracking_id}),
    )
}

/// Returns the reply to an invalid or expired token.
pub(super) fn expired_token() -> Reply {
    error(401, "The request requires a valid access token set in the Authorization request header.")
}

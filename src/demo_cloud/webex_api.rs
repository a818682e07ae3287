//! Webex's REST interface: recordings, their details, transcripts, and the renewal of tokens.
//!
//! What is odd here is odd there; the sources are given where a quirk is made.

use jiff::{SignedDuration, Timestamp};
use parking_lot::RwLock;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::archive::Archive;
use super::asked::Asked;
use super::faults::Effect;
use super::oauth::{Grant, Standing, Tokens};
use super::reply::Reply;
use super::sign_in::NotGranted;
use super::webex_archive::{WebexArchive, WebexRecording};
use super::webex_json::{SITE, detail_json, listed_json, transcript_json};
use super::webex_tickets::{self, Tickets};

/// Entries a page when none are asked for, and the most there are ("List Recordings").
const DEFAULT_PAGE: usize = 10;
const MAX_PAGE: usize = 100;

/// The most days that an administrator's list spans ("List Recordings For an Admin or Compliance Officer").
const ADMIN_DAYS: i64 = 30;

/// How far back a list goes that is asked for without a beginning.
const DEFAULT_DAYS: i64 = 7;

/// What an integration or a service app renews its token with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebexCredentials {
    /// The app.
    pub client_id: String,
    /// The app's secret. It opens nothing but a cloud made for the occasion.
    pub client_secret: String,
    /// Renews the token again and again.
    pub refresh_token: String,
}

impl WebexCredentials {
    /// Those of every embedded cloud.
    pub fn demo() -> Self {
        Self {
            client_id: "demo-integration".into(),
            client_secret: "demo-integration-secret".into(),
            refresh_token: "demo-refresh-token".into(),
        }
    }
}

/// The Webex side of the cloud.
#[derive(Debug)]
pub(super) struct WebexSite {
    pub(super) archive: RwLock<WebexArchive>,
    pub(super) tokens: Tokens,
    pub(super) tickets: Tickets,
    /// Most entries on a page, at most [`MAX_PAGE`].
    pub(super) page_cap: usize,
    /// Whether what lies in the recycle bin is given out.
    pub(super) trash_downloads: bool,
    /// `http://127.0.0.1:PORT` of the interface.
    pub(super) origin: String,
    /// The same of the media host.
    pub(super) media_origin: String,
}

type Answer = Result<Reply, Reply>;

impl WebexSite {
    /// Answers a request to the interface; `form` is its body.
    pub(super) fn answer(&self, asked: &Asked, form: &[u8]) -> Reply {
        self.route(asked, form).unwrap_or_else(|refusal| refusal)
    }

    /// Answers a request below `/nbr/` on the media host.
    pub(super) fn media(&self, asked: &Asked, effect: Option<&Effect>) -> Reply {
        webex_tickets::answer(
            &self.archive.read(),
            &self.tickets,
            self.trash_downloads,
            asked,
            effect,
        )
    }

    fn route(&self, asked: &Asked, form: &[u8]) -> Answer {
        let path = asked.path.strip_prefix("/v1/").unwrap_or("");
        let segments: Vec<String> = path
            .split('/')
            .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
            .collect();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        if let (["access_token"], "POST") = (segments.as_slice(), asked.method.as_str()) {
            return self.renewal(form);
        }
        if let (["authorize"], "GET") = (segments.as_slice(), asked.method.as_str()) {
            let known = WebexCredentials::demo();
            return Ok(self.tokens.sign_ins().page(asked, &[&known.client_id]));
        }
        match asked.bearer().map(|token| self.tokens.standing(token)) {
            Some(Standing::Valid(Grant::Account)) => {}
            _ => return Err(expired_token()),
        }
        if asked.method != "GET" {
            return Err(error(405, "The request method is not supported."));
        }
        let archive = self.archive.read();
        match segments.as_slice() {
            ["recordings"] => self.list(&archive, asked, false),
            ["admin", "recordings"] => self.list(&archive, asked, true),
            ["recordings", id] => {
                let recording = find(&archive, id, asked)?;
                let now = Timestamp::now();
                let detail = detail_json(
                    recording,
                    &self.tickets,
                    &self.media_origin,
                    now,
                    self.trash_downloads,
                );
                Ok(Reply::json(200, &detail))
            }
            ["meetingTranscripts"] => self.transcripts(&archive, asked),
            ["admin", "meetingTranscripts"] => self.transcripts_of_site(&archive, asked),
            ["meetingTranscripts", id, "download"] => download(&archive, id, asked),
            _ => Err(error(404, "The requested resource could not be found.")),
        }
    }

    /// Answers `POST /access_token`. The refresh token stays the same and lives on.
    fn renewal(&self, form: &[u8]) -> Answer {
        let field = |name: &str| {
            let found = url::form_urlencoded::parse(form).find(|(key, _)| key == name);
            found.map(|(_, value)| value.into_owned()).unwrap_or_default()
        };
        let known = WebexCredentials::demo();
        if (field("client_id"), field("client_secret"))
            != (known.client_id.clone(), known.client_secret)
        {
            return Err(error(401, "The client credentials are invalid."));
        }
        match field("grant_type").as_str() {
            "authorization_code" => {
                let redeemed =
                    self.tokens.sign_ins().redeem(&known.client_id, |name| Some(field(name)));
                redeemed.map_err(|NotGranted| error(400, "The authorization code is invalid."))?;
            }
            "refresh_token" if field("refresh_token") == known.refresh_token => {}
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
            &json!({"access_token": token, "expires_in": self.tokens.life_seconds(), "refresh_token": known.refresh_token,
                    "refresh_token_expires_in": 7_775_999, "token_type": "Bearer", "scope": "meeting:recordings_read meeting:transcripts_read"}),
        ))
    }

    fn list(&self, archive: &WebexArchive, asked: &Asked, admin: bool) -> Answer {
        let now = Timestamp::now();
        let (from, to) = span(asked, now)?;
        if admin && to.duration_since(from) > SignedDuration::from_hours(24 * ADMIN_DAYS) {
            return Err(error(
                400,
                "The interval between from and to must not be longer than 30 days.",
            ));
        }
        let status = asked.parameter("status").unwrap_or_else(|| "available".into());
        let host =
            asked.parameter("hostEmail").or_else(|| (!admin).then(|| Archive::OWNER.to_owned()));
        let mut listed: Vec<&WebexRecording> = archive
            .recordings
            .iter()
            .filter(|recording| {
                recording.status == status
                    && from <= recording.create_time
                    && recording.create_time < to
            })
            .filter(|recording| host.as_ref().is_none_or(|host| *host == recording.host_email))
            .collect();
        listed
            .sort_by(|one, other| (other.create_time, &other.id).cmp(&(one.create_time, &one.id)));
        let with_host = admin || asked.parameter("hostEmail").is_some();
        self.page(archive, asked, &listed, |it| listed_json(it, with_host).into())
    }

    /// The transcripts of one held meeting, for an administrator those of another host's, or without a meeting those of the
    /// owner's own ("List Meeting Transcripts": `hostEmail` is of no use without `meetingId`).
    fn transcripts(&self, archive: &WebexArchive, asked: &Asked) -> Answer {
        let (meeting, host) = (asked.parameter("meetingId"), asked.parameter("hostEmail"));
        if meeting.is_none() && host.is_some() {
            return Err(error(400, "hostEmail is not supported without meetingId."));
        }
        let (from, to) = match meeting {
            Some(_) => (Timestamp::MIN, Timestamp::MAX),
            None => span(asked, Timestamp::now())?,
        };
        let host = host.unwrap_or_else(|| Archive::OWNER.into());
        let is_meant = |it: &WebexRecording| {
            it.host_email == host
                && meeting.as_ref().is_none_or(|meeting| *meeting == it.meeting_id)
        };
        self.listed_transcripts(archive, asked, (from, to), is_meant)
    }

    /// The transcripts of everybody, which compliance officers alone may list.
    fn transcripts_of_site(&self, archive: &WebexArchive, asked: &Asked) -> Answer {
        if !archive.is_compliance_officer {
            return Err(error(403, "The user is not a compliance officer."));
        }
        if asked.parameter("siteUrl").is_none() {
            return Err(error(400, "siteUrl: must not be null."));
        }
        self.listed_transcripts(archive, asked, span(asked, Timestamp::now())?, |_| true)
    }

    fn listed_transcripts(
        &self,
        archive: &WebexArchive,
        asked: &Asked,
        (from, to): (Timestamp, Timestamp),
        is_meant: impl Fn(&WebexRecording) -> bool,
    ) -> Answer {
        let is_of_site = asked.parameter("siteUrl").is_none_or(|site| site == SITE);
        let mut listed: Vec<_> = archive
            .recordings
            .iter()
            .filter(|it| {
                is_of_site && it.is_available() && it.stored_transcript.is_some() && is_meant(it)
            })
            .filter(|it| from <= it.time_recorded && it.time_recorded < to)
            .collect();
        listed.sort_by(|one, other| {
            (other.time_recorded, &other.id).cmp(&(one.time_recorded, &one.id))
        });
        self.page(archive, asked, &listed, |it| transcript_json(it, &self.origin))
    }

    /// The part of a list that is asked for.
    fn page(
        &self,
        archive: &WebexArchive,
        asked: &Asked,
        listed: &[&WebexRecording],
        json: impl Fn(&WebexRecording) -> Value,
    ) -> Answer {
        let most = match asked.parameter("max").map(|most| most.parse::<usize>()) {
            None => DEFAULT_PAGE,
            Some(Ok(most @ 1..=MAX_PAGE)) => most,
            Some(_) => return Err(error(400, "max: must be a number from 1 to 100.")),
        };
        let most = most.min(self.page_cap.clamp(1, MAX_PAGE));
        let start =
            asked.parameter("cursor").and_then(|cursor| cursor.parse::<usize>().ok()).unwrap_or(0);
        let items: Vec<Value> = listed.iter().skip(start).take(most).map(|it| json(it)).collect();
        let reply = Reply::json(200, &json!({"items": items}));
        let end = start.saturating_add(most);
        Ok(if end < listed.len() {
            reply.with("link", self.link(archive, asked, most, end))
        } else {
            reply
        })
    }

    /// The header that names the next page.
    fn link(&self, archive: &WebexArchive, asked: &Asked, most: usize, cursor: usize) -> String {
        let kept = asked
            .query
            .split('&')
            .filter(|field| !field.starts_with("max=") && !field.starts_with("cursor="));
        let most = if archive.null_pages { "null".to_owned() } else { most.to_string() };
        let fields: Vec<String> = kept
            .map(str::to_owned)
            .chain([format!("max={most}"), format!("cursor={cursor}")])
            .collect();
        format!("<{}{}?{}>; rel=\"next\"", self.origin, asked.path, fields.join("&"))
    }
}

/// The recording with this id, as far as whoever asks may see it: the owner's own, or those of the host that is named.
/// What was purged is not there.
fn find<'a>(
    archive: &'a WebexArchive,
    id: &str,
    asked: &Asked,
) -> Result<&'a WebexRecording, Reply> {
    let host = asked.parameter("hostEmail").unwrap_or_else(|| Archive::OWNER.into());
    let found = archive
        .recordings
        .iter()
        .find(|recording| recording.id == id && recording.host_email == host);
    found
        .filter(|recording| recording.status != "purged")
        .ok_or_else(|| error(404, "The recording could not be found."))
}

/// A transcript as a whole: no range is honoured here. An administrator says whose it is.
fn download(archive: &WebexArchive, id: &str, asked: &Asked) -> Answer {
    let host = asked.parameter("hostEmail").unwrap_or_else(|| Archive::OWNER.into());
    let is_meant = |it: &&WebexRecording| {
        it.stored_transcript_id() == id && (it.host_email == host || archive.is_compliance_officer)
    };
    let recording = archive.recordings.iter().find(is_meant);
    let content = recording.and_then(|recording| recording.stored_transcript.as_ref());
    let Some(content) = content else {
        return Err(error(404, "The transcript could not be found."));
    };
    let kind =
        if asked.parameter("format").as_deref() == Some("vtt") { "text/vtt" } else { "text/plain" };
    Ok(Reply::new(200, kind, content.slice(0..content.length())))
}

/// The times asked for; `to` is not included.
fn span(asked: &Asked, now: Timestamp) -> Result<(Timestamp, Timestamp), Reply> {
    let time = |name: &str, default: Timestamp| match asked
        .parameter(name)
        .filter(|value| !value.is_empty())
    {
        None => Ok(default),
        Some(text) => {
            text.parse().map_err(|_| error(400, &format!("{name}: must be an ISO 8601 time.")))
        }
    };
    let to = time("to", now)?;
    let week_before =
        to.checked_sub(SignedDuration::from_hours(24 * DEFAULT_DAYS)).unwrap_or(Timestamp::MIN);
    let from = time("from", week_before)?;
    if from > to {
        return Err(error(400, "from must not be after to."));
    }
    Ok((from, to))
}

/// An error as Webex writes it.
pub(super) fn error(status: u16, message: &str) -> Reply {
    let tracking = format!("ROUTER_{:016X}", fastrand::u64(..));
    Reply::json(
        status,
        &json!({"message": message, "errors": [{"description": message}], "trackingId": tracking}),
    )
}

/// What a token gets that is not, or no longer, valid.
pub(super) fn expired_token() -> Reply {
    error(401, "The request requires a valid access token set in the Authorization request header.")
}

//! Webex's URLs: for three hours, a ticket in the query is the only credential.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

use super::archive::Content;
use super::faults::Effect;
use super::media_host::{self, MediaObject};
use super::reply::Reply;
use super::request_head::RequestHead;
use super::webex_archive::{WebexArchive, WebexFile, WebexRecording};

const SERVLET: &str = "/nbr/MultiThreadDownloadServlet";

/// Path of files in other formats than MP4.
const OLDER_SERVLET: &str = "/nbr/downloadMedia.do";

const EXPIRED_PAGE: &str = "<!DOCTYPE html>\n<html><head><title>Webex</title></head>\n\
<body><h1>The link has expired</h1></body></html>\n";

#[derive(Debug)]
pub(super) struct Tickets {
    key: [u8; 32],
    ttl: Duration,
    /// Part of every ticket: increasing it invalidates all earlier tickets.
    generation: AtomicU64,
    issued: AtomicU64,
}

impl Tickets {
    pub(super) fn new(ttl: Duration) -> Self {
        let key = std::array::from_fn(|_| fastrand::u8(..));
        Self { key, ttl, generation: AtomicU64::new(0), issued: AtomicU64::new(0) }
    }

    pub(super) fn expire_all(&self) {
        self.generation.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the expiry of a URL issued at `now`.
    pub(super) fn end(&self, now: Timestamp) -> Timestamp {
        let ttl = SignedDuration::try_from(self.ttl).unwrap_or(SignedDuration::MAX);
        now.checked_add(ttl).unwrap_or(Timestamp::MAX)
    }

    /// Returns a URL of a file on the media host. No two are equal.
    pub(super) fn link(
        &self,
        origin: &str,
        recording: &WebexRecording,
        file: WebexFile,
        now: Timestamp,
    ) -> String {
        let path = match file {
            WebexFile::Video if recording.format != "MP4" => OLDER_SERVLET.to_owned(),
            WebexFile::Video | WebexFile::StoredTranscript => SERVLET.to_owned(),
            WebexFile::Audio => format!("{SERVLET}/audio.mp3"),
            WebexFile::Transcript => format!("{SERVLET}/transcript.txt"),
        };
        let number = self.issued.fetch_add(1, Ordering::Relaxed);
        let made = now.as_millisecond();
        let id = &recording.id;
        let ticket = self.ticket(&path, id, made, number);
        format!(
            "{origin}{path}?siteid=2062842&recordid={id}&from=MBS&trackingID=ROUTER_{number:016X}&language=en_US\
             &ticket={ticket}&timestamp={made}&islogin=yes&isprevent=no&ispwd=yes"
        )
    }

    /// Returns whether a request carries a valid, unexpired ticket for its path, byte for byte as
    /// issued.
    fn allow(&self, request: &RequestHead) -> bool {
        let field = |name: &str| {
            request.query.split('&').find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
        };
        let number = field("trackingID")
            .and_then(|id| u64::from_str_radix(id.strip_prefix("ROUTER_")?, 16).ok());
        let made = field("timestamp").and_then(|made| made.parse::<i64>().ok());
        let (Some(number), Some(made), Some(id)) = (number, made, field("recordid")) else {
            return false;
        };
        let Ok(began) = Timestamp::from_millisecond(made) else { return false };
        field("ticket") == Some(self.ticket(&request.path, id, made, number).as_str())
            && Timestamp::now() < self.end(began)
    }

    /// Base64 with its three special characters escaped, as observed in tickets.
    fn ticket(&self, path: &str, id: &str, made: i64, number: u64) -> String {
        let generation = self.generation.load(Ordering::Relaxed);
        let mut digest = Sha256::new();
        digest.update(self.key);
        digest.update(format!("{path}\n{id}\n{made}\n{number}\n{generation}"));
        STANDARD
            .encode(digest.finalize())
            .replace('+', "%2B")
            .replace('/', "%2F")
            .replace('=', "%3D")
    }
}

pub(super) fn answer(
    archive: &WebexArchive,
    tickets: &Tickets,
    trash_downloads: bool,
    request: &RequestHead,
    effect: Option<&Effect>,
) -> Reply {
    // The ticket is the credential. A client that sends another one leaks it.
    if request.header("authorization").is_some() || request.header("referer").is_some() {
        return Reply::new(400, "text/html;charset=UTF-8", EXPIRED_PAGE);
    }
    if request.method != "GET" && request.method != "HEAD" {
        return Reply::new(405, "text/html;charset=UTF-8", EXPIRED_PAGE);
    }
    if !tickets.allow(request) {
        return Reply::new(403, "text/html;charset=UTF-8", EXPIRED_PAGE);
    }
    let id = request.parameter("recordid").unwrap_or_default();
    let recording = archive.recordings.iter().find(|recording| recording.id == id);
    let Some((recording, content, content_type)) = recording
        .and_then(|recording| file_at(recording, &request.path))
        .filter(|(it, ..)| it.is_served(trash_downloads))
    else {
        return Reply::new(404, "text/html;charset=UTF-8", EXPIRED_PAGE);
    };
    media_host::serve(
        &MediaObject { content, content_type, modified: recording.create_time },
        request,
        effect,
    )
}

fn file_at<'a>(
    recording: &'a WebexRecording,
    path: &str,
) -> Option<(&'a WebexRecording, &'a Content, &'static str)> {
    let (content, content_type) = match path.strip_prefix(SERVLET) {
        Some("/audio.mp3") => (recording.audio.as_ref()?, "audio/mpeg"),
        Some("/transcript.txt") => (recording.transcript.as_ref()?, "text/plain"),
        Some("") => (&recording.video, "video/mp4"),
        None if path == OLDER_SERVLET => (&recording.video, "application/octet-stream"),
        _ => return None,
    };
    Some((recording, content, content_type))
}

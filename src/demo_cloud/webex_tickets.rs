//! Webex's download URLs. A ticket in the query is the only credential, and it is valid for three
//! hours by default.

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

const DOWNLOAD_PATH: &str = "/nbr/MultiThreadDownloadServlet";

/// Path of the recordings that are not in the format MP4.
const OTHER_FORMATS_PATH: &str = "/nbr/downloadMedia.do";

const EXPIRED_PAGE: &str = "<!DOCTYPE html>\n<html><head><title>Webex</title></head>\n\
<body><h1>The link has expired</h1></body></html>\n";

#[derive(Debug)]
pub(super) struct Tickets {
    key: [u8; 32],
    ttl: Duration,
    /// Part of every ticket. Increasing it invalidates all earlier tickets.
    generation: AtomicU64,
    issued_count: AtomicU64,
}

impl Tickets {
    pub(super) fn new(ttl: Duration) -> Self {
        let key = std::array::from_fn(|_| fastrand::u8(..));
        Self { key, ttl, generation: AtomicU64::new(0), issued_count: AtomicU64::new(0) }
    }

    pub(super) fn expire_all(&self) {
        self.generation.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the expiry of a URL issued at `now`.
    pub(super) fn expiry(&self, now: Timestamp) -> Timestamp {
        let ttl = SignedDuration::try_from(self.ttl).unwrap_or(SignedDuration::MAX);
        now.checked_add(ttl).unwrap_or(Timestamp::MAX)
    }

    /// Returns a URL of a file on the media host. No two URLs are equal.
    pub(super) fn download_url(
        &self,
        origin: &str,
        recording: &WebexRecording,
        file: WebexFile,
        now: Timestamp,
    ) -> String {
        let path = match file {
            WebexFile::Video if recording.format != "MP4" => OTHER_FORMATS_PATH.to_owned(),
            WebexFile::Video | WebexFile::StoredTranscript => DOWNLOAD_PATH.to_owned(),
            WebexFile::Audio => format!("{DOWNLOAD_PATH}/audio.mp3"),
            WebexFile::Transcript => format!("{DOWNLOAD_PATH}/transcript.txt"),
        };
        let number = self.issued_count.fetch_add(1, Ordering::Relaxed);
        let issued_at = now.as_millisecond();
        let id = &recording.id;
        let ticket = self.compute_ticket(&path, id, issued_at, number);
        format!(
            "{origin}{path}?siteid=2062842&recordid={id}&from=MBS&trackingID=ROUTER_{number:016X}&language=en_US\
             &ticket={ticket}&timestamp={issued_at}&islogin=yes&isprevent=no&ispwd=yes"
        )
    }

    /// Returns whether a request has a valid ticket for its path that has not expired. The ticket
    /// must be byte for byte as issued.
    fn is_valid(&self, request: &RequestHead) -> bool {
        let field = |name: &str| {
            request.query.split('&').find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
        };
        let number = field("trackingID")
            .and_then(|id| u64::from_str_radix(id.strip_prefix("ROUTER_")?, 16).ok());
        let issued_at = field("timestamp").and_then(|issued_at| issued_at.parse::<i64>().ok());
        let (Some(number), Some(issued_at), Some(id)) = (number, issued_at, field("recordid"))
        else {
            return false;
        };
        let Ok(issue_time) = Timestamp::from_millisecond(issued_at) else { return false };
        field("ticket") == Some(self.compute_ticket(&request.path, id, issued_at, number).as_str())
            && Timestamp::now() < self.expiry(issue_time)
    }

    /// Returns the ticket of a URL: a digest in base64, whose three special characters are escaped,
    /// as observed in real tickets.
    fn compute_ticket(&self, path: &str, id: &str, issued_at: i64, number: u64) -> String {
        let generation = self.generation.load(Ordering::Relaxed);
        let mut digest = Sha256::new();
        digest.update(self.key);
        digest.update(format!("{path}\n{id}\n{issued_at}\n{number}\n{generation}"));
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
    is_trash_served: bool,
    request: &RequestHead,
    effect: Option<&Effect>,
) -> Reply {
    // The ticket is the credential. A client that sends another credential leaks it.
    if request.header("authorization").is_some() || request.header("referer").is_some() {
        return Reply::new(400, "text/html;charset=UTF-8", EXPIRED_PAGE);
    }
    if request.method != "GET" && request.method != "HEAD" {
        return Reply::new(405, "text/html;charset=UTF-8", EXPIRED_PAGE);
    }
    if !tickets.is_valid(request) {
        return Reply::new(403, "text/html;charset=UTF-8", EXPIRED_PAGE);
    }
    let id = request.parameter("recordid").unwrap_or_default();
    let recording = archive.recordings.iter().find(|recording| recording.id == id);
    let Some((recording, content, content_type)) = recording
        .and_then(|recording| find_file(recording, &request.path))
        .filter(|(recording, ..)| recording.is_served(is_trash_served))
    else {
        return Reply::new(404, "text/html;charset=UTF-8", EXPIRED_PAGE);
    };
    media_host::serve(
        &MediaObject { content, content_type, last_modified: recording.create_time },
        request,
        effect,
    )
}

fn find_file<'a>(
    recording: &'a WebexRecording,
    path: &str,
) -> Option<(&'a WebexRecording, &'a Content, &'static str)> {
    let (content, content_type) = match path.strip_prefix(DOWNLOAD_PATH) {
        Some("/audio.mp3") => (recording.audio.as_ref()?, "audio/mpeg"),
        Some("/transcript.txt") => (recording.transcript.as_ref()?, "text/plain"),
        Some("") => (&recording.video, "video/mp4"),
        None if path == OTHER_FORMATS_PATH => (&recording.video, "application/octet-stream"),
        _ => return None,
    };
    Some((recording, content, content_type))
}

//! The Rapatin account: its sessions, its tokens, and its URLs on the web host.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::{Mutex, RwLock};
use sha2::{Digest, Sha256};

use super::archive::{Content, FileLocation, MeetingFile, hexadecimal};
use super::file_paths::replay_path;
use super::rapatin_archive::{RapatinSession, RapatinStatus};
use super::reply::Reply;
use super::request_head::RequestHead;
use super::signed_urls::SignedUrls;
use super::store::Object;

/// Path of the URLs on the web host that contain their own authorization.
pub(super) const LINKS: &str = "/rec/webhook_download/";

/// E-mail address and password. They are valid for an embedded server only.
pub(super) const LOGIN: (&str, &str) = ("ana@example.org", "demo-password");

/// One Rapatin account. No lock is held while another is taken.
#[derive(Debug)]
pub(super) struct Rapatin {
    pub(super) sessions: RwLock<Vec<RapatinSession>>,
    tokens: Mutex<Tokens>,
    /// Part of every URL, with `key`: increasing it makes all earlier URLs stale.
    generation: AtomicU64,
    key: [u8; 16],
}

#[derive(Debug, Default)]
struct Tokens {
    valid: HashSet<String>,
    issued: u64,
    long_lived: Option<String>,
}

impl Tokens {
    fn issue(&mut self) -> String {
        self.issued += 1;
        let random_bytes: [u8; 20] = std::array::from_fn(|_| fastrand::u8(..));
        let token = format!("{}|{}", self.issued, hexadecimal(&random_bytes));
        self.valid.insert(token.clone());
        token
    }
}

impl Rapatin {
    /// Returns one token, the same until all tokens expire.
    pub(super) fn long_lived_token(&self) -> String {
        let mut tokens = self.tokens.lock();
        match &tokens.long_lived {
            Some(token) if tokens.valid.contains(token) => token.clone(),
            _ => {
                let token = tokens.issue();
                tokens.long_lived = Some(token.clone());
                token
            }
        }
    }

    pub(super) fn expire_tokens(&self) {
        self.tokens.lock().valid.clear();
    }

    pub(super) fn expire_signed_urls(&self) {
        self.generation.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn new(sessions: Vec<RapatinSession>) -> Self {
        Self {
            sessions: RwLock::new(sessions),
            tokens: Mutex::default(),
            generation: AtomicU64::new(0),
            key: std::array::from_fn(|_| fastrand::u8(..)),
        }
    }

    pub(super) fn sessions(&self) -> Vec<RapatinSession> {
        self.sessions.read().clone()
    }

    pub(super) fn issue_token(&self) -> String {
        self.tokens.lock().issue()
    }

    pub(super) fn is_valid(&self, token: &str) -> bool {
        self.tokens.lock().valid.contains(token)
    }

    /// Returns the current URL of a file. All URLs of one generation are equal.
    pub(super) fn link(
        &self,
        session: &RapatinSession,
        place: usize,
        file: &MeetingFile,
        web: &str,
    ) -> String {
        let opaque = opaque(session, place, file);
        let query = if file.place == FileLocation::LinkWithQuery { "?type=cc" } else { "" };
        format!("{web}{LINKS}{opaque}/{}{query}", self.seal(&opaque))
    }

    fn seal(&self, opaque: &str) -> String {
        let mut digest = Sha256::new();
        digest.update(self.key);
        digest.update(self.generation.load(Ordering::Relaxed).to_be_bytes());
        digest.update(opaque);
        URL_SAFE_NO_PAD.encode(digest.finalize())
    }

    /// Answers a request below [`LINKS`]: redirects to a signed URL, or returns a page if the URL
    /// is stale.
    pub(super) fn follow(
        &self,
        request: &RequestHead,
        links: &SignedUrls,
        media_origin: &str,
    ) -> Reply {
        let sealed = request.path.strip_prefix(LINKS).and_then(|rest| rest.split_once('/'));
        let found = sealed
            .filter(|(opaque, seal)| self.seal(opaque) == *seal)
            .and_then(|(opaque, _)| Some((opaque, self.file(opaque)?)));
        let Some((opaque, file)) = found else { return Reply::password_page() };
        let (origin, path) = match &file.content {
            Content::Elsewhere { origin, path, .. } => (origin.as_str(), path.clone()),
            Content::Stored(_) | Content::Pattern { .. } => {
                (media_origin, replay_path(opaque, &file))
            }
        };
        let address = links.signed(origin, &path, file.content_type());
        Reply::new(302, "text/html;charset=UTF-8", "").with("location", address)
    }

    /// Returns the file of a URL.
    pub(super) fn file(&self, wanted: &str) -> Option<MeetingFile> {
        let sessions = self.sessions.read();
        let found = downloadable(&sessions)
            .find(|(session, place, file)| opaque(session, *place, file) == wanted);
        found.map(|(_, _, file)| file.clone())
    }

    pub(super) fn objects(&self) -> Vec<Object> {
        let sessions = self.sessions.read();
        downloadable(&sessions)
            .map(|(session, place, file)| {
                let opaque = opaque(session, place, file);
                Object {
                    meeting: session.uuid.clone(),
                    topic: session.topic.clone(),
                    file_id: None,
                    file_type: file.file_type.clone(),
                    recording_type: file.recording_type.clone(),
                    recording_start: file.recording_start,
                    length: file.content.length(),
                    web_path: format!("{LINKS}{opaque}/{}", self.seal(&opaque)),
                    media_path: replay_path(&opaque, file),
                    content: file.content.clone(),
                }
            })
            .collect()
    }
}

fn downloadable(
    sessions: &[RapatinSession],
) -> impl Iterator<Item = (&RapatinSession, usize, &MeetingFile)> {
    let ready = sessions.iter().filter(|session| session.status == RapatinStatus::Ready);
    ready.flat_map(|session| {
        session.files.iter().enumerate().map(move |(place, file)| (session, place, file))
    })
}

fn opaque(session: &RapatinSession, place: usize, file: &MeetingFile) -> String {
    let view = file.recording_type.as_deref().unwrap_or("");
    let place = place.to_string();
    let key = ["rapatin", &session.uuid, &file.file_type, view, &place].join("\n");
    URL_SAFE_NO_PAD.encode(Sha256::digest(key))
}

//! Rapatin's side of the cloud: its sessions, its tokens, and its links on the web host.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::{Mutex, RwLock};
use sha2::{Digest, Sha256};

use super::DemoCloud;
use super::archive::{Content, MeetingFile, Place, hexadecimal};
use super::asked::Asked;
use super::links::Links;
use super::rapatin_sessions::{RapatinSession, RapatinStatus};
use super::reply::Reply;
use super::store::{Object, replay_path};

/// Where the web host has the links that carry their permission.
pub(super) const LINKS: &str = "/rec/webhook_download/";

/// The account's e-mail address and password. They open nothing but a cloud made for the occasion.
pub(super) const LOGIN: (&str, &str) = ("ana@example.org", "demo-password");

/// One account of Rapatin's. No two of its locks are held at once.
#[derive(Debug)]
pub(super) struct Rapatin {
    sessions: RwLock<Vec<RapatinSession>>,
    tokens: Mutex<Tokens>,
    /// Goes into every link with `key`: raising it makes all links given before stale.
    generation: AtomicU64,
    key: [u8; 16],
}

#[derive(Debug, Default)]
struct Tokens {
    valid: HashSet<String>,
    issued: u64,
    given: Option<String>,
}

impl Tokens {
    fn issue(&mut self) -> String {
        self.issued += 1;
        let chance: [u8; 20] = std::array::from_fn(|_| fastrand::u8(..));
        let token = format!("{}|{}", self.issued, hexadecimal(&chance));
        self.valid.insert(token.clone());
        token
    }
}

impl Rapatin {
    pub(super) fn new(sessions: Vec<RapatinSession>) -> Self {
        Self {
            sessions: RwLock::new(sessions),
            tokens: Mutex::default(),
            generation: AtomicU64::new(0),
            key: std::array::from_fn(|_| fastrand::u8(..)),
        }
    }

    /// The sessions as they are now.
    pub(super) fn sessions(&self) -> Vec<RapatinSession> {
        self.sessions.read().clone()
    }

    pub(super) fn issue_token(&self) -> String {
        self.tokens.lock().issue()
    }

    pub(super) fn is_valid(&self, token: &str) -> bool {
        self.tokens.lock().valid.contains(token)
    }

    /// The address of a file of a session as of now. All addresses of one generation are the same.
    pub(super) fn link(
        &self,
        session: &RapatinSession,
        place: usize,
        file: &MeetingFile,
        web: &str,
    ) -> String {
        let opaque = opaque(session, place, file);
        let query = if file.place == Place::LinkWithQuery { "?type=cc" } else { "" };
        format!("{web}{LINKS}{opaque}/{}{query}", self.seal(&opaque))
    }

    fn seal(&self, opaque: &str) -> String {
        let mut digest = Sha256::new();
        digest.update(self.key);
        digest.update(self.generation.load(Ordering::Relaxed).to_be_bytes());
        digest.update(opaque);
        URL_SAFE_NO_PAD.encode(digest.finalize())
    }

    /// Answers a request below [`LINKS`]: on to a signed link, or a page where the link has gone stale.
    pub(super) fn follow(&self, asked: &Asked, links: &Links, media_origin: &str) -> Reply {
        let sealed = asked.path.strip_prefix(LINKS).and_then(|rest| rest.split_once('/'));
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

    /// The file behind a link.
    pub(super) fn file(&self, wanted: &str) -> Option<MeetingFile> {
        let sessions = self.sessions.read();
        let found = downloadable(&sessions)
            .find(|(session, place, file)| opaque(session, *place, file) == wanted);
        found.map(|(_, _, file)| file.clone())
    }

    fn objects(&self) -> Vec<Object> {
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

impl DemoCloud {
    /// Base address of Rapatin's API: `http://127.0.0.1:PORT`.
    pub fn rapatin_api_url(&self) -> String {
        self.shared.origins.rapatin.clone()
    }

    /// A bearer token for Rapatin's API that works until [`expire_rapatin_tokens`](Self::expire_rapatin_tokens), and
    /// the same until then.
    pub fn rapatin_token(&self) -> String {
        let mut tokens = self.shared.rapatin.tokens.lock();
        match &tokens.given {
            Some(token) if tokens.valid.contains(token) => token.clone(),
            _ => {
                let token = tokens.issue();
                tokens.given = Some(token.clone());
                token
            }
        }
    }

    /// E-mail address and password of Rapatin's account.
    pub fn rapatin_login(&self) -> (String, String) {
        (LOGIN.0.to_owned(), LOGIN.1.to_owned())
    }

    /// Makes every token of Rapatin's issued so far worthless.
    pub fn expire_rapatin_tokens(&self) {
        self.shared.rapatin.tokens.lock().valid.clear();
    }

    /// Makes every link that Rapatin has given so far lead to a page instead of a file.
    pub fn expire_rapatin_links(&self) {
        self.shared.rapatin.generation.fetch_add(1, Ordering::Relaxed);
    }

    /// Adds a session at Rapatin, or replaces the one with its UUID.
    pub fn add_rapatin_session(&self, session: RapatinSession) {
        let mut sessions = self.shared.rapatin.sessions.write();
        sessions.retain(|old| old.uuid != session.uuid);
        sessions.push(session);
    }

    /// Changes a session at Rapatin in any way; false if there is none with that UUID.
    pub fn change_rapatin_session(
        &self,
        uuid: &str,
        change: impl FnOnce(&mut RapatinSession),
    ) -> bool {
        let mut sessions = self.shared.rapatin.sessions.write();
        sessions.iter_mut().find(|session| session.uuid == uuid).map(change).is_some()
    }

    /// Removes a session at Rapatin; false if there is none with that UUID.
    pub fn remove_rapatin_session(&self, uuid: &str) -> bool {
        let mut sessions = self.shared.rapatin.sessions.write();
        let before = sessions.len();
        sessions.retain(|session| session.uuid != uuid);
        sessions.len() < before
    }

    /// The sessions at Rapatin as they are now.
    pub fn rapatin_sessions(&self) -> Vec<RapatinSession> {
        self.shared.rapatin.sessions()
    }

    /// Everything of Rapatin's that can be downloaded now.
    pub fn rapatin_objects(&self) -> Vec<Object> {
        self.shared.rapatin.objects()
    }
}

//! The Rapatin account: its sessions, its tokens, and its download URLs on the web host.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use parking_lot::{Mutex, RwLock};
use sha2::{Digest, Sha256};

use super::archive::{Content, FileLocation, MeetingFile, to_hexadecimal};
use super::file_paths::replay_path;
use super::rapatin_archive::{RapatinSession, RapatinStatus};
use super::reply::Reply;
use super::request_head::RequestHead;
use super::signed_urls::SignedUrls;
use super::store::Object;

/// Path prefix of the download URLs on the web host. These URLs contain their own authorization.
pub(super) const URL_PREFIX: &str = "/rec/webhook_download/";

/// E-mail address and password, which only the demo server accepts.
pub(super) const LOGIN: (&str, &str) = ("ana@example.org", "demo-password");

/// A Rapatin account. No lock is held while another is acquired.
#[derive(Debug)]
pub(super) struct Rapatin {
    pub(super) sessions: RwLock<Vec<RapatinSession>>,
    tokens: Mutex<Tokens>,
    /// Part of the signature of every URL. Increasing it expires all earlier URLs.
    generation: AtomicU64,
    key: [u8; 16],
}

#[derive(Debug, Default)]
struct Tokens {
    valid_tokens: HashSet<String>,
    issued_count: u64,
    long_lived_token: Option<String>,
}

impl Tokens {
    fn issue(&mut self) -> String {
        self.issued_count += 1;
        let random_bytes: [u8; 20] = std::array::from_fn(|_| fastrand::u8(..));
        let token = format!("{}|{}", self.issued_count, to_hexadecimal(&random_bytes));
        self.valid_tokens.insert(token.clone());
        token
    }
}

impl Rapatin {
    /// Returns a long-lived token. Every call returns the same token until all tokens expire.
    pub(super) fn long_lived_token(&self) -> String {
        let mut tokens = self.tokens.lock();
        match &tokens.long_lived_token {
            Some(token) if tokens.valid_tokens.contains(token) => token.clone(),
            _ => {
                let token = tokens.issue();
                tokens.long_lived_token = Some(token.clone());
                token
            }
        }
    }

    pub(super) fn expire_tokens(&self) {
        self.tokens.lock().valid_tokens.clear();
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
        self.tokens.lock().valid_tokens.contains(token)
    }

    /// Returns the current download URL of a file. The URL does not change until all URLs are
    /// expired.
    pub(super) fn download_url(
        &self,
        session: &RapatinSession,
        index: usize,
        file: &MeetingFile,
        web_origin: &str,
    ) -> String {
        let opaque_id = opaque_id(session, index, file);
        let query =
            if file.location == FileLocation::DownloadUrlWithQuery { "?type=cc" } else { "" };
        format!("{web_origin}{URL_PREFIX}{opaque_id}/{}{query}", self.compute_signature(&opaque_id))
    }

    fn compute_signature(&self, opaque_id: &str) -> String {
        let mut digest = Sha256::new();
        digest.update(self.key);
        digest.update(self.generation.load(Ordering::Relaxed).to_be_bytes());
        digest.update(opaque_id);
        URL_SAFE_NO_PAD.encode(digest.finalize())
    }

    /// Answers a request for a download URL: redirects to a signed URL, or returns a web page if
    /// the URL has expired.
    pub(super) fn redirect(
        &self,
        request: &RequestHead,
        signed_urls: &SignedUrls,
        media_origin: &str,
    ) -> Reply {
        let id_and_signature =
            request.path.strip_prefix(URL_PREFIX).and_then(|path| path.split_once('/'));
        let id_and_file = id_and_signature
            .filter(|(opaque_id, signature)| self.compute_signature(opaque_id) == *signature)
            .and_then(|(opaque_id, _)| Some((opaque_id, self.find_file(opaque_id)?)));
        let Some((opaque_id, file)) = id_and_file else { return Reply::password_page() };
        let (origin, path) = match &file.content {
            Content::External { origin, path, .. } => (origin.as_str(), path.clone()),
            Content::Stored(_) | Content::Pattern { .. } | Content::Sparse { .. } => {
                (media_origin, replay_path(opaque_id, &file))
            }
        };
        let signed_url = signed_urls.sign(origin, &path, file.content_type());
        Reply::new(302, "text/html;charset=UTF-8", "").with_header("location", signed_url)
    }

    /// Returns the file whose URLs contain this id.
    pub(super) fn find_file(&self, requested_id: &str) -> Option<MeetingFile> {
        let sessions = self.sessions.read();
        let requested_file = downloadable_files(&sessions)
            .find(|(session, index, file)| opaque_id(session, *index, file) == requested_id);
        requested_file.map(|(_, _, file)| file.clone())
    }

    pub(super) fn objects(&self) -> Vec<Object> {
        let sessions = self.sessions.read();
        downloadable_files(&sessions)
            .map(|(session, index, file)| {
                let opaque_id = opaque_id(session, index, file);
                Object {
                    meeting_uuid: session.uuid.clone(),
                    topic: session.topic.clone(),
                    file_id: None,
                    file_type: file.file_type.clone(),
                    recording_type: file.recording_type.clone(),
                    recording_start: file.recording_start,
                    length: file.content.length(),
                    web_path: format!(
                        "{URL_PREFIX}{opaque_id}/{}",
                        self.compute_signature(&opaque_id)
                    ),
                    media_path: replay_path(&opaque_id, file),
                    content: file.content.clone(),
                }
            })
            .collect()
    }
}

fn downloadable_files(
    sessions: &[RapatinSession],
) -> impl Iterator<Item = (&RapatinSession, usize, &MeetingFile)> {
    let ready_sessions = sessions.iter().filter(|session| session.status == RapatinStatus::Ready);
    ready_sessions.flat_map(|session| {
        session.files.iter().enumerate().map(move |(index, file)| (session, index, file))
    })
}

fn opaque_id(session: &RapatinSession, index: usize, file: &MeetingFile) -> String {
    let view = file.recording_type.as_deref().unwrap_or("");
    let index = index.to_string();
    let identity = ["rapatin", &session.uuid, &file.file_type, view, &index].join("\n");
    URL_SAFE_NO_PAD.encode(Sha256::digest(identity))
}

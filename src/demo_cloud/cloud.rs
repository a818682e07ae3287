//! Starts and stops the demo server, and changes the data that it serves while it runs.

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::RwLock;
use tokio::sync::oneshot;

use super::archive::{Archive, FileStatus, Meeting};
use super::faults::{self, Fault};
use super::oauth::{self, Credentials};
use super::page_tokens;
use super::rapatin;
use super::rapatin_archive::RapatinSession;
use super::request_log::{self, Request, Server};
use super::server::{self, Origins, SharedState};
use super::sign_in::SignInCounts;
use super::signed_urls;
use super::store::{self, Object};
use super::webex_api::{self, WebexCredentials};
use super::webex_archive::{WebexArchive, WebexObject, WebexRecording};
use super::webex_tickets;
use super::zoom_limits::{self, ZoomLabel, ZoomLimits};
use super::zoom_web::AcceptedCredentials;

/// The options of a demo server.
#[derive(Clone, Debug)]
pub struct DemoCloudOptions {
    pub archive: Archive,
    pub rapatin_sessions: Vec<RapatinSession>,
    /// Maximum number of meetings per page of a listing, from 1 to 300.
    pub max_page_size: u32,
    pub token_ttl: Duration,
    /// TTL of the signed URLs of Zoom and Rapatin, rounded up to a full second.
    pub signed_url_ttl: Duration,
    /// Delay of every response, on all servers.
    pub first_byte_latency: Duration,
    /// Limit on the body bytes per second of each connection; `None` for no limit.
    pub bytes_per_second: Option<u64>,
    /// Faults that are active from the start.
    pub faults: Vec<Fault>,
    /// Credentials that download URLs accept.
    pub accepted_credentials: AcceptedCredentials,
    /// Rate limits of the Zoom API, which returns 429 above them; `None` for no limits.
    pub zoom_limits: Option<ZoomLimits>,
    pub webex_archive: WebexArchive,
    pub webex_signed_url_ttl: Duration,
    /// Scopes that Zoom's tokens lack. Names are without `:admin`.
    pub withheld_scopes: Vec<String>,
    /// Whether Zoom and Webex serve the files of recordings in their recycle bins.
    pub is_trash_served: bool,
}

impl Default for DemoCloudOptions {
    /// Returns options with empty archives, no faults and no limits. Tokens and URLs are valid for
    /// an hour, and Webex's URLs for three hours.
    fn default() -> Self {
        Self {
            archive: Archive::empty(),
            rapatin_sessions: Vec::new(),
            max_page_size: 300,
            token_ttl: Duration::from_secs(3600),
            signed_url_ttl: Duration::from_secs(3600),
            first_byte_latency: Duration::ZERO,
            bytes_per_second: None,
            faults: Vec::new(),
            zoom_limits: None,
            accepted_credentials: AcceptedCredentials::default(),
            webex_archive: WebexArchive::empty(),
            webex_signed_url_ttl: Duration::from_secs(3 * 3600),
            withheld_scopes: Vec::new(),
            is_trash_served: false,
        }
    }
}

/// A running demo server. When it is dropped, it stops its listeners and waits for its threads.
#[derive(Debug)]
pub struct DemoCloud {
    shared_state: Arc<SharedState>,
    /// Dropping the sender stops the server.
    stop_sender: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl DemoCloud {
    /// Starts the servers on free ports of 127.0.0.1. They accept requests when this function
    /// returns.
    ///
    /// # Errors
    /// Returns an error if no port is available or a thread cannot be started.
    pub fn start(options: DemoCloudOptions) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            // One thread computes bytes while the other writes them. More threads would take
            // processor time from the client.
            .worker_threads(2)
            .thread_name("demo-cloud")
            .enable_all()
            .build()?;
        let (api, api_origin) = listen()?;
        let (web, web_origin) = listen()?;
        let (media, media_origin) = listen()?;
        let (webex, webex_origin) = listen()?;
        let (rapatin, rapatin_origin) = listen()?;
        let shared_state = Arc::new(SharedState {
            store: RwLock::new(store::Store::new(options.archive, options.is_trash_served)),
            tokens: oauth::Tokens::new(options.token_ttl, options.withheld_scopes),
            signed_urls: signed_urls::SignedUrls::new(options.signed_url_ttl),
            page_tokens: page_tokens::PageTokens::default(),
            webex: webex_api::WebexSite {
                archive: RwLock::new(options.webex_archive),
                tokens: oauth::Tokens::new(options.token_ttl, Vec::new()),
                tickets: webex_tickets::Tickets::new(options.webex_signed_url_ttl),
                max_page_size: options.max_page_size as usize,
                is_trash_served: options.is_trash_served,
                origin: webex_origin,
                media_origin: media_origin.clone(),
            },
            rapatin: rapatin::Rapatin::new(options.rapatin_sessions),
            faults: faults::Faults::new(options.faults),
            log: request_log::RequestLog::new(),
            zoom_calls: zoom_limits::CallCounter::new(options.zoom_limits),
            origins: Origins {
                api: api_origin,
                web: web_origin,
                media: media_origin,
                rapatin: rapatin_origin,
            },
            max_page_size: options.max_page_size,
            accepted_credentials: options.accepted_credentials,
            first_byte_latency: options.first_byte_latency,
            bytes_per_second: options.bytes_per_second,
        });
        {
            let _runtime_guard = runtime.enter();
            let servers = [
                (Server::Api, api),
                (Server::Web, web),
                (Server::Media, media),
                (Server::Webex, webex),
                (Server::Rapatin, rapatin),
            ];
            for (server, listener) in servers {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                runtime.spawn(server::accept(Arc::clone(&shared_state), server, listener));
            }
        }
        let (stop_sender, stop_receiver) = oneshot::channel::<()>();
        // A runtime must not be dropped on a thread of another runtime, and the owner of this
        // server may be on such a thread.
        let thread = std::thread::Builder::new().name("demo-cloud".into()).spawn(move || {
            let _ = runtime.block_on(stop_receiver);
        })?;
        Ok(Self { shared_state, stop_sender: Some(stop_sender), thread: Some(thread) })
    }

    /// Returns the base URL of the Zoom API: `http://127.0.0.1:PORT/v2`.
    pub fn api_url(&self) -> String {
        format!("{}/v2", self.shared_state.origins.api)
    }

    /// Returns the URL of Zoom's token endpoint.
    pub fn oauth_url(&self) -> String {
        format!("{}/oauth/token", self.shared_state.origins.api)
    }

    /// Returns the URL that serves the totals of requests and bytes as JSON.
    pub fn summary_url(&self) -> String {
        format!("{}/demo/summary", self.shared_state.origins.api)
    }

    /// Returns the credentials of the Server-to-Server app.
    pub fn credentials(&self) -> Credentials {
        Credentials::demo()
    }

    /// Returns the numbers of sign-ins and renewals of Zoom's apps.
    pub fn sign_in_counts(&self) -> SignInCounts {
        self.shared_state.tokens.sign_ins().counts()
    }

    /// Returns the number of sign-ins to Webex. The other counts stay 0, because Webex does not
    /// replace refresh tokens.
    pub fn webex_sign_in_counts(&self) -> SignInCounts {
        self.shared_state.webex.tokens.sign_ins().counts()
    }

    /// Revokes all sign-ins to Zoom's apps and expires all access tokens.
    pub fn revoke_sign_ins(&self) {
        self.shared_state.tokens.sign_ins().revoke_all();
        self.shared_state.tokens.expire_all();
    }

    /// Sets the scopes that Zoom's tokens lack from now on. Names are without `:admin`.
    pub fn withhold_scopes(&self, scopes: &[&str]) {
        self.shared_state
            .tokens
            .set_withheld_scopes(scopes.iter().map(|scope| (*scope).to_owned()).collect());
    }

    /// Returns a bearer token that is valid until [`expire_tokens`](Self::expire_tokens) is called.
    /// Until then, every call returns the same token.
    pub fn long_lived_token(&self) -> String {
        self.shared_state.tokens.long_lived_token()
    }

    /// Returns the last 200,000 requests, oldest first. A request is logged before its response
    /// begins.
    pub fn requests(&self) -> Vec<Request> {
        self.shared_state.log.requests()
    }

    pub fn clear_requests(&self) {
        self.shared_state.log.clear();
    }

    /// Returns the highest number of calls with this label in any second so far.
    pub fn max_zoom_calls_per_second(&self, label: ZoomLabel) -> usize {
        self.shared_state.zoom_calls.max_calls_per_second(label)
    }

    /// Appends a fault to the list of faults.
    pub fn inject(&self, fault: Fault) {
        self.shared_state.faults.inject(fault);
    }

    /// Removes all faults. Stalled bodies continue, and the connections of unanswered requests are
    /// closed.
    pub fn clear_faults(&self) {
        self.shared_state.faults.clear_faults();
    }

    /// Expires all tokens of Zoom and Webex that were issued so far.
    pub fn expire_tokens(&self) {
        self.shared_state.tokens.expire_all();
        self.shared_state.webex.tokens.expire_all();
    }

    /// Makes all signed URLs that were issued so far return 403.
    pub fn expire_signed_urls(&self) {
        self.shared_state.signed_urls.expire_all();
        self.shared_state.webex.tickets.expire_all();
    }

    /// Invalidates all values of `next_page_token` that were issued so far.
    pub fn expire_page_tokens(&self) {
        self.shared_state.page_tokens.expire_all();
    }

    /// Adds a meeting, or replaces the meeting with the same UUID.
    pub fn add_meeting(&self, meeting: Meeting) {
        self.shared_state.store.write().add_meeting(meeting);
    }

    /// Moves a meeting to the trash. Returns `false` if it does not exist.
    pub fn trash_meeting(&self, uuid: &str, deletion_time: Timestamp) -> bool {
        self.shared_state.store.write().trash_meeting(uuid, deletion_time)
    }

    /// Moves the files of one type, such as `MP4`, to the trash. Returns `false` if there are none.
    pub fn trash_files(&self, uuid: &str, file_type: &str, deletion_time: Timestamp) -> bool {
        self.shared_state.store.write().trash_files(uuid, file_type, deletion_time)
    }

    /// Restores a meeting and its files from the trash. Returns `false` if none of them is in the
    /// trash.
    pub fn restore_meeting(&self, uuid: &str) -> bool {
        self.shared_state.store.write().restore_meeting(uuid)
    }

    /// Permanently deletes a meeting and its files from the trash. Returns `false` if none of them
    /// is in the trash.
    pub fn purge_meeting(&self, uuid: &str) -> bool {
        self.shared_state.store.write().purge_meeting(uuid)
    }

    /// Sets whether Zoom serves the files of recordings in its trash.
    pub fn set_trash_served(&self, is_served: bool) {
        self.shared_state.store.write().is_trash_served = is_served;
    }

    /// Permanently removes a meeting that is not in the trash. Returns `false` if it does not
    /// exist.
    pub fn remove_meeting(&self, uuid: &str) -> bool {
        self.shared_state.store.write().remove_meeting(uuid)
    }

    /// Marks the files of a meeting that are being processed as completed. Returns `false` if the
    /// meeting does not exist.
    pub fn finish_processing(&self, uuid: &str) -> bool {
        self.change_meeting(uuid, |meeting| {
            for file in
                meeting.files.iter_mut().filter(|file| file.status == FileStatus::Processing)
            {
                file.status = FileStatus::Completed;
            }
        })
    }

    /// Applies `change` to a meeting. Returns `false` if the meeting does not exist.
    pub fn change_meeting(&self, uuid: &str, change: impl FnOnce(&mut Meeting)) -> bool {
        self.shared_state.store.write().change_meeting(uuid, change)
    }

    /// Returns the current meetings, newest first.
    pub fn meetings(&self) -> Vec<Meeting> {
        self.shared_state.store.read().meetings().to_vec()
    }

    /// Returns all files that can be downloaded from Zoom now.
    pub fn objects(&self) -> Vec<Object> {
        self.shared_state.store.read().objects()
    }

    /// Returns the base URL of the Webex API: `http://127.0.0.1:PORT/v1`.
    pub fn webex_api_url(&self) -> String {
        format!("{}/v1", self.shared_state.webex.origin)
    }

    /// Returns the URL of Webex's token endpoint.
    pub fn webex_oauth_url(&self) -> String {
        format!("{}/v1/access_token", self.shared_state.webex.origin)
    }

    /// Returns the credentials of the Webex app.
    pub fn webex_credentials(&self) -> WebexCredentials {
        WebexCredentials::demo()
    }

    /// Returns a personal token for Webex that is valid until
    /// [`expire_tokens`](Self::expire_tokens) is called. Until then, every call returns the same
    /// token.
    pub fn webex_token(&self) -> String {
        self.shared_state.webex.tokens.long_lived_token()
    }

    /// Adds a recording, or replaces the recording with the same id.
    pub fn add_webex_recording(&self, recording: WebexRecording) {
        let mut archive = self.shared_state.webex.archive.write();
        archive.recordings.retain(|existing| existing.id != recording.id);
        archive.recordings.push(recording);
    }

    /// Applies `change` to a recording. Returns `false` if the recording does not exist.
    pub fn change_webex_recording(
        &self,
        id: &str,
        change: impl FnOnce(&mut WebexRecording),
    ) -> bool {
        let mut archive = self.shared_state.webex.archive.write();
        archive.recordings.iter_mut().find(|recording| recording.id == id).map(change).is_some()
    }

    /// Moves a recording to the recycle bin. Returns `false` if it does not exist.
    pub fn trash_webex_recording(&self, id: &str) -> bool {
        self.change_webex_recording(id, |recording| recording.status = "deleted".into())
    }

    /// Restores a recording from the recycle bin. Returns `false` if it does not exist.
    pub fn restore_webex_recording(&self, id: &str) -> bool {
        self.change_webex_recording(id, |recording| recording.status = "available".into())
    }

    /// Marks a recording as permanently deleted. Returns `false` if it does not exist.
    pub fn purge_webex_recording(&self, id: &str) -> bool {
        self.change_webex_recording(id, |recording| recording.status = "purged".into())
    }

    /// Removes a recording. Returns `false` if it does not exist.
    pub fn remove_webex_recording(&self, id: &str) -> bool {
        let mut archive = self.shared_state.webex.archive.write();
        let previous_len = archive.recordings.len();
        archive.recordings.retain(|recording| recording.id != id);
        archive.recordings.len() < previous_len
    }

    /// Returns all files that can be downloaded from Webex now.
    pub fn webex_objects(&self) -> Vec<WebexObject> {
        let archive = self.shared_state.webex.archive.read();
        archive.recordings.iter().flat_map(WebexRecording::objects).collect()
    }

    /// Returns the base URL of the Rapatin API: `http://127.0.0.1:PORT`.
    pub fn rapatin_api_url(&self) -> String {
        self.shared_state.origins.rapatin.clone()
    }

    /// Returns a bearer token for Rapatin that is valid until
    /// [`expire_rapatin_tokens`](Self::expire_rapatin_tokens) is called. Until then, every call
    /// returns the same token.
    pub fn rapatin_token(&self) -> String {
        self.shared_state.rapatin.long_lived_token()
    }

    /// Returns the e-mail address and the password of the Rapatin account.
    pub fn rapatin_login(&self) -> (String, String) {
        (rapatin::LOGIN.0.to_owned(), rapatin::LOGIN.1.to_owned())
    }

    /// Expires all tokens of Rapatin that were issued so far.
    pub fn expire_rapatin_tokens(&self) {
        self.shared_state.rapatin.expire_tokens();
    }

    /// Makes all download URLs of Rapatin that were issued so far return a web page instead of a
    /// file.
    pub fn expire_rapatin_urls(&self) {
        self.shared_state.rapatin.expire_signed_urls();
    }

    /// Adds a session, or replaces the session with the same UUID.
    pub fn add_rapatin_session(&self, session: RapatinSession) {
        let mut sessions = self.shared_state.rapatin.sessions.write();
        sessions.retain(|existing| existing.uuid != session.uuid);
        sessions.push(session);
    }

    /// Applies `change` to a session. Returns `false` if the session does not exist.
    pub fn change_rapatin_session(
        &self,
        uuid: &str,
        change: impl FnOnce(&mut RapatinSession),
    ) -> bool {
        let mut sessions = self.shared_state.rapatin.sessions.write();
        sessions.iter_mut().find(|session| session.uuid == uuid).map(change).is_some()
    }

    /// Removes a session. Returns `false` if it does not exist.
    pub fn remove_rapatin_session(&self, uuid: &str) -> bool {
        let mut sessions = self.shared_state.rapatin.sessions.write();
        let previous_len = sessions.len();
        sessions.retain(|session| session.uuid != uuid);
        sessions.len() < previous_len
    }

    pub fn rapatin_sessions(&self) -> Vec<RapatinSession> {
        self.shared_state.rapatin.sessions()
    }

    /// Returns all files that can be downloaded from Rapatin now.
    pub fn rapatin_objects(&self) -> Vec<Object> {
        self.shared_state.rapatin.objects()
    }
}

impl Drop for DemoCloud {
    fn drop(&mut self) {
        self.stop_sender.take();
        if let Some(thread) = self.thread.take() {
            // The thread drops the runtime before it ends.
            let _ = thread.join();
        }
    }
}

fn listen() -> io::Result<(TcpListener, String)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let origin = format!("http://{}", listener.local_addr()?);
    Ok((listener, origin))
}

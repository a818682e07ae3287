//! An embedded cloud that speaks the interfaces of Zoom, Webex and Rapatin over real HTTP on loopback, quirks included.
//!
//! `meetfs mount --demo` runs one in its own process, tests and benchmarks in theirs. What enters: an
//! [`Archive`], options, and [`Fault`]s. What leaves: addresses to put into a configuration, and the log of what
//! was asked. Zoom has three servers, as the real one: the API with OAuth, the web host whose download links redirect,
//! and the media host that serves signed links. Webex has an API with OAuth of its own, and its links on the media host;
//! Rapatin has an API, and Zoom's links.
//!
//! This room must know nothing of the client it is there for, and uses no other room: a misunderstanding that
//! both sides shared would never show. It prints nothing.

mod archive;
mod asked;
mod body;
mod company;
mod demo_archive;
mod faults;
mod links;
mod log;
mod media;
mod oauth;
mod pages;
mod pattern;
mod rapatin;
mod rapatin_api;
mod rapatin_sessions;
mod reply;
mod server;
mod sign_in;
mod store;
mod web;
mod webex_api;
mod webex_archive;
mod webex_demo;
mod webex_json;
mod webex_tickets;
mod wire;
mod zoom_api;
mod zoom_json;
mod zoom_limits;
mod zoom_trash;

use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::RwLock;
use tokio::sync::oneshot;

pub use archive::{
    Archive, Content, FileStatus, Host, ListedSize, Meeting, MeetingFile, Participant, Place,
    WithoutFiles,
};
pub use faults::{Effect, Fault, FaultPlan, RetryAfter, Trigger};
pub use log::{Request, Server};
pub use oauth::{Credentials, UserApp};
pub use pattern::{PATTERN_HEAD, pattern_bytes, pattern_seed};
pub use rapatin_sessions::{RapatinSession, RapatinStatus};
pub use sign_in::SignInCounts;
pub use store::Object;
pub use web::DownloadHeader;
pub use webex_api::WebexCredentials;
pub use webex_archive::{WebexArchive, WebexFile, WebexObject, WebexRecording};
pub use zoom_limits::{ZoomLabel, ZoomLimits};

use server::{Origins, Shared};

/// How a cloud is set up.
#[derive(Clone, Debug)]
pub struct DemoCloudOptions {
    /// What it holds.
    pub archive: Archive,
    /// What Rapatin's account holds.
    pub rapatin: Vec<RapatinSession>,
    /// Most meetings a page of a listing; 1 to 300.
    pub page_cap: u32,
    /// How long a token works.
    pub token_life: Duration,
    /// How long a signed link works, rounded up to the second at which it ends.
    pub link_life: Duration,
    /// How long every answer of every server takes to begin.
    pub first_byte_latency: Duration,
    /// Bytes of body a second on each connection; `None` is as fast as it goes.
    pub bytes_per_second: Option<u64>,
    /// Faults from the start on.
    pub faults: Vec<Fault>,
    /// Which credentials a download link takes.
    pub download_header: DownloadHeader,
    /// How many calls a second Zoom's API answers before it says 429; `None` is as many as come.
    pub zoom_limits: Option<ZoomLimits>,
    /// What it holds for Webex.
    pub webex: WebexArchive,
    /// How long Webex's links work.
    pub webex_link_life: Duration,
    /// Scopes that Zoom's tokens do not have, without their `:admin`.
    pub withheld_scopes: Vec<String>,
    /// Whether Zoom and Webex give out what lies in their recycle bins.
    pub trash_downloads: bool,
}

impl Default for DemoCloudOptions {
    /// Empty archives, an hour for tokens and links, three for Webex's links, no faults and no brakes.
    fn default() -> Self {
        Self {
            archive: Archive::empty(),
            rapatin: Vec::new(),
            page_cap: 300,
            token_life: Duration::from_secs(3600),
            link_life: Duration::from_secs(3600),
            first_byte_latency: Duration::ZERO,
            bytes_per_second: None,
            faults: Vec::new(),
            zoom_limits: None,
            download_header: DownloadHeader::default(),
            webex: WebexArchive::empty(),
            webex_link_life: Duration::from_secs(3 * 3600),
            withheld_scopes: Vec::new(),
            trash_downloads: false,
        }
    }
}

/// A running cloud. Dropping it stops its servers and waits for its threads.
#[derive(Debug)]
pub struct DemoCloud {
    shared: Arc<Shared>,
    /// Sent by being dropped.
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl DemoCloud {
    /// Starts the servers on free ports of 127.0.0.1. They answer once this returns.
    ///
    /// # Errors
    /// A port cannot be had, or a thread cannot be started.
    pub fn start(options: DemoCloudOptions) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            // One thread makes bytes while the other writes them; more would take the processor from the client.
            .worker_threads(2)
            .thread_name("demo-cloud")
            .enable_all()
            .build()?;
        let (api, api_origin) = listen()?;
        let (web, web_origin) = listen()?;
        let (media, media_origin) = listen()?;
        let (webex, webex_origin) = listen()?;
        let (rapatin, rapatin_origin) = listen()?;
        let shared = Arc::new(Shared {
            store: RwLock::new(store::Store::new(options.archive, options.trash_downloads)),
            tokens: oauth::Tokens::new(options.token_life, options.withheld_scopes),
            links: links::Links::new(options.link_life),
            pages: pages::PageTokens::default(),
            webex: webex_api::WebexSite {
                archive: RwLock::new(options.webex),
                tokens: oauth::Tokens::new(options.token_life, Vec::new()),
                tickets: webex_tickets::Tickets::new(options.webex_link_life),
                page_cap: options.page_cap as usize,
                trash_downloads: options.trash_downloads,
                origin: webex_origin,
                media_origin: media_origin.clone(),
            },
            rapatin: rapatin::Rapatin::new(options.rapatin),
            faults: faults::Faults::new(options.faults),
            log: log::Log::new(),
            zoom_calls: zoom_limits::Counter::new(options.zoom_limits),
            origins: Origins {
                api: api_origin,
                web: web_origin,
                media: media_origin,
                rapatin: rapatin_origin,
            },
            page_cap: options.page_cap,
            download_header: options.download_header,
            first_byte_latency: options.first_byte_latency,
            bytes_per_second: options.bytes_per_second,
        });
        {
            let _inside = runtime.enter();
            let servers = [
                (Server::Api, api),
                (Server::Web, web),
                (Server::Media, media),
                (Server::Webex, webex),
                (Server::Rapatin, rapatin),
            ];
            for (server, listener) in servers {
                let listener = tokio::net::TcpListener::from_std(listener)?;
                runtime.spawn(server::accept(Arc::clone(&shared), server, listener));
            }
        }
        let (stop, stopped) = oneshot::channel::<()>();
        // A runtime must not be dropped on a thread that runs another one, and the owner may live on such a thread.
        let thread = std::thread::Builder::new().name("demo-cloud".into()).spawn(move || {
            let _ = runtime.block_on(stopped);
        })?;
        Ok(Self { shared, stop: Some(stop), thread: Some(thread) })
    }

    /// Base address of the API: `http://127.0.0.1:PORT/v2`.
    pub fn api_url(&self) -> String {
        format!("{}/v2", self.shared.origins.api)
    }

    /// Address of the token endpoint.
    pub fn oauth_url(&self) -> String {
        format!("{}/oauth/token", self.shared.origins.api)
    }

    /// Address of what `scripts/demo` shows: totals of requests and bytes as JSON.
    pub fn summary_url(&self) -> String {
        format!("{}/demo/summary", self.shared.origins.api)
    }

    /// What to sign in with.
    pub fn credentials(&self) -> Credentials {
        Credentials::demo()
    }

    /// What became of the users who signed in to Zoom's apps.
    pub fn sign_ins(&self) -> SignInCounts {
        self.shared.tokens.sign_ins().counts()
    }

    /// The same at Webex, where refresh tokens stay.
    pub fn webex_sign_ins(&self) -> SignInCounts {
        self.shared.webex.tokens.sign_ins().counts()
    }

    /// Takes back every permission that a user has given to Zoom's apps; access tokens end with it.
    pub fn revoke_sign_ins(&self) {
        self.shared.tokens.sign_ins().revoke();
        self.shared.tokens.expire_all();
    }

    /// Withholds these scopes from all of Zoom's tokens from now on, and no others; without their `:admin`.
    pub fn withhold_scopes(&self, scopes: &[&str]) {
        self.shared.tokens.withhold(scopes.iter().map(|scope| (*scope).to_owned()).collect());
    }

    /// A bearer token that works until [`expire_tokens`](Self::expire_tokens), and the same until then.
    pub fn long_lived_token(&self) -> String {
        self.shared.tokens.long_lived()
    }

    /// The last 200 000 requests, oldest first. A request is there before its answer begins.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.log.requests()
    }

    /// Forgets the requests so far.
    pub fn clear_requests(&self) {
        self.shared.log.clear();
    }

    /// The most calls of a label that Zoom's API has got in any second so far.
    pub fn most_zoom_calls_in_a_second(&self, label: ZoomLabel) -> usize {
        self.shared.zoom_calls.most(label)
    }

    /// Adds a fault behind those that wait already.
    pub fn inject(&self, fault: Fault) {
        self.shared.faults.inject(fault);
    }

    /// Drops every fault. Stalled bodies go on; requests in a black hole lose their connection.
    pub fn heal(&self) {
        self.shared.faults.heal();
    }

    /// Makes every token issued so far expire.
    pub fn expire_tokens(&self) {
        self.shared.tokens.expire_all();
        self.shared.webex.tokens.expire_all();
    }

    /// Makes every signed link issued so far answer 403.
    pub fn expire_links(&self) {
        self.shared.links.expire_all();
        self.shared.webex.tickets.expire_all();
    }

    /// Makes every `next_page_token` issued so far invalid.
    pub fn expire_page_tokens(&self) {
        self.shared.pages.expire_all();
    }

    /// Adds a meeting, or replaces the one with its UUID.
    pub fn add_meeting(&self, meeting: Meeting) {
        self.shared.store.write().add_meeting(meeting);
    }

    /// Moves a meeting to the trash, deleted at that time; false if there is none with that UUID.
    pub fn trash_meeting(&self, uuid: &str, deleted: Timestamp) -> bool {
        self.shared.store.write().trash_meeting(uuid, deleted)
    }

    /// Moves those of a meeting's files to the trash that are of this kind, as in `MP4`; false if there are none.
    pub fn trash_files(&self, uuid: &str, file_type: &str, deleted: Timestamp) -> bool {
        self.shared.store.write().trash_files(uuid, file_type, deleted)
    }

    /// Puts everything of a meeting back that lies in the trash; false if nothing does.
    pub fn restore_meeting(&self, uuid: &str) -> bool {
        self.shared.store.write().restore(uuid)
    }

    /// Deletes everything of a meeting for good that lies in the trash; false if nothing does.
    pub fn purge_meeting(&self, uuid: &str) -> bool {
        self.shared.store.write().purge(uuid)
    }

    /// Lets Zoom give out what lies in its trash from now on, or not.
    pub fn give_out_trash(&self, given_out: bool) {
        self.shared.store.write().trash_downloads = given_out;
    }

    /// Removes a meeting for good, past the trash; false if there is none with that UUID.
    pub fn remove_meeting(&self, uuid: &str) -> bool {
        self.shared.store.write().remove_meeting(uuid)
    }

    /// Completes the files of a meeting that are processing; false if there is no such meeting.
    pub fn finish_processing(&self, uuid: &str) -> bool {
        self.change_meeting(uuid, |meeting| {
            for file in
                meeting.files.iter_mut().filter(|file| file.status == FileStatus::Processing)
            {
                file.status = FileStatus::Completed;
            }
        })
    }

    /// Changes a meeting in any way: its topic, its files, a file's content; false if there is none with that UUID.
    pub fn change_meeting(&self, uuid: &str, change: impl FnOnce(&mut Meeting)) -> bool {
        self.shared.store.write().change_meeting(uuid, change)
    }

    /// The meetings as they are now, newest first.
    pub fn meetings(&self) -> Vec<Meeting> {
        self.shared.store.read().meetings().to_vec()
    }

    /// Everything that can be downloaded now.
    pub fn objects(&self) -> Vec<Object> {
        self.shared.store.read().objects()
    }

    /// Base address of Webex's API: `http://127.0.0.1:PORT/v1`.
    pub fn webex_api_url(&self) -> String {
        format!("{}/v1", self.shared.webex.origin)
    }

    /// Address at which Webex renews tokens.
    pub fn webex_oauth_url(&self) -> String {
        format!("{}/v1/access_token", self.shared.webex.origin)
    }

    /// What a Webex app renews its token with.
    pub fn webex_credentials(&self) -> WebexCredentials {
        WebexCredentials::demo()
    }

    /// A personal token for Webex that works until [`expire_tokens`](Self::expire_tokens), and the same until then.
    pub fn webex_token(&self) -> String {
        self.shared.webex.tokens.long_lived()
    }

    /// Adds a Webex recording, or replaces the one with its id.
    pub fn add_webex_recording(&self, recording: WebexRecording) {
        let mut archive = self.shared.webex.archive.write();
        archive.recordings.retain(|old| old.id != recording.id);
        archive.recordings.push(recording);
    }

    /// Changes a Webex recording in any way; false if there is none with that id.
    pub fn change_webex_recording(
        &self,
        id: &str,
        change: impl FnOnce(&mut WebexRecording),
    ) -> bool {
        let mut archive = self.shared.webex.archive.write();
        archive.recordings.iter_mut().find(|recording| recording.id == id).map(change).is_some()
    }

    /// Moves a Webex recording to the recycle bin; false if there is none with that id.
    pub fn trash_webex_recording(&self, id: &str) -> bool {
        self.change_webex_recording(id, |recording| recording.status = "deleted".into())
    }

    /// Puts a Webex recording back that lies in the recycle bin; false if there is none with that id.
    pub fn restore_webex_recording(&self, id: &str) -> bool {
        self.change_webex_recording(id, |recording| recording.status = "available".into())
    }

    /// Deletes a Webex recording for good; false if there is none with that id.
    pub fn purge_webex_recording(&self, id: &str) -> bool {
        self.change_webex_recording(id, |recording| recording.status = "purged".into())
    }

    /// Removes a Webex recording; false if there is none with that id.
    pub fn remove_webex_recording(&self, id: &str) -> bool {
        let mut archive = self.shared.webex.archive.write();
        let before = archive.recordings.len();
        archive.recordings.retain(|recording| recording.id != id);
        archive.recordings.len() < before
    }

    /// Everything of Webex's that can be downloaded now.
    pub fn webex_objects(&self) -> Vec<WebexObject> {
        let archive = self.shared.webex.archive.read();
        archive.recordings.iter().flat_map(WebexRecording::objects).collect()
    }
}

impl Drop for DemoCloud {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // It has nothing to say: it waits for the stop and drops the runtime.
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

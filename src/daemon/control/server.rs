//! The daemon's side.

use std::collections::VecDeque;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use jiff::Timestamp;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::report::MountReport;
use super::{Request, directories, expiring, socket_name};
use crate::config::Environment;
use crate::daemon::archive::Archive;

/// Connections that may be open without having asked yet. Each costs a descriptor of the daemon's; a monitor that opens
/// thousands and says nothing loses the oldest for each new one, and whoever does ask is heard at once.
const SILENT: usize = 64;

/// Questions of one kind that are answered at once. Those behind them wait on their connection.
const AT_ONCE: usize = 8;

/// Connections with a question, those that wait included. One more is ended without an answer.
const ASKING: usize = 64;

/// How long a request may take to come. It is written the moment the connection stands.
const ASKED_TIMEOUT: Duration = Duration::from_secs(1);

/// How long an answer may take to be taken.
const RECEIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a refresh is waited for; the largest archives take minutes. Then the answer says how far it is.
const REFRESHED_TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// The longest request, with its line end.
const MAX_REQUEST: u64 = 64;

/// A socket that answers for a mount. Its name goes when it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    path: PathBuf,
}

impl Server {
    /// Makes the socket in the first directory that takes it, and answers until `ended`. A mount works without one: then
    /// `None`, and the log says why.
    ///
    /// Must be called where tasks can be spawned.
    pub(crate) fn start(
        mountpoint: &Path,
        archive: &Arc<Archive>,
        environment: &dyn Environment,
        ended: CancellationToken,
    ) -> Option<Self> {
        let mut troubles = Vec::new();
        for directory in directories(environment) {
            let path = directory.join(socket_name(mountpoint));
            match bind(&directory, &path) {
                Ok(listener) => {
                    let about = About {
                        mountpoint: mountpoint.into(),
                        since: Timestamp::now(),
                        archive: Arc::downgrade(archive),
                    };
                    tokio::spawn(accept(listener, Arc::new(about), ended));
                    return Some(Self { path });
                }
                Err(error) => troubles.push(format!("{}: {error}", directory.display())),
            }
        }
        tracing::warn!(
            "`meetfs status` and `meetfs refresh` cannot reach this mount, for there is no place for its socket ({})",
            troubles.join("; ")
        );
        None
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _it_may_be_gone_with_its_directory = std::fs::remove_file(&self.path);
    }
}

fn bind(directory: &Path, path: &Path) -> std::io::Result<UnixListener> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let found = std::fs::symlink_metadata(directory)?;
    if !found.is_dir() || found.uid() != nix::unistd::geteuid().as_raw() {
        return Err(std::io::Error::other("it is somebody else's"));
    }
    if found.mode() & 0o077 != 0 {
        std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o700))?;
    }
    // That of a daemon that was killed: who mounts has the mountpoint to himself.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

struct About {
    mountpoint: PathBuf,
    since: Timestamp,
    /// Weak, so that a connection that is still open keeps no cache directory from the next mount.
    archive: Weak<Archive>,
}

/// Who is being answered.
struct Places {
    /// Everybody who has asked.
    asking: Arc<Semaphore>,
    /// By kind, so that none waits behind a refresh of minutes or a list that nobody takes.
    answered: [Semaphore; Request::ALL.len()],
}

async fn accept(listener: UnixListener, about: Arc<About>, ended: CancellationToken) {
    let answered = Request::ALL.map(|_| Semaphore::new(AT_ONCE));
    let places = Arc::new(Places { asking: Arc::new(Semaphore::new(ASKING)), answered });
    let mut silent: VecDeque<Silent> = VecDeque::new();
    loop {
        let accepted = tokio::select! {
            () = ended.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            // Out of descriptors, most likely; they come back.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        silent.retain(|connection| !connection.has_asked.is_cancelled());
        if silent.len() >= SILENT {
            silent.pop_front();
        }
        let (about, places, ended) = (about.clone(), places.clone(), ended.clone());
        let displaced = CancellationToken::new();
        let connection = Silent {
            has_asked: CancellationToken::new(),
            displaced: displaced.clone().drop_guard(),
        };
        let has_asked = connection.has_asked.clone();
        silent.push_back(connection);
        tokio::spawn(async move {
            tokio::select! {
                () = ended.cancelled() => {}
                () = exchange(stream, &about, &places, displaced, has_asked.drop_guard()) => {}
            }
        });
    }
}

/// A connection that has not asked yet; dropped while it has not, it ends.
struct Silent {
    has_asked: CancellationToken,
    #[expect(dead_code, reason = "what counts is that it is dropped")]
    displaced: DropGuard,
}

async fn exchange(
    mut stream: UnixStream,
    about: &About,
    places: &Places,
    displaced: CancellationToken,
    has_asked: DropGuard,
) {
    let owner = nix::unistd::geteuid().as_raw();
    // The directory keeps others out; this keeps them out of a socket that was handed on.
    if !stream.peer_cred().is_ok_and(|peer| peer.uid() == owner || peer.uid() == 0) {
        return;
    }
    let asked = tokio::select! {
        asked = asked(&mut stream) => asked,
        () = displaced.cancelled() => None,
    };
    drop(has_asked);
    let Some(request) = asked else { return };
    let Ok(_place) = places.asking.try_acquire() else { return };
    let Some(answered) = places.answered.get(request as usize) else { return };
    let Ok(_turn) = answered.acquire().await else { return };
    let Some(mut text) = answer(request, about).await else { return };
    text.push(b'\n');
    let _nobody_may_listen_any_more =
        tokio::time::timeout(RECEIVE_TIMEOUT, stream.write_all(&text)).await;
}

async fn asked(stream: &mut UnixStream) -> Option<Request> {
    let mut line = String::new();
    let mut request = BufReader::new(stream.take(MAX_REQUEST));
    let read = tokio::time::timeout(ASKED_TIMEOUT, request.read_line(&mut line)).await;
    read.ok().and_then(|_| Request::parse(&line))
}

async fn answer(request: Request, about: &About) -> Option<Vec<u8>> {
    let archive = about.archive.upgrade()?;
    let is_unfinished = request == Request::Refresh
        && tokio::time::timeout(REFRESHED_TIMEOUT, archive.refreshed()).await.is_err();
    let text = match request {
        Request::Status | Request::Refresh => {
            let report = MountReport::of(&archive, &about.mountpoint, about.since);
            serde_json::to_vec(&MountReport { is_unfinished, ..report })
        }
        Request::Expiring => {
            serde_json::to_vec(&(about.mountpoint.to_string_lossy(), expiring::files(&archive)))
        }
    };
    text.ok()
}

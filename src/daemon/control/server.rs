//! The server side of the control socket.

use std::collections::VecDeque;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::report::MountReport;
use super::request::Request;
use super::served_mount::ServedMount;
use super::{expiring_file, explanation, search_reply, socket};
use crate::config::Environment;
use crate::daemon::log_level;

/// Maximum number of open connections that have not sent a request. Each uses a file descriptor. A
/// new connection beyond the limit closes the oldest one, so a client that opens thousands of
/// connections does not lock out other clients.
const MAX_IDLE_CONNECTIONS: usize = 64;

/// Maximum number of requests of one kind that are answered at the same time. Further requests
/// wait.
const MAX_CONCURRENT_REPLIES: usize = 8;

/// Maximum number of requests, including those that wait. The connections of further requests are
/// closed without a reply.
const MAX_REQUESTS: usize = 64;

/// Timeout for a request after the connection is accepted. Clients send it immediately.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(1);

/// Timeout for the client to receive the reply.
const REPLY_TIMEOUT: Duration = Duration::from_secs(5);

/// Maximum wait for a refresh, which takes minutes for the largest archives. After this time, the
/// reply reports that the refresh is still running.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// Delay after a failed `accept`. The usual cause is that no file descriptor is free. One becomes
/// free when a connection closes.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// Maximum length of a request in bytes, including the line end.
/// A path has less than 4096 bytes.
const MAX_REQUEST_LENGTH: u64 = 8192;

/// A control socket. Dropping this value removes the socket file.
#[derive(Debug)]
pub(crate) struct Server {
    path: PathBuf,
}

impl Server {
    /// Creates the socket in the first directory that allows it, and answers requests until
    /// `shutdown`. If no directory allows it, logs the reason and returns `None`. The mount works
    /// without a socket.
    ///
    /// Must be called in the context of a runtime but not on one of its workers, because it does
    /// blocking I/O.
    pub(crate) fn start(
        mount: Arc<ServedMount>,
        environment: &dyn Environment,
        shutdown: CancellationToken,
    ) -> Option<Self> {
        let mut errors = Vec::new();
        for directory in socket::directories(environment) {
            let path = directory.join(socket::file_name(&mount.mountpoint));
            match bind(&directory, &path) {
                Ok(listener) => {
                    tokio::spawn(accept(listener, mount, shutdown));
                    return Some(Self { path });
                }
                Err(error) => errors.push(format!("{}: {error}", directory.display())),
            }
        }
        tracing::warn!(
            "cannot create the control socket, so `meetfs status` and `meetfs refresh` cannot reach \
             this mount ({})",
            errors.join("; ")
        );
        None
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The directory may have been removed.
        let _ = std::fs::remove_file(&self.path);
    }
}

fn bind(directory: &Path, path: &Path) -> std::io::Result<UnixListener> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    let metadata = std::fs::symlink_metadata(directory)?;
    if !metadata.is_dir() || metadata.uid() != nix::unistd::geteuid().as_raw() {
        return Err(std::io::Error::other("the directory belongs to another user"));
    }
    if metadata.mode() & 0o077 != 0 {
        std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o700))?;
    }
    // A killed daemon leaves its socket file behind. The lock on the mountpoint ensures that no
    // running daemon uses it.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Permits for requests.
struct RequestPermits {
    /// Permits for all requests.
    total: Arc<Semaphore>,
    /// Permits for each kind of request, so `status` does not wait for a refresh of minutes, or for
    /// a client that does not read its reply.
    by_kind: [Semaphore; Request::KIND_COUNT],
}

async fn accept(listener: UnixListener, mount: Arc<ServedMount>, shutdown: CancellationToken) {
    let by_kind = std::array::from_fn(|_| Semaphore::new(MAX_CONCURRENT_REPLIES));
    let permits =
        Arc::new(RequestPermits { total: Arc::new(Semaphore::new(MAX_REQUESTS)), by_kind });
    let mut idle_connections: VecDeque<IdleConnection> = VecDeque::new();
    loop {
        let result = tokio::select! {
            () = shutdown.cancelled() => return,
            result = listener.accept() => result,
        };
        let Ok((stream, _)) = result else {
            tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
            continue;
        };
        idle_connections.retain(|connection| !connection.has_request.is_cancelled());
        if idle_connections.len() >= MAX_IDLE_CONNECTIONS {
            idle_connections.pop_front();
        }
        let (mount, permits, shutdown) = (mount.clone(), permits.clone(), shutdown.clone());
        let close_token = CancellationToken::new();
        let connection = IdleConnection {
            has_request: CancellationToken::new(),
            close_guard: close_token.clone().drop_guard(),
        };
        let has_request = connection.has_request.clone();
        idle_connections.push_back(connection);
        tokio::spawn(async move {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = serve(stream, &mount, &permits, close_token, has_request.drop_guard()) => {}
            }
        });
    }
}

/// A connection that has not sent a request. Dropping this value closes the connection.
struct IdleConnection {
    has_request: CancellationToken,
    #[expect(dead_code, reason = "closes the connection when dropped")]
    close_guard: DropGuard,
}

/// Reads one request from a connection and sends one reply.
async fn serve(
    mut stream: UnixStream,
    mount: &Arc<ServedMount>,
    permits: &RequestPermits,
    close_token: CancellationToken,
    has_request: DropGuard,
) {
    let owner = nix::unistd::geteuid().as_raw();
    // Other users cannot enter the directory. This check covers a socket that was passed on to
    // them.
    if !stream.peer_cred().is_ok_and(|peer| peer.uid() == owner || peer.uid() == 0) {
        return;
    }
    let request = tokio::select! {
        request = read_request(&mut stream) => request,
        () = close_token.cancelled() => None,
    };
    drop(has_request);
    let Some(request) = request else { return };
    let Ok(_permit) = permits.total.try_acquire() else { return };
    let Some(by_kind) = permits.by_kind.get(request.kind()) else { return };
    let Ok(_reply_permit) = by_kind.acquire().await else { return };
    let Some(mut reply) = create_reply(request, mount).await else { return };
    reply.push(b'\n');
    // The client may have closed the connection.
    let _ = tokio::time::timeout(REPLY_TIMEOUT, stream.write_all(&reply)).await;
}

async fn read_request(stream: &mut UnixStream) -> Option<Request> {
    let mut line = String::new();
    let mut request = BufReader::new(stream.take(MAX_REQUEST_LENGTH));
    let result = tokio::time::timeout(REQUEST_TIMEOUT, request.read_line(&mut line)).await;
    result.ok().and_then(|_| Request::parse(&line))
}

async fn create_reply(request: Request, mount: &Arc<ServedMount>) -> Option<Vec<u8>> {
    let archive = mount.archive()?;
    let is_unfinished = request == Request::Refresh
        && tokio::time::timeout(REFRESH_TIMEOUT, archive.refresh_and_wait()).await.is_err();
    let mount = mount.clone();
    // Counting a large archive takes too long for a runtime worker.
    let json = tokio::task::spawn_blocking(move || match request {
        Request::Status | Request::Refresh => {
            serde_json::to_vec(&MountReport { is_unfinished, ..mount.report()? }).ok()
        }
        Request::Expiring => {
            let files = expiring_file::list(&archive);
            serde_json::to_vec(&(mount.mountpoint.to_string_lossy(), files)).ok()
        }
        Request::Explain(path) => serde_json::to_vec(&explanation::explain(&archive, &path)).ok(),
        Request::LogLevel { level, duration } => {
            serde_json::to_vec(&log_level::set_for(level, duration)).ok()
        }
        Request::Search(request) => {
            let reply = search_reply::search(&archive, &request);
            serde_json::to_vec(&(mount.mountpoint.to_string_lossy(), reply)).ok()
        }
    });
    json.await.ok()?
}

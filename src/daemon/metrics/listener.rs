//! The HTTP server for metrics. It answers `GET /metrics`.

use std::convert::Infallible;
use std::net::IpAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use hyper::http::uri::Authority;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::encoding::prometheus_text;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::encoding::encode;
use super::error::MetricsError;
use crate::config::MetricsAddress;
use crate::daemon::control::ServedMount;

/// Maximum number of connections. Further ones wait in the queue of the socket. A scraper uses one.
const MAX_CONNECTIONS: usize = 16;

/// Maximum number of reports that are created at the same time. A report of a large archive takes
/// the locks of its catalog and caches for some time.
const MAX_REPORTS: usize = 2;

/// Timeout for the head of a request after the connection is accepted.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Maximum duration of a connection, which is used for one request. Idle connections of other
/// programs would exclude the scraper for this time.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum length of the head of a request in bytes. It is the minimum that hyper accepts.
const MAX_REQUEST_LENGTH: usize = 8192;

/// Delay after a failed `accept`, such as one without a free file descriptor.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// The permissions of a socket: only the owner can connect.
const SOCKET_MODE: u32 = 0o600;

/// A socket that listens for scrapers. Dropping this value removes the socket file.
#[derive(Debug)]
pub(crate) struct MetricsListener {
    socket: Socket,
    path: Option<SocketFile>,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

impl Socket {
    async fn accept(&self) -> std::io::Result<Box<dyn Stream>> {
        Ok(match self {
            Self::Tcp(listener) => Box::new(listener.accept().await?.0),
            Self::Unix(listener) => Box::new(listener.accept().await?.0),
        })
    }
}

/// The file of a socket. Dropping this value removes the file.
#[derive(Debug)]
struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // The directory may have been removed.
        let _ = std::fs::remove_file(&self.0);
    }
}

impl MetricsListener {
    /// Listens on an address. Must be called in the context of a runtime.
    ///
    /// # Errors
    /// The address is in use or not permitted.
    pub(crate) fn bind(address: &MetricsAddress) -> Result<Self, MetricsError> {
        let listen = || match address {
            MetricsAddress::Tcp(address) => {
                let listener = std::net::TcpListener::bind(address)?;
                listener.set_nonblocking(true)?;
                Ok(Self { socket: Socket::Tcp(TcpListener::from_std(listener)?), path: None })
            }
            MetricsAddress::Unix(path) => {
                remove_unused_socket(path)?;
                let listener = UnixListener::bind(path)?;
                let file = SocketFile(path.clone());
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(SOCKET_MODE))?;
                Ok(Self { socket: Socket::Unix(listener), path: Some(file) })
            }
        };
        listen().map_err(|source| MetricsError { address: address.clone(), source })
    }

    /// Answers requests until `shutdown`.
    pub(crate) async fn serve(self, mount: Arc<ServedMount>, shutdown: CancellationToken) {
        let Self { socket, path: _file } = self;
        let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let checks_host = matches!(socket, Socket::Tcp(_));
        let report_permits = Arc::new(Semaphore::new(MAX_REPORTS));
        let reporter = Reporter { mount, permits: report_permits, checks_host };
        let accept = async {
            loop {
                let Ok(permit) = permits.clone().acquire_owned().await else { return };
                let Ok(stream) = socket.accept().await else {
                    tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
                    continue;
                };
                let (reporter, shutdown) = (reporter.clone(), shutdown.clone());
                tokio::spawn(async move {
                    let _permit = permit;
                    let connection = tokio::time::timeout(
                        CONNECTION_TIMEOUT,
                        serve_connection(stream, reporter),
                    );
                    tokio::select! {
                        () = shutdown.cancelled() => {}
                        _ = connection => {}
                    }
                });
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = accept => {}
        }
    }
}

/// Removes the socket file of a daemon that was killed.
///
/// # Errors
/// A process listens on the socket, or the path is not a socket of this user.
fn remove_unused_socket(path: &Path) -> std::io::Result<()> {
    let metadata = match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        metadata => metadata?,
    };
    let is_own = metadata.uid() == nix::unistd::geteuid().as_raw();
    if !is_own || !metadata.file_type().is_socket() {
        return Err(std::io::ErrorKind::AlreadyExists.into());
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path)
        }
        _ => Err(std::io::ErrorKind::AddrInUse.into()),
    }
}

/// Creates the text of the metrics.
#[derive(Clone)]
struct Reporter {
    mount: Arc<ServedMount>,
    permits: Arc<Semaphore>,
    /// Whether a browser could be the client, which cannot connect to Unix sockets.
    checks_host: bool,
}

impl Reporter {
    /// Returns `None` if the mount is ending. The permit belongs to the thread, which continues if
    /// the client disconnects. Otherwise, such clients could fill the queue of the threads that
    /// read the disk cache.
    async fn metrics(&self) -> Option<String> {
        let permit = self.permits.clone().acquire_owned().await.ok()?;
        let mount = self.mount.clone();
        // Counting a large archive takes too long for a runtime worker.
        let metrics = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            mount.metrics_report().map(encode)
        });
        metrics.await.ok().flatten()
    }
}

async fn serve_connection(stream: Box<dyn Stream>, reporter: Reporter) {
    let service = service_fn(|request| answer(request, reporter.clone()));
    // A client that disconnects or sends something else needs no handling.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_TIMEOUT)
        .keep_alive(false)
        .max_buf_size(MAX_REQUEST_LENGTH)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn answer(
    request: Request<hyper::body::Incoming>,
    reporter: Reporter,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if reporter.checks_host && !is_addressed_to_loopback(request.headers()) {
        return Ok(text_reply(StatusCode::FORBIDDEN, "use localhost or the address of the host\n"));
    }
    if request.uri().path() != "/metrics" {
        return Ok(text_reply(StatusCode::NOT_FOUND, "the metrics are at /metrics\n"));
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut reply = text_reply(StatusCode::METHOD_NOT_ALLOWED, "use GET\n");
        reply.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return Ok(reply);
    }
    Ok(match reporter.metrics().await {
        Some(text) => text_reply(StatusCode::OK, text),
        None => text_reply(StatusCode::SERVICE_UNAVAILABLE, "the mount is ending\n"),
    })
}

/// Whether the `Host` header is an address or `localhost`. A web page can resolve its own name to a
/// loopback address, and its scripts could then read the metrics with the browser of the user (DNS
/// rebinding).
fn is_addressed_to_loopback(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST) else { return true };
    let Ok(Ok(authority)) = host.to_str().map(str::parse::<Authority>) else { return false };
    let name = authority.host().trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

fn text_reply(status: StatusCode, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut reply = Response::new(Full::new(text.into()));
    *reply.status_mut() = status;
    let content_type = HeaderValue::from_static(prometheus_text::CONTENT_TYPE);
    reply.headers_mut().insert(CONTENT_TYPE, content_type);
    reply
}

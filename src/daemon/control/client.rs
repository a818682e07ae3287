//! The client side of the control socket. Every function does blocking I/O.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use serde::de::{DeserializeOwned, IgnoredAny};
use tracing::level_filters::LevelFilter;

use super::error::ControlError;
use super::expiring_file::ExpiringFile;
use super::explanation::Explanation;
use super::report::MountReport;
use super::request::Request;
use super::search_reply::SearchReply;
use super::{dead_mounts, socket};
use crate::catalog::SearchRequest;
use crate::config::Environment;
use crate::daemon::log_level::LogLevelChange;
use crate::daemon::mountpoint::{MountpointError, absolute_path};
use crate::daemon::process_state::is_stopped;
use crate::fuse::mount_table::meetfs_mounts_of;

/// Timeout for requests that the daemon answers without waiting. A daemon that takes longer hangs.
const STATUS_TIMEOUT: Duration = Duration::from_secs(10);

/// Timeout for the reply to `refresh`. It is longer than the daemon waits for a refresh.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(11 * 60);

/// Timeout for a search. A word that is in every cue of a large archive takes seconds.
const SEARCH_TIMEOUT: Duration = Duration::from_secs(60);

/// Interval at which a client that waits for a reply checks whether the daemon is stopped.
const STOP_CHECK_INTERVAL: Duration = Duration::from_secs(1);

/// Maximum number of attempts if the daemon closes the connection without a reply. It does so if it
/// has too many connections.
const MAX_ATTEMPTS: u32 = 20;

/// Delay between attempts.
const RETRY_DELAY: Duration = Duration::from_millis(50);

/// Maximum length of a reply in bytes. It is enough for about a million expiring files.
const MAX_REPLY_LENGTH: usize = 256 * 1024 * 1024;

/// A mountpoint and the expiring files below it.
pub(crate) type ExpiringFiles = (PathBuf, Vec<ExpiringFile>);

/// A mountpoint and the reply of its daemon to a search.
pub(crate) type MountSearchReply = (PathBuf, SearchReply);

/// The mountpoints of the live mounts with their replies, and the mountpoints of the dead mounts.
type MountReplies<T> = (Vec<(PathBuf, T)>, Vec<PathBuf>);

/// Resolves a mountpoint from the command line.
///
/// # Errors
/// The path does not exist.
pub(crate) fn resolve_mountpoint(path: &Path) -> Result<PathBuf, ControlError> {
    match absolute_path(path) {
        // The hint of `Missing` suggests creating the directory, which does not help here.
        Err(MountpointError::Missing(path)) => Err(ControlError::NotMounted(path)),
        Err(MountpointError::System { mountpoint, source })
            if source.kind() == ErrorKind::NotADirectory =>
        {
            Err(ControlError::NotMounted(mountpoint))
        }
        other => Ok(other?),
    }
}

/// The mounts of this user, which are found by their control sockets.
#[derive(Debug)]
pub(crate) struct Mounts {
    directories: Vec<PathBuf>,
}

impl Mounts {
    pub(crate) fn new(environment: &dyn Environment) -> Self {
        Self { directories: socket::directories(environment) }
    }

    /// Returns the expiring files of one mount.
    pub(crate) fn request_expiring_files(
        &self,
        mountpoint: &Path,
    ) -> Result<ExpiringFiles, ControlError> {
        self.send(mountpoint, Request::Expiring)
    }

    /// Returns the expiring files of every live mount, and the mountpoints of the dead mounts.
    pub(crate) fn request_all_expiring_files(
        &self,
    ) -> Result<(Vec<ExpiringFiles>, Vec<PathBuf>), ControlError> {
        self.request_all(Request::Expiring)
    }

    /// Searches the texts of one mount.
    pub(crate) fn search(
        &self,
        mountpoint: &Path,
        request: SearchRequest,
    ) -> Result<MountSearchReply, ControlError> {
        self.send(mountpoint, Request::Search(Box::new(request)))
    }

    /// Searches the texts of every live mount. Also returns the mountpoints of the dead mounts.
    pub(crate) fn search_all(
        &self,
        request: SearchRequest,
    ) -> Result<(Vec<MountSearchReply>, Vec<PathBuf>), ControlError> {
        self.request_all(Request::Search(Box::new(request)))
    }

    /// Returns the replies of every live mount, and the mountpoints of the dead mounts.
    fn request_all<T: DeserializeOwned + Send + 'static>(
        &self,
        request: Request,
    ) -> Result<MountReplies<T>, ControlError> {
        let replies: Result<Vec<(PathBuf, T)>, _> = self.send_to_all(request).into_iter().collect();
        let replies = replies?;
        let live_mounts: Vec<_> =
            replies.iter().map(|(mountpoint, _)| mountpoint.clone()).collect();
        let dead_mountpoints = dead_mounts::find(&live_mounts);
        match dead_mountpoints.first() {
            None if replies.is_empty() => Err(ControlError::NoMounts),
            Some(first) if replies.is_empty() => Err(ControlError::Dead(first.clone())),
            _ => Ok((replies, dead_mountpoints)),
        }
    }

    /// Explains the file or directory at `path`, which is relative to the mountpoint. Returns
    /// `None` if it does not exist.
    pub(crate) fn explain(
        &self,
        mountpoint: &Path,
        path: &str,
    ) -> Result<Option<Explanation>, ControlError> {
        self.send(mountpoint, Request::Explain(path.to_owned()))
    }

    /// Changes the log level of one mount. Returns `None` if its daemon cannot change it.
    pub(crate) fn set_log_level(
        &self,
        mountpoint: &Path,
        level: LevelFilter,
        duration: Duration,
    ) -> Result<Option<LogLevelChange>, ControlError> {
        self.send(mountpoint, Request::LogLevel { level, duration })
    }

    /// Returns the report of one mount; `request` is [`Request::Status`] or [`Request::Refresh`].
    pub(crate) fn request_report(
        &self,
        mountpoint: &Path,
        request: Request,
    ) -> Result<MountReport, ControlError> {
        self.send(mountpoint, request)
    }

    /// Returns the process id of the daemon of this mount if the daemon is stopped.
    pub(crate) fn stopped_daemon(&self, mountpoint: &Path) -> Option<u32> {
        let name = socket::file_name(mountpoint);
        self.directories.iter().find_map(|directory| match connect(&directory.join(&name)) {
            Err(RequestError::Stopped { pid }) => Some(pid),
            _ => None,
        })
    }

    /// Returns whether a daemon listens on the control socket of this mount, even if it does not
    /// answer.
    pub(crate) fn is_served(&self, mountpoint: &Path) -> bool {
        let name = socket::file_name(mountpoint);
        self.directories.iter().any(|directory| UnixStream::connect(directory.join(&name)).is_ok())
    }

    /// Returns the reports of every mount, ordered by mountpoint. Dead mounts have a report, too.
    pub(crate) fn request_all_reports(
        &self,
        request: Request,
    ) -> Vec<Result<MountReport, ControlError>> {
        let mut reports: Vec<Result<MountReport, _>> = self.send_to_all(request);
        let live_mounts = reports.iter().filter_map(|report| match report {
            Ok(report) => Some(PathBuf::from(&report.mountpoint)),
            Err(
                ControlError::NoReply { mountpoint, .. } | ControlError::Stopped { mountpoint, .. },
            ) => Some(mountpoint.clone()),
            Err(_) => None,
        });
        let live_mounts: Vec<_> = live_mounts.collect();
        reports.extend(
            dead_mounts::find(&live_mounts)
                .iter()
                .map(|mountpoint| Ok(MountReport::for_dead_mount(mountpoint))),
        );
        reports.sort_by(|a: &Result<MountReport, _>, b| {
            let mountpoint = |report: &Result<MountReport, _>| {
                report.as_ref().ok().map(|report| report.mountpoint.clone())
            };
            mountpoint(a).cmp(&mountpoint(b))
        });
        reports
    }

    fn send<T: DeserializeOwned>(
        &self,
        mountpoint: &Path,
        request: Request,
    ) -> Result<T, ControlError> {
        for directory in &self.directories {
            match send(&directory.join(socket::file_name(mountpoint)), &request) {
                Ok(reply) => return Ok(reply),
                Err(error) if error.has_no_daemon() => {}
                Err(error) => return Err(error.into_control_error(mountpoint.into())),
            }
        }
        Err(dead_mounts::diagnose(mountpoint))
    }

    /// Sends the request to every daemon in parallel. Skips daemons that exit in the meantime.
    fn send_to_all<T: DeserializeOwned + Send + 'static>(
        &self,
        request: Request,
    ) -> Vec<Result<T, ControlError>> {
        let entries = self
            .directories
            .iter()
            .filter_map(|directory| std::fs::read_dir(directory).ok())
            .flatten();
        let sockets: Vec<_> = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|extension| extension == socket::EXTENSION))
            .collect();
        let requests: Vec<_> = sockets
            .into_iter()
            .map(|socket| {
                let request = request.clone();
                std::thread::spawn(move || (send(&socket, &request), socket))
            })
            .collect();
        let replies = requests.into_iter().filter_map(|request| match request.join().ok()? {
            (Ok(reply), _) => Some(Ok(reply)),
            (Err(error), _) if error.has_no_daemon() => None,
            (Err(error), socket) => Some(Err(error.into_control_error(mountpoint_of(socket)))),
        });
        replies.collect()
    }
}

/// Returns the mountpoint whose daemon listens on the socket. Returns the path of the socket if the
/// mount is not in the mount table.
fn mountpoint_of(socket: PathBuf) -> PathBuf {
    let mounts = meetfs_mounts_of(nix::unistd::geteuid().as_raw()).unwrap_or_default();
    let has_this_socket = |mountpoint: &PathBuf| {
        socket.file_name().is_some_and(|name| name == socket::file_name(mountpoint).as_str())
    };
    mounts.into_iter().find(has_this_socket).unwrap_or(socket)
}

/// The reason why a request got no reply.
#[derive(Debug, thiserror::Error)]
enum RequestError {
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("the daemon (process {pid}) is stopped")]
    Stopped { pid: u32 },
}

impl From<ErrorKind> for RequestError {
    fn from(kind: ErrorKind) -> Self {
        Self::Io(kind.into())
    }
}

impl RequestError {
    /// Whether no daemon of this user listens on the socket. There are four reasons:
    ///
    /// - The socket does not exist.
    /// - The daemon was killed.
    /// - The socket belongs to another user.
    /// - The path is too long for a socket (unix(7)).
    fn has_no_daemon(&self) -> bool {
        let Self::Io(error) = self else { return false };
        matches!(
            error.kind(),
            ErrorKind::NotFound
                | ErrorKind::ConnectionRefused
                | ErrorKind::PermissionDenied
                | ErrorKind::NotADirectory
                | ErrorKind::InvalidInput
        )
    }

    fn is_disconnect(&self) -> bool {
        let Self::Io(error) = self else { return false };
        matches!(
            error.kind(),
            ErrorKind::ResourceBusy | ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
        )
    }

    fn into_control_error(self, mountpoint: PathBuf) -> ControlError {
        match self {
            Self::Io(source) => ControlError::NoReply { mountpoint, source },
            Self::Stopped { pid } => ControlError::Stopped { mountpoint, pid },
        }
    }
}

/// Sends a request. Repeats it if the daemon closes the connection without a reply, because it may
/// have too many connections. If the daemon has exited, the next attempt fails.
fn send<T: DeserializeOwned>(socket: &Path, request: &Request) -> Result<T, RequestError> {
    for _ in 1..MAX_ATTEMPTS {
        match send_once(socket, request) {
            Err(error) if error.is_disconnect() => std::thread::sleep(RETRY_DELAY),
            result => return result,
        }
    }
    send_once(socket, request)
}

fn send_once<T: DeserializeOwned>(socket: &Path, request: &Request) -> Result<T, RequestError> {
    if *request == Request::Refresh {
        // Detects a hung daemon within seconds. A refresh can take minutes.
        send_once::<IgnoredAny>(socket, &Request::Status)?;
    }
    let Connection { mut stream, daemon } = connect(socket)?;
    let timeout = match request {
        Request::Refresh => REFRESH_TIMEOUT,
        Request::Status | Request::Expiring | Request::Explain(_) | Request::LogLevel { .. } => {
            STATUS_TIMEOUT
        }
        Request::Search(_) => SEARCH_TIMEOUT,
    };
    let line = request.to_line().ok_or(ErrorKind::InvalidData)?;
    stream.set_write_timeout(Some(STATUS_TIMEOUT))?;
    stream.write_all(format!("{line}\n").as_bytes())?;
    let reply = read_reply(&stream, daemon, timeout)?;
    if reply.is_empty() {
        return Err(ErrorKind::ResourceBusy.into());
    }
    Ok(serde_json::from_slice(&reply).map_err(std::io::Error::other)?)
}

/// A connection to a daemon.
struct Connection {
    stream: UnixStream,
    /// Process id of the daemon. It is 0 if the daemon is in another PID namespace (unix(7),
    /// `SO_PEERCRED`).
    daemon: u32,
}

/// Connects to a daemon that can answer. Rejects a socket that another user serves, because its
/// reply cannot be trusted. Root may connect to the daemons of all users.
fn connect(socket: &Path) -> Result<Connection, RequestError> {
    let stream = UnixStream::connect(socket)?;
    let peer = getsockopt(&stream, PeerCredentials).map_err(std::io::Error::from)?;
    let (own_uid, peer_uid) = (nix::unistd::geteuid().as_raw(), peer.uid());
    if own_uid != 0 && peer_uid != own_uid && peer_uid != 0 {
        let message = format!("another user (uid {peer_uid}) serves the control socket");
        return Err(std::io::Error::other(message).into());
    }
    let daemon = u32::try_from(peer.pid()).unwrap_or_default();
    if is_stopped(daemon) {
        return Err(RequestError::Stopped { pid: daemon });
    }
    Ok(Connection { stream, daemon })
}

/// Reads a reply of the process `daemon`. The timeout applies to the whole reply, even if its parts
/// arrive slowly.
fn read_reply(
    mut stream: &UnixStream,
    daemon: u32,
    timeout: Duration,
) -> Result<Vec<u8>, RequestError> {
    let deadline = Instant::now() + timeout;
    let (mut reply, mut part) = (Vec::new(), vec![0; 64 * 1024]);
    loop {
        let remaining_time = deadline.saturating_duration_since(Instant::now());
        if remaining_time.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(remaining_time.min(STOP_CHECK_INTERVAL)))?;
        match stream.read(&mut part) {
            Ok(0) => return Ok(reply),
            Ok(count) => reply.extend_from_slice(part.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if is_stopped(daemon) {
                    return Err(RequestError::Stopped { pid: daemon });
                }
            }
            Err(error) => return Err(error.into()),
        }
        if reply.len() > MAX_REPLY_LENGTH {
            return Err(std::io::Error::other("the reply is too long").into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_reply_ends_at_the_timeout() {
        let (client, mut server) = UnixStream::pair().unwrap();
        let writer = std::thread::spawn(move || {
            while server.write_all(b"[").is_ok() {
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let start = Instant::now();
        let result = read_reply(&client, std::process::id(), Duration::from_millis(200));
        assert!(
            matches!(&result, Err(RequestError::Io(error)) if error.kind() == ErrorKind::TimedOut),
            "{result:?}"
        );
        assert!(start.elapsed() < Duration::from_secs(10));
        drop(client);
        writer.join().unwrap();
    }
}

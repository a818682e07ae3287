//! The side of whoever asks.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::{DeserializeOwned, IgnoredAny};

use super::expiring::ExpiringFile;
use super::report::MountReport;
use super::{EXTENSION, Request, absent, directories, socket_name};
use crate::commands::error::Error;
use crate::config::Environment;
use crate::daemon::mountpoint::{MountpointError, absolute};

/// A daemon that does not answer `status` within this time hangs.
const STATUS_TIMEOUT: Duration = Duration::from_secs(10);

/// Longer than the daemon waits for a listing.
const REFRESH_TIMEOUT: Duration = Duration::from_secs(11 * 60);

/// Times a daemon is asked that ends the connection without a word.
const TRIES: u32 = 20;

/// The longest answer that is taken in: a million files that will be deleted.
const MAX_ANSWER: u64 = 256 * 1024 * 1024;

/// Why a mount could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// No meetfs is mounted there.
    #[error(
        "no meetfs is mounted at {place}; `meetfs status` lists yours, `meetfs mount {place}` mounts one there",
        place = .0.display()
    )]
    NotMounted(PathBuf),
    /// It lies in a mount.
    #[error("{} lies in the meetfs mounted at {place}; give {place}", path.display(), place = mountpoint.display())]
    Inside {
        /// What was asked about.
        path: PathBuf,
        /// The mount.
        mountpoint: PathBuf,
    },
    /// The daemon has died and left its mount behind.
    #[error("{} is a dead mount: {}", .0.display(), absent::about_dead(.0))]
    Dead(PathBuf),
    /// Others were asked, and these are told already.
    #[error("not every mount was refreshed: those that are DEAD have to be taken down first")]
    SomeDead,
    /// The daemon lives, and has no socket where this user's are.
    #[error(
        "the meetfs mounted at {} does not answer you; ask as the user who mounted it, and with the same XDG_RUNTIME_DIR",
        .0.display()
    )]
    NotYours(PathBuf),
    /// Nothing to ask at all.
    #[error("nothing of yours is mounted; `meetfs mount MOUNTPOINT` mounts")]
    NothingMounted,
    /// The daemon does not answer as it should.
    #[error("the daemon of {} does not answer ({cause}); its log says more", mountpoint.display())]
    Silent {
        /// What it serves, or its socket where that is not known.
        mountpoint: PathBuf,
        /// The system's word.
        cause: std::io::Error,
    },
}

/// A mountpoint, and which files below it will be deleted.
pub(crate) type ExpiringFiles = (PathBuf, Vec<ExpiringFile>);

/// The mountpoint that somebody has written who asks about a mount.
///
/// # Errors
/// There is nothing at all.
pub(crate) fn mountpoint_of(given: &Path) -> Result<PathBuf, Error> {
    match absolute(given) {
        // That it could be made is no help to who asks.
        Err(MountpointError::Missing(path)) => Err(ControlError::NotMounted(path).into()),
        other => Ok(other?),
    }
}

/// The mounts of this user, by their sockets.
#[derive(Debug)]
pub(crate) struct Mounts {
    directories: Vec<PathBuf>,
}

impl Mounts {
    pub(crate) fn new(environment: &dyn Environment) -> Self {
        Self { directories: directories(environment) }
    }

    /// Which files of a mount will be deleted, below which mountpoint.
    pub(crate) fn expiring(&self, mountpoint: &Path) -> Result<ExpiringFiles, ControlError> {
        self.ask(mountpoint, Request::Expiring)
    }

    /// The same of every mount, and the mounts that are dead.
    pub(crate) fn all_expiring(&self) -> Result<(Vec<ExpiringFiles>, Vec<PathBuf>), ControlError> {
        let answers: Result<Vec<ExpiringFiles>, _> =
            self.ask_all(Request::Expiring).into_iter().collect();
        let answers = answers?;
        let answered: Vec<_> = answers.iter().map(|(mountpoint, _)| mountpoint.clone()).collect();
        let dead = absent::dead(&answered);
        match dead.first() {
            None if answers.is_empty() => Err(ControlError::NothingMounted),
            Some(first) if answers.is_empty() => Err(ControlError::Dead(first.clone())),
            _ => Ok((answers, dead)),
        }
    }

    /// How a mount is doing, after a refresh if that is the request.
    pub(crate) fn report(
        &self,
        mountpoint: &Path,
        request: Request,
    ) -> Result<MountReport, ControlError> {
        self.ask(mountpoint, request)
    }

    /// The same of every mount, by mountpoint; those that are dead say so.
    pub(crate) fn all_reports(&self, request: Request) -> Vec<Result<MountReport, ControlError>> {
        let mut reports = self.ask_all(request);
        let answered =
            reports.iter().flatten().map(|report: &MountReport| PathBuf::from(&report.mountpoint));
        let answered: Vec<_> = answered.collect();
        reports.extend(
            absent::dead(&answered).iter().map(|mountpoint| Ok(MountReport::of_dead(mountpoint))),
        );
        reports.sort_by(|a: &Result<MountReport, _>, b| {
            let place = |report: &Result<MountReport, _>| {
                report.as_ref().ok().map(|r| r.mountpoint.clone())
            };
            place(a).cmp(&place(b))
        });
        reports
    }

    /// Asks the daemon of one mount.
    fn ask<T: DeserializeOwned>(
        &self,
        mountpoint: &Path,
        request: Request,
    ) -> Result<T, ControlError> {
        for directory in &self.directories {
            let answer = ask(&directory.join(socket_name(mountpoint)), request);
            match answer {
                Ok(report) => return Ok(report),
                Err(cause) if is_nobody(&cause) => {}
                Err(cause) => {
                    return Err(ControlError::Silent { mountpoint: mountpoint.into(), cause });
                }
            }
        }
        Err(absent::why(mountpoint))
    }

    /// Asks every daemon; those that end meanwhile are left out.
    fn ask_all<T: DeserializeOwned + Send + 'static>(
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
            .filter(|path| path.extension().is_some_and(|extension| extension == EXTENSION))
            .collect();
        let asked: Vec<_> = sockets
            .into_iter()
            .map(|socket| std::thread::spawn(move || (ask(&socket, request), socket)))
            .collect();
        let answers = asked.into_iter().filter_map(|asked| match asked.join().ok()? {
            (Ok(answer), _) => Some(Ok(answer)),
            (Err(cause), _) if is_nobody(&cause) => None,
            (Err(cause), mountpoint) => Some(Err(ControlError::Silent { mountpoint, cause })),
        });
        answers.collect()
    }
}

/// Whether nobody is behind the socket: there is none, its daemon was killed, or its path is longer than a socket's can
/// be (unix(7)), so that no daemon has it either.
fn is_nobody(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::NotFound | ErrorKind::ConnectionRefused | ErrorKind::InvalidInput
    )
}

/// Asks a daemon, and again where the connection ended without an answer: others may have filled the socket. One that has
/// ended meanwhile is not there for the next try.
fn ask<T: DeserializeOwned>(socket: &Path, request: Request) -> std::io::Result<T> {
    const PAUSE: Duration = Duration::from_millis(50);
    for _ in 1..TRIES {
        match ask_once(socket, request) {
            Err(error) if is_cut_off(&error) => std::thread::sleep(PAUSE),
            asked => return asked,
        }
    }
    ask_once(socket, request)
}

fn is_cut_off(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ResourceBusy | ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
    )
}

fn ask_once<T: DeserializeOwned>(socket: &Path, request: Request) -> std::io::Result<T> {
    if request == Request::Refresh {
        // One that hangs is found out here, and not after the minutes that a refresh may take.
        ask_once::<IgnoredAny>(socket, Request::Status)?;
    }
    let mut stream = UnixStream::connect(socket)?;
    let within = match request {
        Request::Status | Request::Expiring => STATUS_TIMEOUT,
        Request::Refresh => REFRESH_TIMEOUT,
    };
    stream.set_read_timeout(Some(within))?;
    stream.set_write_timeout(Some(STATUS_TIMEOUT))?;
    stream.write_all(format!("{}\n", request.word()).as_bytes())?;
    let mut answer = Vec::new();
    stream.take(MAX_ANSWER).read_to_end(&mut answer).map_err(|error| match error.kind() {
        ErrorKind::WouldBlock => ErrorKind::TimedOut.into(),
        _ => error,
    })?;
    if answer.is_empty() {
        return Err(ErrorKind::ResourceBusy.into());
    }
    serde_json::from_slice(&answer).map_err(std::io::Error::other)
}

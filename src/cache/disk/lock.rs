//! The lock file: one process per directory.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::error::DiskError;
use super::hole::punch_hole;
use super::volume::LOCK_FILE;
use crate::ownership::{self, FileType};

/// How long to retry a lock that is held. A command that reads the usage of a cache holds the lock
/// for an instant, and a process that was just signaled needs a moment to end.
const LOCK_TIMEOUT: Duration = Duration::from_millis(250);

const RETRY_INTERVAL: Duration = Duration::from_millis(10);

/// Longer than any process id.
const MAX_PID_LENGTH: u64 = 32;

/// Exclusive use of a directory until dropped. The kernel releases it when the process dies.
#[derive(Debug)]
pub(super) struct DirectoryLock {
    _file: Flock<File>,
    /// Whether the file system is mounted read-only.
    pub(super) is_read_only: bool,
}

impl DirectoryLock {
    /// Acquires the lock and checks that the file system can free parts of files.
    pub(super) fn acquire(directory: &Path) -> Result<Self, DiskError> {
        let failed =
            |source: std::io::Error| DiskError::Directory { directory: directory.into(), source };
        ownership::check_path(&directory.join(LOCK_FILE), FileType::File)?;
        let (mut file, is_read_only) = open(directory).map_err(failed)?;
        let start = Instant::now();
        let mut locked = loop {
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(locked) => break locked,
                Err((returned, Errno::EWOULDBLOCK)) => {
                    if start.elapsed() >= LOCK_TIMEOUT {
                        return Err(DiskError::InUse {
                            directory: directory.into(),
                            pid: read_pid(directory),
                        });
                    }
                    file = returned;
                    std::thread::sleep(RETRY_INTERVAL);
                }
                Err((returned, Errno::EINTR)) => file = returned,
                Err((_, errno)) => return Err(failed(errno.into())),
            }
        };
        if !is_read_only {
            // There is nothing to free after the end of the file. This only checks whether holes
            // are supported.
            match punch_hole(&locked, 1 << 20, 1 << 20) {
                Err(error) if is_unsupported(&error) => {
                    return Err(DiskError::NoHoles { directory: directory.into() });
                }
                punched => punched.map_err(failed)?,
            }
            // On a full disk the process id is not written. Then a message cannot name the process.
            let _ = locked
                .set_len(0)
                .and_then(|()| locked.write_all(format!("{}\n", std::process::id()).as_bytes()));
        }
        Ok(Self { _file: locked, is_read_only })
    }

    /// Returns the process that holds the lock: `None` if the lock is free, `Some(None)` if the
    /// process has not written its id.
    pub(super) fn holder(directory: &Path) -> Result<Option<Option<u32>>, DiskError> {
        let failed = |source| DiskError::Directory { directory: directory.into(), source };
        ownership::check_path(&directory.join(LOCK_FILE), FileType::File)?;
        let file = match open_to_read(directory) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(failed)?,
        };
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(_free) => Ok(None),
            Err((_, Errno::EWOULDBLOCK)) => Ok(Some(read_pid(directory))),
            Err((_, errno)) => Err(failed(errno.into())),
        }
    }
}

fn open(directory: &Path) -> std::io::Result<(File, bool)> {
    let path = directory.join(LOCK_FILE);
    let mut options = OpenOptions::new();
    options.read(true).mode(0o600).custom_flags(libc::O_NOFOLLOW);
    match options.clone().write(true).create(true).truncate(false).open(&path) {
        Err(error) if error.kind() == ErrorKind::ReadOnlyFilesystem => {
            Ok((options.open(&path)?, true))
        }
        opened => Ok((opened?, false)),
    }
}

fn open_to_read(directory: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(directory.join(LOCK_FILE))
}

/// Reads the process id in the lock file.
fn read_pid(directory: &Path) -> Option<u32> {
    let mut text = String::new();
    open_to_read(directory).ok()?.take(MAX_PID_LENGTH).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn is_unsupported(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENOSYS))
}

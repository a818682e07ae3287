//! The lock file. It allows only one process to use a cache directory.

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

/// How long acquiring the lock is retried before it fails. A command that reads the usage of a
/// cache holds the lock for an instant, and a process that has just received a signal needs a
/// moment to end.
const LOCK_TIMEOUT: Duration = Duration::from_millis(250);

const RETRY_INTERVAL: Duration = Duration::from_millis(10);

/// Maximum number of bytes that are read from the lock file. No process id is longer.
const MAX_PID_LENGTH: u64 = 32;

/// Exclusive use of a cache directory. It ends when this value is dropped or the process dies.
#[derive(Debug)]
pub(super) struct DirectoryLock {
    _file: Flock<File>,
    /// Whether the file system is mounted read-only.
    pub(super) is_read_only: bool,
}

impl DirectoryLock {
    /// Acquires the lock, and checks that the file system can free parts of files.
    pub(super) fn acquire(directory: &Path) -> Result<Self, DiskError> {
        let directory_error =
            |source: std::io::Error| DiskError::Directory { directory: directory.into(), source };
        ownership::check_path(&directory.join(LOCK_FILE), FileType::File)?;
        let (mut file, is_read_only) = open_or_create(directory).map_err(directory_error)?;
        let start = Instant::now();
        let mut lock_file = loop {
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(lock_file) => break lock_file,
                Err((unlocked_file, Errno::EWOULDBLOCK)) => {
                    if start.elapsed() >= LOCK_TIMEOUT {
                        return Err(DiskError::InUse {
                            directory: directory.into(),
                            pid: read_pid(directory),
                        });
                    }
                    file = unlocked_file;
                    std::thread::sleep(RETRY_INTERVAL);
                }
                Err((unlocked_file, Errno::EINTR)) => file = unlocked_file,
                Err((_, errno)) => return Err(directory_error(errno.into())),
            }
        };
        if !is_read_only {
            // There is nothing to free after the end of the file. This only checks whether holes
            // are supported.
            match punch_hole(&lock_file, 1 << 20, 1 << 20) {
                Err(error) if is_unsupported(&error) => {
                    return Err(DiskError::NoHoles { directory: directory.into() });
                }
                result => result.map_err(directory_error)?,
            }
            // On a full disk the process id is not written. Messages then cannot name the process.
            let _ = lock_file
                .set_len(0)
                .and_then(|()| lock_file.write_all(format!("{}\n", std::process::id()).as_bytes()));
        }
        Ok(Self { _file: lock_file, is_read_only })
    }

    /// Returns the id of the process that holds the lock. Returns `None` if the lock is free, and
    /// `Some(None)` if the process has not written its id.
    pub(super) fn read_holder_pid(directory: &Path) -> Result<Option<Option<u32>>, DiskError> {
        let directory_error = |source| DiskError::Directory { directory: directory.into(), source };
        ownership::check_path(&directory.join(LOCK_FILE), FileType::File)?;
        let file = match open_for_reading(directory) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            result => result.map_err(directory_error)?,
        };
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(_free) => Ok(None),
            Err((_, Errno::EWOULDBLOCK)) => Ok(Some(read_pid(directory))),
            Err((_, errno)) => Err(directory_error(errno.into())),
        }
    }
}

fn open_or_create(directory: &Path) -> std::io::Result<(File, bool)> {
    let path = directory.join(LOCK_FILE);
    let mut options = OpenOptions::new();
    options.read(true).mode(0o600).custom_flags(libc::O_NOFOLLOW);
    match options.clone().write(true).create(true).truncate(false).open(&path) {
        Err(error) if error.kind() == ErrorKind::ReadOnlyFilesystem => {
            Ok((options.open(&path)?, true))
        }
        result => Ok((result?, false)),
    }
}

fn open_for_reading(directory: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(directory.join(LOCK_FILE))
}

fn read_pid(directory: &Path) -> Option<u32> {
    let mut text = String::new();
    open_for_reading(directory).ok()?.take(MAX_PID_LENGTH).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn is_unsupported(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENOSYS))
}

//! One process a directory: a lock file that says whose it is.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::error::DiskError;
use super::volume;
use crate::ownership::{self, Kind};

/// Its name in the directory. It stays there: whoever removed it could let two processes in, each with a file of its
/// own.
pub(super) const NAME: &str = "lock";

/// How long to try. The one who asks for the state of a cache holds its lock for an instant, and a process that was
/// just told to end may need one more.
const TRY_TIMEOUT: Duration = Duration::from_millis(250);

/// Longer than any process id is.
const MAX_DIGITS: u64 = 32;

/// A directory that is this process's, until dropped; the kernel gives it back when the process dies.
#[derive(Debug)]
pub(super) struct Lock {
    _file: Flock<File>,
    /// Whether the file system is mounted read-only.
    pub(super) read_only: bool,
}

impl Lock {
    /// Takes the directory for this process.
    pub(super) fn take(directory: &Path) -> Result<Self, DiskError> {
        let failed =
            |cause: std::io::Error| DiskError::Directory { directory: directory.into(), cause };
        ownership::check(&directory.join(NAME), Kind::File)?;
        let (file, read_only) = open(directory).map_err(failed)?;
        let started = Instant::now();
        let mut file = file;
        let mut locked = loop {
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(locked) => break locked,
                Err((returned, Errno::EWOULDBLOCK)) => {
                    if started.elapsed() >= TRY_TIMEOUT {
                        return Err(DiskError::InUse {
                            directory: directory.into(),
                            pid: written_pid(directory),
                        });
                    }
                    file = returned;
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err((returned, Errno::EINTR)) => file = returned,
                Err((_, errno)) => return Err(failed(errno.into())),
            }
        };
        if !read_only {
            // Behind the end of the file there is nothing to free: this asks whether it could be.
            match volume::punch(&locked, 1 << 20, 1 << 20) {
                Err(error) if is_unsupported(&error) => {
                    return Err(DiskError::NoHoles { directory: directory.into() });
                }
                punched => punched.map_err(failed)?,
            }
            // On a full disk the name of the process is missing; the lock is not.
            let _only_for_the_message = locked
                .set_len(0)
                .and_then(|()| locked.write_all(format!("{}\n", std::process::id()).as_bytes()));
        }
        Ok(Self { _file: locked, read_only })
    }

    /// The process that has the directory, if one has: `Some(None)` where it has not said its name.
    pub(super) fn holder(directory: &Path) -> Result<Option<Option<u32>>, DiskError> {
        let failed = |cause| DiskError::Directory { directory: directory.into(), cause };
        ownership::check(&directory.join(NAME), Kind::File)?;
        let file = match open_to_read(directory) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(failed)?,
        };
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(_free) => Ok(None),
            Err((_, Errno::EWOULDBLOCK)) => Ok(Some(written_pid(directory))),
            Err((_, errno)) => Err(failed(errno.into())),
        }
    }
}

fn open(directory: &Path) -> std::io::Result<(File, bool)> {
    let path = directory.join(NAME);
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
    OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(directory.join(NAME))
}

/// The process id in the lock file.
fn written_pid(directory: &Path) -> Option<u32> {
    let mut text = String::new();
    open_to_read(directory).ok()?.take(MAX_DIGITS).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn is_unsupported(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENOSYS))
}

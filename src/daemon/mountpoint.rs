//! The directory to mount on: checked before anything is mounted, and freed of what a killed daemon left.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::FileTypeExt;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use nix::mount::MntFlags;

use super::mount_table::{MountEntry, mounted_around, mounted_at};

/// How long a file system at the mountpoint may take to answer. One whose daemon hangs would take us along.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(3);

/// Dead mounts can lie on top of each other; more than this many have another cause.
const DEAD_MOUNTS: usize = 16;

/// Links that are followed to a mountpoint; as many as the kernel follows (path_resolution(7)).
const LINKS: usize = 40;

/// Why a directory cannot be mounted on, or not be unmounted.
#[derive(Debug, thiserror::Error)]
pub enum MountpointError {
    /// It is not there.
    #[error("the mountpoint {} does not exist; create it with `mkdir`", .0.display())]
    Missing(PathBuf),
    /// It is no directory.
    #[error("the mountpoint {} is not a directory; choose an empty one", .0.display())]
    NotADirectory(PathBuf),
    /// It has files that the mount would hide.
    #[error("the mountpoint {} is not empty and its files would be hidden; choose an empty directory", .0.display())]
    NotEmpty(PathBuf),
    /// Something is mounted there already.
    #[error(
        "{} is already mounted ({what}); {}",
        mountpoint.display(), unmount_advice(mountpoint, what)
    )]
    AlreadyMounted {
        /// Where.
        mountpoint: PathBuf,
        /// The source of what is mounted.
        what: String,
    },
    /// Another process is on its way to mount there.
    #[error("another meetfs is just being mounted at {}; wait for it, or choose another directory", .0.display())]
    BeingMounted(PathBuf),
    /// The mount of a dead daemon does not go away.
    #[error("{} is the mount of a daemon that died and cannot be taken down; use `fusermount3 -uz` on it", .0.display())]
    Dead(PathBuf),
    /// Nothing of ours is mounted there.
    #[error("no meetfs is mounted at {}; `mount | grep meetfs` shows where one is", .0.display())]
    NotMounted(PathBuf),
    /// What the daemon writes to would be hidden by its own mount.
    #[error("the {what} {} lies in the mountpoint, where it would be hidden; give another place for it", path.display())]
    Hidden {
        /// What it is.
        what: &'static str,
        /// Where it is.
        path: PathBuf,
    },
    /// Somebody else has mounted it.
    #[error("{} was mounted by user {owner}; unmount it as that user or as root", mountpoint.display())]
    NotYours {
        /// Where.
        mountpoint: PathBuf,
        /// Whose it is.
        owner: u32,
    },
    /// Programs have files open in it.
    #[error("{} is busy: {holders}; close them and unmount again", mountpoint.display())]
    Busy {
        /// Where.
        mountpoint: PathBuf,
        /// Who, for a person.
        holders: String,
    },
    /// The system refused.
    #[error("{} cannot be used ({cause})", mountpoint.display())]
    System {
        /// Where.
        mountpoint: PathBuf,
        /// The system's word.
        cause: std::io::Error,
    },
}

fn unmount_advice(mountpoint: &Path, what: &str) -> String {
    if what == crate::fuse::MOUNT_SOURCE {
        format!(
            "unmount it with `meetfs unmount {}` or choose another directory",
            mountpoint.display()
        )
    } else {
        "choose an empty directory".into()
    }
}

/// An empty directory on which nothing is mounted, kept from other meetfs processes until it is dropped.
#[derive(Debug)]
pub struct Place {
    path: PathBuf,
    /// The directory that the mount will hide, locked. Two processes that both find it free would otherwise both
    /// mount, one on top of the other. Where directories cannot be locked (some network file systems) there is none.
    _lock: Option<File>,
}

impl Place {
    /// Its absolute path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Finds an empty directory on which nothing is mounted. A dead meetfs mount is taken down first.
///
/// # Errors
/// Why it cannot be mounted on.
pub fn prepare(given: &Path) -> Result<Place, MountpointError> {
    let path = absolute(given)?;
    for _ in 0..DEAD_MOUNTS {
        let mounted = mounted_at(&path).map_err(|cause| system(&path, cause))?;
        let Some(mounted) = mounted else {
            check_empty_directory(&path)?;
            let lock = lock(&path)?;
            // Whoever held the lock before may have mounted meanwhile.
            if mounted_at(&path).map_err(|cause| system(&path, cause))?.is_none() {
                return Ok(Place { path, _lock: lock });
            }
            continue;
        };
        if mounted.is_meetfs() && has_died(&path) {
            tracing::warn!("{} was left by a daemon that died; it is taken down", path.display());
            take_down(&path)?;
        } else {
            return Err(MountpointError::AlreadyMounted { mountpoint: path, what: mounted.source });
        }
    }
    Err(MountpointError::Dead(path))
}

fn lock(path: &Path) -> Result<Option<File>, MountpointError> {
    let directory = File::open(path).map_err(|cause| system(path, cause))?;
    match directory.try_lock() {
        Ok(()) => Ok(Some(directory)),
        Err(TryLockError::WouldBlock) => Err(MountpointError::BeingMounted(path.into())),
        Err(TryLockError::Error(_cannot_be_locked)) => Ok(None),
    }
}

/// The path without links and dots, though it may be a dead mount, or lie in one, that cannot be looked at.
///
/// # Errors
/// The directory it is in does not exist.
pub(crate) fn absolute(given: &Path) -> Result<PathBuf, MountpointError> {
    let failed = |cause: std::io::Error| match cause.kind() {
        ErrorKind::NotFound => MountpointError::Missing(given.into()),
        _ => system(given, cause),
    };
    let mut path = given.to_path_buf();
    for _ in 0..LINKS {
        // A dead mount answers every look with "not connected", and a hung one never answers: the mount table knows of
        // them first, as long as no `..` could lead through a link.
        let written: PathBuf = std::path::absolute(&path).map_err(failed)?.components().collect();
        let climbs = written.components().any(|part| part == Component::ParentDir);
        let around = mounted_around(&written).map_err(failed)?.filter(MountEntry::is_meetfs);
        if around.is_some() && !climbs {
            return Ok(written);
        }
        let Some(name) = path.file_name() else { return path.canonicalize().map_err(failed) };
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new(".")).canonicalize().map_err(failed)?;
        let named = parent.join(name);
        // Unlike a `stat`, this asks no file system that may be mounted there.
        match std::fs::read_link(&named) {
            Ok(target) => path = parent.join(target),
            Err(_it_is_no_link) => return Ok(named),
        }
    }
    Err(system(given, std::io::Error::other("too many links")))
}

/// Refuses a place in or at the mountpoint for `what` the daemon writes. Nothing is made.
///
/// # Errors
/// [`MountpointError::Hidden`], or there is no such mountpoint.
pub(crate) fn refuse_inside(
    given: &Path,
    path: &Path,
    what: &'static str,
) -> Result<(), MountpointError> {
    let mountpoint = absolute(given)?;
    let written = std::path::absolute(path).map_err(|cause| system(path, cause))?;
    // By name first: a mount that is there may be dead, or hang.
    let is_inside = written.starts_with(&mountpoint)
        || written
            .ancestors()
            .find_map(|there| there.canonicalize().ok())
            .is_some_and(|there| there.starts_with(&mountpoint));
    if is_inside { Err(MountpointError::Hidden { what, path: path.into() }) } else { Ok(()) }
}

fn check_empty_directory(path: &Path) -> Result<(), MountpointError> {
    let found = match std::fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Err(MountpointError::Missing(path.into()));
        }
        Err(cause) => return Err(system(path, cause)),
        Ok(found) => found,
    };
    if !found.is_dir() || found.file_type().is_fifo() {
        return Err(MountpointError::NotADirectory(path.into()));
    }
    let mut entries = std::fs::read_dir(path).map_err(|cause| system(path, cause))?;
    if entries.next().is_some() {
        return Err(MountpointError::NotEmpty(path.into()));
    }
    Ok(())
}

/// Asks the file system at `path` and does not hang; `None` when there was no answer in time.
///
/// A `stat` would not do: the kernel answers it from what it remembers, for as long as names and attributes may be
/// believed, also when the daemon is long dead. The figures of a file system are always asked for.
fn answer_within(path: &Path) -> Option<nix::Result<()>> {
    let (answer, answered) = mpsc::channel();
    let path = path.to_path_buf();
    // The thread stays behind when the file system never answers; it ends with the process.
    std::thread::spawn(move || {
        let _nobody_waits_any_more = answer.send(nix::sys::statvfs::statvfs(&path).map(|_| ()));
    });
    answered.recv_timeout(ANSWER_TIMEOUT).ok()
}

/// Whether the daemon of the mount at `path` is gone. One that hangs is not.
pub(crate) fn has_died(path: &Path) -> bool {
    let died = |error| matches!(error, nix::Error::ENOTCONN | nix::Error::ECONNABORTED);
    answer_within(path).is_some_and(|answer| answer.is_err_and(died))
}

fn take_down(path: &Path) -> Result<(), MountpointError> {
    if nix::mount::umount2(path, MntFlags::MNT_DETACH).is_ok() {
        return Ok(());
    }
    let helped = Command::new("fusermount3")
        .args(["-u", "-z", "--"])
        .arg(path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if helped.is_ok_and(|status| status.success()) {
        Ok(())
    } else {
        Err(MountpointError::Dead(path.into()))
    }
}

fn system(path: &Path, cause: std::io::Error) -> MountpointError {
    MountpointError::System { mountpoint: path.into(), cause }
}

//! The folder to mount on: checked before anything is mounted, and freed of what a killed daemon left.

use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use nix::mount::MntFlags;

use super::mounts::mounted_at;

/// How long a file system at the mountpoint may take to answer a `stat`. One whose daemon hangs would take us
/// along.
const STAT_WITHIN: Duration = Duration::from_secs(3);

/// Dead mounts can lie on top of each other; more than this many have another cause.
const DEAD_MOUNTS: usize = 16;

/// Why a folder cannot be mounted on, or not be unmounted.
#[derive(Debug, thiserror::Error)]
pub enum MountpointError {
    /// It is not there.
    #[error("the mountpoint {} does not exist; create it with `mkdir`", .0.display())]
    Missing(PathBuf),
    /// It is no folder.
    #[error("the mountpoint {} is not a folder; choose an empty one", .0.display())]
    NotAFolder(PathBuf),
    /// It has files that the mount would hide.
    #[error("the mountpoint {} is not empty and its files would be hidden; choose an empty folder", .0.display())]
    NotEmpty(PathBuf),
    /// Something is mounted there already.
    #[error(
        "{} is already mounted ({what}); unmount it with `{}` or choose another folder",
        mountpoint.display(), unmount_advice(mountpoint, what)
    )]
    AlreadyMounted {
        /// Where.
        mountpoint: PathBuf,
        /// The source of what is mounted.
        what: String,
    },
    /// The mount of a dead daemon does not go away.
    #[error("{} is the mount of a daemon that died and cannot be taken down; use `fusermount3 -uz` on it", .0.display())]
    Dead(PathBuf),
    /// Nothing of ours is mounted there.
    #[error("no meetfs is mounted at {}; `mount | grep meetfs` shows where one is", .0.display())]
    NotMounted(PathBuf),
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
    let command = if what == crate::fuse::MOUNT_SOURCE { "meetfs unmount" } else { "umount" };
    format!("{command} {}", mountpoint.display())
}

/// The absolute path of an empty folder on which nothing is mounted. A dead meetfs mount is taken down first.
///
/// # Errors
/// Why it cannot be mounted on.
pub fn prepare(given: &Path) -> Result<PathBuf, MountpointError> {
    let path = absolute(given)?;
    for _ in 0..DEAD_MOUNTS {
        let mounted = mounted_at(&path).map_err(|cause| system(&path, cause))?;
        let Some(mounted) = mounted else { return check_empty_folder(path) };
        match stat_within(&path) {
            Some(Err(error)) if mounted.is_meetfs() && is_dead(&error) => {
                tracing::warn!("{} was left by a daemon that died; it is taken down", path.display());
                take_down(&path)?;
            }
            _ => return Err(MountpointError::AlreadyMounted { mountpoint: path, what: mounted.source }),
        }
    }
    Err(MountpointError::Dead(path))
}

/// The path without links and dots, though its last part may be a dead mount that cannot be looked at.
///
/// # Errors
/// The folder it is in does not exist.
pub(super) fn absolute(given: &Path) -> Result<PathBuf, MountpointError> {
    let missing = |_| MountpointError::Missing(given.into());
    // A dead mount answers every look with "not connected", and a hung one never answers.
    let parent_and_name =
        given.file_name().map(|name| (given.parent().filter(|parent| !parent.as_os_str().is_empty()), name));
    match parent_and_name {
        Some((parent, name)) => {
            let parent = parent.unwrap_or(Path::new(".")).canonicalize().map_err(missing)?;
            let path = parent.join(name);
            let is_link = std::fs::symlink_metadata(&path).is_ok_and(|found| found.is_symlink());
            if is_link { path.canonicalize().map_err(missing) } else { Ok(path) }
        }
        None => given.canonicalize().map_err(missing),
    }
}

fn check_empty_folder(path: PathBuf) -> Result<PathBuf, MountpointError> {
    let found = match std::fs::metadata(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(MountpointError::Missing(path));
        }
        Err(cause) => return Err(system(&path, cause)),
        Ok(found) => found,
    };
    if !found.is_dir() || found.file_type().is_fifo() {
        return Err(MountpointError::NotAFolder(path));
    }
    let mut entries = std::fs::read_dir(&path).map_err(|cause| system(&path, cause))?;
    if entries.next().is_some() {
        return Err(MountpointError::NotEmpty(path));
    }
    Ok(path)
}

/// A `stat` that does not hang; `None` when there was no answer in time.
fn stat_within(path: &Path) -> Option<std::io::Result<()>> {
    let (answer, answered) = mpsc::channel();
    let path = path.to_path_buf();
    // The thread stays behind when the file system never answers; it ends with the process.
    std::thread::spawn(move || {
        let _nobody_waits_any_more = answer.send(std::fs::metadata(path).map(|_| ()));
    });
    answered.recv_timeout(STAT_WITHIN).ok()
}

fn is_dead(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOTCONN | libc::ECONNABORTED))
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
    if helped.is_ok_and(|status| status.success()) { Ok(()) } else { Err(MountpointError::Dead(path.into())) }
}

fn system(path: &Path, cause: std::io::Error) -> MountpointError {
    MountpointError::System { mountpoint: path.into(), cause }
}

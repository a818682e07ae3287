//! Checks and locks the directory to mount on, and unmounts dead mounts there.
//!
//! A file system whose daemon hangs blocks every call that reaches it. Functions of this module
//! consult the mount table first. They run calls that can block on a separate thread, with a
//! timeout.
//!
//! An automount point is a directory whose access makes an automounter, such as autofs or systemd,
//! mount a file system on it. To mount there by hand, [`prepare`] must not request a mount from the
//! automounter. The kernel requests one if a path is opened or listed, but not for `O_PATH`
//! (fs/namei.c, `follow_automount`). A mount by the automounter itself runs in the process group of
//! the automounter, for which the kernel requests nothing and never waits (fs/autofs/root.c,
//! `autofs_d_manage`).

use std::borrow::Cow;
use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use nix::mount::MntFlags;
use nix::sys::statfs::{AUTOFS_SUPER_MAGIC, fstatfs};
use nix::unistd::{Uid, User};

use crate::fuse::mount_table::{MountEntry, mount_containing, topmost_mount_at};
use crate::model::{Diagnostic, ErrorKind};

/// Timeout for `statvfs` on a mountpoint. Without it, a daemon that hangs would block the command.
const STATVFS_TIMEOUT: Duration = Duration::from_secs(3);

/// Maximum number of dead mounts that are unmounted at one mountpoint. A larger number has another
/// cause.
const MAX_DEAD_MOUNTS: usize = 16;

/// Maximum number of symbolic links to follow, as in the kernel (path_resolution(7)).
const MAX_LINKS: usize = 40;

/// The reason why a directory cannot be mounted on or unmounted.
#[derive(Debug, thiserror::Error)]
pub enum MountpointError {
    #[error("the mountpoint {} does not exist", .0.display())]
    Missing(PathBuf),
    #[error("the mountpoint {} is not a directory", .0.display())]
    NotADirectory(PathBuf),
    #[error("the mountpoint {} is not empty, and a mount would hide its files", .0.display())]
    NotEmpty(PathBuf),
    #[error("{} is already mounted ({fs_source})", mountpoint.display())]
    AlreadyMounted {
        mountpoint: PathBuf,
        /// The source of the file system in the mount table.
        fs_source: String,
        is_meetfs: bool,
    },
    /// Only root can mount on a directory that belongs to an automounter.
    #[error("{} is an automount point, on which only root can mount", .0.display())]
    AutomountPoint(PathBuf),
    #[error("another meetfs process is starting a mount at {}", .0.display())]
    BeingMounted(PathBuf),
    #[error("cannot unmount the dead mount {}", .0.display())]
    Dead(PathBuf),
    #[error("no meetfs file system is mounted at {}", .0.display())]
    NotMounted(PathBuf),
    /// The daemon would write into a directory that its own mount hides.
    #[error("the {subject} {} is inside the mountpoint, which would hide it", path.display())]
    Hidden { subject: &'static str, path: PathBuf },
    #[error("{} was mounted by {}", mountpoint.display(), describe_user(*.owner))]
    OtherOwner { mountpoint: PathBuf, owner: u32 },
    #[error(
        "{} is busy: {processes}{}",
        mountpoint.display(),
        stopped_daemon
            .map(|pid| format!(", and its daemon (process {pid}) is stopped"))
            .unwrap_or_default()
    )]
    Busy {
        mountpoint: PathBuf,
        /// Description of the processes that use the mount.
        processes: String,
        /// Process id of the daemon, if a signal has stopped it.
        stopped_daemon: Option<u32>,
    },
    /// The mount has left the mount table, but its daemon cannot exit.
    #[error(
        "{} is unmounted, but its daemon (process {daemon_pid}) is stopped",
        mountpoint.display()
    )]
    Stopped { mountpoint: PathBuf, daemon_pid: u32 },
    #[error(
        "the mountpoint {} is inside {}, a mount whose daemon has died",
        path.display(),
        mountpoint.display()
    )]
    InsideDead {
        path: PathBuf,
        /// The mountpoint of the dead mount.
        mountpoint: PathBuf,
    },
    /// Another mount depends on this mount, so its file system would stay in use.
    #[error("{} is busy: {mounts}", mountpoint.display())]
    DependentMounts {
        mountpoint: PathBuf,
        /// Description of the mounts that depend on this mount.
        mounts: String,
        /// The mountpoint of the first of these mounts.
        first_mountpoint: PathBuf,
    },
    /// The mount has left the mount table, but its file system is still in use.
    #[error(
        "{} is unmounted, but {} still serves it: {holders}",
        mountpoint.display(),
        daemon_pid.map_or_else(|| "its daemon".to_owned(), |pid| format!("its daemon (process {pid})"))
    )]
    StillServed {
        mountpoint: PathBuf,
        daemon_pid: Option<u32>,
        /// Description of the processes and mounts that use the file system.
        holders: String,
    },
    #[error(
        "the daemon of {} did not release the mountpoint within {} s",
        mountpoint.display(),
        timeout.as_secs()
    )]
    NotReleased { mountpoint: PathBuf, timeout: Duration },
    #[error("cannot use the mountpoint {}", mountpoint.display())]
    System { mountpoint: PathBuf, source: io::Error },
}

impl Diagnostic for MountpointError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Missing(_) | Self::NotMounted(_) => ErrorKind::NotFound,
            Self::AlreadyMounted { .. }
            | Self::BeingMounted(_)
            | Self::Busy { .. }
            | Self::DependentMounts { .. }
            | Self::StillServed { .. }
            | Self::Stopped { .. }
            | Self::NotReleased { .. } => ErrorKind::Busy,
            Self::NotADirectory(_)
            | Self::NotEmpty(_)
            | Self::AutomountPoint(_)
            | Self::Dead(_)
            | Self::InsideDead { .. }
            | Self::Hidden { .. }
            | Self::OtherOwner { .. }
            | Self::System { .. } => ErrorKind::System,
        }
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        Some(match self {
            Self::Missing(path) => format!("Create it with `mkdir {}`.", path.display()).into(),
            Self::NotADirectory(_) | Self::NotEmpty(_) => "Choose an empty directory.".into(),
            Self::InsideDead { mountpoint, .. } => unmount_hint(mountpoint).into(),
            Self::AlreadyMounted { mountpoint, is_meetfs: true, .. } => {
                unmount_hint(mountpoint).into()
            }
            Self::AlreadyMounted { .. } => "Choose an empty directory.".into(),
            Self::AutomountPoint(_) => {
                "Open the directory so that the automounter mounts it, or choose another one."
                    .into()
            }
            Self::BeingMounted(_) => {
                "Wait until that mount is ready, or choose another directory.".into()
            }
            Self::Dead(path) => format!("Run `fusermount3 -uz {}`.", path.display()).into(),
            Self::NotMounted(_) => "`meetfs status` lists your mounts.".into(),
            Self::Hidden { .. } => "Choose a path outside the mountpoint.".into(),
            Self::OtherOwner { .. } => "Unmount it as that user or as root.".into(),
            Self::Busy { stopped_daemon: Some(pid), .. } => format!(
                "Resume the daemon with `kill -CONT {pid}`. Then close these programs and unmount \
                 again."
            )
            .into(),
            Self::Busy { stopped_daemon: None, .. } => {
                "Close these programs and unmount again.".into()
            }
            Self::Stopped { daemon_pid, .. } => {
                format!("Resume it with `kill -CONT {daemon_pid}`, and it exits.").into()
            }
            Self::DependentMounts { first_mountpoint, .. } => {
                format!("Unmount {} first, then unmount again.", first_mountpoint.display()).into()
            }
            Self::StillServed { daemon_pid: Some(pid), .. } => format!(
                "The daemon exits when the last of these programs ends. `kill {pid}` ends the \
                 daemon now, and the reads of these programs then fail."
            )
            .into(),
            Self::StillServed { daemon_pid: None, .. } => {
                "The daemon exits when the last of these programs ends.".into()
            }
            Self::NotReleased { .. } => "Run the command again in a moment.".into(),
            Self::System { source, .. } if source.kind() == io::ErrorKind::NotADirectory => {
                "A part of this path is a file. Correct the path.".into()
            }
            Self::System { .. } => return None,
        })
    }
}

/// Returns the name and the id of a user, or only the id if no user has it.
fn describe_user(id: u32) -> String {
    match User::from_uid(Uid::from_raw(id)) {
        Ok(Some(user)) => format!("{} (uid {id})", user.name),
        _ => format!("the user with uid {id}"),
    }
}

fn unmount_hint(mountpoint: &Path) -> String {
    format!(
        "Unmount it with `meetfs unmount {}`, or choose another directory.",
        mountpoint.display()
    )
}

/// An empty directory on which nothing is mounted, locked against other meetfs processes until it
/// is dropped.
#[derive(Debug)]
pub struct LockedMountpoint {
    path: PathBuf,
    /// The locked directory. Without the lock, two processes could both find the directory free and
    /// mount on top of each other. `None` on file systems whose directories cannot be locked, such
    /// as some network file systems, and for automount points, which cannot be opened. The
    /// automounter requests one mount at a time.
    _lock: Option<File>,
}

impl LockedMountpoint {
    /// Returns the absolute path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Checks and locks an empty directory on which nothing is mounted, or an automount point. Unmounts
/// dead meetfs mounts first.
///
/// # Errors
/// The directory cannot be mounted on.
pub fn prepare(input_path: &Path) -> Result<LockedMountpoint, MountpointError> {
    let path = absolute_path(input_path)?;
    for _ in 0..MAX_DEAD_MOUNTS {
        let Some(entry) = mount_on(&path)? else {
            check_not_in_dead_mount(&path)?;
            let lock = lock_empty_directory(&path)?;
            // The previous owner of the lock, or the automounter, may have mounted in the meantime.
            if mount_on(&path)?.is_none() {
                return Ok(LockedMountpoint { path, _lock: lock });
            }
            continue;
        };
        if entry.is_meetfs() && is_dead(&path) {
            tracing::warn!("unmounting {}: its daemon has died", path.display());
            detach(&path)?;
        } else {
            return Err(MountpointError::AlreadyMounted {
                mountpoint: path,
                is_meetfs: entry.is_meetfs(),
                fs_source: entry.source,
            });
        }
    }
    Err(MountpointError::Dead(path))
}

/// Returns the file system that is mounted on a directory, which can be an automount point.
fn mount_on(path: &Path) -> Result<Option<MountEntry>, MountpointError> {
    let entry = topmost_mount_at(path).map_err(|source| system_error(path, source))?;
    Ok(entry.filter(|entry| !entry.is_automount_point))
}

/// Locks an empty directory. Returns `None` for a directory that cannot be locked.
fn lock_empty_directory(path: &Path) -> Result<Option<File>, MountpointError> {
    let system_error = |source| system_error(path, source);
    // With `O_DIRECTORY`, the kernel would request a mount on an automount point.
    let flags = libc::O_PATH | libc::O_NOFOLLOW;
    let location = match File::options().read(true).custom_flags(flags).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(MountpointError::Missing(path.into()));
        }
        other => other.map_err(system_error)?,
    };
    if !location.metadata().map_err(system_error)?.is_dir() {
        return Err(MountpointError::NotADirectory(path.into()));
    }
    let file_system = fstatfs(&location).map_err(|errno| system_error(errno.into()))?;
    if file_system.filesystem_type() == AUTOFS_SUPER_MAGIC {
        // It contains at most directories of the automounter.
        let is_root = nix::unistd::geteuid().is_root();
        return if is_root { Ok(None) } else { Err(MountpointError::AutomountPoint(path.into())) };
    }
    let mut entries = std::fs::read_dir(path).map_err(system_error)?;
    if entries.next().is_some() {
        return Err(MountpointError::NotEmpty(path.into()));
    }
    let directory = File::open(path).map_err(system_error)?;
    match directory.try_lock() {
        Ok(()) => Ok(Some(directory)),
        Err(TryLockError::WouldBlock) => Err(MountpointError::BeingMounted(path.into())),
        // The file system cannot lock directories.
        Err(TryLockError::Error(_)) => Ok(None),
    }
}

/// Returns the absolute path without symbolic links and dots. Works even for a dead mount and for a
/// path inside it, where every system call fails.
///
/// # Errors
/// The parent directory does not exist.
pub(crate) fn absolute_path(input_path: &Path) -> Result<PathBuf, MountpointError> {
    let path_error = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => MountpointError::Missing(input_path.into()),
        _ => system_error(input_path, source),
    };
    let mut path = input_path.to_path_buf();
    for _ in 0..MAX_LINKS {
        // Calls on a dead mount fail with "not connected", and calls on a hung mount block. So the
        // mount table is used instead, unless the path contains a `..`, which could follow a
        // symbolic link.
        let lexical_path: PathBuf =
            std::path::absolute(&path).map_err(path_error)?.components().collect();
        let has_parent_component =
            lexical_path.components().any(|part| part == Component::ParentDir);
        let containing =
            mount_containing(&lexical_path).map_err(path_error)?.filter(MountEntry::is_meetfs);
        if containing.is_some() && !has_parent_component {
            return Ok(lexical_path);
        }
        let Some(name) = path.file_name() else { return path.canonicalize().map_err(path_error) };
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new(".")).canonicalize().map_err(path_error)?;
        let candidate = parent.join(name);
        // Unlike `stat`, `readlink` does not reach a file system that is mounted there.
        match std::fs::read_link(&candidate) {
            Ok(target) => path = parent.join(target),
            // The path is not a symbolic link.
            Err(_) => return Ok(candidate),
        }
    }
    Err(system_error(input_path, io::Error::other("too many symbolic links")))
}

/// Checks that `path`, to which the daemon writes, is not at or inside the mountpoint. Does not
/// create anything.
///
/// # Errors
/// [`MountpointError::Hidden`], or the mountpoint does not exist.
pub fn check_outside(
    mountpoint: &Path,
    path: &Path,
    subject: &'static str,
) -> Result<(), MountpointError> {
    let mountpoint = absolute_path(mountpoint)?;
    let absolute_target = std::path::absolute(path).map_err(|source| system_error(path, source))?;
    // Names are compared first, because an existing mount may be dead or hung.
    let is_inside = absolute_target.starts_with(&mountpoint)
        || absolute_target
            .ancestors()
            .find_map(|ancestor| ancestor.canonicalize().ok())
            .is_some_and(|ancestor| ancestor.starts_with(&mountpoint));
    if is_inside { Err(MountpointError::Hidden { subject, path: path.into() }) } else { Ok(()) }
}

/// Checks that the mount that contains `path` is not a dead meetfs mount, in which every system
/// call fails.
fn check_not_in_dead_mount(path: &Path) -> Result<(), MountpointError> {
    let containing = mount_containing(path).map_err(|source| system_error(path, source))?;
    match containing.filter(|mount| mount.is_meetfs() && is_dead(&mount.mountpoint)) {
        Some(MountEntry { mountpoint, .. }) => {
            Err(MountpointError::InsideDead { path: path.into(), mountpoint })
        }
        None => Ok(()),
    }
}

/// Calls `statvfs` on `path`. Returns `None` on timeout.
///
/// `stat` is not suitable, because the kernel answers it from its attribute cache even if the
/// daemon is dead. `statvfs` always reaches the daemon.
fn statvfs_with_timeout(path: &Path) -> Option<nix::Result<()>> {
    let (sender, receiver) = mpsc::channel();
    let path = path.to_path_buf();
    // If the file system never answers, the thread stays until the process exits.
    std::thread::spawn(move || {
        // After a timeout, the receiver no longer exists.
        let _ = sender.send(nix::sys::statvfs::statvfs(&path).map(|_| ()));
    });
    receiver.recv_timeout(STATVFS_TIMEOUT).ok()
}

/// Whether the daemon of the mount at `path` has exited. A hung daemon has not exited.
pub(crate) fn is_dead(path: &Path) -> bool {
    let is_disconnect = |error| matches!(error, nix::Error::ENOTCONN | nix::Error::ECONNABORTED);
    statvfs_with_timeout(path).is_some_and(|result| result.is_err_and(is_disconnect))
}

fn detach(path: &Path) -> Result<(), MountpointError> {
    if nix::mount::umount2(path, MntFlags::MNT_DETACH).is_ok() {
        return Ok(());
    }
    let status = Command::new("fusermount3")
        .args(["-u", "-z", "--"])
        .arg(path)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if status.is_ok_and(|status| status.success()) {
        Ok(())
    } else {
        Err(MountpointError::Dead(path.into()))
    }
}

fn system_error(path: &Path, source: io::Error) -> MountpointError {
    MountpointError::System { mountpoint: path.into(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owner_is_named_with_its_uid() {
        assert_eq!(describe_user(0), "root (uid 0)");
        assert_eq!(describe_user(4_000_000_001), "the user with uid 4000000001");
    }
}

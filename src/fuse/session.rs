//! Mounts and unmounts the file system. Also handles cases that `fuser` 0.18.0 does not handle:
//!
//! 1. `fuser` unmounts by path, even if another process has already unmounted the file system and a
//!    different one is mounted at the path now. [`MountedSession::unmount`] first compares the
//!    device number, and then drops the handle of `fuser` without a second unmount.
//! 2. A busy mount cannot be unmounted and would stay mounted without a daemon. It is detached
//!    instead.
//! 3. If a helper mounts the file system, it gets the mount options as a comma-separated list. The
//!    source of the file system is replaced if it contains a comma or a backslash.
//! 4. `fuser` opens the mountpoint before it mounts. If the mountpoint is an automount point, the
//!    kernel then requests this mount from the automounter. So root mounts without `fuser`.

use std::borrow::Cow;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fuser::{BackgroundSession, Config, MountOption, Session, SessionACL};
use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags};
use nix::sched::CloneFlags;

use super::adapter::Adapter;
use super::mount_table::topmost_mount_at;
use super::{invalidation_thread, readahead};
use crate::model::{Diagnostic, ErrorKind};
use crate::vfs::InvalidationQueue;

/// The device over which the kernel sends requests.
const FUSE_DEVICE: &str = "/dev/fuse";

/// Sets the type in the [mount table](super::mount_table::FILE_SYSTEM_TYPE). `fuser` 0.18.0 passes
/// `MountOption::Subtype` to the helper, but not to the kernel (fs/fuse/inode.c, `OPT_SUBTYPE`).
const SUBTYPE_OPTION: &str = "subtype=meetfs";

/// The source in the mount table unless fstab has another one.
pub const DEFAULT_MOUNT_SOURCE: &str = "meetfs";

/// Number of event threads.
///
/// Callbacks never block, so one thread is enough for one reader. A second thread answers metadata
/// requests while the first copies a megabyte into a reply. When a program walks through
/// directories, the kernel sends the release of one directory together with the `opendir` of the
/// next, while the thread that sent the last answer is not ready yet. With a third thread, `ls -lR`
/// of a large archive takes 20 % less time. A fourth thread does not help.
const EVENT_THREADS: usize = 3;

/// Timeout for the first request to a new mount.
const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// Interval at which an unmount checks whether the event threads have ended.
const END_CHECK_INTERVAL: Duration = Duration::from_millis(5);

/// The users who may access the mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Only the user who mounted the file system.
    Owner,
    /// The user who mounted the file system, and root.
    OwnerAndRoot,
    /// All users, limited by the permission bits.
    AllUsers,
}

/// The reason why a file system cannot be mounted.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The kernel or the helper rejects the mount.
    #[error("cannot mount at {}", .mountpoint.display())]
    Mount { mountpoint: PathBuf, source: io::Error },
    /// The configuration of FUSE does not allow an ordinary user to give others access.
    #[error("cannot mount at {} with access for other users", .mountpoint.display())]
    AccessNotAllowed { mountpoint: PathBuf, source: io::Error },
    /// The mount exists but does not answer requests.
    #[error("the mount at {} does not answer", .mountpoint.display())]
    NoAnswer { mountpoint: PathBuf },
}

impl Diagnostic for SessionError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::System
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        let hint = match self {
            Self::Mount { source, .. } => match source.raw_os_error() {
                Some(libc::ENOENT) if !Path::new(FUSE_DEVICE).exists() => {
                    "/dev/fuse is missing. Load the kernel module with `modprobe fuse`."
                }
                Some(libc::EPERM | libc::EACCES) => {
                    "Run as root, or install fuse3 and check that you can open /dev/fuse."
                }
                _ => return None,
            },
            Self::AccessNotAllowed { .. } => {
                "Add the line `user_allow_other` to /etc/fuse.conf as root, or omit `allow_other` \
                 and `allow_root`."
            }
            Self::NoAnswer { .. } => {
                "The limit on open files may be too low. Check that `ulimit -n` is at least 64."
            }
        };
        Some(hint.into())
    }
}

/// A mount that is being served.
#[derive(Debug)]
pub struct MountedSession {
    session: BackgroundSession,
    mountpoint: PathBuf,
    device: u64,
    invalidations: Arc<InvalidationQueue>,
}

/// Mounts `adapter` at `mountpoint` and serves its requests. The mount is ready when this function
/// returns. The mount table shows `source`.
///
/// # Errors
/// The kernel or the helper rejects the mount, or the mount does not answer.
pub fn mount(
    adapter: Adapter,
    invalidations: Arc<InvalidationQueue>,
    mountpoint: &Path,
    source: &str,
    access: Access,
) -> Result<MountedSession, SessionError> {
    let mount_error = |source| SessionError::Mount { mountpoint: mountpoint.into(), source };
    let mut config = Config::default();
    config.acl = match access {
        Access::Owner => SessionACL::Owner,
        Access::OwnerAndRoot => SessionACL::RootAndOwner,
        Access::AllUsers => SessionACL::All,
    };
    config.n_threads = Some(EVENT_THREADS);
    let fuse_device = if nix::unistd::geteuid().is_root() {
        mount_as_root(mountpoint, source, access).map_err(mount_error)?
    } else {
        None
    };
    let session = match fuse_device {
        Some(fuse_device) => {
            config.clone_fd = true;
            Session::from_fd(adapter, fuse_device, config.acl, config)
                .and_then(Session::spawn)
                // Unlike `new`, `from_fd` leaves the file system mounted if it fails.
                .inspect_err(|_| detach(mountpoint))
                .map_err(mount_error)?
        }
        None => mount_with_helper(adapter, mountpoint, source, config)?,
    };
    let started = invalidation_thread::start(invalidations.clone(), session.notifier());
    match started.map_err(mount_error).and_then(|()| device_of(mountpoint)) {
        Ok(device) => {
            readahead::raise(device);
            Ok(MountedSession { session, mountpoint: mountpoint.into(), device, invalidations })
        }
        Err(error) => {
            invalidations.stop();
            detach(mountpoint);
            // The requests of the session end with the process. Dropping the session would unmount
            // by path a second time.
            std::mem::forget(session);
            Err(error)
        }
    }
}

/// Mounts with mount(2), which does not request a mount from an automounter. Returns the FUSE
/// device, or `None` if the process does not have the capability to mount.
fn mount_as_root(mountpoint: &Path, source: &str, access: Access) -> io::Result<Option<OwnedFd>> {
    let fuse_device = std::fs::OpenOptions::new().read(true).write(true).open(FUSE_DEVICE)?;
    let mut options = format!(
        // The type of the root directory, in octal digits. Its mode comes from the first `getattr`.
        "fd={},rootmode=40000,user_id={},group_id={},{SUBTYPE_OPTION},default_permissions",
        fuse_device.as_raw_fd(),
        nix::unistd::getuid(),
        nix::unistd::getgid()
    );
    if access != Access::Owner {
        // `fuser` rejects the requests of users other than root.
        options.push_str(",allow_other");
    }
    let flags = MsFlags::MS_RDONLY
        | MsFlags::MS_NOSUID
        | MsFlags::MS_NODEV
        | MsFlags::MS_NOEXEC
        | MsFlags::MS_NOATIME;
    let options = Some(options.as_str());
    match nix::mount::mount(Some(source), mountpoint, Some("fuse"), flags, options) {
        Ok(()) => Ok(Some(fuse_device.into())),
        Err(Errno::EPERM) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Mounts with the setuid helper, through `fuser`.
fn mount_with_helper(
    adapter: Adapter,
    mountpoint: &Path,
    source: &str,
    mut config: Config,
) -> Result<BackgroundSession, SessionError> {
    let source = if source.contains([',', '\\']) { DEFAULT_MOUNT_SOURCE } else { source };
    config.mount_options = vec![
        MountOption::FSName(source.into()),
        MountOption::CUSTOM(SUBTYPE_OPTION.into()),
        MountOption::RO,
        MountOption::NoSuid,
        MountOption::NoDev,
        MountOption::NoExec,
        MountOption::NoAtime,
        MountOption::DefaultPermissions,
    ];
    let session = Session::new(adapter, mountpoint, &config).and_then(Session::spawn);
    session.map_err(|source| {
        let mountpoint = mountpoint.into();
        // fuser 0.18.0 returns this kind without an error number only if the helper reports that
        // `user_allow_other` is not set.
        if source.kind() == io::ErrorKind::PermissionDenied && source.raw_os_error().is_none() {
            SessionError::AccessNotAllowed { mountpoint, source }
        } else {
            SessionError::Mount { mountpoint, source }
        }
    })
}

/// Returns the device number inside a new mount, which takes one request to the daemon.
///
/// A separate thread sends this request. If the event threads could not start because no file
/// descriptor was left, the request is never answered, and the separate thread hangs until the
/// process ends.
///
/// A signal can also end the process before an event thread has answered. The kernel then waits
/// without a limit for the answer to a request that was read from `/dev/fuse` (fs/fuse/dev.c,
/// `request_wait_answer`), and the process cannot exit. Therefore the thread does not have the
/// device open: it is closed when the other threads exit, and closing it aborts the request.
fn device_of(mountpoint: &Path) -> Result<u64, SessionError> {
    let (sender, receiver) = std::sync::mpsc::channel();
    let path = mountpoint.to_path_buf();
    let mount_error = |source| SessionError::Mount { mountpoint: mountpoint.into(), source };
    std::thread::Builder::new()
        .name("first request".into())
        .spawn(move || {
            if let Err(error) = close_device_in_thread() {
                tracing::debug!("the first request has the FUSE device open: {error}");
            }
            let _ = sender.send(std::fs::metadata(path)); // The receiver may have timed out.
        })
        .map_err(mount_error)?;
    match receiver.recv_timeout(FIRST_REQUEST_TIMEOUT) {
        Ok(metadata) => Ok(metadata.map_err(mount_error)?.dev()),
        Err(_) => Err(SessionError::NoAnswer { mountpoint: mountpoint.into() }),
    }
}

/// Gives the calling thread its own file descriptors (unshare(2), `CLONE_FILES`), without those of
/// the FUSE device.
fn close_device_in_thread() -> io::Result<()> {
    nix::sched::unshare(CloneFlags::CLONE_FILES)?;
    let descriptors = std::fs::read_dir("/proc/thread-self/fd")?.flatten();
    let devices: Vec<RawFd> = descriptors
        .filter(|entry| {
            std::fs::read_link(entry.path()).is_ok_and(|path| path == Path::new(FUSE_DEVICE))
        })
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    for device in devices {
        nix::unistd::close(device)?;
    }
    Ok(())
}

impl MountedSession {
    /// Returns the device number that stat(2) shows inside the mount.
    pub fn device(&self) -> u64 {
        self.device
    }

    /// Unmounts the file system and waits up to `timeout` for pending requests. A busy mount is
    /// detached: its mountpoint is free at once, and open files remain usable until they are
    /// closed.
    pub fn unmount(self, timeout: Duration) {
        let Self { session, mountpoint, device, invalidations } = self;
        invalidations.stop();
        if !session.guard.is_finished() && is_mounted(&mountpoint, device) {
            detach(&mountpoint);
        }
        let start = Instant::now();
        while !session.guard.is_finished() && start.elapsed() < timeout {
            std::thread::sleep(END_CHECK_INTERVAL);
        }
        // Dropping the session would unmount any file system that is mounted at the path now.
        std::mem::forget(session);
    }
}

/// Returns whether the file system at `mountpoint` has this device number.
///
/// Reads the mount table, because the path may not be accessed here:
///
/// - A request to the daemon in this process could hang forever if a second signal ends the process
///   in the meantime: the kernel waits without a limit for a request that was read from `/dev/fuse`
///   (fs/fuse/dev.c, `request_wait_answer`). Closing the file descriptors would abort the request,
///   but the waiting thread keeps them open.
/// - After an automounter has unmounted the file system, an access would make it mount again.
fn is_mounted(mountpoint: &Path, device: u64) -> bool {
    topmost_mount_at(mountpoint).is_ok_and(|top| top.is_some_and(|top| top.device == device))
}

/// Unmounts by path. Uses a lazy unmount if the mount is busy, and the helper if the user is not
/// root.
fn detach(mountpoint: &Path) {
    let result = match nix::mount::umount2(mountpoint, MntFlags::empty()) {
        Err(Errno::EBUSY) => nix::mount::umount2(mountpoint, MntFlags::MNT_DETACH),
        other => other,
    };
    match result {
        Ok(()) | Err(Errno::EINVAL | Errno::ENOENT) => return,
        Err(_) => {} // Not permitted.
    }
    let helper = Command::new("fusermount3")
        .args(["-u", "-z", "--"])
        .arg(mountpoint)
        .stdin(Stdio::null())
        .output();
    let reason = match helper {
        Ok(output) if output.status.success() => return,
        Ok(output) => String::from_utf8_lossy(&output.stderr).trim().to_owned(),
        Err(error) => error.to_string(),
    };
    let path = mountpoint.display();
    tracing::warn!("cannot unmount {path} ({reason}); run `fusermount3 -uz {path}`");
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use fuser::{FileHandle, Filesystem, INodeNo, ReplyAttr, Request};
    use parking_lot::Mutex;

    use super::*;

    /// A file system that accepts every `getattr` and never replies.
    #[derive(Debug, Default)]
    struct HangingFileSystem(Arc<Mutex<Vec<ReplyAttr>>>);

    impl Filesystem for HangingFileSystem {
        fn getattr(&self, _: &Request, _: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
            self.0.lock().push(reply);
        }
    }

    #[test]
    #[ignore = "needs root: mounts a file system"]
    fn mount_is_recognized_when_daemon_hangs() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_path_buf();
        let file_system = HangingFileSystem::default();
        let pending_replies = file_system.0.clone();
        let session =
            Session::new(file_system, &path, &Config::default()).unwrap().spawn().unwrap();
        let device = topmost_mount_at(&path).unwrap().unwrap().device;
        let (sender, receiver) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            let _ = sender.send((is_mounted(&path, device), is_mounted(&path, device + 1)));
        });
        let result = receiver.recv_timeout(Duration::from_secs(5));
        detach(directory.path());
        // Dropping a reply sends an error, so no thread waits any more.
        pending_replies.lock().clear();
        drop(session);
        thread.join().unwrap();
        assert_eq!(result, Ok((true, false)));
    }

    #[test]
    fn missing_permission_has_a_hint() {
        let error = |errno| SessionError::Mount {
            mountpoint: "/mnt".into(),
            source: io::Error::from_raw_os_error(errno),
        };
        assert!(error(libc::EACCES).hint().unwrap().contains("/dev/fuse"));
        assert_eq!(error(libc::EINVAL).hint(), None);
        assert_eq!(error(libc::EACCES).to_string(), "cannot mount at /mnt");
    }
}

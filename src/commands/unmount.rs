//! `meetfs unmount`

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::mount::MntFlags;

use super::error::{CommandError, Error};
use super::mount_users::{daemon_of, dependents_of, holders_of, unseen_holder, users_of};
use crate::cli::UnmountArgs;
use crate::config::ProcessEnvironment;
use crate::daemon::control::{ControlError, Mounts, Request};
use crate::daemon::fuse_connection::FuseConnection;
use crate::daemon::mount_table::{MountEntry, mounted_around, mounted_at};
use crate::daemon::mountpoint::{MountpointError, absolute, is_dead};

/// How long the unmount of a busy mount is retried. A program that lists a directory keeps the
/// mount busy for milliseconds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(1);

/// Limit on the wait for the mountpoint to leave the mount table.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(5);

/// Limit on the wait for the end of the file system after the unmount. The kernel keeps the file
/// system until its last user closes it.
const END_TIMEOUT: Duration = Duration::from_secs(3);

/// Limit on the same wait if only the exit of the daemon can be observed. Before it exits, the
/// daemon waits for a token renewal in flight.
const EXIT_TIMEOUT: Duration = Duration::from_secs(8);

/// Interval between checks, and between attempts to unmount.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Unmounts a mount that is not busy, and checks that its daemon ends.
///
/// # Errors
/// No meetfs file system is mounted there, it is busy, or the system refuses the unmount. Something
/// still uses the file system after it is unmounted.
pub(crate) fn unmount(arguments: &UnmountArgs) -> Result<(), Error> {
    let path = absolute(&arguments.mountpoint)?;
    let system = |source| MountpointError::System { mountpoint: path.clone(), source };
    let mounted = mounted_at(&path).map_err(system)?;
    let Some(mounted) = mounted.filter(MountEntry::is_meetfs) else {
        return Err(without_mount(path));
    };
    let dependents = dependents_of(&mounted).map_err(system)?;
    if let Some(first) = dependents.mounts.first() {
        let texts: Vec<_> = dependents.mounts.iter().map(ToString::to_string).collect();
        let (users, first) = (texts.join("; "), first.mountpoint.clone());
        return Err(MountpointError::DependentMounts { mountpoint: path, users, first }.into());
    }
    let mounts = Mounts::new(&ProcessEnvironment);
    let evidence = Evidence::of(&mounts, &path, mounted.device);
    detach(&path, &mounted)?;
    let is_mounted = || mounted_at(&path).is_ok_and(|at| at.is_some_and(|at| at.id == mounted.id));
    if !wait_for_end(RELEASE_TIMEOUT, is_mounted) {
        let error = MountpointError::NotReleased { mountpoint: path, timeout: RELEASE_TIMEOUT };
        return Err(error.into());
    }
    if dependents.is_bind {
        return Ok(());
    }
    if wait_for_end(evidence.timeout(), || evidence.is_served(&mounts, &path, mounted.device)) {
        return Ok(());
    }
    Err(still_served(&mounts, path, Some(mounted.device)).into())
}

/// How to find out whether a daemon still serves a file system that is not in the mount table. The
/// most reliable method comes first.
enum Evidence {
    /// The control file system shows its connection.
    Connection(FuseConnection),
    /// Its control socket could be reached. The daemon removes it first when it ends.
    Socket,
    /// Its process has `/dev/fuse` open. It can keep the device open until it exits.
    Process(u32),
    /// The processes that use it, or that have it in their mount table.
    Holders,
    /// Its daemon has died.
    Dead,
}

impl Evidence {
    fn of(mounts: &Mounts, path: &Path, device: u64) -> Self {
        if let Some(connection) = FuseConnection::of(device) {
            return Self::Connection(connection);
        }
        if mounts.is_served(path) {
            return Self::Socket;
        }
        match daemon_of(device) {
            Some(daemon) => Self::Process(daemon),
            None if is_dead(path) => Self::Dead,
            None => Self::Holders,
        }
    }

    fn is_served(&self, mounts: &Mounts, path: &Path, device: u64) -> bool {
        match self {
            Self::Connection(connection) => connection.is_open(),
            Self::Socket => mounts.is_served(path),
            Self::Process(daemon) => daemon_of(device) == Some(*daemon),
            Self::Holders => holders_of(device).is_some(),
            Self::Dead => false,
        }
    }

    fn timeout(&self) -> Duration {
        match self {
            Self::Process(_) => EXIT_TIMEOUT,
            Self::Connection(_) | Self::Socket | Self::Holders | Self::Dead => END_TIMEOUT,
        }
    }
}

/// Unmounts. While the mount is busy, retries for at most [`BUSY_TIMEOUT`].
fn detach(path: &Path, mounted: &MountEntry) -> Result<(), Error> {
    let started = Instant::now();
    loop {
        let is_last_attempt = started.elapsed() > BUSY_TIMEOUT;
        match nix::mount::umount2(path, MntFlags::empty()) {
            Ok(()) => return Ok(()),
            Err(Errno::EBUSY) => {}
            // Only root may call umount; others go through the setuid helper.
            Err(Errno::EPERM) if run_helper(path)? => return Ok(()),
            Err(Errno::EPERM) => {
                let user = nix::unistd::geteuid().as_raw();
                if let Some(owner) = mounted.owner.filter(|owner| *owner != user) {
                    return Err(
                        MountpointError::OtherOwner { mountpoint: path.into(), owner }.into()
                    );
                }
            }
            Err(errno) => {
                let (mountpoint, source) = (path.into(), errno.into());
                return Err(MountpointError::System { mountpoint, source }.into());
            }
        }
        if is_last_attempt {
            let users = users_of(mounted.device);
            return Err(MountpointError::Busy { mountpoint: path.into(), users }.into());
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// Returns whether the setuid helper has unmounted it. The helper does not report why it failed.
fn run_helper(path: &Path) -> Result<bool, CommandError> {
    let helper = Command::new("fusermount3")
        .args(["-u", "--"])
        .arg(path)
        .stdin(Stdio::null())
        .output()
        .map_err(|source| CommandError::System {
            action: "start fusermount3 (of the package fuse3)",
            source,
        })?;
    Ok(helper.status.success())
}

/// Returns the error for a path at which this mount namespace has no meetfs.
fn without_mount(path: PathBuf) -> Error {
    match mounted_around(&path) {
        Err(source) => return MountpointError::System { mountpoint: path, source }.into(),
        Ok(Some(around)) if around.is_meetfs() => {
            return ControlError::Inside { path, mountpoint: around.mountpoint }.into();
        }
        Ok(_) => {}
    }
    // A mount that was detached, or that another mount namespace holds, still has its daemon.
    let mounts = Mounts::new(&ProcessEnvironment);
    if wait_for_end(END_TIMEOUT, || mounts.is_served(&path)) {
        return MountpointError::NotMounted(path).into();
    }
    still_served(&mounts, path, None).into()
}

/// Returns the error for an unmounted file system that something still uses.
fn still_served(mounts: &Mounts, mountpoint: PathBuf, device: Option<u64>) -> MountpointError {
    let mut daemon = device.and_then(daemon_of);
    let mut device = device;
    if daemon.is_none()
        && let Ok(report) = mounts.report(&mountpoint, Request::Status)
    {
        daemon = report.pid;
        device = device.or(report.device);
    }
    let users = device.map(|device| holders_of(device).unwrap_or_else(|| unseen_holder(device)));
    let users = users.unwrap_or_else(|| "it does not say who uses it".into());
    MountpointError::StillServed { mountpoint, daemon, users }
}

/// Waits until `holds` returns false. Returns whether that happened before the deadline.
fn wait_for_end(timeout: Duration, holds: impl Fn() -> bool) -> bool {
    let started = Instant::now();
    while holds() {
        if started.elapsed() > timeout {
            return false;
        }
        std::thread::sleep(POLL_INTERVAL);
    }
    true
}

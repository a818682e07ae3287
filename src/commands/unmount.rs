//! The `meetfs unmount` command.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::mount::MntFlags;

use super::error::{CommandError, Error};
use super::mount_processes::{
    daemon_of, dependents_of, describe_holders, describe_processes, describe_unseen_holder,
};
use super::output::print;
use crate::cli::UnmountArgs;
use crate::config::ProcessEnvironment;
use crate::daemon::control::{ControlError, Mounts, Request};
use crate::daemon::fuse_connection::FuseConnection;
use crate::daemon::mountpoint::{MountpointError, absolute_path, is_dead};
use crate::daemon::process_state::is_stopped;
use crate::fuse::mount_table::{MountEntry, mount_containing, topmost_mount_at};

/// Maximum wait for the mountpoint to leave the mount table.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(5);

/// Maximum wait for the file system to end after the unmount. The kernel keeps the file system
/// until its last user closes it.
const END_TIMEOUT: Duration = Duration::from_secs(3);

/// Replaces [`END_TIMEOUT`] if only the exit of the daemon process can be observed. Before it
/// exits, the daemon may wait for a token renewal.
const EXIT_TIMEOUT: Duration = Duration::from_secs(8);

/// Interval between checks, and between attempts to unmount.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Unmounts a mount, and checks that its daemon ends. A busy mount is unmounted only with `--lazy`.
///
/// # Errors
/// No meetfs file system is mounted at the path, the mount is busy, the system rejects the unmount,
/// or the file system is still in use afterwards.
pub(crate) fn run(arguments: &UnmountArgs) -> Result<(), Error> {
    let path = absolute_path(&arguments.mountpoint)?;
    let system_error = |source| MountpointError::System { mountpoint: path.clone(), source };
    let entry = topmost_mount_at(&path).map_err(system_error)?;
    let Some(entry) = entry.filter(MountEntry::is_meetfs) else {
        return Err(not_mounted_error(path));
    };
    let dependents = dependents_of(&entry).map_err(system_error)?;
    if let Some(first) = dependents.mounts.first().filter(|_| !arguments.lazy) {
        let texts: Vec<_> = dependents.mounts.iter().map(ToString::to_string).collect();
        let (mounts, first_mountpoint) = (texts.join("; "), first.mountpoint.clone());
        return Err(MountpointError::DependentMounts {
            mountpoint: path,
            mounts,
            first_mountpoint,
        }
        .into());
    }
    let mounts = Mounts::new(&ProcessEnvironment);
    let stopped_daemon = mounts
        .stopped_daemon(&path)
        .or_else(|| daemon_of(entry.device).filter(|daemon| is_stopped(*daemon)));
    let check = ServingCheck::of(&mounts, &path, entry.device);
    let method = if arguments.lazy {
        UnmountMethod::Lazy
    } else {
        UnmountMethod::RetryWhileBusy(arguments.timeout)
    };
    detach(&path, &entry, method, stopped_daemon)?;
    let is_mounted =
        || topmost_mount_at(&path).is_ok_and(|top| top.is_some_and(|top| top.id == entry.id));
    if !wait_for_end(RELEASE_TIMEOUT, is_mounted) {
        let error = MountpointError::NotReleased { mountpoint: path, timeout: RELEASE_TIMEOUT };
        return Err(error.into());
    }
    if dependents.is_bind_mount {
        return Ok(());
    }
    if let Some(daemon_pid) = stopped_daemon {
        return Err(MountpointError::Stopped { mountpoint: path, daemon_pid }.into());
    }
    let is_served = || check.is_served(&mounts, &path, entry.device);
    if wait_for_end(check.timeout(), is_served) {
        return Ok(());
    }
    let holders = describe_holders(entry.device);
    // If nothing is found that uses the file system, the daemon may only be slow to end.
    if holders.is_none() && wait_for_end(EXIT_TIMEOUT, is_served) {
        return Ok(());
    }
    if arguments.lazy {
        let holders = holders.unwrap_or_else(|| describe_unseen_holder(entry.device));
        return print(&format!(
            "{} is unmounted. Its daemon continues to run: {holders}\n",
            path.display()
        ));
    }
    Err(still_served_error(&mounts, path, Some(entry.device)).into())
}

/// A method to check whether a daemon still serves a file system that is not in the mount table.
/// The most reliable method comes first.
enum ServingCheck {
    /// Checks for the connection in the FUSE control file system.
    Connection(FuseConnection),
    /// Connects to the control socket, which the daemon removes first when it ends.
    Socket,
    /// Checks whether the process still has `/dev/fuse` open. It can keep the device open until it
    /// exits.
    Process(u32),
    /// Searches for processes that use the file system or have it in their mount table.
    Holders,
    /// The daemon has died, so it does not serve anything.
    Dead,
}

impl ServingCheck {
    fn of(mounts: &Mounts, path: &Path, device: u64) -> Self {
        if let Some(connection) = FuseConnection::of(device) {
            return Self::Connection(connection);
        }
        if mounts.is_served(path) {
            return Self::Socket;
        }
        match daemon_of(device) {
            Some(pid) => Self::Process(pid),
            None if is_dead(path) => Self::Dead,
            None => Self::Holders,
        }
    }

    fn is_served(&self, mounts: &Mounts, path: &Path, device: u64) -> bool {
        match self {
            Self::Connection(connection) => connection.is_open(),
            Self::Socket => mounts.is_served(path),
            Self::Process(pid) => daemon_of(device) == Some(*pid),
            Self::Holders => describe_holders(device).is_some(),
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

/// What happens to a busy mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UnmountMethod {
    /// It is unmounted as soon as it is not busy, within this time.
    RetryWhileBusy(Duration),
    /// It leaves the mount table at once. Open files remain usable until they are closed.
    Lazy,
}

/// Unmounts the file system. If its daemon is stopped, the error of a busy mount names the process
/// `stopped_daemon`.
fn detach(
    path: &Path,
    entry: &MountEntry,
    method: UnmountMethod,
    stopped_daemon: Option<u32>,
) -> Result<(), Error> {
    let (flags, timeout) = match method {
        UnmountMethod::RetryWhileBusy(timeout) => (MntFlags::empty(), timeout),
        UnmountMethod::Lazy => (MntFlags::MNT_DETACH, Duration::ZERO),
    };
    let start = Instant::now();
    loop {
        let is_last_attempt = start.elapsed() > timeout;
        match nix::mount::umount2(path, flags) {
            Ok(()) => return Ok(()),
            Err(Errno::EBUSY) => {}
            // Only root may call umount2(2). Other users need the setuid helper.
            Err(Errno::EPERM) if run_helper(path, method)? => return Ok(()),
            Err(Errno::EPERM) => {
                let user = nix::unistd::geteuid().as_raw();
                if let Some(owner) = entry.owner.filter(|owner| *owner != user) {
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
            let processes = describe_processes(entry.device);
            let mountpoint = path.into();
            return Err(MountpointError::Busy { mountpoint, processes, stopped_daemon }.into());
        }
        std::thread::sleep(POLL_INTERVAL);
    }
}

/// Unmounts with the setuid helper. Returns whether that succeeded; the helper does not report the
/// reason for a failure.
fn run_helper(path: &Path, method: UnmountMethod) -> Result<bool, CommandError> {
    let flags = if method == UnmountMethod::Lazy { "-uz" } else { "-u" };
    let helper = Command::new("fusermount3")
        .args([flags, "--"])
        .arg(path)
        .stdin(Stdio::null())
        .output()
        .map_err(|source| CommandError::System {
            action: "start fusermount3 (package fuse3)",
            source,
        })?;
    Ok(helper.status.success())
}

/// Returns the error for a path at which no meetfs file system is mounted in this mount namespace.
fn not_mounted_error(path: PathBuf) -> Error {
    match mount_containing(&path) {
        Err(source) => return MountpointError::System { mountpoint: path, source }.into(),
        Ok(Some(outer)) if outer.is_meetfs() => {
            return ControlError::Inside { path, mountpoint: outer.mountpoint }.into();
        }
        Ok(_) => {}
    }
    // A detached mount, or a mount in another mount namespace, still has its daemon.
    let mounts = Mounts::new(&ProcessEnvironment);
    if let Some(daemon_pid) = mounts.stopped_daemon(&path) {
        return MountpointError::Stopped { mountpoint: path, daemon_pid }.into();
    }
    if wait_for_end(END_TIMEOUT, || mounts.is_served(&path)) {
        return MountpointError::NotMounted(path).into();
    }
    still_served_error(&mounts, path, None).into()
}

/// Returns the error for an unmounted file system that is still in use.
fn still_served_error(
    mounts: &Mounts,
    mountpoint: PathBuf,
    device: Option<u64>,
) -> MountpointError {
    let mut daemon_pid = device.and_then(daemon_of);
    let mut device = device;
    if daemon_pid.is_none()
        && let Ok(report) = mounts.request_report(&mountpoint, Request::Status)
    {
        daemon_pid = report.pid;
        device = device.or(report.device);
    }
    let holders = device
        .map(|device| describe_holders(device).unwrap_or_else(|| describe_unseen_holder(device)));
    let holders =
        holders.unwrap_or_else(|| "the processes that use the file system are unknown".into());
    MountpointError::StillServed { mountpoint, daemon_pid, holders }
}

/// Waits until `condition` returns false. Returns whether that happened within the timeout.
fn wait_for_end(timeout: Duration, condition: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    while condition() {
        if start.elapsed() > timeout {
            return false;
        }
        std::thread::sleep(POLL_INTERVAL);
    }
    true
}

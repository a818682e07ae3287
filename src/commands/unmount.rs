//! `meetfs unmount`

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::mount::MntFlags;

use super::error::{CommandError, Error};
use super::open_file_owners::users_of;
use crate::cli::UnmountArgs;
use crate::daemon::control::ControlError;
use crate::daemon::mount_table::{MountEntry, mounted_around, mounted_at};
use crate::daemon::mountpoint::{MountpointError, absolute};

/// Limit on the wait for the mountpoint to leave the mount table.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(5);

/// Interval between checks of the mount table.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Unmounts a mount that is not busy.
///
/// # Errors
/// No meetfs is mounted there, it is busy, or the system refuses.
pub(crate) fn unmount(arguments: &UnmountArgs) -> Result<(), Error> {
    let path = absolute(&arguments.mountpoint)?;
    let system = |source| MountpointError::System { mountpoint: path.clone(), source };
    let mounted = mounted_at(&path).map_err(system)?;
    let Some(mounted) = mounted.filter(|mounted| mounted.is_meetfs()) else {
        return Err(match mounted_around(&path).map_err(system)?.filter(MountEntry::is_meetfs) {
            Some(MountEntry { mountpoint, .. }) => ControlError::Inside { path, mountpoint }.into(),
            None => MountpointError::NotMounted(path).into(),
        });
    };
    let busy = || MountpointError::Busy { mountpoint: path.clone(), users: users_of(&mounted) };
    match nix::mount::umount2(&path, MntFlags::empty()) {
        Ok(()) => {}
        Err(Errno::EBUSY) => return Err(busy().into()),
        // Only root may call umount; others go through the setuid helper.
        Err(Errno::EPERM) => {
            let helper = Command::new("fusermount3")
                .args(["-u", "--"])
                .arg(&path)
                .stdin(Stdio::null())
                .output()
                .map_err(|source| CommandError::System {
                    action: "start fusermount3 (of the package fuse3)",
                    source,
                })?;
            if !helper.status.success() {
                let other_owner =
                    mounted.owner.filter(|owner| *owner != nix::unistd::geteuid().as_raw());
                return Err(match other_owner {
                    Some(owner) => MountpointError::OtherOwner { mountpoint: path, owner },
                    None => busy(),
                }
                .into());
            }
        }
        Err(errno) => return Err(system(errno.into()).into()),
    }
    let started = Instant::now();
    while mounted_at(&path).map_err(system)?.is_some_and(|mounted| mounted.is_meetfs()) {
        if started.elapsed() > RELEASE_TIMEOUT {
            let error = MountpointError::NotReleased { mountpoint: path, timeout: RELEASE_TIMEOUT };
            return Err(error.into());
        }
        std::thread::sleep(POLL_INTERVAL);
    }
    Ok(())
}

//! `meetfs unmount`

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::mount::MntFlags;

use super::open_file_owners::holders_of;
use crate::cli::UnmountArgs;
use crate::commands::error::Error;
use crate::daemon::control::ControlError;
use crate::daemon::mount_table::{MountEntry, mounted_around, mounted_at};
use crate::daemon::mountpoint::{MountpointError, absolute};

/// How long to wait for the name to leave the mount table.
const GONE_TIMEOUT: Duration = Duration::from_secs(5);

/// Takes a mount down, unless it is busy: then says who holds it.
///
/// # Errors
/// No meetfs is mounted there, it is busy, or the system refuses.
pub fn unmount(arguments: &UnmountArgs) -> Result<(), Error> {
    let path = absolute(&arguments.mountpoint)?;
    let system = |cause| MountpointError::System { mountpoint: path.clone(), cause };
    let mounted = mounted_at(&path).map_err(system)?;
    let Some(mounted) = mounted.filter(|mounted| mounted.is_meetfs()) else {
        return Err(match mounted_around(&path).map_err(system)?.filter(MountEntry::is_meetfs) {
            Some(MountEntry { mountpoint, .. }) => ControlError::Inside { path, mountpoint }.into(),
            None => MountpointError::NotMounted(path).into(),
        });
    };
    match nix::mount::umount2(&path, MntFlags::empty()) {
        Ok(()) => {}
        Err(Errno::EBUSY) => {
            let holders = holders_of(&mounted);
            return Err(MountpointError::Busy { mountpoint: path, holders }.into());
        }
        Err(Errno::EPERM) => {
            let helped = Command::new("fusermount3")
                .args(["-u", "--"])
                .arg(&path)
                .stdin(Stdio::null())
                .output()
                .map_err(|cause| Error::System {
                    what: "starting fusermount3 (install fuse3)",
                    cause,
                })?;
            if !helped.status.success() {
                if let Some(owner) =
                    mounted.owner.filter(|owner| *owner != nix::unistd::geteuid().as_raw())
                {
                    return Err(MountpointError::NotYours { mountpoint: path, owner }.into());
                }
                let holders = holders_of(&mounted);
                return Err(MountpointError::Busy { mountpoint: path, holders }.into());
            }
        }
        Err(errno) => return Err(system(errno.into()).into()),
    }
    let started = Instant::now();
    while mounted_at(&path).map_err(system)?.is_some_and(|mounted| mounted.is_meetfs()) {
        if started.elapsed() > GONE_TIMEOUT {
            let holders = "its daemon has not let it go".into();
            return Err(MountpointError::Busy { mountpoint: path, holders }.into());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

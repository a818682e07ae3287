//! Finds mounts whose daemon has died.
//!
//! A killed daemon leaves its mount behind, and every call on the mount fails until it is
//! unmounted. The mount table still lists it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::error::ControlError;
use crate::daemon::mountpoint::is_dead;
use crate::fuse::mount_table::{
    MountEntry, entries, meetfs_mounts_of, mount_containing, original_mount, topmost_mount_at,
};

/// Delay before the second check of a mount that looks dead. If the mount is being unmounted, it is
/// no longer in the mount table by then.
const RECHECK_DELAY: Duration = Duration::from_millis(200);

/// Returns the error that explains why no daemon answers for `path`. The path must not contain
/// symbolic links.
pub(crate) fn diagnose(path: &Path) -> ControlError {
    match mount_containing(path).ok().flatten().filter(MountEntry::is_meetfs) {
        None => ControlError::NotMounted(path.into()),
        Some(mount) if is_dead(&mount.mountpoint) => ControlError::Dead(mount.mountpoint),
        Some(mount) => diagnose_live(path, mount),
    }
}

/// Does the same for a path in the mount `mount`, whose daemon is alive.
fn diagnose_live(path: &Path, mount: MountEntry) -> ControlError {
    let path = path.to_path_buf();
    let table = entries().unwrap_or_default();
    match (original_mount(&table, &mount), mount.mountpoint == path) {
        (Some(original), true) => {
            ControlError::BindMount { path, mountpoint: original.mountpoint.clone() }
        }
        (Some(original), false) => ControlError::InsideBindMount {
            path,
            bind_mount: mount.mountpoint,
            mountpoint: original.mountpoint.clone(),
        },
        (None, true) => ControlError::NoSocket(path),
        (None, false) => ControlError::Inside { path, mountpoint: mount.mountpoint },
    }
}

/// Returns the dead mounts of this user, except the mounts `live_mounts`.
pub(crate) fn find(live_mounts: &[PathBuf]) -> Vec<PathBuf> {
    let mut mounts = meetfs_mounts_of(nix::unistd::geteuid().as_raw()).unwrap_or_default();
    mounts.retain(|mountpoint| !live_mounts.contains(mountpoint));
    let dead_mounts = retain_dead(mounts);
    if dead_mounts.is_empty() {
        return dead_mounts;
    }
    std::thread::sleep(RECHECK_DELAY);
    let is_mounted = |path: &PathBuf| {
        topmost_mount_at(path).is_ok_and(|mount| mount.is_some_and(|mount| mount.is_meetfs()))
    };
    retain_dead(dead_mounts.into_iter().filter(is_mounted).collect())
}

/// Returns the mounts that are dead. Checks them in parallel, because the check of a hung mount
/// takes seconds.
fn retain_dead(mounts: Vec<PathBuf>) -> Vec<PathBuf> {
    let checks: Vec<_> = mounts
        .into_iter()
        .map(|mountpoint| std::thread::spawn(move || is_dead(&mountpoint).then_some(mountpoint)))
        .collect();
    checks.into_iter().filter_map(|check| check.join().ok().flatten()).collect()
}

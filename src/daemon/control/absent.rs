//! Mounts whose daemon does not answer: what becomes of a question about them, and those that died.
//!
//! The mount table says what is there. A daemon that was killed leaves its mount behind, in which every look fails until
//! it is taken down.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::client::ControlError;
use crate::daemon::mount_table::{MountEntry, meetfs_of, mounted_around, mounted_at};
use crate::daemon::mountpoint::has_died;

/// After how long a mount is looked at again that seems to have been left behind. One that is just being taken down is
/// out of the mount table by then.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(200);

/// Why nobody answers for `path`, which has no links in it.
pub(crate) fn why(path: &Path) -> ControlError {
    match mounted_around(path).ok().flatten().filter(MountEntry::is_meetfs) {
        None => ControlError::NotMounted(path.into()),
        Some(mount) if has_died(&mount.mountpoint) => ControlError::Dead(mount.mountpoint),
        Some(mount) if mount.mountpoint == path => ControlError::NotYours(path.into()),
        Some(mount) => ControlError::Inside { path: path.into(), mountpoint: mount.mountpoint },
    }
}

/// The mounts of this user whose daemons died, but for those that have `answered`.
pub(crate) fn dead(answered: &[PathBuf]) -> Vec<PathBuf> {
    let mut mounts = meetfs_of(nix::unistd::geteuid().as_raw()).unwrap_or_default();
    mounts.retain(|mountpoint| !answered.contains(mountpoint));
    let found = died(mounts);
    if found.is_empty() {
        return found;
    }
    std::thread::sleep(LOOK_AGAIN_AFTER);
    let is_left =
        |path: &PathBuf| mounted_at(path).is_ok_and(|mount| mount.is_some_and(|it| it.is_meetfs()));
    died(found.into_iter().filter(is_left).collect())
}

/// Looks at all at once, for one that hangs takes seconds.
fn died(mounts: Vec<PathBuf>) -> Vec<PathBuf> {
    let looks: Vec<_> = mounts
        .into_iter()
        .map(|mountpoint| std::thread::spawn(move || has_died(&mountpoint).then_some(mountpoint)))
        .collect();
    looks.into_iter().filter_map(|look| look.join().ok().flatten()).collect()
}

/// What to say of a mount that was left behind at `mountpoint`.
pub(crate) fn about_dead(mountpoint: &Path) -> String {
    let place = mountpoint.display();
    format!(
        "its daemon has died, and nothing in it can be read; `meetfs unmount {place}` takes it down, `meetfs mount {place}` \
         mounts anew"
    )
}

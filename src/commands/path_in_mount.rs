//! A path in a mount, from the command line.

use std::path::{Path, PathBuf};

use super::error::{CommandError, Error};
use crate::daemon::control::ControlError;
use crate::daemon::mountpoint::absolute_path;
use crate::fuse::mount_table::{MountEntry, mount_containing};

/// An absolute path and the mountpoint of the meetfs mount that contains it.
pub(crate) struct PathInMount {
    pub(crate) path: PathBuf,
    pub(crate) mountpoint: PathBuf,
}

impl PathInMount {
    /// Finds the mount that contains a path. Makes no call on the mount, which could hang.
    ///
    /// # Errors
    /// The path is not in a meetfs mount, or the mount table cannot be read.
    pub(crate) fn locate(path: &Path) -> Result<Self, Error> {
        let not_in_mount = || ControlError::NotInMount(path.to_path_buf());
        let absolute_path = absolute_path(path).map_err(|_| not_in_mount())?;
        let mount = mount_containing(&absolute_path)
            .map_err(|source| CommandError::System { action: "read the mount table", source })?;
        let mount = mount.filter(MountEntry::is_meetfs).ok_or_else(not_in_mount)?;
        Ok(Self { path: absolute_path, mountpoint: mount.mountpoint })
    }
}

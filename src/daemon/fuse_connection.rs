//! The connection of a daemon to the kernel, as the FUSE control file system shows it
//! (Documentation/filesystems/fuse, "control filesystem").
//!
//! A connection lasts as long as anything uses the file system: a mount in any mount namespace, an
//! open file of a detached mount, or an overlay. The mount table of a process shows none of these.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::minor;

/// The mountpoint of the control file system. Containers often lack it.
const CONTROL_DIRECTORY: &str = "/sys/fs/fuse/connections";

/// The open connection of a FUSE file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FuseConnection {
    directory: PathBuf,
    /// Inode number of the directory. The kernel reuses a device number at once, but not this inode
    /// number.
    inode: u64,
}

impl FuseConnection {
    /// Returns the connection of the file system with this device number; `None` if the control
    /// file system is not mounted.
    pub(crate) fn of(device: u64) -> Option<Self> {
        let directory = Path::new(CONTROL_DIRECTORY).join(minor(device).to_string());
        let inode = std::fs::metadata(&directory).ok()?.ino();
        Some(Self { directory, inode })
    }

    pub(crate) fn is_open(&self) -> bool {
        std::fs::metadata(&self.directory).is_ok_and(|metadata| metadata.ino() == self.inode)
    }
}

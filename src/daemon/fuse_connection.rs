//! The connection of a daemon with the kernel, as the FUSE control file system shows it
//! (Documentation/filesystems/fuse, "control filesystem").
//!
//! A connection lasts as long as anything uses the file system: a mount in any mount namespace, an
//! open file of a detached mount, or an overlay. The mount table of a process shows none of these.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::minor;

/// Where the control file system is mounted. Containers often lack it.
const CONTROL_DIRECTORY: &str = "/sys/fs/fuse/connections";

/// The open connection of a file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FuseConnection {
    directory: PathBuf,
    /// The kernel uses a device number again at once, but not the inode number of its directory.
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

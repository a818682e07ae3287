//! The mount that a daemon reports about.

use std::path::PathBuf;
use std::sync::{Arc, Weak};

use jiff::Timestamp;

use super::report::MountReport;
use crate::daemon::archive::Archive;

/// The mount that a daemon reports about.
#[derive(Debug)]
pub(crate) struct ServedMount {
    pub mountpoint: PathBuf,
    /// Device number, as in stat(2) on a file of the mount.
    pub device: u64,
    pub mounted_at: Timestamp,
    /// A weak reference, so an open connection does not keep the cache directory locked for the
    /// next mount.
    archive: Weak<Archive>,
}

impl ServedMount {
    pub(crate) fn new(mountpoint: PathBuf, device: u64, archive: &Arc<Archive>) -> Self {
        let archive = Arc::downgrade(archive);
        Self { mountpoint, device, mounted_at: Timestamp::now(), archive }
    }

    /// Returns the archive, or `None` if the mount is ending.
    pub(super) fn archive(&self) -> Option<Arc<Archive>> {
        self.archive.upgrade()
    }

    /// Collects the state of the mount, or returns `None` if the mount is ending. Takes long for a
    /// large archive, so do not call it on an async worker.
    pub(crate) fn report(&self) -> Option<MountReport> {
        let archive = self.archive()?;
        Some(MountReport::of(&archive, &self.mountpoint, self.device, self.mounted_at))
    }

    /// Collects the state of the mount like [`report`](Self::report), but without its open files,
    /// which metrics do not contain.
    pub(crate) fn metrics_report(&self) -> Option<MountReport> {
        let archive = self.archive()?;
        let (mountpoint, device) = (&self.mountpoint, self.device);
        Some(MountReport::without_files(&archive, mountpoint, device, self.mounted_at))
    }
}

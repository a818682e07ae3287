//! Completely stored files, which can be read without the cache.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use super::disk_store::DiskStore;
use super::key::{DiskKey, Fingerprint};
use super::volume::ChangeTime;

/// A cached file that is open for reading: every block is stored and verified, and the file has its
/// full length.
///
/// While this value lives, the file is not evicted, but it counts against the limit. If the file
/// becomes stale in the meantime, it stays readable here and is removed after the last drop.
#[derive(Debug)]
pub struct CompleteFile {
    file: File,
    /// Device and inode number on the disk.
    identity: (u64, u64),
    _pin: Pin,
}

impl CompleteFile {
    /// Verifies the unverified blocks and opens the file. Blocking: uses the disk.
    pub(super) fn open(store: &Arc<DiskStore>, key: DiskKey) -> Option<Self> {
        store.load_index(key.fingerprint);
        let pin = {
            let mut state = store.coordinator.state();
            state.inventory.unverified_count(key)?;
            // After a start with a lower limit, the writer still has to evict blocks. It cannot do
            // so if they are pinned.
            if state.inventory.charged_bytes() > store.limit {
                return None;
            }
            state
                .inventory
                .pin(key)
                .then(|| Pin { store: store.clone(), fingerprint: key.fingerprint })?
        };
        let unverified = store.coordinator.state().inventory.unverified(key);
        for index in unverified {
            store.read(key, index)?;
        }
        let file = store.volume.open_data(key.fingerprint).ok()?;
        let metadata = file.metadata().ok()?;
        let identity = (metadata.dev(), metadata.ino());
        let change_time = ChangeTime::of(&file).ok()?;
        let mut state = store.coordinator.state();
        // The kernel does not verify what it reads. If another process has changed the file, each
        // block must be read through the cache, which detects the damage.
        let is_unchanged = state.inventory.verify_change_time(key.fingerprint, change_time);
        let is_complete = metadata.len() == key.size
            && is_unchanged
            && state.inventory.unverified_count(key) == Some(0);
        if is_complete {
            state.inventory.record_file_access(key);
        }
        drop(state);
        is_complete.then_some(Self { file, identity, _pin: pin })
    }

    /// Returns the file, for reads at an offset.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Whether both are the same file on the disk. Does not access the disk.
    pub fn is_same(&self, other: &Self) -> bool {
        self.identity == other.identity
    }
}

impl AsFd for CompleteFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Protects a file from eviction while it lives.
#[derive(Debug)]
struct Pin {
    store: Arc<DiskStore>,
    fingerprint: Fingerprint,
}

impl Drop for Pin {
    fn drop(&mut self) {
        self.store.coordinator.unpin(self.fingerprint);
    }
}

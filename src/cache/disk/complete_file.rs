//! Cached files whose blocks are all stored, so the kernel can read the file on disk directly.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use super::disk_store::DiskStore;
use super::key::{DiskKey, Fingerprint};
use super::volume::ChangeTime;

/// A cached file that is open for reading. All its blocks are stored and verified.
///
/// The cache does not evict the file before this value is dropped, but counts it against the limit.
/// If the file becomes stale before that, it can still be read through this value.
#[derive(Debug)]
pub struct CompleteFile {
    file: File,
    /// Device and inode number of the file on disk.
    identity: (u64, u64),
    _pin: Pin,
}

impl CompleteFile {
    /// Verifies the unverified blocks and opens the file. Does blocking I/O.
    pub(super) fn open(store: &Arc<DiskStore>, key: DiskKey) -> Option<Self> {
        store.load_index(key.fingerprint);
        let pin = {
            let mut state = store.coordinator.state();
            state.inventory.unverified_count(key)?;
            // After a start with a lower limit, the writer still has to evict blocks. It cannot
            // evict the blocks of a pinned file.
            if state.inventory.charged_bytes() > store.limit {
                return None;
            }
            state
                .inventory
                .pin(key)
                .then(|| Pin { store: store.clone(), fingerprint: key.fingerprint })?
        };
        let unverified_blocks = store.coordinator.state().inventory.unverified_blocks(key);
        for index in unverified_blocks {
            store.read(key, index)?;
        }
        let file = store.volume.open_data(key.fingerprint).ok()?;
        let metadata = file.metadata().ok()?;
        let identity = (metadata.dev(), metadata.ino());
        let change_time = ChangeTime::read(&file).ok()?;
        let mut state = store.coordinator.state();
        // The kernel does not verify the bytes that it reads. If another process has changed the
        // file, each block must be read through the cache, which detects the damage.
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

    /// Returns the open file. Callers must read it at explicit offsets, because they share its
    /// position.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Whether `self` and `other` are the same file on disk. Does not access the disk.
    pub fn is_same(&self, other: &Self) -> bool {
        self.identity == other.identity
    }
}

impl AsFd for CompleteFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Protects a file from eviction until dropped.
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

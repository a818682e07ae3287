//! One open cache directory: its volume, the shared state, and the reads of blocks.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Semaphore;

use super::coordinator::Coordinator;
use super::inventory::BlockInventory;
use super::key::{DiskKey, Fingerprint};
use super::lock::DirectoryLock;
use super::volume::Volume;
use super::write_error::is_transient;
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Maximum number of concurrent loads. More would not make one disk faster, and each load occupies
/// a thread of the blocking pool.
const MAX_LOADS: usize = 8;

/// Maximum number of concurrent verifications of whole files. Each reads as fast as the disk
/// allows.
const MAX_VERIFICATIONS: usize = 2;

/// One open cache directory; see the module.
#[derive(Debug)]
pub(super) struct DiskStore {
    pub(super) volume: Volume,
    pub(super) limit: u64,
    pub(super) free_floor: u64,
    pub(super) coordinator: Coordinator,
    /// Bytes free on the file system when last checked.
    pub(super) free: AtomicU64,
    /// Number of loads that timed out and have not returned yet.
    pub(super) stuck_loads: AtomicUsize,
    pub(super) loads: Arc<Semaphore>,
    pub(super) verifications: Arc<Semaphore>,
    _lock: DirectoryLock,
}

/// Limits in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Maximum space of the directory.
    pub(super) limit: u64,
    /// Minimum space that stays free on the file system.
    pub(super) free_floor: u64,
    /// Maximum length of all blocks that wait to be written.
    pub(super) queue: u64,
}

impl DiskStore {
    /// Creates the store. `fingerprints` are those that have files in the directory.
    pub(super) fn new(
        volume: Volume,
        lock: DirectoryLock,
        limits: Limits,
        fingerprints: HashSet<Fingerprint>,
    ) -> Self {
        let Limits { limit, free_floor, queue } = limits;
        let inventory = BlockInventory::new(volume.unit(), volume.overhead(), fingerprints);
        Self {
            volume,
            limit,
            free_floor,
            coordinator: Coordinator::new(inventory, queue, lock.is_read_only),
            free: AtomicU64::new(0),
            stuck_loads: AtomicUsize::new(0),
            loads: Arc::new(Semaphore::new(MAX_LOADS)),
            verifications: Arc::new(Semaphore::new(MAX_VERIFICATIONS)),
            _lock: lock,
        }
    }

    /// Returns the bytes free on the file system when last checked.
    pub(super) fn last_free(&self) -> u64 {
        self.free.load(Ordering::Relaxed)
    }

    /// Reads the index of a file that was found at the start, unless it has been read already.
    /// Blocking: uses the disk.
    pub(super) fn load_index(&self, fingerprint: Fingerprint) {
        if !self.coordinator.state().inventory.is_unread(fingerprint) {
            return;
        }
        // The writer removes an invalid index; it is ignored here.
        if let Ok(Some(index)) = self.volume.read_index(fingerprint)
            && !index.records.is_empty()
        {
            self.coordinator.state().inventory.add_index(index);
        }
    }

    /// Reads and verifies a block. Blocking: uses the disk.
    pub(super) fn read(&self, key: DiskKey, index: u32) -> Option<Bytes> {
        self.load_index(key.fingerprint);
        let before = self.coordinator.state().inventory.block(key, index)?;
        let read = self.volume.read_block(key.fingerprint, index, key.block_length(index)?);
        let is_correct = read.as_ref().is_ok_and(|block| crc32c::crc32c(block) == before.block.crc);
        let mut state = self.coordinator.state();
        let now = state.inventory.block(key, index)?;
        match read {
            Ok(block) if is_correct && now.block.crc == before.block.crc => {
                state.inventory.record_access(key, index);
                Some(block.into())
            }
            // The block was removed during the read (first pattern), or the process lacks a
            // resource (second pattern): the block is not damaged.
            _ if now.removals != before.removals => None,
            Err(error) if is_transient(&error) => None,
            read => {
                let block = (key.fingerprint, index);
                self.coordinator.record_damage(state, block, read.err().as_ref());
                None
            }
        }
    }
}

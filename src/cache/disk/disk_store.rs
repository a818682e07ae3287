//! An open cache directory: its files, the shared state, and the functions that read blocks.

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

/// Maximum number of concurrent loads of blocks. More loads would not make a single disk faster,
/// and each load occupies a thread of the blocking pool.
const MAX_CONCURRENT_LOADS: usize = 8;

/// Maximum number of files that are verified concurrently. Verification reads as fast as the disk
/// allows, so more concurrent files would not make it faster.
const MAX_CONCURRENT_VERIFICATIONS: usize = 2;

/// An open cache directory; see the module.
#[derive(Debug)]
pub(super) struct DiskStore {
    pub(super) volume: Volume,
    pub(super) limit: u64,
    pub(super) free_floor: u64,
    pub(super) coordinator: Coordinator,
    /// Free bytes on the file system at the last check.
    pub(super) last_free_bytes: AtomicU64,
    /// Number of loads that have timed out and are still running.
    pub(super) stuck_loads: AtomicUsize,
    pub(super) load_permits: Arc<Semaphore>,
    pub(super) verification_permits: Arc<Semaphore>,
    _lock: DirectoryLock,
}

/// The limits of a disk cache, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Maximum disk space of the directory.
    pub(super) limit: u64,
    /// Minimum of free space that the cache leaves on the file system.
    pub(super) free_floor: u64,
    /// Maximum total length of the blocks that wait to be written.
    pub(super) queue_limit: u64,
}

impl DiskStore {
    /// Creates the store. `fingerprints` are the fingerprints of the files in the directory.
    pub(super) fn new(
        volume: Volume,
        lock: DirectoryLock,
        limits: Limits,
        fingerprints: HashSet<Fingerprint>,
    ) -> Self {
        let Limits { limit, free_floor, queue_limit } = limits;
        let inventory =
            BlockInventory::new(volume.allocation_unit(), volume.overhead(), fingerprints);
        Self {
            volume,
            limit,
            free_floor,
            coordinator: Coordinator::new(inventory, queue_limit, lock.is_read_only),
            last_free_bytes: AtomicU64::new(0),
            stuck_loads: AtomicUsize::new(0),
            load_permits: Arc::new(Semaphore::new(MAX_CONCURRENT_LOADS)),
            verification_permits: Arc::new(Semaphore::new(MAX_CONCURRENT_VERIFICATIONS)),
            _lock: lock,
        }
    }

    pub(super) fn last_free_bytes(&self) -> u64 {
        self.last_free_bytes.load(Ordering::Relaxed)
    }

    /// Reads the index of a file that was found during startup, unless it has been read already.
    /// Does blocking I/O.
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

    /// Reads and verifies a block. Does blocking I/O.
    pub(super) fn read(&self, key: DiskKey, index: u32) -> Option<Bytes> {
        self.load_index(key.fingerprint);
        let block_before = self.coordinator.state().inventory.block(key, index)?;
        let result = self.volume.read_block(key.fingerprint, index, key.block_length(index)?);
        let is_correct =
            result.as_ref().is_ok_and(|block| crc32c::crc32c(block) == block_before.block.crc);
        let mut state = self.coordinator.state();
        let block_after = state.inventory.block(key, index)?;
        match result {
            Ok(block) if is_correct && block_after.block.crc == block_before.block.crc => {
                state.inventory.record_access(key, index);
                Some(block.into())
            }
            // The block was removed during the read (first pattern), or the process lacks a
            // resource (second pattern): the block is not damaged.
            _ if block_after.removal_count != block_before.removal_count => None,
            Err(error) if is_transient(&error) => None,
            read => {
                let block = (key.fingerprint, index);
                self.coordinator.record_damage(state, block, read.err().as_ref());
                None
            }
        }
    }
}

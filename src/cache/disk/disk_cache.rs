//! The public interface of the disk cache.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::complete_file::CompleteFile;
use super::coordinator::WriteRequest;
use super::disk_store::{DiskStore, Limits};
use super::error::DiskError;
use super::key::DiskKey;
use super::lock::DirectoryLock;
use super::volume::Volume;
use super::writer::Writer;
use crate::cache::BlockIndex;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU8, Ordering};

/// Timeout of loading a block from disk. It is long because a sleeping disk takes some seconds to
/// spin up. While the provider is down, the bytes are not available elsewhere. The timeout leaves
/// most of the deadline of a read for the network.
const LOAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long dropping the cache waits for the writer, which can still have a few blocks in its
/// queue.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// Default minimum of free space, in bytes. It is enough for the operating system to work. On a
/// small file system the default is a twentieth of the total space, so a cache fits on a tmpfs of a
/// few megabytes.
const DEFAULT_FREE_FLOOR: u64 = 1024 * 1024 * 1024;
const DEFAULT_FREE_FLOOR_DIVISOR: u64 = 20;

#[derive(Clone, Debug)]
pub struct DiskOptions {
    /// The cache directory. Only the cache may store files in it.
    pub directory: PathBuf,
    /// Maximum disk space of the directory and all its files, in bytes.
    pub limit: u64,
    /// Minimum number of bytes that the cache leaves free on the file system. `None` means 1 GiB or
    /// a twentieth of the file system, whichever is less.
    pub free_floor: Option<u64>,
    /// Maximum number of bytes that wait in memory to be written. A single block is queued even if
    /// it is larger than this.
    pub queue_limit: u64,
}

/// A cache of blocks on disk.
///
/// Dropping the cache waits briefly until queued blocks are written. Another process can open the
/// directory after the cache and every [`CompleteFile`] have been dropped.
#[derive(Debug)]
pub struct DiskCache {
    pub(super) store: Arc<DiskStore>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// The state of the cache, for status reports. Reading the state does not access the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskStatus {
    pub directory: PathBuf,
    /// Maximum disk space of the cache, in bytes.
    pub limit: u64,
    /// Bytes charged against the limit: the allocated disk space plus an allowance for overhead.
    pub used_bytes: u64,
    /// Number of file versions with at least one stored block.
    pub files: u64,
    /// Number of stored blocks in the files whose indexes have been read.
    pub blocks: u64,
    /// Free bytes on the file system at the last check.
    pub free_bytes: u64,
    /// Minimum number of bytes that the cache leaves free on the file system.
    pub free_floor: u64,
    /// Whether the cache accepts new blocks. It is false while the disk is full or broken.
    pub is_writing: bool,
    /// Number of blocks since the start of the process that were not stored, because the disk was
    /// slower than the network or there was no space.
    pub skipped_blocks: u64,
    /// Number of blocks since the start of the process that were found damaged.
    pub damaged_blocks: u64,
    /// Number of blocks since the start of the process that were evicted to make space.
    pub evicted_blocks: u64,
}

impl DiskCache {
    /// Opens the cache in a directory for exclusive use. Creates the directory if needed.
    ///
    /// Returns before the indexes have been read. Until then, no block is written, and
    /// [`may_contain`](Self::may_contain) returns `true` for every block of a file whose index has
    /// not been read.
    ///
    /// # Errors
    /// Another process has the directory open, or the directory cannot be used. Damaged files in
    /// the directory are not an error.
    pub fn open(options: DiskOptions) -> Result<Arc<Self>, DiskError> {
        let DiskOptions { directory, limit, free_floor, queue_limit } = options;
        let directory_error =
            |source| DiskError::Directory { directory: directory.clone(), source };
        let volume = Volume::open(&directory)?;
        let lock = DirectoryLock::acquire(&directory)?;
        let fingerprints = volume.list_fingerprints().map_err(directory_error)?;
        let (_, total_bytes) = volume.free_and_total_bytes().map_err(directory_error)?;
        let free_floor = free_floor
            .unwrap_or_else(|| DEFAULT_FREE_FLOOR.min(total_bytes / DEFAULT_FREE_FLOOR_DIVISOR));
        let unread_fingerprints: Vec<_> = fingerprints.iter().copied().collect();
        let store = Arc::new(DiskStore::new(
            volume,
            lock,
            Limits { limit, free_floor, queue_limit },
            fingerprints,
        ));
        let writer = Writer::new(store.clone());
        let writer = std::thread::Builder::new()
            .name("disk cache".into())
            .spawn(move || writer.run(unread_fingerprints))
            .map_err(directory_error)?;
        Ok(Arc::new(Self { store, writer: Mutex::new(Some(writer)) }))
    }

    /// Queues a verified block to be stored, and returns at once. Drops the block if it cannot be
    /// queued or has the wrong length.
    pub fn store(&self, key: DiskKey, index: BlockIndex, block: Bytes) {
        let Ok(index) = u32::try_from(index.0) else { return };
        if key.block_length(index) == Some(block.len()) {
            self.store.coordinator.enqueue(WriteRequest { key, index, block });
        }
    }

    /// Waits for the writer if it is behind because it lacks processor time. Without this wait, a
    /// caller that fetches faster than the writer stores would lose blocks of the file, and would
    /// have to fetch them again later. Does not wait for a slow disk or a stuck writer.
    pub async fn wait_for_writer(&self) {
        self.store.coordinator.wait_for_writer().await;
    }

    /// Returns a block exactly as it was stored. Returns `None` if the block is not stored, is
    /// damaged or does not have `length` bytes, or if the disk does not answer in time. A hit
    /// counts as an access to the block.
    pub async fn load(&self, key: DiskKey, index: BlockIndex, length: usize) -> Option<Bytes> {
        let index = u32::try_from(index.0).ok()?;
        if key.block_length(index) != Some(length)
            || !self.store.coordinator.state().inventory.may_contain(key, index)
        {
            return None;
        }
        // If an earlier load is stuck, the disk hangs, so this load would time out too.
        if self.store.stuck_loads.load(Ordering::Relaxed) > 0 {
            return None;
        }
        let deadline = Instant::now() + LOAD_TIMEOUT;
        let permit =
            tokio::time::timeout_at(deadline, self.store.load_permits.clone().acquire_owned())
                .await
                .ok()?
                .ok()?;
        let attempt = Arc::new(LoadAttempt::default());
        let store = self.store.clone();
        let running_attempt = attempt.clone();
        let read_task = tokio::task::spawn_blocking(move || {
            let block = store.read(key, index);
            running_attempt.finish(&store);
            drop(permit);
            block
        });
        match tokio::time::timeout_at(deadline, read_task).await {
            Ok(block) => block.ok().flatten(),
            Err(_elapsed) => {
                attempt.abandon(&self.store);
                None
            }
        }
    }

    /// Returns `false` if the block is known not to be stored. If this returns `true`,
    /// [`load`](Self::load) can still find that the block is missing or damaged.
    pub fn may_contain(&self, key: DiskKey, index: BlockIndex) -> bool {
        u32::try_from(index.0)
            .is_ok_and(|index| self.store.coordinator.state().inventory.may_contain(key, index))
    }

    /// Whether every block of the file is stored and verified, according to the inventory in
    /// memory. If so, [`open_complete`](Self::open_complete) reads no block.
    pub fn is_complete(&self, key: DiskKey) -> bool {
        self.store.coordinator.state().inventory.unverified_count(key) == Some(0)
    }

    /// Returns the indexes of the stored blocks of a file. Does not access the disk: returns `None`
    /// if the index of the file has not been read yet, which happens soon after the start.
    pub fn stored_blocks(&self, key: DiskKey) -> Option<HashSet<u32>> {
        self.store.coordinator.state().inventory.stored_blocks(key)
    }

    /// Whether every block of the file is stored, verified or not. Reads the index of the file from
    /// disk if needed, so do not call this on an async worker.
    pub fn contains_all_blocks(&self, key: DiskKey) -> bool {
        self.store.load_index(key.fingerprint);
        self.store.coordinator.state().inventory.unverified_count(key).is_some()
    }

    /// Opens the file if every block of it is stored and correct. First verifies the blocks that
    /// this process has neither written nor read, which takes as long as reading them. The
    /// verification continues if the caller stops waiting, so a later call need not repeat it.
    ///
    /// Returns `None` if the file is not complete, or if two other files are being verified.
    pub async fn open_complete(&self, key: DiskKey) -> Option<CompleteFile> {
        let (is_unread, unverified) = {
            let state = self.store.coordinator.state();
            (state.inventory.is_unread(key.fingerprint), state.inventory.unverified_count(key))
        };
        let permit = match unverified {
            None if !is_unread => return None,
            Some(0) => None,
            _ => Some(self.store.verification_permits.clone().try_acquire_owned().ok()?),
        };
        let store = self.store.clone();
        let open_task = tokio::task::spawn_blocking(move || {
            let file = CompleteFile::open(&store, key);
            drop(permit);
            file
        });
        open_task.await.ok().flatten()
    }

    /// Drops all blocks of a stale file version. They cannot be loaded after this call. Their space
    /// is freed soon after.
    pub fn forget(&self, key: DiskKey) {
        self.store.coordinator.forget(key.fingerprint);
    }

    pub fn status(&self) -> DiskStatus {
        let store = &self.store;
        let mut state = store.coordinator.state();
        let (files, blocks) = state.inventory.file_and_block_counts();
        DiskStatus {
            directory: store.volume.path().into(),
            limit: store.limit,
            used_bytes: state.inventory.charged_bytes(),
            files,
            blocks,
            free_bytes: store.last_free_bytes(),
            free_floor: store.free_floor,
            is_writing: state.may_write(),
            skipped_blocks: state.skipped_blocks,
            damaged_blocks: state.damaged_blocks,
            evicted_blocks: state.evicted_blocks,
        }
    }

    /// Waits until the effects of all earlier calls of [`store`](Self::store) and
    /// [`forget`](Self::forget) and all access times are on disk. Returns `false` if that takes
    /// longer than `timeout`. Blocks the calling thread.
    pub fn flush(&self, timeout: Duration) -> bool {
        self.store.coordinator.flush(timeout)
    }
}

impl Drop for DiskCache {
    fn drop(&mut self) {
        // A disk that hangs must not prevent the process from ending.
        if self.store.coordinator.shut_down(SHUTDOWN_TIMEOUT)
            && let Some(writer) = self.writer.lock().take()
        {
            // If the thread panicked, it has reported the panic itself.
            let _ = writer.join();
        }
    }
}

/// An in-flight load of a block. Its caller can stop waiting before the load finishes.
#[derive(Debug, Default)]
pub(super) struct LoadAttempt(AtomicU8);

impl LoadAttempt {
    const ABANDONED: u8 = 1;
    const FINISHED: u8 = 2;

    /// Records that the caller has stopped waiting. Counts the load as stuck, unless it has
    /// finished.
    pub(super) fn abandon(&self, store: &DiskStore) {
        store.stuck_loads.fetch_add(1, Ordering::AcqRel);
        if self.0.swap(Self::ABANDONED, Ordering::AcqRel) == Self::FINISHED {
            store.stuck_loads.fetch_sub(1, Ordering::AcqRel);
        }
    }

    pub(super) fn finish(&self, store: &DiskStore) {
        if self.0.swap(Self::FINISHED, Ordering::AcqRel) == Self::ABANDONED {
            store.stuck_loads.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

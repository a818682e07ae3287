//! The interface of the disk cache for its callers.

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

/// Timeout of a load. A sleeping disk takes some seconds to spin up, and while the provider is
/// down, the disk is the only place to read from. Most of the deadline of a read must remain for
/// the network.
const LOAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long dropping the cache waits for the writer, which may still have a few blocks in its
/// queue.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// Default floor of free space. It is enough for the system to work. On a small file system it is
/// at most a twentieth of the space, so a cache fits on a tmpfs of a few megabytes.
const DEFAULT_FREE_FLOOR: u64 = 1024 * 1024 * 1024;
const DEFAULT_FREE_FLOOR_DIVISOR: u64 = 20;

#[derive(Clone, Debug)]
pub struct DiskOptions {
    /// The directory of the blocks, used by nothing else.
    pub directory: PathBuf,
    /// Maximum space of the directory with all its files, in bytes.
    pub limit: u64,
    /// Bytes that must stay free on the file system; `None` is 1 GiB or a twentieth of it,
    /// whichever is less.
    pub free_floor: Option<u64>,
    /// Maximum number of bytes that wait in memory to be written. One block may always wait, even
    /// if it is larger.
    pub queue: u64,
}

/// A cache of blocks on disk.
///
/// Dropping it waits briefly for queued blocks. Another process can open the directory after this
/// value and every [`CompleteFile`] are dropped.
#[derive(Debug)]
pub struct DiskCache {
    pub(super) store: Arc<DiskStore>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// The state of the cache. It is determined without an access to the disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskStatus {
    /// The directory of the blocks.
    pub directory: PathBuf,
    /// Maximum space in bytes.
    pub limit: u64,
    /// Bytes charged against the limit: the allocated bytes plus an overhead.
    pub held: u64,
    /// File versions with at least one block.
    pub files: u64,
    /// Stored blocks of the files whose indexes have been read.
    pub blocks: u64,
    /// Bytes free on the file system when last checked.
    pub free: u64,
    /// Bytes that must stay free on the file system.
    pub free_floor: u64,
    /// Whether the cache accepts blocks. It does not while the disk is full or broken.
    pub writing: bool,
    /// Number of blocks since the start that were not stored, because the disk was slower than the
    /// network or there was no space.
    pub skipped: u64,
    /// Number of blocks since the start that were found damaged.
    pub damaged: u64,
}

impl DiskCache {
    /// Opens a directory exclusively, creating it if needed.
    ///
    /// Returns before the indexes are read. Until then [`holds`](Self::holds) can return `true` for
    /// a block that is not stored, and nothing is written.
    ///
    /// # Errors
    /// Another process has the directory open, or the directory cannot be used. Damaged files in
    /// the directory are not an error.
    pub fn open(options: DiskOptions) -> Result<Arc<Self>, DiskError> {
        let DiskOptions { directory, limit, free_floor, queue } = options;
        let failed = |source| DiskError::Directory { directory: directory.clone(), source };
        let volume = Volume::open(&directory)?;
        let lock = DirectoryLock::acquire(&directory)?;
        let fingerprints = volume.list().map_err(failed)?;
        let (_, total) = volume.space().map_err(failed)?;
        let free_floor = free_floor
            .unwrap_or_else(|| DEFAULT_FREE_FLOOR.min(total / DEFAULT_FREE_FLOOR_DIVISOR));
        let unread: Vec<_> = fingerprints.iter().copied().collect();
        let store = Arc::new(DiskStore::new(
            volume,
            lock,
            Limits { limit, free_floor, queue },
            fingerprints,
        ));
        let writer = Writer::new(store.clone());
        let writer = std::thread::Builder::new()
            .name("disk cache".into())
            .spawn(move || writer.run(unread))
            .map_err(failed)?;
        Ok(Arc::new(Self { store, writer: Mutex::new(Some(writer)) }))
    }

    /// Stores a verified block if that is possible without waiting. Returns at once. A block of the
    /// wrong length is dropped.
    pub fn store(&self, key: DiskKey, index: BlockIndex, block: Bytes) {
        let Ok(index) = u32::try_from(index.0) else { return };
        if key.block_length(index) == Some(block.len()) {
            self.store.coordinator.enqueue(WriteRequest { key, index, block });
        }
    }

    /// Waits for the writer if it is behind because it lacks processor time. Without this wait, a
    /// caller that fetches faster than the writer stores would get only parts of a file into the
    /// cache, and would fetch the rest again later. Does not wait for a slow disk, nor for a writer
    /// that has not taken a block for some hundredths of a second.
    pub async fn wait_for_writer(&self) {
        self.store.coordinator.wait_for_writer().await;
    }

    /// Returns the block exactly as it was stored. Returns `None` if the block is not stored, is
    /// damaged or is not `length` bytes long, or if the disk does not answer in time. Counts as an
    /// access for eviction.
    pub async fn load(&self, key: DiskKey, index: BlockIndex, length: usize) -> Option<Bytes> {
        let index = u32::try_from(index.0).ok()?;
        if key.block_length(index) != Some(length)
            || !self.store.coordinator.state().inventory.may_contain(key, index)
        {
            return None;
        }
        // While the disk hangs, only the first load waits for it.
        if self.store.stuck_loads.load(Ordering::Relaxed) > 0 {
            return None;
        }
        let until = Instant::now() + LOAD_TIMEOUT;
        let permit = tokio::time::timeout_at(until, self.store.loads.clone().acquire_owned())
            .await
            .ok()?
            .ok()?;
        let attempt = Arc::new(LoadAttempt::default());
        let store = self.store.clone();
        let running = attempt.clone();
        let read = tokio::task::spawn_blocking(move || {
            let block = store.read(key, index);
            running.finish(&store);
            drop(permit);
            block
        });
        match tokio::time::timeout_at(until, read).await {
            Ok(block) => block.ok().flatten(),
            Err(_elapsed) => {
                attempt.abandon(&self.store);
                None
            }
        }
    }

    /// Whether the inventory in memory contains the block. [`load`](Self::load) can still find it
    /// damaged.
    pub fn holds(&self, key: DiskKey, index: BlockIndex) -> bool {
        u32::try_from(index.0)
            .is_ok_and(|index| self.store.coordinator.state().inventory.may_contain(key, index))
    }

    /// Whether the inventory in memory contains every block of the file as verified. If so,
    /// [`complete`](Self::complete) reads no block.
    pub fn is_complete(&self, key: DiskKey) -> bool {
        self.store.coordinator.state().inventory.unverified_count(key) == Some(0)
    }

    /// Whether every block is stored, verified or not. Reads the index of the file from disk if
    /// needed, so do not call it on an async worker.
    pub fn holds_whole(&self, key: DiskKey) -> bool {
        self.store.load_index(key.fingerprint);
        self.store.coordinator.state().inventory.unverified_count(key).is_some()
    }

    /// Returns the whole file if every block of it is stored and correct. First verifies the blocks
    /// that this process has neither written nor read, which takes as long as reading them. The
    /// verification continues if the caller stops waiting, so a later call need not repeat it.
    ///
    /// Also returns `None` while two other files are being verified.
    pub async fn complete(&self, key: DiskKey) -> Option<CompleteFile> {
        let (is_unread, unverified) = {
            let state = self.store.coordinator.state();
            (state.inventory.is_unread(key.fingerprint), state.inventory.unverified_count(key))
        };
        let permit = match unverified {
            None if !is_unread => return None,
            Some(0) => None,
            _ => Some(self.store.verifications.clone().try_acquire_owned().ok()?),
        };
        let store = self.store.clone();
        let opened = tokio::task::spawn_blocking(move || {
            let file = CompleteFile::open(&store, key);
            drop(permit);
            file
        });
        opened.await.ok().flatten()
    }

    /// Drops every block of a stale content. From then on none of its blocks can be loaded. Their
    /// space is freed soon after.
    pub fn forget(&self, key: DiskKey) {
        self.store.coordinator.forget(key.fingerprint);
    }

    pub fn status(&self) -> DiskStatus {
        let store = &self.store;
        let mut state = store.coordinator.state();
        let (files, blocks) = state.inventory.counts();
        DiskStatus {
            directory: store.volume.path().into(),
            limit: store.limit,
            held: state.inventory.charged_bytes(),
            files,
            blocks,
            free: store.last_free(),
            free_floor: store.free_floor,
            writing: state.may_write(),
            skipped: state.skipped,
            damaged: state.damaged,
        }
    }

    /// Waits until the effects of all earlier calls of [`store`](Self::store) and
    /// [`forget`](Self::forget) and the access times are on disk. Returns `false` if that takes
    /// longer than `timeout`. Blocks the thread.
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

/// A load whose caller can stop waiting for it.
#[derive(Debug, Default)]
pub(super) struct LoadAttempt(AtomicU8);

impl LoadAttempt {
    const ABANDONED: u8 = 1;
    const FINISHED: u8 = 2;

    /// Counts the load as stuck, unless it has finished in the meantime.
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

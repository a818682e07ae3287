//! The disk cache as its callers use it.

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

/// How long a load can take. A sleeping disk takes some seconds to spin up, and if the provider is
/// down no other source is left. Most of the deadline of a read must be left for the network.
const LOAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long dropping the cache waits for the writer, which has a few queued blocks then.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// Default floor of free space: enough for the system to work, and on a small file system at most a
/// twentieth, so that a cache fits on a tmpfs of some megabytes.
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
    /// Maximum of bytes that wait in memory to be written. One block always can.
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

/// The state of the cache, from memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskStatus {
    /// The directory of the blocks.
    pub directory: PathBuf,
    /// Maximum space in bytes.
    pub limit: u64,
    /// Bytes that count against the limit; slightly more than are allocated.
    pub held: u64,
    /// File versions with at least one block.
    pub files: u64,
    /// Stored blocks, as far as indexes have been read.
    pub blocks: u64,
    /// Bytes free on the file system when last checked.
    pub free: u64,
    /// Bytes that must stay free on the file system.
    pub free_floor: u64,
    /// Whether blocks are accepted: not while the disk is full or broken.
    pub writing: bool,
    /// Blocks that were not stored since the start, because the disk was slower than the network or
    /// there was no space.
    pub skipped: u64,
    /// Blocks that were found damaged since the start.
    pub damaged: u64,
}

impl DiskCache {
    /// Opens a directory exclusively, creating it if needed.
    ///
    /// Returns before the indexes are read. Until then [`holds`](Self::holds) can return `true` for
    /// a block that is not stored, and nothing is written.
    ///
    /// # Errors
    /// Another process has the directory open, or it cannot be used. Damaged files in it are not an
    /// error.
    pub fn open(options: DiskOptions) -> Result<Arc<Self>, DiskError> {
        let DiskOptions { directory, limit, free_floor, queue } = options;
        let failed = |source| DiskError::Directory { directory: directory.clone(), source };
        let volume = Volume::open(&directory)?;
        let lock = DirectoryLock::acquire(&directory)?;
        let found = volume.list().map_err(failed)?;
        let (_, total) = volume.space().map_err(failed)?;
        let free_floor = free_floor
            .unwrap_or_else(|| DEFAULT_FREE_FLOOR.min(total / DEFAULT_FREE_FLOOR_DIVISOR));
        let unread: Vec<_> = found.iter().copied().collect();
        let store =
            Arc::new(DiskStore::new(volume, lock, Limits { limit, free_floor, queue }, found));
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

    /// Waits for the writer if it is behind for lack of processor time. A caller that fetches
    /// faster than the writer stores would have only parts of a file stored, and fetch the rest
    /// again. Does not wait for the disk, nor for a writer that takes no block for some hundredths
    /// of a second.
    pub async fn wait_for_writer(&self) {
        self.store.coordinator.wait_for_writer().await;
    }

    /// Returns the block exactly as it was stored. `None` if it is not stored, is damaged, is not
    /// `length` bytes long, or the disk does not answer in time. Counts as a use of the block.
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

    /// Whether the block is stored, from memory. [`load`](Self::load) can still find it damaged.
    pub fn holds(&self, key: DiskKey, index: BlockIndex) -> bool {
        u32::try_from(index.0)
            .is_ok_and(|index| self.store.coordinator.state().inventory.may_contain(key, index))
    }

    /// Whether every block is stored and verified, from memory. Then [`complete`](Self::complete)
    /// reads no block.
    pub fn is_complete(&self, key: DiskKey) -> bool {
        self.store.coordinator.state().inventory.unverified_count(key) == Some(0)
    }

    /// Whether every block is stored, verified or not. Blocks on the disk if the index of the file
    /// has not been read yet, so that it must not run on an async worker.
    pub fn holds_whole(&self, key: DiskKey) -> bool {
        self.store.load_index(key.fingerprint);
        self.store.coordinator.state().inventory.unverified_count(key).is_some()
    }

    /// Returns the whole file, if every block of it is stored and correct. Blocks that this process
    /// has neither written nor read are verified first, which takes as long as reading them. That
    /// continues if the caller stops waiting, and the next call finds it done.
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

    /// Drops every block of a content that is stale. No block of it is loaded afterwards; its space
    /// is freed soon after.
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

    /// Waits until every earlier store and forget is on disk, with the access times. Returns
    /// `false` after `timeout`. Blocks the thread.
    pub fn flush(&self, timeout: Duration) -> bool {
        self.store.coordinator.flush(timeout)
    }
}

impl Drop for DiskCache {
    fn drop(&mut self) {
        // A disk that hangs must not keep the process from ending.
        if self.store.coordinator.shut_down(SHUTDOWN_TIMEOUT)
            && let Some(writer) = self.writer.lock().take()
        {
            // A panic was reported by the thread itself.
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

    /// Counts the load as stuck, unless it finished just before.
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

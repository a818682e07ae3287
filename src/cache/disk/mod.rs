//! Blocks on disk: they outlive the process, are checked whenever they are read, and never take more than they may.
//!
//! Enters: whole, checked blocks under a [`DiskKey`]. Leaves: the same bytes, or nothing. Whatever is wrong on disk
//! is a miss and never an error; only a directory that cannot be used at all is, when it is opened.
//!
//! 1. *What outlives a `kill -9`?* Every block whose record was written ([`format`], [`writer`]).
//! 2. *What may be believed?* Nothing: names and headers carry the identity, records and blocks a CRC32C.
//! 3. *What goes when there is no room?* The block wanted longest ago, freed by a hole in its file ([`ledger`]).
//! 4. *Who waits for the disk?* One thread that writes ([`writer`]) and the blocking pool that reads, for a bounded
//!    time. Everybody else is answered from memory ([`shared`]).
//! 5. *Who else writes there?* Nobody ([`lock`]).
//!
//! It must never know what a provider, a link or a recording is: files have fingerprints here.

mod complete;
mod error;
mod failure;
mod format;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
mod key;
mod ledger;
mod lock;
mod probe;
mod shared;
mod survey;
mod volume;
mod writer;
mod writer_load;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::time::Instant;

pub use complete::CompleteFile;
pub use error::DiskError;
pub use key::DiskKey;
pub use probe::trial;
pub use survey::{Cleared, Survey, clear, survey};

use super::BlockIndex;
use lock::Lock;
use shared::{Limits, Shared, Store};
use volume::Volume;
use writer::Writer;

/// How long a load may take. Asleep, a disk takes some seconds to spin up, and with the cloud away there is nothing
/// else to wait for; but most of a read's deadline must be left for the network.
const LOAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long dropping the cache waits for the writer. What is queued then is a few blocks.
const END_TIMEOUT: Duration = Duration::from_secs(2);

/// The floor of free space where none is given: enough for a system to go on working, and on a small file system no
/// more than a twentieth, so that a cache can live on a tmpfs of some megabytes.
const DEFAULT_FLOOR: u64 = 1024 * 1024 * 1024;
const DEFAULT_FLOOR_SHARE: u64 = 20;

/// What a cache is opened with.
#[derive(Clone, Debug)]
pub struct DiskOptions {
    /// The directory of the blocks; it is the cache's own.
    pub directory: PathBuf,
    /// The most bytes that all files in it, and it itself, may take on disk.
    pub limit: u64,
    /// Bytes that must stay free on its file system; `None` is 1 GiB or a twentieth of it, whichever is less.
    pub free_floor: Option<u64>,
    /// The most bytes of blocks in memory that wait to be written; at least one block always may.
    pub queue: u64,
}

/// Blocks on disk.
///
/// Dropping it waits a moment for what is queued. The directory is another's to open as soon as it and every
/// [`CompleteFile`] are gone.
#[derive(Debug)]
pub struct DiskCache {
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// What is going on, from memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskStatus {
    /// The directory of the blocks.
    pub directory: PathBuf,
    /// The most bytes that may be held.
    pub limit: u64,
    /// Bytes that count against the limit; a little more than are allocated.
    pub held: u64,
    /// File versions of which something is held.
    pub files: u64,
    /// Blocks that are held, as far as indexes have been read.
    pub blocks: u64,
    /// Bytes free on the file system when last looked at.
    pub free: u64,
    /// Bytes that must stay free on it.
    pub free_floor: u64,
    /// Whether blocks are taken at all: not while the disk is full or broken.
    pub writing: bool,
    /// Blocks that were not kept, since the start: the disk was slower than the network, or there was no room.
    pub skipped: u64,
    /// Blocks that were found wrong, since the start.
    pub damaged: u64,
}

impl DiskCache {
    /// Opens a directory, which is made if need be, for this process alone.
    ///
    /// Returns before the indexes in it have been read; until then [`holds`](Self::holds) may say `true` of a block
    /// that is not held, and nothing is written.
    ///
    /// # Errors
    /// Another process has the directory, or it cannot be used. What is wrong with files in it is no error.
    pub fn open(options: DiskOptions) -> Result<Arc<Self>, DiskError> {
        let DiskOptions { directory, limit, free_floor, queue } = options;
        let failed = |cause| DiskError::Directory { directory: directory.clone(), cause };
        let volume = Volume::open(&directory)?;
        let lock = Lock::take(&directory)?;
        let found = volume.list().map_err(failed)?;
        let (_, all) = volume.space().map_err(failed)?;
        let free_floor = free_floor.unwrap_or_else(|| DEFAULT_FLOOR.min(all / DEFAULT_FLOOR_SHARE));
        let to_read: Vec<_> = found.iter().copied().collect();
        let shared =
            Arc::new(Shared::new(volume, lock, Limits { limit, free_floor, queue }, found));
        let writer = Writer::new(shared.clone());
        let writer = std::thread::Builder::new()
            .name("disk cache".into())
            .spawn(move || writer.run(to_read))
            .map_err(failed)?;
        Ok(Arc::new(Self { shared, writer: Mutex::new(Some(writer)) }))
    }

    /// Keeps a whole, checked block if that can be done without waiting; returns at once. A block whose length is
    /// not that of its place in the file is not kept.
    pub fn store(&self, key: DiskKey, index: BlockIndex, block: Bytes) {
        let Ok(index) = u32::try_from(index.0) else { return };
        if key.block_length(index) == Some(block.len()) {
            self.shared.enqueue(Store { key, index, block });
        }
    }

    /// Lets the writer catch up if it is behind for want of processor: whoever fetches faster than two cores can
    /// write would have only a part of the file kept, and read it from the network again. Never waits for the disk,
    /// and not for a writer that takes nothing for a few hundredths of a second.
    pub async fn let_catch_up(&self) {
        self.shared.let_catch_up().await;
    }

    /// The block, exactly as it was stored, or `None`: it is not held, is not what it was, is not `length` bytes
    /// long, or the disk does not answer in time. It counts as wanted now.
    pub async fn load(&self, key: DiskKey, index: BlockIndex, length: usize) -> Option<Bytes> {
        let index = u32::try_from(index.0).ok()?;
        if key.block_length(index) != Some(length)
            || !self.shared.state().ledger.may_hold(key, index)
        {
            return None;
        }
        // A disk that hangs holds up nobody but the first who met it.
        if self.shared.stuck.load(Ordering::Relaxed) > 0 {
            return None;
        }
        let until = Instant::now() + LOAD_TIMEOUT;
        let permit = tokio::time::timeout_at(until, self.shared.loads.clone().acquire_owned())
            .await
            .ok()?
            .ok()?;
        let attempt = Arc::new(Attempt::default());
        let shared = self.shared.clone();
        let running = attempt.clone();
        let read = tokio::task::spawn_blocking(move || {
            let block = shared.read(key, index);
            running.came_back(&shared);
            drop(permit);
            block
        });
        match tokio::time::timeout_at(until, read).await {
            Ok(block) => block.ok().flatten(),
            Err(_elapsed) => {
                attempt.give_up(&self.shared);
                None
            }
        }
    }

    /// Whether the block is held, from memory. [`load`](Self::load) may still find it wrong.
    pub fn holds(&self, key: DiskKey, index: BlockIndex) -> bool {
        u32::try_from(index.0).is_ok_and(|index| self.shared.state().ledger.may_hold(key, index))
    }

    /// Whether every block is held and was verified, from memory: then [`complete`](Self::complete) reads nothing.
    pub fn is_complete(&self, key: DiskKey) -> bool {
        self.shared.state().ledger.completeness(key) == Some(0)
    }

    /// Whether every block is held, verified or not. Waits for the disk where the file's index has not been read yet.
    pub fn holds_whole(&self, key: DiskKey) -> bool {
        self.shared.learn(key.fingerprint);
        self.shared.state().ledger.completeness(key).is_some()
    }

    /// The whole file, if every block of it is held and right. What this process has neither written nor read is
    /// verified first, which takes as long as reading it does; that goes on when the caller stops waiting, and
    /// the next one finds it done.
    ///
    /// `None` also while two other files are being verified.
    pub async fn complete(&self, key: DiskKey) -> Option<CompleteFile> {
        let (unread, missing) = {
            let state = self.shared.state();
            (state.ledger.is_unread(key.fingerprint), state.ledger.completeness(key))
        };
        let permit = match missing {
            None if !unread => return None,
            Some(0) => None,
            _ => Some(self.shared.verifications.clone().try_acquire_owned().ok()?),
        };
        let shared = self.shared.clone();
        let opened = tokio::task::spawn_blocking(move || {
            let file = complete::open(&shared, key);
            drop(permit);
            file
        });
        opened.await.ok().flatten()
    }

    /// Drops every block of a content that turned out not to be the file's any more. Nothing of it is loaded from
    /// now on; its space is freed soon after.
    pub fn forget(&self, key: DiskKey) {
        self.shared.forget(key.fingerprint);
    }

    /// What is going on.
    pub fn status(&self) -> DiskStatus {
        let shared = &self.shared;
        let mut state = shared.state();
        let (files, blocks) = state.ledger.counts();
        DiskStatus {
            directory: shared.volume.path().into(),
            limit: shared.limit,
            held: state.ledger.held_bytes(),
            files,
            blocks,
            free: shared.last_free(),
            free_floor: shared.free_floor,
            writing: state.may_write(),
            skipped: state.skipped,
            damaged: state.damaged,
        }
    }

    /// Waits until what was stored and forgotten before is so on disk, and ages are written down; `false` when the
    /// time was up first. It blocks its thread.
    pub fn flush(&self, within: Duration) -> bool {
        self.shared.flush(within)
    }
}

impl Drop for DiskCache {
    fn drop(&mut self) {
        // A disk that hangs must not keep the process from ending.
        if self.shared.end(END_TIMEOUT)
            && let Some(writer) = self.writer.lock().take()
        {
            let _a_panic_was_reported_by_its_thread = writer.join();
        }
    }
}

/// A load that its caller may stop waiting for.
#[derive(Debug, Default)]
struct Attempt(AtomicU8);

impl Attempt {
    const GIVEN_UP: u8 = 1;
    const BACK: u8 = 2;

    fn give_up(&self, shared: &Shared) {
        shared.stuck.fetch_add(1, Ordering::AcqRel);
        if self.0.swap(Self::GIVEN_UP, Ordering::AcqRel) == Self::BACK {
            shared.stuck.fetch_sub(1, Ordering::AcqRel);
        }
    }

    fn came_back(&self, shared: &Shared) {
        if self.0.swap(Self::BACK, Ordering::AcqRel) == Self::GIVEN_UP {
            shared.stuck.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

#[cfg(test)]
mod tests;

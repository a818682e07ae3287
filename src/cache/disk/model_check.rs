//! Model-checked tests of the writer and its callers: each schedule runs the real writer on real
//! files.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use shuttle::thread;
use tempfile::TempDir;

use super::complete_file::CompleteFile;
use super::coordinator::WriteRequest;
use super::disk_store::{DiskStore, Limits};
use super::key::{DiskKey, Fingerprint};
use super::lock::DirectoryLock;
use super::volume::Volume;
use super::writer::Writer;

const SCHEDULE_COUNT: usize = 10_000;
const FILE_SIZE: u64 = 64;
/// Timeout of every wait. The model has no clock, so any wait can time out at once.
const TIMEOUT: Duration = Duration::from_secs(10);

/// An open cache with its writer thread.
struct Cache {
    store: Arc<DiskStore>,
    writer: thread::JoinHandle<()>,
    directory: TempDir,
}

fn key(number: u8) -> DiskKey {
    DiskKey { fingerprint: Fingerprint(number.into()), size: FILE_SIZE }
}

fn content(number: u8) -> Bytes {
    vec![number; FILE_SIZE as usize].into()
}

fn store(store: &DiskStore, number: u8) {
    let request = WriteRequest { key: key(number), index: 0, block: content(number) };
    store.coordinator.enqueue(request);
}

/// Reads a block, and checks that it has the stored bytes or is a miss.
fn read(store: &DiskStore, number: u8) {
    if let Some(block) = store.read(key(number), 0) {
        assert_eq!(block, content(number));
    }
}

impl Cache {
    /// Opens a cache. If `has_little_space` is true, its limit is large enough for one file but not
    /// for two.
    fn open(has_little_space: bool) -> Self {
        let directory = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let volume = Volume::open(directory.path()).unwrap();
        let lock = DirectoryLock::acquire(directory.path()).unwrap();
        let limit = if has_little_space {
            volume.overhead() + 3 * volume.allocation_unit() + 40 * 1024
        } else {
            u64::MAX / 4
        };
        let limits = Limits { limit, free_floor: 0, queue_limit: 1 << 20 };
        let store = Arc::new(DiskStore::new(volume, lock, limits, Default::default()));
        let writer = Writer::new(store.clone());
        let writer = thread::spawn(move || writer.run(Vec::new()));
        Self { store, writer, directory }
    }

    fn spawn(&self, run: impl FnOnce(&DiskStore) + Send + 'static) -> thread::JoinHandle<()> {
        let store = self.store.clone();
        thread::spawn(move || run(&store))
    }

    fn flush(&self) {
        while !self.store.coordinator.flush(TIMEOUT) {
            thread::yield_now();
        }
    }

    fn is_stored(&self, number: u8) -> bool {
        self.store.coordinator.state().inventory.block(key(number), 0).is_some()
    }

    fn data_path(&self, number: u8) -> PathBuf {
        self.directory.path().join(format!("{}.data", key(number).fingerprint.to_hex()))
    }

    /// Checks that the inventory agrees with the disk and that nothing is pending, then ends the
    /// writer.
    fn check_and_end(self) {
        self.flush();
        {
            let state = self.store.coordinator.state();
            assert_eq!(state.pending_counts(), (0, 0));
            assert_eq!(
                state.damaged_blocks, 0,
                "a block that is removed during a read is not damaged"
            );
            assert!(state.inventory.charged_bytes() <= self.store.limit);
        }
        for number in 1..=3 {
            let index = self.store.volume.read_index(key(number).fingerprint);
            let has_record = matches!(index, Ok(Some(index)) if !index.records.is_empty());
            assert_eq!(has_record, self.is_stored(number), "file {number}");
        }
        self.store.coordinator.shut_down(TIMEOUT);
        self.writer.join().unwrap();
    }
}

#[test]
fn schedules_forget_queued_and_written_blocks() {
    let check = || {
        let cache = Cache::open(false);
        let storing_thread = cache.spawn(|cache| {
            store(cache, 1);
            store(cache, 2);
        });
        let forgetting_thread = cache.spawn(|cache| cache.coordinator.forget(key(1).fingerprint));
        storing_thread.join().unwrap();
        forgetting_thread.join().unwrap();
        // The block can be queued, being written or stored now.
        cache.store.coordinator.forget(key(1).fingerprint);
        cache.flush();
        assert!(!cache.is_stored(1) && cache.is_stored(2));
        assert!(!cache.data_path(1).exists());
        cache.check_and_end();
    };
    shuttle::check_random(check, SCHEDULE_COUNT);
}

#[test]
fn schedules_evict_blocks_that_are_being_read() {
    let check = || {
        let cache = Cache::open(true);
        let storing_thread = cache.spawn(|cache| {
            store(cache, 1);
            store(cache, 2);
        });
        let reading_thread = cache.spawn(|cache| {
            for number in [1, 2, 1] {
                read(cache, number);
                thread::yield_now();
            }
        });
        storing_thread.join().unwrap();
        reading_thread.join().unwrap();
        cache.flush();
        assert!(
            !cache.is_stored(1) && cache.is_stored(2),
            "the second block evicts the first block"
        );
        cache.check_and_end();
    };
    shuttle::check_random(check, SCHEDULE_COUNT);
}

#[test]
fn schedules_keep_pinned_files_readable() {
    let check = || {
        let cache = Cache::open(true);
        store(&cache.store, 1);
        cache.flush();
        let pinning_thread = {
            let store = cache.store.clone();
            thread::spawn(move || {
                let Some(file) = CompleteFile::open(&store, key(1)) else { return };
                thread::yield_now();
                let mut bytes = vec![0; FILE_SIZE as usize];
                std::os::unix::fs::FileExt::read_exact_at(file.file(), &mut bytes, 0).unwrap();
                assert_eq!(bytes, content(1));
            })
        };
        let evicting_thread = cache.spawn(|cache| store(cache, 2));
        cache.store.coordinator.forget(key(1).fingerprint);
        pinning_thread.join().unwrap();
        evicting_thread.join().unwrap();
        cache.flush();
        assert!(!cache.is_stored(1) && !cache.data_path(1).exists());
        cache.check_and_end();
    };
    shuttle::check_random(check, SCHEDULE_COUNT);
}

#[test]
fn schedules_shut_down_with_queued_blocks() {
    let check = || {
        let cache = Cache::open(false);
        let storing_thread = cache.spawn(|cache| (1..=3).for_each(|number| store(cache, number)));
        let reading_thread = cache.spawn(|cache| read(cache, 1));
        let has_ended = cache.store.coordinator.shut_down(TIMEOUT);
        storing_thread.join().unwrap();
        reading_thread.join().unwrap();
        cache.writer.join().unwrap();
        for number in 1..=3 {
            let index = cache.store.volume.read_index(key(number).fingerprint).ok().flatten();
            let has_record = index.is_some_and(|index| !index.records.is_empty());
            let state = cache.store.coordinator.state();
            let is_stored = state.inventory.block(key(number), 0).is_some();
            assert_eq!(has_record, is_stored, "file {number}, ended: {has_ended}");
            drop(state);
            read(&cache.store, number);
        }
        if has_ended {
            assert_eq!(cache.store.coordinator.state().pending_counts(), (0, 0));
        }
    };
    shuttle::check_random(check, SCHEDULE_COUNT);
}

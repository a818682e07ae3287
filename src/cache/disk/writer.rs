//! The writer thread: the only thread that changes the directory. It stores, evicts and removes
//! blocks.
//!
//! A single writer needs no lock for the disk, and no other thread uses the space that it has
//! freed. It stores a block in this order: space under the limit, space above the floor, data,
//! record, inventory. It removes a block in this order: inventory, record, data. Therefore the data
//! of every record is on disk, no matter when the process dies. At most one block has data without
//! a record, and the next start frees that data.

use std::num::NonZeroUsize;
use std::sync::Arc;

use lru::LruCache;

use super::coordinator::{Task, WriteRequest};
use super::disk_store::DiskStore;
use super::index_format::{RECORD_LENGTH, encode_record, record_offset};
use super::inventory::AccessTimes;
use super::key::{DiskKey, Fingerprint};
use super::volume::{ChangeTime, IndexContent, OpenFiles};
use super::write_error::WriteError;
use super::writer_load::Stopwatch;
use crate::cache::BLOCK_LENGTH;
use crate::sync::atomic::Ordering;

/// Bytes that must be free under the limit in addition to the charge of a new block. While a block
/// is written, file systems temporarily allocate more: up to four indirect blocks, a larger
/// directory and a page of the index.
const HEADROOM: u64 = 32 * 1024;

/// Maximum number of bytes that are evicted for one block in addition to the required space. If
/// evictions free nothing, the file system is not returning space at the moment, and further
/// evictions would empty the cache without effect.
const MAX_EXTRA_EVICTION: u64 = 8 * 1024 * 1024;

/// A file is assumed to have data without records if its data takes more than this number of bytes
/// in addition to its recorded blocks.
const UNRECORDED_DATA_THRESHOLD: u64 = 64 * 1024;

/// Maximum number of file versions whose files remain open. Consecutive blocks belong to the few
/// files that are copied at the moment. With one, each block of a copy of several files would open
/// and close two files.
const MAX_OPEN_FILES: NonZeroUsize = NonZeroUsize::new(8).unwrap();

pub(super) struct Writer {
    store: Arc<DiskStore>,
    /// The files of the last tasks.
    open_files: LruCache<Fingerprint, OpenFiles>,
}

impl Writer {
    pub(super) fn new(store: Arc<DiskStore>) -> Self {
        Self { store, open_files: LruCache::new(MAX_OPEN_FILES) }
    }

    /// Reads the indexes of the files with these fingerprints, then executes tasks until the
    /// shutdown.
    pub(super) fn run(mut self, fingerprints: Vec<Fingerprint>) {
        self.read_indexes(fingerprints);
        loop {
            let result = match self.store.coordinator.next_task() {
                Task::RemoveFile(fingerprint) => self.remove_file(fingerprint),
                Task::FreeBlock(fingerprint, index) => self.remove_block(fingerprint, index),
                Task::WriteAccessTimes(times) => self.write_access_times(&times),
                Task::CheckSpace => self.restore_free_floor(),
                Task::Store(request) => {
                    let stopwatch = Stopwatch::start();
                    let store_result = self.store_block(&request);
                    let WriteRequest { key, index, .. } = request;
                    self.store.coordinator.record_store(
                        (key.fingerprint, index),
                        matches!(store_result, Ok(true)),
                        stopwatch.time_spent(),
                    );
                    store_result.map(drop)
                }
                Task::End => break,
            };
            if let Err(error) = result {
                self.open_files.clear();
                self.record_error(&error);
            }
        }
        self.store.coordinator.record_end();
    }

    fn record_error(&self, error: &WriteError) {
        self.store.coordinator.record_error(error, self.store.volume.path());
    }

    fn read_indexes(&mut self, fingerprints: Vec<Fingerprint>) {
        for fingerprint in fingerprints {
            if self.store.coordinator.abandon_if_shutting_down() {
                return;
            }
            if let Err(error) = self.read_index(fingerprint) {
                // The inventory may be incomplete, so nothing must be added to the directory.
                self.record_error(&error.into_permanent());
            }
        }
        if let Err(error) = self.make_space(0).and_then(|_| self.restore_free_floor()) {
            self.record_error(&error);
        }
    }

    fn read_index(&mut self, fingerprint: Fingerprint) -> Result<(), WriteError> {
        if !self.store.coordinator.state().inventory.is_unread(fingerprint) {
            return Ok(());
        }
        match self.store.volume.read_index(fingerprint) {
            Ok(Some(index)) if !index.records.is_empty() => {
                let index = self.free_unrecorded_data(index)?;
                self.store.coordinator.state().inventory.add_index(index);
                Ok(())
            }
            // A file without a readable index is useless, and its space would not be counted.
            _ => {
                self.store.coordinator.state().inventory.discard_unread_file(fingerprint);
                self.remove_file(fingerprint)
            }
        }
    }

    /// Frees the disk space of data that has no record.
    fn free_unrecorded_data(&self, mut index: IndexContent) -> Result<IndexContent, WriteError> {
        let key = index.key;
        let lengths = index.records.iter().filter_map(|(index, _)| key.block_length(*index));
        let allocation_unit = self.store.volume.allocation_unit();
        let recorded_space: u64 =
            lengths.map(|length| (length as u64).next_multiple_of(allocation_unit)).sum();
        if index.space.data <= recorded_space + UNRECORDED_DATA_THRESHOLD
            || self.store.coordinator.state().is_off()
        {
            return Ok(index);
        }
        let files = self.store.volume.open_files(key.fingerprint)?;
        let mut first_unrecorded_index = 0;
        for recorded_index in index.records.iter().map(|(index, _)| *index).chain(key.block_count())
        {
            if recorded_index > first_unrecorded_index {
                files.punch_blocks(
                    first_unrecorded_index,
                    recorded_index - first_unrecorded_index,
                )?;
            }
            first_unrecorded_index = recorded_index + 1;
        }
        index.space = self.store.volume.measure_space(&files)?;
        Ok(index)
    }

    /// Stores a block if there is space for it. Returns whether the block is stored now.
    fn store_block(&mut self, request: &WriteRequest) -> Result<bool, WriteError> {
        let WriteRequest { key, index, block } = request;
        let required_bytes = {
            let state = self.store.coordinator.state();
            if state.inventory.block(*key, *index).is_some() {
                return Ok(true);
            }
            if state.inventory.is_stale(key.fingerprint) {
                return Ok(false);
            }
            state.inventory.max_charge_of(*key, *index)
                + HEADROOM
                + 2 * self.store.volume.allocation_unit()
        };
        if !self.make_space(required_bytes)? {
            return Ok(false);
        }
        self.keep_free_floor(required_bytes)?;
        let is_new = !self.store.coordinator.state().inventory.contains_file(key.fingerprint);
        let result = self.write_block(*key, *index, block, is_new);
        if result.is_err() {
            // The space of a partly written block is not counted, so it is freed. An error here is
            // ignored, because the caller gets the error of the write.
            let _ = self.undo_write(key.fingerprint, *index, is_new);
        }
        result.map(|()| true)
    }

    fn write_block(
        &mut self,
        key: DiskKey,
        index: u32,
        block: &[u8],
        is_new: bool,
    ) -> Result<(), WriteError> {
        let store = self.store.clone();
        let crc = crc32c::crc32c(block);
        let files = self.open_files(key, is_new)?;
        let time_before = ChangeTime::read(&files.data)?;
        store.coordinator.state().inventory.verify_change_time(key.fingerprint, time_before);
        files.write_block(index, block)?;
        let record = store.coordinator.state().inventory.new_record(crc);
        files.write_record(key, index, record)?;
        let (space, time_after) =
            (store.volume.measure_space(files)?, ChangeTime::read(&files.data)?);
        let overhead = if is_new { Some(store.volume.overhead()) } else { None };
        let mut state = store.coordinator.state();
        state.inventory.insert(key, index, record, space);
        state.inventory.set_change_time(key.fingerprint, time_after);
        if let Some(overhead) = overhead {
            state.inventory.set_overhead(overhead);
        }
        Ok(())
    }

    fn undo_write(
        &mut self,
        fingerprint: Fingerprint,
        index: u32,
        is_new: bool,
    ) -> Result<(), WriteError> {
        if is_new {
            self.open_files.pop(&fingerprint);
            return Ok(self.store.volume.remove_files(fingerprint)?);
        }
        self.free_block(fingerprint, index)
    }

    /// Returns the open files of a file version, and creates them if `is_new` is true.
    fn open_files(&mut self, key: DiskKey, is_new: bool) -> Result<&OpenFiles, WriteError> {
        if is_new {
            self.open_files.pop(&key.fingerprint);
            let files = self.store.volume.create_files(key)?;
            return Ok(self.open_files.get_or_insert(key.fingerprint, || files));
        }
        self.open_existing_files(key.fingerprint)
    }

    fn open_existing_files(&mut self, fingerprint: Fingerprint) -> Result<&OpenFiles, WriteError> {
        let open_files = self.open_files.pop(&fingerprint);
        let files = match open_files.filter(|files| !files.is_removed()) {
            Some(files) => files,
            None => match self.store.volume.open_files(fingerprint) {
                Ok(files) => files,
                // Another process has removed one of the files. The remaining file is removed here,
                // and the next block creates both files again.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    self.remove_file(fingerprint)?;
                    return Err(WriteError::Transient(error));
                }
                Err(error) => return Err(error.into()),
            },
        };
        Ok(self.open_files.get_or_insert(fingerprint, || files))
    }

    /// Evicts blocks until `required_bytes` more bytes fit within the limit. Returns whether they
    /// fit.
    fn make_space(&mut self, required_bytes: u64) -> Result<bool, WriteError> {
        let limit = self.store.limit;
        let excess_bytes = {
            let state = self.store.coordinator.state();
            if state.inventory.unevictable_bytes() + required_bytes > limit {
                return Ok(false);
            }
            (state.inventory.charged_bytes() + required_bytes).saturating_sub(limit)
        };
        self.evict(excess_bytes)?;
        Ok(self.store.coordinator.state().inventory.charged_bytes() + required_bytes <= limit)
    }

    /// Evicts blocks until a write of `required_bytes` bytes leaves at least the floor of free
    /// space.
    ///
    /// # Errors
    /// Returns [`WriteError::BelowFloor`] if evictions cannot free enough space.
    fn keep_free_floor(&mut self, required_bytes: u64) -> Result<(), WriteError> {
        let min_free_bytes = self.store.free_floor.saturating_add(required_bytes);
        let missing_bytes = min_free_bytes.saturating_sub(self.check_free_space()?);
        if missing_bytes == 0 {
            return Ok(());
        }
        self.evict(missing_bytes)?;
        if self.check_free_space()? >= min_free_bytes {
            Ok(())
        } else {
            Err(WriteError::BelowFloor)
        }
    }

    /// Evicts the least recently used blocks until the charged space has decreased by `bytes`, or
    /// by as much as possible.
    fn evict(&mut self, bytes: u64) -> Result<(), WriteError> {
        let charged_before = self.store.coordinator.state().inventory.charged_bytes();
        let mut evicted_bytes = 0;
        loop {
            let oldest_block = {
                let mut state = self.store.coordinator.state();
                let freed_bytes = charged_before.saturating_sub(state.inventory.charged_bytes());
                if freed_bytes >= bytes || evicted_bytes > bytes.saturating_add(MAX_EXTRA_EVICTION)
                {
                    return Ok(());
                }
                state.inventory.least_recently_used_block()
            };
            let Some((fingerprint, index)) = oldest_block else { return Ok(()) };
            self.remove_block(fingerprint, index)?;
            self.store.coordinator.state().evicted_blocks += 1;
            evicted_bytes += BLOCK_LENGTH;
        }
    }

    /// Evicts blocks if the free space is below the floor.
    fn restore_free_floor(&mut self) -> Result<(), WriteError> {
        let missing_bytes = self.store.free_floor.saturating_sub(self.check_free_space()?);
        if missing_bytes > 0 && !self.store.coordinator.state().is_off() {
            self.evict(missing_bytes)?;
        }
        Ok(())
    }

    fn check_free_space(&self) -> Result<u64, WriteError> {
        let (free_bytes, _) = self.store.volume.free_and_total_bytes()?;
        self.store.last_free_bytes.store(free_bytes, Ordering::Relaxed);
        Ok(free_bytes)
    }

    /// Removes a block. If it was the last block of its file, also removes the file.
    fn remove_block(&mut self, fingerprint: Fingerprint, index: u32) -> Result<(), WriteError> {
        if self.store.coordinator.state().inventory.remove_block(fingerprint, index) {
            return self.remove_file(fingerprint);
        }
        self.free_block(fingerprint, index)
    }

    /// Clears the record of a block, and frees its disk space. The space is freed even if the
    /// record cannot be cleared, as on a full Btrfs, which never writes in place. A block with a
    /// record but without its data has a wrong checksum, so it is not returned.
    fn free_block(&mut self, fingerprint: Fingerprint, index: u32) -> Result<(), WriteError> {
        let store = self.store.clone();
        let files = self.open_existing_files(fingerprint)?;
        let clear_result = files.clear_record(index);
        let time_before = ChangeTime::read(&files.data)?;
        store.coordinator.state().inventory.verify_change_time(fingerprint, time_before);
        files.punch_blocks(index, 1)?;
        let (space, time_after) =
            (store.volume.measure_space(files)?, ChangeTime::read(&files.data)?);
        let mut state = store.coordinator.state();
        state.inventory.set_space(fingerprint, space);
        state.inventory.set_change_time(fingerprint, time_after);
        drop(state);
        Ok(clear_result?)
    }

    /// Removes both files of a file version. If the file is pinned, removes only its index now.
    fn remove_file(&mut self, fingerprint: Fingerprint) -> Result<(), WriteError> {
        self.open_files.pop(&fingerprint);
        // A stale file cannot be pinned any more, so no reader can open it before it is truncated.
        let is_pinned = self.store.coordinator.state().inventory.mark_stale(fingerprint);
        if is_pinned {
            return Ok(self.store.volume.remove_index(fingerprint)?);
        }
        self.store.volume.remove_files(fingerprint)?;
        self.store.coordinator.state().inventory.remove_file(fingerprint);
        Ok(())
    }

    /// Writes the access times of the blocks of a file, with one write for each run of consecutive
    /// blocks.
    fn write_access_times(&mut self, times: &AccessTimes) -> Result<(), WriteError> {
        if self.store.coordinator.state().is_off() {
            return Ok(());
        }
        let files = self.open_existing_files(times.key.fingerprint)?;
        for run in times.records.chunk_by(|(previous, _), (next, _)| previous + 1 == *next) {
            let Some((first, _)) = run.first() else { continue };
            let mut bytes = Vec::with_capacity(run.len() * RECORD_LENGTH);
            for (index, record) in run {
                bytes.extend_from_slice(&encode_record(times.key, *index, *record));
            }
            std::os::unix::fs::FileExt::write_all_at(&files.index, &bytes, record_offset(*first))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use bytes::Bytes;

    use super::*;
    use crate::cache::disk::disk_store::Limits;
    use crate::cache::disk::lock::DirectoryLock;
    use crate::cache::disk::volume::Volume;

    const SIZE: u64 = BLOCK_LENGTH + 9;

    fn key(number: u8) -> DiskKey {
        DiskKey { fingerprint: Fingerprint(number.into()), size: SIZE }
    }

    fn request(number: u8, index: u32) -> WriteRequest {
        let length = key(number).block_length(index).unwrap();
        WriteRequest { key: key(number), index, block: Bytes::from(vec![number; length]) }
    }

    /// Creates a writer without a thread. The test executes its tasks.
    fn new_writer(directory: &Path, limit: u64, free_floor: u64) -> Writer {
        let volume = Volume::open(directory).unwrap();
        let lock = DirectoryLock::acquire(directory).unwrap();
        let limits = Limits { limit, free_floor, queue_limit: 1 << 20 };
        Writer::new(Arc::new(DiskStore::new(volume, lock, limits, Default::default())))
    }

    impl Writer {
        fn is_stored(&self, number: u8, index: u32) -> bool {
            self.store.coordinator.state().inventory.block(key(number), index).is_some()
        }

        /// Returns the indexes of the blocks that have a record on disk.
        fn recorded_blocks(&self, number: u8) -> Vec<u32> {
            let index = self.store.volume.read_index(key(number).fingerprint).ok().flatten();
            index
                .map(|index| index.records.iter().map(|(index, _)| *index).collect())
                .unwrap_or_default()
        }
    }

    #[test]
    fn a_stored_block_has_data_and_record() {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = new_writer(directory.path(), 100 * BLOCK_LENGTH, 0);
        for _ in 0..2 {
            assert!(writer.store_block(&request(1, 1)).unwrap());
        }
        assert_eq!(writer.recorded_blocks(1), [1]);
        assert_eq!(writer.store.read(key(1), 1).unwrap(), request(1, 1).block);
        assert!(!writer.is_stored(1, 0));
    }

    #[test]
    fn oldest_block_is_evicted_with_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = new_writer(directory.path(), BLOCK_LENGTH * 2, 0);
        assert!(writer.store_block(&request(1, 0)).unwrap());
        assert!(writer.store_block(&request(2, 0)).unwrap());
        assert!(!writer.is_stored(1, 0) && writer.is_stored(2, 0));
        assert_eq!(writer.store.volume.list_fingerprints().unwrap().len(), 1);
    }

    #[test]
    fn a_limit_without_space_stores_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = new_writer(directory.path(), BLOCK_LENGTH, 0);
        assert!(!writer.store_block(&request(1, 0)).unwrap());
        assert!(writer.store.volume.list_fingerprints().unwrap().is_empty());
    }

    #[test]
    fn a_write_below_the_floor_fails() {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = new_writer(directory.path(), 100 * BLOCK_LENGTH, u64::MAX / 2);
        let result = writer.store_block(&request(1, 0));
        assert!(matches!(result, Err(WriteError::BelowFloor)), "{result:?}");
        assert!(!writer.is_stored(1, 0));
    }

    #[test]
    fn a_pinned_file_keeps_its_data_until_unpinned() {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = new_writer(directory.path(), 100 * BLOCK_LENGTH, 0);
        writer.store_block(&request(1, 0)).unwrap();
        let store = writer.store.clone();
        let fingerprint = key(1).fingerprint;
        assert!(store.coordinator.state().inventory.pin(key(1)));
        writer.remove_file(fingerprint).unwrap();
        assert!(
            store.volume.open_data(fingerprint).is_ok() && writer.recorded_blocks(1).is_empty()
        );
        assert!(!writer.store_block(&request(1, 1)).unwrap(), "the file is stale");
        store.coordinator.unpin(fingerprint);
        assert!(
            matches!(store.coordinator.next_task(), Task::RemoveFile(file) if file == fingerprint)
        );
        writer.remove_file(fingerprint).unwrap();
        assert!(store.volume.open_data(fingerprint).is_err());
    }

    #[test]
    fn a_file_that_another_process_removed_is_recreated() {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = new_writer(directory.path(), 100 * BLOCK_LENGTH, 0);
        writer.store_block(&request(1, 0)).unwrap();
        let data = directory.path().join(format!("{}.data", key(1).fingerprint.to_hex()));
        std::fs::remove_file(data).unwrap();
        let result = writer.store_block(&request(1, 1));
        assert!(matches!(result, Err(WriteError::Transient(_))), "{result:?}");
        assert!(writer.store_block(&request(1, 1)).unwrap());
        assert_eq!(writer.recorded_blocks(1), [1]);
    }

    #[test]
    fn access_times_are_written_to_the_index() {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = new_writer(directory.path(), 100 * BLOCK_LENGTH, 0);
        writer.store_block(&request(1, 0)).unwrap();
        writer.store_block(&request(1, 1)).unwrap();
        let access_times = |writer: &Writer| {
            let index = writer.store.volume.read_index(key(1).fingerprint).unwrap().unwrap();
            index.records.iter().map(|(_, record)| record.access_time).collect::<Vec<_>>()
        };
        let times_before = access_times(&writer);
        writer.store.read(key(1), 0).unwrap();
        let times = writer.store.coordinator.state().inventory.take_access_times().unwrap();
        writer.write_access_times(&times).unwrap();
        let times_after = access_times(&writer);
        assert!(
            times_before[0] < times_before[1]
                && times_before[1] < times_after[0]
                && times_before[1] == times_after[1]
        );
    }
}

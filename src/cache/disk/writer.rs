//! The writer thread: the only thread that changes the directory. It stores, evicts and removes
//! blocks.
//!
//! A single writer needs no lock for the disk, and no other thread uses the space that it has
//! freed. It stores a block in this order: space under the limit, space above the floor, data,
//! record, inventory. It removes a block in this order: inventory, record, data. So no matter when
//! the process dies, the data of every record is on disk. At most one block has data without a
//! record, and the next start frees that data.

use std::sync::Arc;

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

/// Bytes that stay free under the limit in addition to the charge of a block. File systems
/// temporarily allocate more: up to four indirect blocks, a larger directory and a page of the
/// index.
const HEADROOM: u64 = 32 * 1024;

/// Maximum number of bytes that are evicted for one block beyond what it needs. If evictions free
/// nothing, the file system is not returning space at the moment, and further evictions would empty
/// the cache without effect.
const MAX_VAIN_EVICTION: u64 = 8 * 1024 * 1024;

/// A file has data without records if it takes this many more bytes than its recorded blocks.
const UNRECORDED_DATA_THRESHOLD: u64 = 64 * 1024;

pub(super) struct Writer {
    store: Arc<DiskStore>,
    /// The files that were written last. Consecutive blocks usually belong to the same file.
    open: Option<(Fingerprint, OpenFiles)>,
}

impl Writer {
    pub(super) fn new(store: Arc<DiskStore>) -> Self {
        Self { store, open: None }
    }

    /// Reads the indexes of the files with these fingerprints, then runs tasks until the shutdown.
    pub(super) fn run(mut self, fingerprints: Vec<Fingerprint>) {
        self.read_indexes(fingerprints);
        loop {
            let done = match self.store.coordinator.next_task() {
                Task::RemoveFile(fingerprint) => self.remove_file(fingerprint),
                Task::FreeBlock(fingerprint, index) => self.remove_block(fingerprint, index),
                Task::WriteAccessTimes(times) => self.write_access_times(&times),
                Task::CheckSpace => self.restore_free_floor(),
                Task::Store(request) => {
                    let stopwatch = Stopwatch::start();
                    let stored = self.store_block(&request);
                    let WriteRequest { key, index, .. } = request;
                    self.store.coordinator.record_store(
                        (key.fingerprint, index),
                        matches!(stored, Ok(true)),
                        stopwatch.time_spent(),
                    );
                    stored.map(drop)
                }
                Task::End => break,
            };
            if let Err(error) = done {
                self.open = None;
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
            // An unreadable file is useless, and its space would not be counted.
            _ => {
                self.store.coordinator.state().inventory.discard_unread(fingerprint);
                self.remove_file(fingerprint)
            }
        }
    }

    /// Frees data without records.
    fn free_unrecorded_data(&self, mut index: IndexContent) -> Result<IndexContent, WriteError> {
        let key = index.key;
        let lengths = index.records.iter().filter_map(|(at, _)| key.block_length(*at));
        let unit = self.store.volume.unit();
        let recorded: u64 = lengths.map(|length| (length as u64).next_multiple_of(unit)).sum();
        if index.allocated.data <= recorded + UNRECORDED_DATA_THRESHOLD
            || self.store.coordinator.state().is_off()
        {
            return Ok(index);
        }
        let files = self.store.volume.open_files(key.fingerprint)?;
        let mut from = 0;
        for at in index.records.iter().map(|(at, _)| *at).chain(key.block_count()) {
            if at > from {
                files.punch(from, at - from)?;
            }
            from = at + 1;
        }
        index.allocated = self.store.volume.allocated(&files)?;
        Ok(index)
    }

    /// Stores a block if there is space for it. Returns whether it is stored.
    fn store_block(&mut self, request: &WriteRequest) -> Result<bool, WriteError> {
        let WriteRequest { key, index, block } = request;
        let need = {
            let state = self.store.coordinator.state();
            if state.inventory.block(*key, *index).is_some() {
                return Ok(true);
            }
            if state.inventory.is_stale(key.fingerprint) {
                return Ok(false);
            }
            state.inventory.cost(*key, *index) + HEADROOM + 2 * self.store.volume.unit()
        };
        if !self.make_space(need)? || !self.keep_free_floor(need)? {
            return Ok(false);
        }
        let is_new = !self.store.coordinator.state().inventory.contains_file(key.fingerprint);
        let written = self.write(*key, *index, block, is_new);
        if written.is_err() {
            // The space of a partly written block is not counted, so it is freed. An error here is
            // ignored: the caller gets the first error.
            let _ = self.undo(key.fingerprint, *index, is_new);
        }
        written.map(|()| true)
    }

    fn write(
        &mut self,
        key: DiskKey,
        index: u32,
        block: &[u8],
        is_new: bool,
    ) -> Result<(), WriteError> {
        let store = self.store.clone();
        let crc = crc32c::crc32c(block);
        let files = self.files(key, is_new)?;
        let before = ChangeTime::of(&files.data)?;
        store.coordinator.state().inventory.verify_change_time(key.fingerprint, before);
        files.write_block(index, block)?;
        let record = store.coordinator.state().inventory.new_record(crc);
        files.write_record(key, index, record)?;
        let (allocated, after) = (store.volume.allocated(files)?, ChangeTime::of(&files.data)?);
        let overhead = if is_new { Some(store.volume.overhead()) } else { None };
        let mut state = store.coordinator.state();
        state.inventory.insert(key, index, record, allocated);
        state.inventory.set_change_time(key.fingerprint, after);
        if let Some(overhead) = overhead {
            state.inventory.set_overhead(overhead);
        }
        Ok(())
    }

    fn undo(
        &mut self,
        fingerprint: Fingerprint,
        index: u32,
        is_new: bool,
    ) -> Result<(), WriteError> {
        if is_new {
            self.open = None;
            return Ok(self.store.volume.remove(fingerprint)?);
        }
        self.free_block(fingerprint, index)
    }

    /// Returns the open files of a key. Creates them if `is_new`.
    fn files(&mut self, key: DiskKey, is_new: bool) -> Result<&OpenFiles, WriteError> {
        if is_new {
            let files = self.store.volume.create_files(key)?;
            return Ok(&self.open.insert((key.fingerprint, files)).1);
        }
        self.existing_files(key.fingerprint)
    }

    fn existing_files(&mut self, fingerprint: Fingerprint) -> Result<&OpenFiles, WriteError> {
        let open = match self.open.take() {
            Some((known, files)) if known == fingerprint => (known, files),
            _ => match self.store.volume.open_files(fingerprint) {
                Ok(files) => (fingerprint, files),
                // Another process has removed one of the files. The other one is removed here, and
                // the next block creates both files again.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    self.remove_file(fingerprint)?;
                    return Err(WriteError::Transient(error));
                }
                Err(error) => return Err(error.into()),
            },
        };
        Ok(&self.open.insert(open).1)
    }

    /// Evicts blocks until `need` more bytes fit within the limit. Returns whether they do.
    fn make_space(&mut self, need: u64) -> Result<bool, WriteError> {
        let limit = self.store.limit;
        let excess = {
            let state = self.store.coordinator.state();
            if state.inventory.fixed_bytes() + need > limit {
                return Ok(false);
            }
            (state.inventory.charged_bytes() + need).saturating_sub(limit)
        };
        self.evict(excess)?;
        Ok(self.store.coordinator.state().inventory.charged_bytes() + need <= limit)
    }

    /// Evicts blocks until a write of `need` bytes leaves at least the floor of free space.
    ///
    /// # Errors
    /// [`WriteError::BelowFloor`] if no evictable block is left, or evictions have not freed
    /// enough.
    fn keep_free_floor(&mut self, need: u64) -> Result<bool, WriteError> {
        let wanted = self.store.free_floor.saturating_add(need);
        let missing = wanted.saturating_sub(self.check_free_space()?);
        if missing == 0 {
            return Ok(true);
        }
        self.evict(missing)?;
        if self.check_free_space()? >= wanted { Ok(true) } else { Err(WriteError::BelowFloor) }
    }

    /// Evicts the least recently used blocks until `bytes` of the charged space are free, or as
    /// many as possible.
    fn evict(&mut self, bytes: u64) -> Result<(), WriteError> {
        let before = self.store.coordinator.state().inventory.charged_bytes();
        let mut evicted = 0;
        loop {
            let next = {
                let mut state = self.store.coordinator.state();
                let freed = before.saturating_sub(state.inventory.charged_bytes());
                if freed >= bytes || evicted > bytes.saturating_add(MAX_VAIN_EVICTION) {
                    return Ok(());
                }
                state.inventory.oldest()
            };
            let Some((fingerprint, index)) = next else { return Ok(()) };
            self.remove_block(fingerprint, index)?;
            evicted += BLOCK_LENGTH;
        }
    }

    /// Evicts blocks if the free space is below the floor.
    fn restore_free_floor(&mut self) -> Result<(), WriteError> {
        let missing = self.store.free_floor.saturating_sub(self.check_free_space()?);
        if missing > 0 && !self.store.coordinator.state().is_off() {
            self.evict(missing)?;
        }
        Ok(())
    }

    fn check_free_space(&self) -> Result<u64, WriteError> {
        let (free, _) = self.store.volume.space()?;
        self.store.last_free_bytes.store(free, Ordering::Relaxed);
        Ok(free)
    }

    /// Removes a block. If it was the last one of its file, also removes the file.
    fn remove_block(&mut self, fingerprint: Fingerprint, index: u32) -> Result<(), WriteError> {
        if self.store.coordinator.state().inventory.remove_block(fingerprint, index) {
            return self.remove_file(fingerprint);
        }
        self.free_block(fingerprint, index)
    }

    /// Clears the record of a block and frees its space. The space is freed even if the record
    /// cannot be cleared. That happens on a full Btrfs, which never writes in place. The checksum
    /// of a record without its data does not match, so such a block is not returned.
    fn free_block(&mut self, fingerprint: Fingerprint, index: u32) -> Result<(), WriteError> {
        let store = self.store.clone();
        let files = self.existing_files(fingerprint)?;
        let cleared = files.clear_record(index);
        let before = ChangeTime::of(&files.data)?;
        store.coordinator.state().inventory.verify_change_time(fingerprint, before);
        files.punch(index, 1)?;
        let (allocated, after) = (store.volume.allocated(files)?, ChangeTime::of(&files.data)?);
        let mut state = store.coordinator.state();
        state.inventory.set_allocated(fingerprint, allocated);
        state.inventory.set_change_time(fingerprint, after);
        drop(state);
        Ok(cleared?)
    }

    /// Removes a file version. If the file is pinned, only its index is removed now.
    fn remove_file(&mut self, fingerprint: Fingerprint) -> Result<(), WriteError> {
        if self.open.as_ref().is_some_and(|(open, _)| *open == fingerprint) {
            self.open = None;
        }
        // A stale file cannot be pinned any more, so no reader can begin to use it before it is
        // truncated.
        let is_pinned = self.store.coordinator.state().inventory.retire(fingerprint);
        if is_pinned {
            return Ok(self.store.volume.remove_index(fingerprint)?);
        }
        self.store.volume.remove(fingerprint)?;
        self.store.coordinator.state().inventory.remove_file(fingerprint);
        Ok(())
    }

    /// Writes the access times of the blocks of a file, with one write per run of blocks.
    fn write_access_times(&mut self, times: &AccessTimes) -> Result<(), WriteError> {
        if self.store.coordinator.state().is_off() {
            return Ok(());
        }
        let files = self.existing_files(times.key.fingerprint)?;
        for run in times.records.chunk_by(|(before, _), (after, _)| before + 1 == *after) {
            let Some((first, _)) = run.first() else { continue };
            let mut bytes = Vec::with_capacity(run.len() * RECORD_LENGTH);
            for (at, record) in run {
                bytes.extend_from_slice(&encode_record(times.key, *at, *record));
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

    /// Creates a writer without a thread. The test runs its tasks.
    fn writer(directory: &Path, limit: u64, free_floor: u64) -> Writer {
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
        fn recorded(&self, number: u8) -> Vec<u32> {
            let index = self.store.volume.read_index(key(number).fingerprint).ok().flatten();
            index.map(|index| index.records.iter().map(|(at, _)| *at).collect()).unwrap_or_default()
        }
    }

    #[test]
    fn a_stored_block_has_data_and_record() {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = writer(directory.path(), 100 * BLOCK_LENGTH, 0);
        for _ in 0..2 {
            assert!(writer.store_block(&request(1, 1)).unwrap());
        }
        assert_eq!(writer.recorded(1), [1]);
        assert_eq!(writer.store.read(key(1), 1).unwrap(), request(1, 1).block);
        assert!(!writer.is_stored(1, 0));
    }

    #[test]
    fn the_oldest_block_is_evicted_with_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = writer(directory.path(), BLOCK_LENGTH * 2, 0);
        assert!(writer.store_block(&request(1, 0)).unwrap());
        assert!(writer.store_block(&request(2, 0)).unwrap());
        assert!(!writer.is_stored(1, 0) && writer.is_stored(2, 0));
        assert_eq!(writer.store.volume.list().unwrap().len(), 1);
    }

    #[test]
    fn a_limit_without_space_stores_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = writer(directory.path(), BLOCK_LENGTH, 0);
        assert!(!writer.store_block(&request(1, 0)).unwrap());
        assert!(writer.store.volume.list().unwrap().is_empty());
    }

    #[test]
    fn a_write_below_the_floor_fails() {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = writer(directory.path(), 100 * BLOCK_LENGTH, u64::MAX / 2);
        let stored = writer.store_block(&request(1, 0));
        assert!(matches!(stored, Err(WriteError::BelowFloor)), "{stored:?}");
        assert!(!writer.is_stored(1, 0));
    }

    #[test]
    fn a_pinned_file_keeps_its_data_until_unpinned() {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = writer(directory.path(), 100 * BLOCK_LENGTH, 0);
        writer.store_block(&request(1, 0)).unwrap();
        let store = writer.store.clone();
        let fingerprint = key(1).fingerprint;
        assert!(store.coordinator.state().inventory.pin(key(1)));
        writer.remove_file(fingerprint).unwrap();
        assert!(store.volume.open_data(fingerprint).is_ok() && writer.recorded(1).is_empty());
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
        let mut writer = writer(directory.path(), 100 * BLOCK_LENGTH, 0);
        writer.store_block(&request(1, 0)).unwrap();
        writer.open = None;
        let data = directory.path().join(format!("{}.data", key(1).fingerprint.hex()));
        std::fs::remove_file(data).unwrap();
        let stored = writer.store_block(&request(1, 1));
        assert!(matches!(stored, Err(WriteError::Transient(_))), "{stored:?}");
        assert!(writer.store_block(&request(1, 1)).unwrap());
        assert_eq!(writer.recorded(1), [1]);
    }

    #[test]
    fn access_times_are_written_to_the_index() {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = writer(directory.path(), 100 * BLOCK_LENGTH, 0);
        writer.store_block(&request(1, 0)).unwrap();
        writer.store_block(&request(1, 1)).unwrap();
        let accessed = |writer: &Writer| {
            let index = writer.store.volume.read_index(key(1).fingerprint).unwrap().unwrap();
            index.records.iter().map(|(_, record)| record.accessed).collect::<Vec<_>>()
        };
        let before = accessed(&writer);
        writer.store.read(key(1), 0).unwrap();
        let times = writer.store.coordinator.state().inventory.next_access_times().unwrap();
        writer.write_access_times(&times).unwrap();
        let after = accessed(&writer);
        assert!(before[0] < before[1] && before[1] < after[0] && before[1] == after[1]);
    }
}

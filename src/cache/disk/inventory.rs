//! The in-memory inventory of the stored blocks: their checksums, their access times, and the disk
//! space that they take.
//!
//! This module never accesses the disk. The writer updates the inventory before it removes a block
//! from the disk, and after it has written a block.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::index_format::BlockRecord;
use super::key::{DiskKey, Fingerprint};
use super::volume::{AllocatedSpace, ChangeTime, IndexContent};

/// Bytes that count against the limit for each file in addition to its data. They cover the first
/// leaf of the extent tree, which ext4 may not allocate until it writes the data to disk.
const FILE_ALLOWANCE: u64 = 4096;

/// Bytes that count against the limit for each block in addition to its data. They cover 85 extents
/// of 12 bytes, which is enough for a very fragmented disk with extents of 12 KiB.
const BLOCK_ALLOWANCE: u64 = 1024;

#[derive(Clone, Copy, Debug)]
pub(super) struct StoredBlock {
    pub(super) crc: u32,
    access_time: u64,
    /// Whether this process has written the block, or has read it and found its checksum correct.
    is_verified: bool,
}

#[derive(Debug)]
struct FileEntry {
    key: DiskKey,
    blocks: BTreeMap<u32, StoredBlock>,
    /// Upper bound for the disk space of the blocks, computed from their lengths.
    estimated_space: u64,
    /// Disk space of the data file and the index file at the last measurement.
    space: AllocatedSpace,
    /// Change time of the data file after the last change by this process. If another process has
    /// changed the file since then, this is the change time that was found when the change was
    /// detected.
    change_time: ChangeTime,
    /// Number of [`CompleteFile`](super::CompleteFile) values of this file. The file is not evicted
    /// while the count is above 0.
    pin_count: usize,
    /// Whether the file is stale. The blocks of a stale file must not be used.
    is_stale: bool,
    /// A counter that increases with every removed block. It never has the same value again, even
    /// if the file is removed and stored again. A reader that gets wrong bytes compares the counter
    /// to detect that the block was removed during the read.
    removal_count: u64,
    /// Lower bound for the access times of the blocks. `BlockInventory::eviction_order` is sorted
    /// by it.
    min_access_time: u64,
}

impl FileEntry {
    fn new(key: DiskKey) -> Self {
        Self {
            key,
            blocks: BTreeMap::new(),
            estimated_space: 0,
            space: AllocatedSpace::default(),
            change_time: ChangeTime::default(),
            pin_count: 0,
            is_stale: false,
            removal_count: 0,
            min_access_time: 0,
        }
    }

    fn charge(&self) -> u64 {
        let allowance = FILE_ALLOWANCE + self.blocks.len() as u64 * BLOCK_ALLOWANCE;
        self.space.data.max(self.estimated_space) + self.space.index + allowance
    }

    fn is_evictable(&self) -> bool {
        self.pin_count == 0 && !self.is_stale && !self.blocks.is_empty()
    }
}

/// The entry of a stored block together with the removal counter of its file, copied at the same
/// time.
#[derive(Clone, Copy, Debug)]
pub(super) struct BlockSnapshot {
    pub(super) block: StoredBlock,
    pub(super) removal_count: u64,
}

/// The index records of all blocks of a file, with access times that the index does not contain
/// yet.
#[derive(Debug)]
pub(super) struct AccessTimes {
    pub(super) key: DiskKey,
    pub(super) records: Vec<(u32, BlockRecord)>,
}

/// The inventory of one cache directory; see the module.
#[derive(Debug)]
pub(super) struct BlockInventory {
    /// Allocation unit of the file system, in bytes.
    allocation_unit: u64,
    files: HashMap<Fingerprint, FileEntry>,
    /// Files that were in the directory at startup and whose index has not been read yet.
    unread_files: HashSet<Fingerprint>,
    /// **Invariant**: contains exactly the evictable files, each with its `min_access_time`.
    eviction_order: BTreeSet<(u64, Fingerprint)>,
    pinned_files: BTreeSet<Fingerprint>,
    /// Files with access times that have not been written to their index yet.
    files_with_new_access_times: BTreeSet<Fingerprint>,
    /// Files that the writer must remove.
    marked_files: BTreeSet<Fingerprint>,
    /// Damaged blocks whose disk space the writer must free.
    marked_blocks: BTreeSet<(Fingerprint, u32)>,
    /// Bytes that count against the limit. **Invariant**: this is the sum of `FileEntry::charge`
    /// over all files.
    total_charge: u64,
    overhead: u64,
    block_count: u64,
    last_access_time: u64,
}

impl BlockInventory {
    /// Creates the inventory of a directory. `unread_files` are the fingerprints of the files in
    /// the directory.
    pub(super) fn new(
        allocation_unit: u64,
        overhead: u64,
        unread_files: HashSet<Fingerprint>,
    ) -> Self {
        Self {
            allocation_unit,
            files: HashMap::new(),
            unread_files,
            eviction_order: BTreeSet::new(),
            pinned_files: BTreeSet::new(),
            files_with_new_access_times: BTreeSet::new(),
            marked_files: BTreeSet::new(),
            marked_blocks: BTreeSet::new(),
            total_charge: 0,
            overhead,
            block_count: 0,
            last_access_time: 0,
        }
    }

    /// Returns the number of bytes that count against the limit.
    pub(super) fn charged_bytes(&self) -> u64 {
        self.total_charge + self.overhead
    }

    /// Returns the part of [`charged_bytes`](Self::charged_bytes) that evictions cannot free.
    pub(super) fn unevictable_bytes(&self) -> u64 {
        let pinned_entries =
            self.pinned_files.iter().filter_map(|fingerprint| self.files.get(fingerprint));
        self.overhead + pinned_entries.map(FileEntry::charge).sum::<u64>()
    }

    pub(super) fn set_overhead(&mut self, overhead: u64) {
        self.overhead = overhead;
    }

    /// Returns the number of files and the number of blocks.
    pub(super) fn file_and_block_counts(&self) -> (u64, u64) {
        ((self.files.len() + self.unread_files.len()) as u64, self.block_count)
    }

    /// Returns the maximum number of bytes by which storing block `index` increases
    /// [`charged_bytes`](Self::charged_bytes). If the file is not stored yet, the result includes
    /// the allowance for the file.
    pub(super) fn max_charge_of(&self, key: DiskKey, index: u32) -> u64 {
        let file = if self.files.contains_key(&key.fingerprint) { 0 } else { FILE_ALLOWANCE };
        self.estimate_space(key, index) + BLOCK_ALLOWANCE + file
    }

    fn estimate_space(&self, key: DiskKey, index: u32) -> u64 {
        (key.block_length(index).unwrap_or(0) as u64).next_multiple_of(self.allocation_unit)
    }

    /// Returns a new access time, in microseconds since 1970. It is later than all access times
    /// that this process has assigned or read. A counter in place of the clock would need all
    /// indexes to be read before the first access.
    fn next_access_time(&mut self) -> u64 {
        let now =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        self.last_access_time = now.max(self.last_access_time.saturating_add(1));
        self.last_access_time
    }

    /// Changes the entry of a file, and updates the totals and the eviction order.
    fn update_entry<T>(
        &mut self,
        fingerprint: Fingerprint,
        change: impl FnOnce(&mut FileEntry) -> T,
    ) -> Option<T> {
        let entry = self.files.get_mut(&fingerprint)?;
        self.total_charge -= entry.charge();
        self.block_count -= entry.blocks.len() as u64;
        self.eviction_order.remove(&(entry.min_access_time, fingerprint));
        let result = change(entry);
        self.total_charge += entry.charge();
        self.block_count += entry.blocks.len() as u64;
        if entry.is_evictable() {
            self.eviction_order.insert((entry.min_access_time, fingerprint));
        }
        if entry.pin_count > 0 {
            self.pinned_files.insert(fingerprint);
        } else {
            self.pinned_files.remove(&fingerprint);
        }
        Some(result)
    }

    fn usable_entry(&self, key: DiskKey) -> Option<&FileEntry> {
        self.files.get(&key.fingerprint).filter(|entry| entry.key == key && !entry.is_stale)
    }

    /// Returns `false` if the block is known not to be stored. Returns `true` if it is stored, or
    /// if the index of its file has not been read yet.
    pub(super) fn may_contain(&self, key: DiskKey, index: u32) -> bool {
        self.unread_files.contains(&key.fingerprint) || self.block(key, index).is_some()
    }

    /// Returns the indexes of the stored blocks of a file, or `None` if its index has not been read
    /// yet.
    pub(super) fn stored_blocks(&self, key: DiskKey) -> Option<HashSet<u32>> {
        if self.is_unread(key.fingerprint) {
            return None;
        }
        let entry = self.usable_entry(key);
        Some(entry.map(|entry| entry.blocks.keys().copied().collect()).unwrap_or_default())
    }

    pub(super) fn is_unread(&self, fingerprint: Fingerprint) -> bool {
        self.unread_files.contains(&fingerprint)
    }

    /// Removes a file from the unread files, because its index is unusable.
    pub(super) fn discard_unread_file(&mut self, fingerprint: Fingerprint) {
        self.unread_files.remove(&fingerprint);
    }

    pub(super) fn contains_file(&self, fingerprint: Fingerprint) -> bool {
        self.files.contains_key(&fingerprint)
    }

    /// Adds the blocks in an index. Does nothing if the index of the file has been added before.
    pub(super) fn add_index(&mut self, index: IndexContent) {
        let IndexContent { key, records, space, change_time } = index;
        if !self.unread_files.remove(&key.fingerprint) {
            return;
        }
        let min_access_time =
            records.iter().map(|(_, record)| record.access_time).min().unwrap_or(0);
        let blocks = records.into_iter().map(|(block_index, BlockRecord { crc, access_time })| {
            self.last_access_time = self.last_access_time.max(access_time);
            (block_index, StoredBlock { crc, access_time, is_verified: false })
        });
        let blocks: BTreeMap<_, _> = blocks.collect();
        let estimated_space =
            blocks.keys().map(|block_index| self.estimate_space(key, *block_index)).sum();
        self.add_file(FileEntry {
            blocks,
            estimated_space,
            space,
            change_time,
            min_access_time,
            ..FileEntry::new(key)
        });
    }

    fn add_file(&mut self, entry: FileEntry) {
        let fingerprint = entry.key.fingerprint;
        self.total_charge += entry.charge();
        self.block_count += entry.blocks.len() as u64;
        if entry.is_evictable() {
            self.eviction_order.insert((entry.min_access_time, fingerprint));
        }
        self.files.insert(fingerprint, entry);
    }

    /// Returns the entry of a block. Returns `None` if the block is not stored or its file is
    /// stale.
    pub(super) fn block(&self, key: DiskKey, index: u32) -> Option<BlockSnapshot> {
        let entry = self.usable_entry(key)?;
        Some(BlockSnapshot {
            block: *entry.blocks.get(&index)?,
            removal_count: entry.removal_count,
        })
    }

    /// Records an access to a block whose checksum was correct.
    pub(super) fn record_access(&mut self, key: DiskKey, index: u32) {
        let now = self.next_access_time();
        // `min_access_time` stays a lower bound, because access times only increase.
        let Some(entry) = self.files.get_mut(&key.fingerprint) else { return };
        if let Some(block) = entry.blocks.get_mut(&index) {
            block.access_time = now;
            block.is_verified = true;
            self.files_with_new_access_times.insert(key.fingerprint);
        }
    }

    /// Records an access to every block of a file.
    pub(super) fn record_file_access(&mut self, key: DiskKey) {
        let now = self.next_access_time();
        let Some(entry) = self.files.get_mut(&key.fingerprint) else { return };
        entry.blocks.values_mut().for_each(|block| block.access_time = now);
        self.files_with_new_access_times.insert(key.fingerprint);
    }

    /// Creates the record of a block that is about to be written, with the current access time.
    pub(super) fn new_record(&mut self, crc: u32) -> BlockRecord {
        BlockRecord { crc, access_time: self.next_access_time() }
    }

    /// Adds a block that the writer has written to disk.
    pub(super) fn insert(
        &mut self,
        key: DiskKey,
        index: u32,
        record: BlockRecord,
        space: AllocatedSpace,
    ) {
        let estimated_space = self.estimate_space(key, index);
        let block =
            StoredBlock { crc: record.crc, access_time: record.access_time, is_verified: true };
        if !self.files.contains_key(&key.fingerprint) {
            self.add_file(FileEntry {
                min_access_time: record.access_time,
                removal_count: record.access_time,
                ..FileEntry::new(key)
            });
        }
        self.marked_blocks.remove(&(key.fingerprint, index));
        self.update_entry(key.fingerprint, |entry| {
            if entry.blocks.insert(index, block).is_none() {
                entry.estimated_space += estimated_space;
            }
            entry.space = space;
        });
    }

    /// Compares the change time of the data file with the recorded change time. If another process
    /// has changed the file, marks all its blocks as unverified and returns `false`.
    pub(super) fn verify_change_time(
        &mut self,
        fingerprint: Fingerprint,
        change_time: ChangeTime,
    ) -> bool {
        let Some(entry) = self.files.get_mut(&fingerprint) else { return true };
        let is_unchanged = std::mem::replace(&mut entry.change_time, change_time) == change_time;
        if !is_unchanged {
            entry.blocks.values_mut().for_each(|block| block.is_verified = false);
        }
        is_unchanged
    }

    /// Records the change time of the data file after a change by this process.
    pub(super) fn set_change_time(&mut self, fingerprint: Fingerprint, change_time: ChangeTime) {
        if let Some(entry) = self.files.get_mut(&fingerprint) {
            entry.change_time = change_time;
        }
    }

    /// Records the measured disk space of the files of a fingerprint.
    pub(super) fn set_space(&mut self, fingerprint: Fingerprint, space: AllocatedSpace) {
        self.update_entry(fingerprint, |entry| entry.space = space);
    }

    /// Returns the least recently used block that can be evicted.
    pub(super) fn least_recently_used_block(&mut self) -> Option<(Fingerprint, u32)> {
        loop {
            let (recorded_time, fingerprint) = *self.eviction_order.first()?;
            let entry = self.files.get_mut(&fingerprint)?;
            let (block_index, access_time) = entry
                .blocks
                .iter()
                .min_by_key(|(_, block)| block.access_time)
                .map(|(block_index, block)| (*block_index, block.access_time))?;
            self.eviction_order.remove(&(recorded_time, fingerprint));
            entry.min_access_time = access_time;
            self.eviction_order.insert((access_time, fingerprint));
            if self.eviction_order.first() == Some(&(access_time, fingerprint)) {
                return Some((fingerprint, block_index));
            }
        }
    }

    /// Removes a block from the inventory. Its disk space stays charged until the file is measured
    /// again. Returns whether the file has no blocks left.
    pub(super) fn remove_block(&mut self, fingerprint: Fingerprint, index: u32) -> bool {
        let Some(key) = self.files.get(&fingerprint).map(|entry| entry.key) else { return true };
        let estimated_space = self.estimate_space(key, index);
        let is_empty = self.update_entry(fingerprint, |entry| {
            if entry.blocks.remove(&index).is_some() {
                entry.estimated_space -= estimated_space;
                entry.removal_count += 1;
            }
            entry.blocks.is_empty()
        });
        is_empty != Some(false)
    }

    /// Removes a file from the inventory after its data file and its index file have been deleted.
    pub(super) fn remove_file(&mut self, fingerprint: Fingerprint) {
        if let Some(entry) = self.files.remove(&fingerprint) {
            self.total_charge -= entry.charge();
            self.block_count -= entry.blocks.len() as u64;
            self.eviction_order.remove(&(entry.min_access_time, fingerprint));
            self.pinned_files.remove(&fingerprint);
        }
    }

    /// Marks a file as stale, so its blocks are not used any more, and marks it for removal.
    pub(super) fn forget(&mut self, fingerprint: Fingerprint) {
        let was_unread = self.unread_files.remove(&fingerprint);
        let was_present = self.update_entry(fingerprint, |entry| {
            entry.is_stale = true;
            // The space of the blocks stays charged until the files are removed.
            entry.blocks.clear();
            entry.removal_count += 1;
        });
        if was_unread || was_present.is_some() {
            self.marked_files.insert(fingerprint);
        }
    }

    /// Marks the files of a fingerprint for removal, even if the inventory does not contain the
    /// fingerprint.
    pub(super) fn mark_for_removal(&mut self, fingerprint: Fingerprint) {
        self.marked_files.insert(fingerprint);
    }

    /// Removes a damaged block from the inventory, and marks its disk space to be freed.
    pub(super) fn remove_damaged_block(&mut self, fingerprint: Fingerprint, index: u32) {
        self.remove_block(fingerprint, index);
        self.marked_blocks.insert((fingerprint, index));
    }

    /// Takes the next file from the files that are marked for removal.
    pub(super) fn take_marked_file(&mut self) -> Option<Fingerprint> {
        self.marked_files.pop_first()
    }

    /// Takes the next block from the damaged blocks whose disk space must be freed. Skips the
    /// blocks of pinned files, because their readers would see zeros.
    pub(super) fn take_marked_block(&mut self) -> Option<(Fingerprint, u32)> {
        let is_unpinned =
            |(fingerprint, _): &&(Fingerprint, u32)| !self.pinned_files.contains(fingerprint);
        let block = *self.marked_blocks.iter().find(is_unpinned)?;
        self.marked_blocks.remove(&block);
        Some(block)
    }

    /// Marks a file as stale before its data file and its index file are removed. Returns whether
    /// the file is pinned.
    pub(super) fn mark_stale(&mut self, fingerprint: Fingerprint) -> bool {
        let is_pinned = self.update_entry(fingerprint, |entry| {
            entry.is_stale = true;
            entry.pin_count > 0
        });
        is_pinned == Some(true)
    }

    /// Whether the file is stale. A stale file stays in the inventory while readers have it pinned.
    pub(super) fn is_stale(&self, fingerprint: Fingerprint) -> bool {
        self.files.get(&fingerprint).is_some_and(|entry| entry.is_stale)
    }

    /// Returns the number of unverified blocks of a file, or `None` if not every block is stored.
    pub(super) fn unverified_count(&self, key: DiskKey) -> Option<usize> {
        let entry = self.usable_entry(key)?;
        let is_complete = Some(entry.blocks.len())
            == key.block_count().and_then(|count| usize::try_from(count).ok());
        let unverified_blocks = || entry.blocks.values().filter(|block| !block.is_verified);
        is_complete.then(|| unverified_blocks().count())
    }

    /// Returns the indexes of the stored blocks that are not verified.
    pub(super) fn unverified_blocks(&self, key: DiskKey) -> Vec<u32> {
        let blocks = self.usable_entry(key).into_iter().flat_map(|entry| &entry.blocks);
        blocks
            .filter(|(_, block)| !block.is_verified)
            .map(|(block_index, _)| *block_index)
            .collect()
    }

    /// Protects a stored file from eviction until [`unpin`](Self::unpin) has been called as often
    /// as this function. Returns `false` if the file is not stored.
    pub(super) fn pin(&mut self, key: DiskKey) -> bool {
        self.usable_entry(key).is_some()
            && self.update_entry(key.fingerprint, |entry| entry.pin_count += 1).is_some()
    }

    pub(super) fn unpin(&mut self, fingerprint: Fingerprint) {
        let is_unused = self.update_entry(fingerprint, |entry| {
            entry.pin_count = entry.pin_count.saturating_sub(1);
            entry.pin_count == 0 && entry.is_stale
        });
        if is_unused == Some(true) {
            self.marked_files.insert(fingerprint);
        }
    }

    /// Takes the access times of one file that have not been written to its index yet.
    pub(super) fn take_access_times(&mut self) -> Option<AccessTimes> {
        loop {
            let fingerprint = self.files_with_new_access_times.pop_first()?;
            let Some(entry) = self.files.get(&fingerprint).filter(|entry| !entry.is_stale) else {
                continue;
            };
            let record = |block: &StoredBlock| BlockRecord {
                crc: block.crc,
                access_time: block.access_time,
            };
            let records = entry
                .blocks
                .iter()
                .map(|(block_index, block)| (*block_index, record(block)))
                .collect();
            return Some(AccessTimes { key: entry.key, records });
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIB: u64 = 1024 * 1024;

    fn key(number: u8) -> DiskKey {
        DiskKey { fingerprint: Fingerprint(u128::from(number)), size: 4 * MIB }
    }

    proptest! {
        #[test]
        fn sums_and_order_match_the_entries(
            steps in prop::collection::vec((0u8..9, 0u8..4, 0u32..4), 1..200)
        ) {
            let mut inventory = BlockInventory::new(4096, 100, HashSet::new());
            for (step, number, index) in steps {
                let key = key(number);
                match step {
                    0..3 => {
                        let record = inventory.new_record(index);
                        let data_space = u64::from(index) * 700_000;
                        inventory.insert(key, index, record, AllocatedSpace { data: data_space, index: 4096 });
                    }
                    3 => inventory.record_access(key, index),
                    4 => { inventory.remove_block(key.fingerprint, index); }
                    5 => inventory.forget(key.fingerprint),
                    6 => { inventory.pin(key); }
                    7 => inventory.unpin(key.fingerprint),
                    _ => inventory.remove_file(key.fingerprint),
                }
                let files = || inventory.files.iter();
                prop_assert_eq!(
                    inventory.total_charge,
                    files().map(|(_, entry)| entry.charge()).sum::<u64>()
                );
                let blocks: usize = files().map(|(_, entry)| entry.blocks.len()).sum();
                prop_assert_eq!(inventory.block_count, blocks as u64);
                let evictable_files = || files().filter(|(_, entry)| entry.is_evictable());
                let expected_order: BTreeSet<_> = evictable_files()
                    .map(|(_, entry)| (entry.min_access_time, entry.key.fingerprint))
                    .collect();
                prop_assert_eq!(&inventory.eviction_order, &expected_order);
                let access_times = evictable_files().flat_map(|(fingerprint, entry)| {
                    entry
                        .blocks
                        .iter()
                        .map(|(index, block)| (block.access_time, *fingerprint, *index))
                });
                let oldest_block = access_times.min();
                let expected = oldest_block.map(|(_, fingerprint, index)| (fingerprint, index));
                prop_assert_eq!(inventory.least_recently_used_block(), expected);
            }
        }
    }

    #[test]
    fn a_damaged_block_is_freed_after_unpinning() {
        let mut inventory = BlockInventory::new(4096, 0, HashSet::new());
        let record = inventory.new_record(1);
        inventory.insert(key(1), 2, record, AllocatedSpace::default());
        assert!(inventory.pin(key(1)));
        inventory.remove_damaged_block(key(1).fingerprint, 2);
        assert!(inventory.block(key(1), 2).is_none());
        assert_eq!(inventory.take_marked_block(), None);
        inventory.unpin(key(1).fingerprint);
        assert_eq!(inventory.take_marked_block(), Some((key(1).fingerprint, 2)));
    }

    #[test]
    fn access_times_continue_after_the_latest_block() {
        let key = key(1);
        let mut inventory = BlockInventory::new(4096, 0, HashSet::from([key.fingerprint]));
        let latest_record = BlockRecord { crc: 0, access_time: u64::MAX - 5 };
        inventory.add_index(IndexContent {
            key,
            records: vec![(0, latest_record)],
            space: AllocatedSpace::default(),
            change_time: ChangeTime::default(),
        });
        assert_eq!(inventory.new_record(0).access_time, u64::MAX - 4);
    }
}

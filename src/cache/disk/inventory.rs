//! The inventory of the stored blocks, in memory: their checksums and ages, and the space that they
//! take together.
//!
//! This module never accesses the disk. The writer does, and it updates the inventory before it
//! removes a block and after it has written one.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::index_format::BlockRecord;
use super::key::{DiskKey, Fingerprint};
use super::volume::{AllocatedSpace, ChangeTime, IndexContent};

/// Bytes charged for a file in addition to its data: the first leaf of its extent tree. ext4 can
/// allocate and count this leaf as late as when it writes the data out.
const FILE_ALLOWANCE: u64 = 4096;

/// Bytes charged for a block in addition to its data: 85 extents of 12 bytes. That covers the
/// extent tree of a very fragmented disk, down to extents of 12 KiB.
const BLOCK_ALLOWANCE: u64 = 1024;

#[derive(Clone, Copy, Debug)]
pub(super) struct StoredBlock {
    pub(super) crc: u32,
    accessed: u64,
    /// Whether this process has written the block or has read it and found it correct.
    is_verified: bool,
}

#[derive(Debug)]
struct FileEntry {
    key: DiskKey,
    blocks: BTreeMap<u32, StoredBlock>,
    /// Upper bound for the space of the blocks, computed from their lengths.
    estimate: u64,
    /// Space of the files when last measured.
    allocated: AllocatedSpace,
    /// Change time of the data file after its last change by this process. If another process has
    /// changed the file, this is the change time that was found then.
    change_time: ChangeTime,
    /// Number of live [`CompleteFile`](super::CompleteFile)s. A pinned file is not evicted.
    pins: usize,
    /// Whether the file is stale: no block of it may be used any more.
    is_stale: bool,
    /// Changes with every removed block, and never repeats a value of an earlier entry of the same
    /// file. A reader that gets wrong bytes compares this value to find out whether the block was
    /// removed during the read.
    removals: u64,
    /// Lower bound for the access times of all blocks. It is the key in
    /// `BlockInventory::eviction_order`.
    oldest_bound: u64,
}

impl FileEntry {
    fn empty(key: DiskKey) -> Self {
        Self {
            key,
            blocks: BTreeMap::new(),
            estimate: 0,
            allocated: AllocatedSpace::default(),
            change_time: ChangeTime::default(),
            pins: 0,
            is_stale: false,
            removals: 0,
            oldest_bound: 0,
        }
    }

    fn charge(&self) -> u64 {
        let allowance = FILE_ALLOWANCE + self.blocks.len() as u64 * BLOCK_ALLOWANCE;
        self.allocated.data.max(self.estimate) + self.allocated.index + allowance
    }

    fn is_evictable(&self) -> bool {
        self.pins == 0 && !self.is_stale && !self.blocks.is_empty()
    }
}

/// A copy of the entry of a stored block at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct BlockSnapshot {
    pub(super) block: StoredBlock,
    pub(super) removals: u64,
}

/// The access times of all blocks of a file.
#[derive(Debug)]
pub(super) struct AccessTimes {
    pub(super) key: DiskKey,
    pub(super) records: Vec<(u32, BlockRecord)>,
}

/// The inventory of one cache directory; see the module.
#[derive(Debug)]
pub(super) struct BlockInventory {
    /// Allocation unit of the file system.
    unit: u64,
    files: HashMap<Fingerprint, FileEntry>,
    /// Files found at the start whose index has not been read yet.
    unread: HashSet<Fingerprint>,
    /// **Invariant**: contains exactly the evictable files, each with its `oldest_bound`.
    eviction_order: BTreeSet<(u64, Fingerprint)>,
    pinned: BTreeSet<Fingerprint>,
    /// Files with access times that have not been written to their indexes yet.
    accessed: BTreeSet<Fingerprint>,
    /// Files for the writer to remove.
    marked_files: BTreeSet<Fingerprint>,
    /// Damaged blocks for the writer to free.
    marked_blocks: BTreeSet<(Fingerprint, u32)>,
    /// **Invariant**: the sum of all charges.
    charged: u64,
    overhead: u64,
    blocks: u64,
    clock: u64,
}

impl BlockInventory {
    /// Creates the inventory of a directory with files for the `unread` fingerprints.
    pub(super) fn new(unit: u64, overhead: u64, unread: HashSet<Fingerprint>) -> Self {
        Self {
            unit,
            files: HashMap::new(),
            unread,
            eviction_order: BTreeSet::new(),
            pinned: BTreeSet::new(),
            accessed: BTreeSet::new(),
            marked_files: BTreeSet::new(),
            marked_blocks: BTreeSet::new(),
            charged: 0,
            overhead,
            blocks: 0,
            clock: 0,
        }
    }

    /// Returns the bytes that are charged against the limit.
    pub(super) fn charged_bytes(&self) -> u64 {
        self.charged + self.overhead
    }

    /// Returns the part of [`charged_bytes`](Self::charged_bytes) that no eviction can free.
    pub(super) fn fixed_bytes(&self) -> u64 {
        let pinned = self.pinned.iter().filter_map(|fingerprint| self.files.get(fingerprint));
        self.overhead + pinned.map(FileEntry::charge).sum::<u64>()
    }

    pub(super) fn set_overhead(&mut self, overhead: u64) {
        self.overhead = overhead;
    }

    /// Returns the number of files and of blocks.
    pub(super) fn counts(&self) -> (u64, u64) {
        ((self.files.len() + self.unread.len()) as u64, self.blocks)
    }

    /// Returns the maximum charge of storing block `index`, including its file if that is new.
    pub(super) fn cost(&self, key: DiskKey, index: u32) -> u64 {
        let file = if self.files.contains_key(&key.fingerprint) { 0 } else { FILE_ALLOWANCE };
        self.estimate(key, index) + BLOCK_ALLOWANCE + file
    }

    fn estimate(&self, key: DiskKey, index: u32) -> u64 {
        (key.block_length(index).unwrap_or(0) as u64).next_multiple_of(self.unit)
    }

    /// Returns the next access time. It follows the wall clock, so the times of different files can
    /// be compared without reading all indexes. It never runs backwards while the process lives.
    fn next_access_time(&mut self) -> u64 {
        let now =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        self.clock = now.max(self.clock.saturating_add(1));
        self.clock
    }

    /// Applies a change to an entry, and updates the sums and the eviction order.
    fn change<T>(
        &mut self,
        fingerprint: Fingerprint,
        change: impl FnOnce(&mut FileEntry) -> T,
    ) -> Option<T> {
        let entry = self.files.get_mut(&fingerprint)?;
        self.charged -= entry.charge();
        self.blocks -= entry.blocks.len() as u64;
        self.eviction_order.remove(&(entry.oldest_bound, fingerprint));
        let changed = change(entry);
        self.charged += entry.charge();
        self.blocks += entry.blocks.len() as u64;
        if entry.is_evictable() {
            self.eviction_order.insert((entry.oldest_bound, fingerprint));
        }
        if entry.pins > 0 {
            self.pinned.insert(fingerprint);
        } else {
            self.pinned.remove(&fingerprint);
        }
        Some(changed)
    }

    fn usable(&self, key: DiskKey) -> Option<&FileEntry> {
        self.files.get(&key.fingerprint).filter(|entry| entry.key == key && !entry.is_stale)
    }

    /// Returns `false` if the block is known not to be stored. Returns `true` if it is stored, or
    /// if the index of its file has not been read.
    pub(super) fn may_contain(&self, key: DiskKey, index: u32) -> bool {
        self.unread.contains(&key.fingerprint) || self.block(key, index).is_some()
    }

    pub(super) fn is_unread(&self, fingerprint: Fingerprint) -> bool {
        self.unread.contains(&fingerprint)
    }

    /// Removes a file without a usable index from the unread files.
    pub(super) fn discard_unread(&mut self, fingerprint: Fingerprint) {
        self.unread.remove(&fingerprint);
    }

    pub(super) fn contains_file(&self, fingerprint: Fingerprint) -> bool {
        self.files.contains_key(&fingerprint)
    }

    /// Adds the blocks of an index that was read, unless they have been added already.
    pub(super) fn add_index(&mut self, index: IndexContent) {
        let IndexContent { key, records, allocated, change_time } = index;
        if !self.unread.remove(&key.fingerprint) {
            return;
        }
        let oldest = records.iter().map(|(_, record)| record.accessed).min().unwrap_or(0);
        let blocks = records.into_iter().map(|(at, BlockRecord { crc, accessed })| {
            self.clock = self.clock.max(accessed);
            (at, StoredBlock { crc, accessed, is_verified: false })
        });
        let blocks: BTreeMap<_, _> = blocks.collect();
        let estimate = blocks.keys().map(|at| self.estimate(key, *at)).sum();
        self.add_file(FileEntry {
            blocks,
            estimate,
            allocated,
            change_time,
            oldest_bound: oldest,
            ..FileEntry::empty(key)
        });
    }

    fn add_file(&mut self, entry: FileEntry) {
        let fingerprint = entry.key.fingerprint;
        self.charged += entry.charge();
        self.blocks += entry.blocks.len() as u64;
        if entry.is_evictable() {
            self.eviction_order.insert((entry.oldest_bound, fingerprint));
        }
        self.files.insert(fingerprint, entry);
    }

    /// Returns a stored block.
    pub(super) fn block(&self, key: DiskKey, index: u32) -> Option<BlockSnapshot> {
        let entry = self.usable(key)?;
        Some(BlockSnapshot { block: *entry.blocks.get(&index)?, removals: entry.removals })
    }

    /// Records that a block was read and is correct.
    pub(super) fn record_access(&mut self, key: DiskKey, index: u32) {
        let now = self.next_access_time();
        // The bound remains valid: no block became older.
        let Some(entry) = self.files.get_mut(&key.fingerprint) else { return };
        if let Some(block) = entry.blocks.get_mut(&index) {
            block.accessed = now;
            block.is_verified = true;
            self.accessed.insert(key.fingerprint);
        }
    }

    /// Records an access to all blocks of a file.
    pub(super) fn record_file_access(&mut self, key: DiskKey) {
        let now = self.next_access_time();
        let Some(entry) = self.files.get_mut(&key.fingerprint) else { return };
        entry.blocks.values_mut().for_each(|block| block.accessed = now);
        self.accessed.insert(key.fingerprint);
    }

    /// Returns the record of a block that is about to be stored.
    pub(super) fn new_record(&mut self, crc: u32) -> BlockRecord {
        BlockRecord { crc, accessed: self.next_access_time() }
    }

    /// Adds a block that was written, with its record.
    pub(super) fn insert(
        &mut self,
        key: DiskKey,
        index: u32,
        record: BlockRecord,
        allocated: AllocatedSpace,
    ) {
        let estimate = self.estimate(key, index);
        let block = StoredBlock { crc: record.crc, accessed: record.accessed, is_verified: true };
        if !self.files.contains_key(&key.fingerprint) {
            self.add_file(FileEntry {
                oldest_bound: record.accessed,
                removals: record.accessed,
                ..FileEntry::empty(key)
            });
        }
        self.marked_blocks.remove(&(key.fingerprint, index));
        self.change(key.fingerprint, |entry| {
            if entry.blocks.insert(index, block).is_none() {
                entry.estimate += estimate;
            }
            entry.allocated = allocated;
        });
    }

    /// Whether the data file was last changed by this process. If another process has changed it,
    /// all its blocks count as unverified from now on.
    pub(super) fn verify_change_time(&mut self, fingerprint: Fingerprint, now: ChangeTime) -> bool {
        let Some(entry) = self.files.get_mut(&fingerprint) else { return true };
        let is_unchanged = std::mem::replace(&mut entry.change_time, now) == now;
        if !is_unchanged {
            entry.blocks.values_mut().for_each(|block| block.is_verified = false);
        }
        is_unchanged
    }

    /// Records that this process has changed the data file.
    pub(super) fn set_change_time(&mut self, fingerprint: Fingerprint, now: ChangeTime) {
        if let Some(entry) = self.files.get_mut(&fingerprint) {
            entry.change_time = now;
        }
    }

    /// Records the measured space of the files of a fingerprint.
    pub(super) fn set_allocated(&mut self, fingerprint: Fingerprint, allocated: AllocatedSpace) {
        self.change(fingerprint, |entry| entry.allocated = allocated);
    }

    /// Returns the least recently used of the blocks that can be evicted.
    pub(super) fn oldest(&mut self) -> Option<(Fingerprint, u32)> {
        loop {
            let (bound, fingerprint) = *self.eviction_order.first()?;
            let entry = self.files.get_mut(&fingerprint)?;
            let (at, accessed) = entry
                .blocks
                .iter()
                .min_by_key(|(_, block)| block.accessed)
                .map(|(at, block)| (*at, block.accessed))?;
            self.eviction_order.remove(&(bound, fingerprint));
            entry.oldest_bound = accessed;
            self.eviction_order.insert((accessed, fingerprint));
            if self.eviction_order.first() == Some(&(accessed, fingerprint)) {
                return Some((fingerprint, at));
            }
        }
    }

    /// Removes a block. Its space stays charged until the file is measured again. Returns whether
    /// the file has no block left.
    pub(super) fn remove_block(&mut self, fingerprint: Fingerprint, index: u32) -> bool {
        let Some(key) = self.files.get(&fingerprint).map(|entry| entry.key) else { return true };
        let estimate = self.estimate(key, index);
        let is_empty = self.change(fingerprint, |entry| {
            if entry.blocks.remove(&index).is_some() {
                entry.estimate -= estimate;
                entry.removals += 1;
            }
            entry.blocks.is_empty()
        });
        is_empty != Some(false)
    }

    /// Removes a file that was deleted from the disk.
    pub(super) fn remove_file(&mut self, fingerprint: Fingerprint) {
        if let Some(entry) = self.files.remove(&fingerprint) {
            self.charged -= entry.charge();
            self.blocks -= entry.blocks.len() as u64;
            self.eviction_order.remove(&(entry.oldest_bound, fingerprint));
            self.pinned.remove(&fingerprint);
        }
    }

    /// Makes a file stale, so no block of it is used any more, and marks its files for removal.
    pub(super) fn forget(&mut self, fingerprint: Fingerprint) {
        let was_unread = self.unread.remove(&fingerprint);
        let was_known = self.change(fingerprint, |entry| {
            entry.is_stale = true;
            // The space of the blocks stays charged until the files are removed.
            entry.blocks.clear();
            entry.removals += 1;
        });
        if was_unread || was_known.is_some() {
            self.marked_files.insert(fingerprint);
        }
    }

    /// Marks the files of a fingerprint for removal, whether the inventory contains it or not.
    pub(super) fn mark_for_removal(&mut self, fingerprint: Fingerprint) {
        self.marked_files.insert(fingerprint);
    }

    /// Removes a block that is damaged and marks its space to be freed.
    pub(super) fn remove_damaged_block(&mut self, fingerprint: Fingerprint, index: u32) {
        self.remove_block(fingerprint, index);
        self.marked_blocks.insert((fingerprint, index));
    }

    /// Removes and returns the next file that is marked for removal.
    pub(super) fn next_marked_file(&mut self) -> Option<Fingerprint> {
        self.marked_files.pop_first()
    }

    /// Removes and returns the next damaged block to free. Skips pinned files, because their
    /// readers would see zeros.
    pub(super) fn next_marked_block(&mut self) -> Option<(Fingerprint, u32)> {
        let is_free = |(fingerprint, _): &&(Fingerprint, u32)| !self.pinned.contains(fingerprint);
        let next = *self.marked_blocks.iter().find(is_free)?;
        self.marked_blocks.remove(&next);
        Some(next)
    }

    /// Makes a file stale because its data and index are about to be removed. Returns whether it is
    /// pinned.
    pub(super) fn retire(&mut self, fingerprint: Fingerprint) -> bool {
        let is_pinned = self.change(fingerprint, |entry| {
            entry.is_stale = true;
            entry.pins > 0
        });
        is_pinned == Some(true)
    }

    /// Whether the file is stale and is kept only for its readers.
    pub(super) fn is_stale(&self, fingerprint: Fingerprint) -> bool {
        self.files.get(&fingerprint).is_some_and(|entry| entry.is_stale)
    }

    /// Returns the number of unverified blocks; `None` unless every block is stored.
    pub(super) fn unverified_count(&self, key: DiskKey) -> Option<usize> {
        let entry = self.usable(key)?;
        let is_complete = Some(entry.blocks.len())
            == key.block_count().and_then(|count| usize::try_from(count).ok());
        let unverified = || entry.blocks.values().filter(|block| !block.is_verified);
        is_complete.then(|| unverified().count())
    }

    /// Returns the stored blocks that are not verified yet.
    pub(super) fn unverified(&self, key: DiskKey) -> Vec<u32> {
        let blocks = self.usable(key).into_iter().flat_map(|entry| &entry.blocks);
        blocks.filter(|(_, block)| !block.is_verified).map(|(at, _)| *at).collect()
    }

    /// Protects a file from eviction until [`unpin`](Self::unpin) has been called as often as this
    /// function. Returns whether the file is stored; if not, it is not pinned.
    pub(super) fn pin(&mut self, key: DiskKey) -> bool {
        self.usable(key).is_some()
            && self.change(key.fingerprint, |entry| entry.pins += 1).is_some()
    }

    pub(super) fn unpin(&mut self, fingerprint: Fingerprint) {
        let is_unused = self.change(fingerprint, |entry| {
            entry.pins = entry.pins.saturating_sub(1);
            entry.pins == 0 && entry.is_stale
        });
        if is_unused == Some(true) {
            self.marked_files.insert(fingerprint);
        }
    }

    /// Removes and returns the access times of one file that have not been written to its index
    /// yet.
    pub(super) fn next_access_times(&mut self) -> Option<AccessTimes> {
        loop {
            let fingerprint = self.accessed.pop_first()?;
            let Some(entry) = self.files.get(&fingerprint).filter(|entry| !entry.is_stale) else {
                continue;
            };
            let record =
                |block: &StoredBlock| BlockRecord { crc: block.crc, accessed: block.accessed };
            let records = entry.blocks.iter().map(|(at, block)| (*at, record(block))).collect();
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
                        let data = u64::from(index) * 700_000;
                        inventory.insert(key, index, record, AllocatedSpace { data, index: 4096 });
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
                    inventory.charged,
                    files().map(|(_, entry)| entry.charge()).sum::<u64>()
                );
                let blocks: usize = files().map(|(_, entry)| entry.blocks.len()).sum();
                prop_assert_eq!(inventory.blocks, blocks as u64);
                let evictable = || files().filter(|(_, entry)| entry.is_evictable());
                let order: BTreeSet<_> = evictable()
                    .map(|(_, entry)| (entry.oldest_bound, entry.key.fingerprint))
                    .collect();
                prop_assert_eq!(&inventory.eviction_order, &order);
                let ages = evictable().flat_map(|(fingerprint, entry)| {
                    entry.blocks.iter().map(|(at, block)| (block.accessed, *fingerprint, *at))
                });
                let oldest = ages.min().map(|(_, fingerprint, at)| (fingerprint, at));
                prop_assert_eq!(inventory.oldest(), oldest);
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
        assert_eq!(inventory.next_marked_block(), None);
        inventory.unpin(key(1).fingerprint);
        assert_eq!(inventory.next_marked_block(), Some((key(1).fingerprint, 2)));
    }

    #[test]
    fn access_times_continue_from_the_youngest_block() {
        let key = key(1);
        let mut inventory = BlockInventory::new(4096, 0, HashSet::from([key.fingerprint]));
        let late = BlockRecord { crc: 0, accessed: u64::MAX - 5 };
        inventory.add_index(IndexContent {
            key,
            records: vec![(0, late)],
            allocated: AllocatedSpace::default(),
            change_time: ChangeTime::default(),
        });
        assert_eq!(inventory.new_record(0).accessed, u64::MAX - 4);
    }
}

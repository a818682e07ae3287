//! What is held, in memory: every block with its checksum and age, and what all of it takes on disk.
//!
//! Nothing here touches the disk. The writer does that, and tells the ledger before a block goes and after one came.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::format::Record;
use super::key::{DiskKey, Fingerprint};
use super::volume::{Allocated, Changed, Index};

/// Charged for a file besides its data: the first leaf of its extent tree, which ext4 may allocate, and count, only
/// when it writes the data out.
const FILE_ALLOWANCE: u64 = 4096;

/// Charged for a block besides its data: 85 extents of 12 bytes, so that the tree of extents is paid for down to
/// pieces of 12 KiB on a very fragmented disk.
const BLOCK_ALLOWANCE: u64 = 1024;

/// A block that is held.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) crc: u32,
    clock: u64,
    /// Whether this process has written it or has read it and found it right.
    verified: bool,
}

#[derive(Debug)]
struct Entry {
    key: DiskKey,
    blocks: BTreeMap<u32, Held>,
    /// What the blocks take at most, by their lengths.
    estimate: u64,
    /// What the files took when last looked at.
    allocated: Allocated,
    /// When we last changed the data file, or found that somebody else had.
    changed: Changed,
    /// How many have been handed the whole file.
    pins: usize,
    /// Set once nothing of it may be used any more.
    forgotten: bool,
    /// Changes with every block that goes, and is never what it was in an earlier entry of the same file. A reader that
    /// finds wrong bytes learns from it whether they went from under it.
    drops: u64,
    /// **Invariant**: no block is older. It is the key of `Ledger::order`.
    bound: u64,
}

impl Entry {
    fn charge(&self) -> u64 {
        let allowance = FILE_ALLOWANCE + self.blocks.len() as u64 * BLOCK_ALLOWANCE;
        self.allocated.data.max(self.estimate) + self.allocated.index + allowance
    }

    fn is_evictable(&self) -> bool {
        self.pins == 0 && !self.forgotten && !self.blocks.is_empty()
    }
}

/// A block as a reader is told of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sighting {
    pub(super) held: Held,
    pub(super) drops: u64,
}

/// What is left of a file after a block went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    Nothing,
    Blocks,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Ledger {
    unit: u64,
    files: HashMap<Fingerprint, Entry>,
    /// Files found at the start whose index has not been read.
    unread: HashSet<Fingerprint>,
    /// **Invariant**: exactly the evictable files, each by its bound.
    order: BTreeSet<(u64, Fingerprint)>,
    pinned: BTreeSet<Fingerprint>,
    /// Files whose index does not show the ages of all blocks yet.
    touched: BTreeSet<Fingerprint>,
    /// Files to be removed, and blocks to be freed, as soon as the writer comes to it.
    doomed: BTreeSet<Fingerprint>,
    damaged: BTreeSet<(Fingerprint, u32)>,
    /// **Invariant**: the sum of all charges.
    charged: u64,
    overhead: u64,
    blocks: u64,
    clock: u64,
}

impl Ledger {
    /// `unit` is what the file system gives space out in, `unread` what was found in the directory.
    pub(super) fn new(unit: u64, overhead: u64, unread: HashSet<Fingerprint>) -> Self {
        Self {
            unit,
            files: HashMap::new(),
            unread,
            order: BTreeSet::new(),
            pinned: BTreeSet::new(),
            touched: BTreeSet::new(),
            doomed: BTreeSet::new(),
            damaged: BTreeSet::new(),
            charged: 0,
            overhead,
            blocks: 0,
            clock: 0,
        }
    }

    /// Bytes that count against the limit.
    pub(super) fn held_bytes(&self) -> u64 {
        self.charged + self.overhead
    }

    /// Those of them that no eviction can free.
    pub(super) fn fixed_bytes(&self) -> u64 {
        let pinned = self.pinned.iter().filter_map(|fingerprint| self.files.get(fingerprint));
        self.overhead + pinned.map(Entry::charge).sum::<u64>()
    }

    pub(super) fn set_overhead(&mut self, overhead: u64) {
        self.overhead = overhead;
    }

    /// Files and blocks.
    pub(super) fn counts(&self) -> (u64, u64) {
        ((self.files.len() + self.unread.len()) as u64, self.blocks)
    }

    /// What keeping block `index` takes at most, its file included if that is new.
    pub(super) fn cost(&self, key: DiskKey, index: u32) -> u64 {
        let file = if self.files.contains_key(&key.fingerprint) { 0 } else { FILE_ALLOWANCE };
        self.estimate(key, index) + BLOCK_ALLOWANCE + file
    }

    fn estimate(&self, key: DiskKey, index: u32) -> u64 {
        (key.block_length(index).unwrap_or(0) as u64).next_multiple_of(self.unit)
    }

    /// The next tick. It follows the wall clock, so that ages of different files compare without reading them all,
    /// and never runs backwards while the process lives.
    fn tick(&mut self) -> u64 {
        let now =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(now.as_micros()).unwrap_or(u64::MAX);
        self.clock = now.max(self.clock.saturating_add(1));
        self.clock
    }

    /// Changes an entry and keeps the sums and the order right.
    fn change<T>(
        &mut self,
        fingerprint: Fingerprint,
        change: impl FnOnce(&mut Entry) -> T,
    ) -> Option<T> {
        let entry = self.files.get_mut(&fingerprint)?;
        self.charged -= entry.charge();
        self.blocks -= entry.blocks.len() as u64;
        self.order.remove(&(entry.bound, fingerprint));
        let changed = change(entry);
        self.charged += entry.charge();
        self.blocks += entry.blocks.len() as u64;
        if entry.is_evictable() {
            self.order.insert((entry.bound, fingerprint));
        }
        if entry.pins > 0 {
            self.pinned.insert(fingerprint);
        } else {
            self.pinned.remove(&fingerprint);
        }
        Some(changed)
    }

    fn usable(&self, key: DiskKey) -> Option<&Entry> {
        self.files.get(&key.fingerprint).filter(|entry| entry.key == key && !entry.forgotten)
    }

    /// Whether the block is held, or the file's index must be read to know.
    pub(super) fn may_hold(&self, key: DiskKey, index: u32) -> bool {
        self.unread.contains(&key.fingerprint) || self.sighting(key, index).is_some()
    }

    pub(super) fn is_unread(&self, fingerprint: Fingerprint) -> bool {
        self.unread.contains(&fingerprint)
    }

    /// A file turned out to hold nothing.
    pub(super) fn discard_unread(&mut self, fingerprint: Fingerprint) {
        self.unread.remove(&fingerprint);
    }

    pub(super) fn knows(&self, fingerprint: Fingerprint) -> bool {
        self.files.contains_key(&fingerprint)
    }

    /// Takes over what an index says, unless that has been done.
    pub(super) fn adopt(&mut self, index: Index) {
        let Index { key, records, allocated, changed } = index;
        if !self.unread.remove(&key.fingerprint) {
            return;
        }
        let oldest = records.iter().map(|(_, record)| record.clock).min().unwrap_or(0);
        let blocks = records.into_iter().map(|(at, Record { crc, clock })| {
            self.clock = self.clock.max(clock);
            (at, Held { crc, clock, verified: false })
        });
        let blocks: BTreeMap<_, _> = blocks.collect();
        let estimate = blocks.keys().map(|at| self.estimate(key, *at)).sum();
        self.add(Entry {
            blocks,
            estimate,
            allocated,
            changed,
            bound: oldest,
            ..Entry::empty(key)
        });
    }

    fn add(&mut self, entry: Entry) {
        let fingerprint = entry.key.fingerprint;
        self.charged += entry.charge();
        self.blocks += entry.blocks.len() as u64;
        if entry.is_evictable() {
            self.order.insert((entry.bound, fingerprint));
        }
        self.files.insert(fingerprint, entry);
    }

    /// What is known of a block.
    pub(super) fn sighting(&self, key: DiskKey, index: u32) -> Option<Sighting> {
        let entry = self.usable(key)?;
        Some(Sighting { held: *entry.blocks.get(&index)?, drops: entry.drops })
    }

    /// A block was read and found right: it is young again.
    pub(super) fn wanted(&mut self, key: DiskKey, index: u32) {
        let now = self.tick();
        // Its bound stays: no block got older.
        let Some(entry) = self.files.get_mut(&key.fingerprint) else { return };
        if let Some(held) = entry.blocks.get_mut(&index) {
            held.clock = now;
            held.verified = true;
            self.touched.insert(key.fingerprint);
        }
    }

    /// A whole file was asked for: all its blocks are young again.
    pub(super) fn wanted_whole(&mut self, key: DiskKey) {
        let now = self.tick();
        let Some(entry) = self.files.get_mut(&key.fingerprint) else { return };
        entry.blocks.values_mut().for_each(|held| held.clock = now);
        self.touched.insert(key.fingerprint);
    }

    /// The record of a block that is about to be kept.
    pub(super) fn record(&mut self, crc: u32) -> Record {
        Record { crc, clock: self.tick() }
    }

    /// A block was written, with its record.
    pub(super) fn keep(&mut self, key: DiskKey, index: u32, record: Record, allocated: Allocated) {
        let estimate = self.estimate(key, index);
        let held = Held { crc: record.crc, clock: record.clock, verified: true };
        if !self.files.contains_key(&key.fingerprint) {
            self.add(Entry { bound: record.clock, drops: record.clock, ..Entry::empty(key) });
        }
        self.damaged.remove(&(key.fingerprint, index));
        self.change(key.fingerprint, |entry| {
            if entry.blocks.insert(index, held).is_none() {
                entry.estimate += estimate;
            }
            entry.allocated = allocated;
        });
    }

    /// Says whether the data file is as we left it. If not, somebody else has been at it, and nothing in it counts as
    /// verified any more.
    pub(super) fn is_as_left(&mut self, fingerprint: Fingerprint, now: Changed) -> bool {
        let Some(entry) = self.files.get_mut(&fingerprint) else { return true };
        let is_as_left = std::mem::replace(&mut entry.changed, now) == now;
        if !is_as_left {
            entry.blocks.values_mut().for_each(|held| held.verified = false);
        }
        is_as_left
    }

    /// We have changed the data file.
    pub(super) fn left(&mut self, fingerprint: Fingerprint, now: Changed) {
        if let Some(entry) = self.files.get_mut(&fingerprint) {
            entry.changed = now;
        }
    }

    /// The files of a fingerprint were looked at again.
    pub(super) fn measured(&mut self, fingerprint: Fingerprint, allocated: Allocated) {
        self.change(fingerprint, |entry| entry.allocated = allocated);
    }

    /// The block that was wanted longest ago, of those that may go.
    pub(super) fn oldest(&mut self) -> Option<(Fingerprint, u32)> {
        loop {
            let (bound, fingerprint) = *self.order.first()?;
            let entry = self.files.get_mut(&fingerprint)?;
            let (at, clock) = entry
                .blocks
                .iter()
                .min_by_key(|(_, held)| held.clock)
                .map(|(at, held)| (*at, held.clock))?;
            self.order.remove(&(bound, fingerprint));
            entry.bound = clock;
            self.order.insert((clock, fingerprint));
            if self.order.first() == Some(&(clock, fingerprint)) {
                return Some((fingerprint, at));
            }
        }
    }

    /// A block is about to go, or is gone; its space is charged until the file is measured again.
    pub(super) fn drop_block(&mut self, fingerprint: Fingerprint, index: u32) -> Left {
        let Some(key) = self.files.get(&fingerprint).map(|entry| entry.key) else {
            return Left::Nothing;
        };
        let estimate = self.estimate(key, index);
        let emptied = self.change(fingerprint, |entry| {
            if entry.blocks.remove(&index).is_some() {
                entry.estimate -= estimate;
                entry.drops += 1;
            }
            entry.blocks.is_empty()
        });
        if emptied == Some(false) { Left::Blocks } else { Left::Nothing }
    }

    /// The files of a fingerprint are gone from the disk.
    pub(super) fn gone(&mut self, fingerprint: Fingerprint) {
        if let Some(entry) = self.files.remove(&fingerprint) {
            self.charged -= entry.charge();
            self.blocks -= entry.blocks.len() as u64;
            self.order.remove(&(entry.bound, fingerprint));
            self.pinned.remove(&fingerprint);
        }
    }

    /// Nothing of a file is to be used any more; the writer is to remove it.
    pub(super) fn forget(&mut self, fingerprint: Fingerprint) {
        let unread = self.unread.remove(&fingerprint);
        let known = self.change(fingerprint, |entry| {
            entry.forgotten = true;
            // What its blocks take stays charged until its files are gone.
            entry.blocks.clear();
            entry.drops += 1;
        });
        if unread || known.is_some() {
            self.doomed.insert(fingerprint);
        }
    }

    /// The files of a fingerprint are to be removed by the writer, known or not.
    pub(super) fn doom(&mut self, fingerprint: Fingerprint) {
        self.doomed.insert(fingerprint);
    }

    /// A block was read and found wrong. It is gone from now on; the writer is to free its space.
    pub(super) fn damaged(&mut self, fingerprint: Fingerprint, index: u32) {
        self.drop_block(fingerprint, index);
        self.damaged.insert((fingerprint, index));
    }

    /// A file to remove.
    pub(super) fn next_doomed(&mut self) -> Option<Fingerprint> {
        self.doomed.pop_first()
    }

    /// A block to free. Nothing is freed under the hands of those who have a file whole.
    pub(super) fn next_damaged(&mut self) -> Option<(Fingerprint, u32)> {
        let free = |(fingerprint, _): &&(Fingerprint, u32)| !self.pinned.contains(fingerprint);
        let next = *self.damaged.iter().find(free)?;
        self.damaged.remove(&next);
        Some(next)
    }

    /// Nothing of a file is to be used any more, for its files are about to go; says whether somebody still reads
    /// them.
    pub(super) fn retire(&mut self, fingerprint: Fingerprint) -> bool {
        let retired = self.change(fingerprint, |entry| {
            entry.forgotten = true;
            entry.pins > 0
        });
        retired == Some(true)
    }

    /// Whether a file is still there only for those who read it.
    pub(super) fn is_forgotten(&self, fingerprint: Fingerprint) -> bool {
        self.files.get(&fingerprint).is_some_and(|entry| entry.forgotten)
    }

    /// Whether every block is held, and for how many of them that is yet to be verified.
    pub(super) fn completeness(&self, key: DiskKey) -> Option<usize> {
        let entry = self.usable(key)?;
        let whole = Some(entry.blocks.len())
            == key.block_count().and_then(|count| usize::try_from(count).ok());
        whole.then(|| entry.blocks.values().filter(|held| !held.verified).count())
    }

    /// The blocks that are yet to be verified.
    pub(super) fn unverified(&self, key: DiskKey) -> Vec<u32> {
        let blocks = self.usable(key).into_iter().flat_map(|entry| &entry.blocks);
        blocks.filter(|(_, held)| !held.verified).map(|(at, _)| *at).collect()
    }

    /// Spares a file from eviction until it is unpinned as often; says whether it is there.
    pub(super) fn pin(&mut self, key: DiskKey) -> bool {
        self.usable(key).is_some()
            && self.change(key.fingerprint, |entry| entry.pins += 1).is_some()
    }

    pub(super) fn unpin(&mut self, fingerprint: Fingerprint) {
        let doomed = self.change(fingerprint, |entry| {
            entry.pins = entry.pins.saturating_sub(1);
            entry.pins == 0 && entry.forgotten
        });
        if doomed == Some(true) {
            self.doomed.insert(fingerprint);
        }
    }

    /// A file whose index does not show the ages of its blocks yet, with all of them; it counts as shown then.
    pub(super) fn next_touched(&mut self) -> Option<Ages> {
        loop {
            let fingerprint = self.touched.pop_first()?;
            let Some(entry) = self.files.get(&fingerprint).filter(|entry| !entry.forgotten) else {
                continue;
            };
            let record = |held: &Held| Record { crc: held.crc, clock: held.clock };
            let records = entry.blocks.iter().map(|(at, held)| (*at, record(held))).collect();
            return Some(Ages { key: entry.key, records });
        }
    }
}

/// The ages of a file's blocks.
#[derive(Debug)]
pub(super) struct Ages {
    pub(super) key: DiskKey,
    pub(super) records: Vec<(u32, Record)>,
}

impl Entry {
    fn empty(key: DiskKey) -> Self {
        Self {
            key,
            blocks: BTreeMap::new(),
            estimate: 0,
            allocated: Allocated::default(),
            changed: Changed::default(),
            pins: 0,
            forgotten: false,
            drops: 0,
            bound: 0,
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
        fn sums_and_order_are_those_of_the_entries(
            steps in prop::collection::vec((0u8..9, 0u8..4, 0u32..4), 1..200)
        ) {
            let mut ledger = Ledger::new(4096, 100, HashSet::new());
            for (what, number, index) in steps {
                let key = key(number);
                match what {
                    0..3 => {
                        let record = ledger.record(index);
                        let data = u64::from(index) * 700_000;
                        ledger.keep(key, index, record, Allocated { data, index: 4096 });
                    }
                    3 => ledger.wanted(key, index),
                    4 => { ledger.drop_block(key.fingerprint, index); }
                    5 => ledger.forget(key.fingerprint),
                    6 => { ledger.pin(key); }
                    7 => ledger.unpin(key.fingerprint),
                    _ => ledger.gone(key.fingerprint),
                }
                prop_assert_eq!(ledger.charged, ledger.files.values().map(Entry::charge).sum::<u64>());
                let blocks: usize = ledger.files.values().map(|entry| entry.blocks.len()).sum();
                prop_assert_eq!(ledger.blocks, blocks as u64);
                let evictable = ledger.files.values().filter(|entry| entry.is_evictable());
                let order: BTreeSet<_> = evictable.map(|entry| (entry.bound, entry.key.fingerprint)).collect();
                prop_assert_eq!(&ledger.order, &order);
                let clocks = ledger.files.iter().filter(|(_, entry)| entry.is_evictable()).flat_map(
                    |(fingerprint, entry)| entry.blocks.iter().map(|(at, held)| (held.clock, *fingerprint, *at)),
                );
                let oldest = clocks.min().map(|(_, fingerprint, at)| (fingerprint, at));
                prop_assert_eq!(ledger.oldest(), oldest);
            }
        }
    }

    #[test]
    fn a_damaged_block_is_freed_once_nobody_has_its_file_whole() {
        let mut ledger = Ledger::new(4096, 0, HashSet::new());
        let record = ledger.record(1);
        ledger.keep(key(1), 2, record, Allocated::default());
        assert!(ledger.pin(key(1)));
        ledger.damaged(key(1).fingerprint, 2);
        assert!(ledger.sighting(key(1), 2).is_none());
        assert_eq!(ledger.next_damaged(), None);
        ledger.unpin(key(1).fingerprint);
        assert_eq!(ledger.next_damaged(), Some((key(1).fingerprint, 2)));
    }

    #[test]
    fn the_clock_goes_on_from_the_youngest_block_that_was_found() {
        let key = key(1);
        let mut ledger = Ledger::new(4096, 0, HashSet::from([key.fingerprint]));
        let late = Record { crc: 0, clock: u64::MAX - 5 };
        ledger.adopt(Index {
            key,
            records: vec![(0, late)],
            allocated: Allocated::default(),
            changed: Changed::default(),
        });
        assert_eq!(ledger.record(0).clock, u64::MAX - 4);
    }
}

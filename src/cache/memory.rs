//! The memory cache: spent blocks go first, then the least recently used, under a byte budget that buffers in the
//! making count against.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use lru::LruCache;
use parking_lot::Mutex;

use super::{BlockKey, ContentId, block_floor};

/// Blocks that may be passed over in search of room because somebody else still has their bytes: letting go of those
/// frees nothing. More than wait for the disk, whose queue is a quarter of the usual budget.
const PASSED_OVER: usize = 64;

/// Blocks in memory and the one ceiling for all block buffers.
///
/// A block may be held in part: a player that seeks wants a few hundred kilobytes of it.
///
/// A block that a run of reads has come through is *spent*: the kernel keeps its pages, and its reader is not coming
/// back. By recency alone it would outlive the blocks that were fetched ahead before it was read, and a window as
/// large as half of the budget would lose its blocks just before their turn.
///
/// **Invariant**: held bytes plus reserved bytes stay within the budget, but for reservations of demand, which
/// are always granted so that a read can go on under any load, and for blocks whose bytes somebody else has: to let go
/// of those would free nothing, so they stay counted until the others are through with them.
#[derive(Debug)]
pub struct MemoryCache {
    budget: u64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    blocks: LruCache<BlockKey, Held>,
    /// The spent ones. No block is in both.
    spent: LruCache<BlockKey, Held>,
    held: u64,
    reserved: u64,
}

/// What is held of a block.
///
/// **Invariant**: extents are ordered, not empty, and do not overlap; neighbours may touch.
#[derive(Debug, Default)]
struct Held {
    extents: Vec<Extent>,
}

#[derive(Debug)]
struct Extent {
    start: usize,
    bytes: Bytes,
}

impl Extent {
    fn end(&self) -> usize {
        self.start + self.bytes.len()
    }
}

impl Held {
    /// Whether somebody besides the cache has its bytes: the disk's queue, or a reply on its way.
    fn is_in_use(&self) -> bool {
        self.extents.iter().any(|extent| !extent.bytes.is_unique())
    }

    fn length(&self) -> u64 {
        self.extents.iter().map(|extent| extent.bytes.len() as u64).sum()
    }

    /// Where the bytes that begin at `from` end.
    fn reach(&self, from: usize) -> usize {
        self.extents.iter().fold(from, |reach, extent| {
            if extent.start <= reach && reach < extent.end() { extent.end() } else { reach }
        })
    }

    fn piece(&self, from: usize, to: usize) -> Option<Bytes> {
        let whole = self.extents.iter().find(|extent| extent.start <= from && to <= extent.end());
        if let Some(extent) = whole {
            return Some(extent.bytes.slice(from - extent.start..to - extent.start));
        }
        if self.reach(from) < to {
            return None;
        }
        let mut joined = BytesMut::with_capacity(to - from);
        for extent in &self.extents {
            let (start, end) = (from.max(extent.start), to.min(extent.end()));
            if start < end {
                joined
                    .extend_from_slice(extent.bytes.get(start - extent.start..end - extent.start)?);
            }
        }
        (joined.len() == to - from).then(|| joined.freeze())
    }

    /// Adds the bytes that are not there yet.
    fn add(&mut self, start: usize, bytes: &Bytes) {
        let end = start + bytes.len();
        if self.extents.iter().any(|extent| extent.start <= start && end <= extent.end()) {
            return;
        }
        self.extents.retain(|extent| !(start <= extent.start && extent.end() <= end));
        let mut from = start;
        let mut added = Vec::new();
        for extent in &self.extents {
            if from < end && from < extent.start && extent.start < end {
                added.push(Extent {
                    start: from,
                    bytes: bytes.slice(from - start..extent.start - start),
                });
            }
            if extent.start <= from {
                from = from.max(extent.end());
            } else if extent.start < end {
                from = extent.end();
            }
        }
        if from < end {
            added.push(Extent { start: from, bytes: bytes.slice(from - start..) });
        }
        self.extents.extend(added);
        self.extents.sort_by_key(|extent| extent.start);
    }
}

/// Room for block buffers in the making; given back when dropped.
#[derive(Debug)]
pub struct Reservation {
    cache: Arc<MemoryCache>,
    bytes: u64,
}

impl Reservation {
    /// How many bytes it stands for.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Gives `bytes` of it back, because that many are now held as a block or not needed any more.
    pub fn release(&mut self, bytes: u64) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        let mut state = self.cache.state.lock();
        state.reserved = state.reserved.saturating_sub(bytes);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.release(self.bytes);
    }
}

impl MemoryCache {
    /// An empty cache that never holds more than `budget` bytes.
    pub fn new(budget: u64) -> Arc<Self> {
        let (blocks, spent) = (LruCache::unbounded(), LruCache::unbounded());
        let state = State { blocks, spent, held: 0, reserved: 0 };
        Arc::new(Self { budget, state: Mutex::new(state) })
    }

    /// The budget in bytes.
    pub fn budget(&self) -> u64 {
        self.budget
    }

    /// Room for `bytes` that a reader is waiting for: always granted, older blocks make way.
    pub fn reserve_for_demand(self: &Arc<Self>, bytes: u64) -> Reservation {
        let mut state = self.state.lock();
        state.reserved += bytes;
        state.make_room(self.budget);
        Reservation { cache: self.clone(), bytes }
    }

    /// The most that may be fetched ahead, in bytes: the rest of the budget is for blocks that wait for the disk, a
    /// quarter, and for what demand takes without asking.
    pub fn most_ahead(&self) -> u64 {
        self.budget / 8 * 5
    }

    /// Room for up to `bytes` that nobody waits for yet, in whole blocks; `None` when there is none. Buffers in
    /// the making take at most [`most_ahead`](Self::most_ahead) this way.
    pub fn reserve_ahead(self: &Arc<Self>, bytes: u64) -> Option<Reservation> {
        let mut state = self.state.lock();
        let room = self.most_ahead().saturating_sub(state.reserved);
        let granted = if bytes <= room { bytes } else { block_floor(room) };
        if granted == 0 {
            return None;
        }
        state.reserved += granted;
        state.make_room(self.budget);
        Some(Reservation { cache: self.clone(), bytes: granted })
    }

    /// The bytes `from..to` of a block, if all of them are held.
    pub fn piece(&self, key: BlockKey, from: usize, to: usize) -> Option<Bytes> {
        self.state.lock().get(key)?.piece(from, to)
    }

    /// Where the held bytes of a block that begin at `from` end; `from` itself where there are none.
    pub fn reach(&self, key: BlockKey, from: usize) -> usize {
        self.state.lock().peek(key).map_or(from, |held| held.reach(from))
    }

    /// Where the next held bytes behind `from` begin, if there are any in the block.
    pub fn next_start(&self, key: BlockKey, from: usize) -> Option<usize> {
        let state = self.state.lock();
        let extents = &state.peek(key)?.extents;
        extents.iter().map(|extent| extent.start).find(|start| *start > from)
    }

    /// Takes checked bytes of a block, from `start` on. They may be dropped at any time.
    pub fn insert(&self, key: BlockKey, start: usize, bytes: &Bytes) {
        if bytes.is_empty() {
            return;
        }
        let mut state = self.state.lock();
        let state = &mut *state;
        let held = match state.spent.get_mut(&key) {
            Some(held) => held,
            None => state.blocks.get_or_insert_mut(key, Held::default),
        };
        let before = held.length();
        held.add(start, bytes);
        let after = held.length();
        state.held = state.held - before + after;
        state.make_room(self.budget);
    }

    /// Notes that a run of reads has come through a block.
    pub fn spend(&self, key: BlockKey) {
        let mut state = self.state.lock();
        if let Some(held) = state.blocks.pop(&key) {
            state.spent.put(key, held);
        }
    }

    /// Drops every block of a content that turned out not to be the file's any more.
    pub fn forget(&self, content: ContentId) {
        let mut state = self.state.lock();
        let doomed: Vec<_> = state.keys().filter(|key| key.content == content).collect();
        for key in doomed {
            let block = state.spent.pop(&key).or_else(|| state.blocks.pop(&key));
            state.held -= block.map_or(0, |block| block.length());
        }
    }
}

impl State {
    fn get(&mut self, key: BlockKey) -> Option<&Held> {
        self.blocks.get(&key).or_else(|| self.spent.get(&key))
    }

    fn peek(&self, key: BlockKey) -> Option<&Held> {
        self.blocks.peek(&key).or_else(|| self.spent.peek(&key))
    }

    fn keys(&self) -> impl Iterator<Item = BlockKey> {
        self.blocks.iter().chain(self.spent.iter()).map(|(key, _)| *key)
    }

    fn make_room(&mut self, budget: u64) {
        let mut in_use = Vec::new();
        while self.held + self.reserved > budget && in_use.len() < PASSED_OVER {
            let spent = self.spent.pop_lru();
            let is_spent = spent.is_some();
            let Some((key, block)) = spent.or_else(|| self.blocks.pop_lru()) else { break };
            if block.is_in_use() {
                in_use.push((key, block, is_spent));
            } else {
                self.held -= block.length();
            }
        }
        // Oldest last, so that it is the first again.
        for (key, block, is_spent) in in_use.into_iter().rev() {
            let list = if is_spent { &mut self.spent } else { &mut self.blocks };
            list.put(key, block);
            list.demote(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::{BLOCK_LENGTH, BlockIndex};
    use proptest::prelude::*;

    fn key(content: u64, index: u64) -> BlockKey {
        BlockKey { content: ContentId(content), index: BlockIndex(index) }
    }

    fn zeros(length: usize) -> Bytes {
        Bytes::from(vec![0; length])
    }

    #[test]
    fn the_block_used_longest_ago_makes_way() {
        let cache = MemoryCache::new(30);
        for index in 0..3 {
            cache.insert(key(1, index), 0, &zeros(10));
        }
        assert!(cache.piece(key(1, 0), 0, 10).is_some());
        cache.insert(key(1, 3), 0, &zeros(10));
        assert!(cache.piece(key(1, 0), 0, 10).is_some());
        assert!(cache.piece(key(1, 1), 0, 10).is_none());
    }

    #[test]
    fn a_spent_block_makes_way_before_all_others_and_is_found_until_then() {
        let cache = MemoryCache::new(30);
        for index in 0..3 {
            cache.insert(key(1, index), 0, &zeros(10));
        }
        cache.spend(key(1, 1));
        cache.spend(key(1, 2));
        assert!(cache.piece(key(1, 1), 0, 10).is_some());
        cache.insert(key(1, 3), 0, &zeros(10));
        assert!(cache.piece(key(1, 2), 0, 10).is_none());
        cache.insert(key(1, 4), 0, &zeros(10));
        assert!(cache.piece(key(1, 1), 0, 10).is_none());
        assert!([0, 3, 4].iter().all(|index| cache.piece(key(1, *index), 0, 10).is_some()));
    }

    #[test]
    fn a_block_whose_bytes_somebody_else_has_goes_when_they_let_go_of_them() {
        let cache = MemoryCache::new(30);
        let written = zeros(10);
        cache.insert(key(1, 0), 0, &written);
        cache.insert(key(1, 1), 0, &zeros(10));
        cache.insert(key(1, 2), 0, &zeros(10));
        cache.insert(key(1, 3), 0, &zeros(10));
        let is_held = |index| cache.reach(key(1, index), 0) == 10;
        assert!(is_held(0) && !is_held(1) && is_held(2) && is_held(3));
        drop(written);
        cache.insert(key(1, 4), 0, &zeros(10));
        assert!(!is_held(0) && is_held(2) && is_held(3) && is_held(4));
    }

    #[test]
    fn demand_is_always_granted_and_what_is_fetched_ahead_only_within_its_share_of_the_budget() {
        let cache = MemoryCache::new(8 * BLOCK_LENGTH);
        let ahead = cache.reserve_ahead(100 * BLOCK_LENGTH).unwrap();
        assert_eq!(ahead.bytes(), 5 * BLOCK_LENGTH);
        assert!(cache.reserve_ahead(BLOCK_LENGTH).is_none());
        let demand = cache.reserve_for_demand(10 * BLOCK_LENGTH);
        assert_eq!(demand.bytes(), 10 * BLOCK_LENGTH);
        drop((ahead, demand));
        assert!(cache.reserve_ahead(BLOCK_LENGTH).is_some());
    }

    #[test]
    fn a_forgotten_content_is_gone_whole() {
        let cache = MemoryCache::new(100);
        cache.insert(key(1, 0), 0, &zeros(10));
        cache.insert(key(2, 0), 0, &zeros(10));
        cache.forget(ContentId(1));
        assert!(cache.piece(key(1, 0), 0, 10).is_none() && cache.piece(key(2, 0), 0, 10).is_some());
        assert_eq!(cache.state.lock().held, 10);
    }

    proptest! {
        #[test]
        fn parts_of_a_block_join_to_the_bytes_that_were_put_in(
            parts in prop::collection::vec((0usize..200, 1usize..80), 1..12),
            asked in prop::collection::vec((0usize..200, 1usize..80), 1..12),
        ) {
            let truth: Vec<u8> = (0..=255).chain(0..=255).collect();
            let mut known = vec![false; truth.len()];
            let cache = MemoryCache::new(10_000);
            for (start, length) in parts {
                cache.insert(key(1, 0), start, &Bytes::copy_from_slice(&truth[start..start + length]));
                known[start..start + length].fill(true);
            }
            let held: u64 = known.iter().filter(|known| **known).count() as u64;
            prop_assert_eq!(cache.state.lock().held, held);
            for (from, length) in asked {
                let to = from + length;
                let all = known[from..to].iter().all(|known| *known);
                let piece = cache.piece(key(1, 0), from, to);
                prop_assert_eq!(piece.as_deref(), all.then_some(&truth[from..to]));
                let reach = from + known[from..].iter().take_while(|known| **known).count();
                prop_assert_eq!(cache.reach(key(1, 0), from), reach);
            }
        }

        #[test]
        fn held_and_reserved_bytes_never_pass_the_budget_without_demand(
            steps in prop::collection::vec((0u8..4, 0u64..20, 1usize..40), 1..200)
        ) {
            let cache = MemoryCache::new(100);
            let mut reservations = Vec::new();
            for (what, index, length) in steps {
                match what {
                    0 => cache.insert(key(index % 3, index), length / 2, &zeros(length)),
                    1 => reservations.extend(cache.reserve_ahead(length as u64)),
                    2 => cache.spend(key(index % 3, index)),
                    _ => { reservations.pop(); }
                }
                let mut state = cache.state.lock();
                // What was put in last was still in the hands of whoever did.
                state.make_room(100);
                prop_assert!(state.held + state.reserved <= 100);
                let sum: u64 = state.keys().filter_map(|key| state.peek(key)).map(Held::length).sum();
                prop_assert!(state.spent.iter().all(|(key, _)| !state.blocks.contains(key)));
                prop_assert_eq!(sum, state.held);
            }
        }
    }
}

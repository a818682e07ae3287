//! The memory cache. It evicts consumed blocks first, then the least recently used blocks. The
//! buffers of running fetches count against the same byte budget.
//!
//! Input: verified bytes of blocks. Output: the same bytes, or nothing, because the cache can drop
//! a block at any time. The cache has one lock, which is held only during map operations.

use std::num::NonZeroUsize;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use lru::LruCache;
use parking_lot::Mutex;

use super::{BlockKey, ContentId, block_floor};

/// Maximum number of blocks that one eviction skips because their bytes are in use elsewhere.
/// Dropping such a block frees no memory. The limit is larger than the number of blocks in a full
/// queue of the disk cache, which takes a quarter of the default budget of 256 MiB.
const MAX_SKIPPED_BLOCKS: usize = 128;

/// Maximum number of stored keys of consumed blocks that are not cached yet. A key remains if its
/// fetch fails, so the table needs a limit. All readers together have far fewer blocks in flight. A
/// key that is dropped costs only a later eviction.
const MAX_CONSUMED_IN_FLIGHT: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// Caches blocks in memory, and limits the memory of all block buffers to one budget.
///
/// A block can be cached in part: a player that seeks needs only a few hundred kilobytes of it.
///
/// A block is *consumed* when a sequential run has read past its end: the kernel has its pages, and
/// the reader does not return to it. If eviction considered only the time of use, a consumed block
/// would outlive prefetched blocks that are older. A prefetch window of half the budget would then
/// lose its blocks just before they are read. On a slow line, a reader often reads a block that
/// is still in flight. Such a block is consumed as soon as it is inserted.
///
/// **Invariant**: cached plus reserved bytes stay within the budget, with two exceptions.
/// Reservations for demand are always granted, so reads continue under any load. Blocks whose bytes
/// are in use elsewhere stay cached and counted, because dropping them would free nothing.
#[derive(Debug)]
pub struct MemoryCache {
    budget: u64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    blocks: LruCache<BlockKey, CachedBlock>,
    /// The consumed blocks. A consumed block is not in `blocks`.
    consumed_blocks: LruCache<BlockKey, CachedBlock>,
    /// The blocks that were consumed before any of their bytes were cached.
    consumed_in_flight: LruCache<BlockKey, ()>,
    cached_bytes: u64,
    reserved_bytes: u64,
    evicted_blocks: u64,
}

/// The state of the memory cache, for status reports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryStatus {
    /// Maximum number of cached and reserved bytes.
    pub budget: u64,
    pub cached_bytes: u64,
    /// Number of bytes that are reserved for the buffers of running fetches.
    pub reserved_bytes: u64,
    /// Number of blocks that were evicted since the cache was created.
    pub evicted_blocks: u64,
}

/// The cached bytes of a block, which can be a part of the block or all of it.
///
/// **Invariant**: the extents are ordered, not empty, and do not overlap. They can be adjacent.
#[derive(Debug, Default)]
struct CachedBlock {
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

impl CachedBlock {
    /// Whether any bytes of the block are in use elsewhere, in the queue of the disk cache or in a
    /// reply.
    fn is_in_use(&self) -> bool {
        self.extents.iter().any(|extent| !extent.bytes.is_unique())
    }

    fn cached_length(&self) -> u64 {
        self.extents.iter().map(|extent| extent.bytes.len() as u64).sum()
    }

    /// Returns the position after the contiguous cached bytes that start at `from`.
    fn contiguous_end(&self, from: usize) -> usize {
        self.extents.iter().fold(from, |end, extent| {
            if extent.start <= end && end < extent.end() { extent.end() } else { end }
        })
    }

    fn bytes(&self, from: usize, to: usize) -> Option<Bytes> {
        let covering_extent =
            self.extents.iter().find(|extent| extent.start <= from && to <= extent.end());
        if let Some(extent) = covering_extent {
            return Some(extent.bytes.slice(from - extent.start..to - extent.start));
        }
        if self.contiguous_end(from) < to {
            return None;
        }
        let mut joined_bytes = BytesMut::with_capacity(to - from);
        for extent in &self.extents {
            let (start, end) = (from.max(extent.start), to.min(extent.end()));
            if start < end {
                joined_bytes
                    .extend_from_slice(extent.bytes.get(start - extent.start..end - extent.start)?);
            }
        }
        (joined_bytes.len() == to - from).then(|| joined_bytes.freeze())
    }

    /// Adds the bytes that are not cached yet. `start` is the position of `bytes` in the block.
    fn add(&mut self, start: usize, bytes: &Bytes) {
        let end = start + bytes.len();
        if self.extents.iter().any(|extent| extent.start <= start && end <= extent.end()) {
            return;
        }
        self.extents.retain(|extent| !(start <= extent.start && extent.end() <= end));
        let mut position = start;
        let mut new_extents = Vec::new();
        for extent in &self.extents {
            if position < end && position < extent.start && extent.start < end {
                new_extents.push(Extent {
                    start: position,
                    bytes: bytes.slice(position - start..extent.start - start),
                });
            }
            if extent.start <= position {
                position = position.max(extent.end());
            } else if extent.start < end {
                position = extent.end();
            }
        }
        if position < end {
            new_extents.push(Extent { start: position, bytes: bytes.slice(position - start..) });
        }
        self.extents.extend(new_extents);
        self.extents.sort_by_key(|extent| extent.start);
    }
}

/// Memory that is reserved for block buffers. Dropping the reservation returns the memory to the
/// budget.
#[derive(Debug)]
pub struct Reservation {
    cache: Arc<MemoryCache>,
    bytes: u64,
}

impl Reservation {
    /// Returns the number of reserved bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Reduces the reservation by `bytes` bytes, which are cached now or no longer needed.
    pub fn release(&mut self, bytes: u64) {
        let bytes = bytes.min(self.bytes);
        self.bytes -= bytes;
        let mut state = self.cache.state.lock();
        state.reserved_bytes = state.reserved_bytes.saturating_sub(bytes);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.release(self.bytes);
    }
}

impl MemoryCache {
    /// Creates an empty cache with a budget in bytes.
    pub fn new(budget: u64) -> Arc<Self> {
        let state = State {
            blocks: LruCache::unbounded(),
            consumed_blocks: LruCache::unbounded(),
            consumed_in_flight: LruCache::new(MAX_CONSUMED_IN_FLIGHT),
            cached_bytes: 0,
            reserved_bytes: 0,
            evicted_blocks: 0,
        };
        Arc::new(Self { budget, state: Mutex::new(state) })
    }

    /// Returns the budget in bytes.
    pub fn budget(&self) -> u64 {
        self.budget
    }

    /// Returns the state of the cache.
    pub fn status(&self) -> MemoryStatus {
        let state = self.state.lock();
        MemoryStatus {
            budget: self.budget,
            cached_bytes: state.cached_bytes,
            reserved_bytes: state.reserved_bytes,
            evicted_blocks: state.evicted_blocks,
        }
    }

    /// Reserves memory for bytes that a reader waits for. Always succeeds, and evicts blocks if
    /// needed.
    pub fn reserve_for_demand(self: &Arc<Self>, bytes: u64) -> Reservation {
        let mut state = self.state.lock();
        state.reserved_bytes += bytes;
        state.evict(self.budget);
        Reservation { cache: self.clone(), bytes }
    }

    /// Returns the limit for prefetch, in bytes: a prefetch gets memory only while all reservations
    /// together stay within this limit. The rest of the budget is for demand, and for the blocks
    /// that wait to be written to disk, which take up to a quarter of the budget.
    pub fn max_prefetch(&self) -> u64 {
        self.budget / 8 * 5
    }

    /// Reserves memory for the prefetch of `bytes` bytes. If all reservations together would exceed
    /// [`max_prefetch`](Self::max_prefetch), reserves as many whole blocks as fit. Returns `None`
    /// if not even one block fits.
    pub fn reserve_for_prefetch(self: &Arc<Self>, bytes: u64) -> Option<Reservation> {
        let mut state = self.state.lock();
        let available_bytes = self.max_prefetch().saturating_sub(state.reserved_bytes);
        let granted_bytes =
            if bytes <= available_bytes { bytes } else { block_floor(available_bytes) };
        if granted_bytes == 0 {
            return None;
        }
        state.reserved_bytes += granted_bytes;
        state.evict(self.budget);
        Some(Reservation { cache: self.clone(), bytes: granted_bytes })
    }

    /// Returns the bytes `from..to` of a block if all of them are cached.
    pub fn bytes(&self, key: BlockKey, from: usize, to: usize) -> Option<Bytes> {
        self.state.lock().get(key)?.bytes(from, to)
    }

    /// Returns the position after the contiguous cached bytes of a block that start at `from`.
    /// Returns `from` if that byte is not cached.
    pub fn contiguous_end(&self, key: BlockKey, from: usize) -> usize {
        self.state.lock().peek(key).map_or(from, |block| block.contiguous_end(from))
    }

    /// Returns the number of cached bytes of a block. Does not count as an access to the block.
    pub fn cached_length(&self, key: BlockKey) -> u64 {
        self.state.lock().peek(key).map_or(0, CachedBlock::cached_length)
    }

    /// Returns the start of the first cached extent of a block that begins after position `from`.
    pub fn next_extent_start(&self, key: BlockKey, from: usize) -> Option<usize> {
        let state = self.state.lock();
        let extents = &state.peek(key)?.extents;
        extents.iter().map(|extent| extent.start).find(|start| *start > from)
    }

    /// Caches verified bytes of a block. `start` is the position of `bytes` in the block.
    pub fn insert(&self, key: BlockKey, start: usize, bytes: &Bytes) {
        if bytes.is_empty() {
            return;
        }
        let mut state = self.state.lock();
        let state = &mut *state;
        if state.consumed_in_flight.pop(&key).is_some() {
            state.consumed_blocks.get_or_insert_mut(key, CachedBlock::default);
        }
        let block = match state.consumed_blocks.get_mut(&key) {
            Some(block) => block,
            None => state.blocks.get_or_insert_mut(key, CachedBlock::default),
        };
        let length_before = block.cached_length();
        block.add(start, bytes);
        let length_after = block.cached_length();
        state.cached_bytes = state.cached_bytes - length_before + length_after;
        state.evict(self.budget);
    }

    /// Marks a block as consumed: a sequential run has read past its end. The block can still be in
    /// flight.
    pub fn mark_consumed(&self, key: BlockKey) {
        let mut state = self.state.lock();
        if let Some(block) = state.blocks.pop(&key) {
            state.consumed_blocks.put(key, block);
        } else if !state.consumed_blocks.contains(&key) {
            state.consumed_in_flight.put(key, ());
        }
    }

    /// Drops all blocks of a stale file version.
    pub fn forget(&self, content: ContentId) {
        let mut state = self.state.lock();
        let stale_keys: Vec<_> = state.keys().filter(|key| key.content == content).collect();
        let stale_keys_in_flight: Vec<_> = (state.consumed_in_flight.iter().map(|(key, ())| *key))
            .filter(|key| key.content == content)
            .collect();
        for key in stale_keys_in_flight {
            state.consumed_in_flight.pop(&key);
        }
        for key in stale_keys {
            let block = state.consumed_blocks.pop(&key).or_else(|| state.blocks.pop(&key));
            state.cached_bytes -= block.map_or(0, |block| block.cached_length());
        }
    }
}

impl State {
    fn get(&mut self, key: BlockKey) -> Option<&CachedBlock> {
        self.blocks.get(&key).or_else(|| self.consumed_blocks.get(&key))
    }

    fn peek(&self, key: BlockKey) -> Option<&CachedBlock> {
        self.blocks.peek(&key).or_else(|| self.consumed_blocks.peek(&key))
    }

    fn keys(&self) -> impl Iterator<Item = BlockKey> {
        self.blocks.iter().chain(self.consumed_blocks.iter()).map(|(key, _)| *key)
    }

    fn evict(&mut self, budget: u64) {
        let mut blocks_in_use = Vec::new();
        while self.cached_bytes + self.reserved_bytes > budget
            && blocks_in_use.len() < MAX_SKIPPED_BLOCKS
        {
            let consumed_block = self.consumed_blocks.pop_lru();
            let is_consumed = consumed_block.is_some();
            let Some((key, block)) = consumed_block.or_else(|| self.blocks.pop_lru()) else {
                break;
            };
            if block.is_in_use() {
                blocks_in_use.push((key, block, is_consumed));
            } else {
                self.cached_bytes -= block.cached_length();
                self.evicted_blocks += 1;
            }
        }
        // The oldest block is put back last, so it is the first candidate of the next eviction.
        for (key, block, is_consumed) in blocks_in_use.into_iter().rev() {
            let blocks = if is_consumed { &mut self.consumed_blocks } else { &mut self.blocks };
            blocks.put(key, block);
            blocks.demote(&key);
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
    fn least_recently_used_block_is_evicted() {
        let cache = MemoryCache::new(30);
        for index in 0..3 {
            cache.insert(key(1, index), 0, &zeros(10));
        }
        assert!(cache.bytes(key(1, 0), 0, 10).is_some());
        cache.insert(key(1, 3), 0, &zeros(10));
        assert!(cache.bytes(key(1, 0), 0, 10).is_some());
        assert!(cache.bytes(key(1, 1), 0, 10).is_none());
    }

    #[test]
    fn consumed_blocks_are_evicted_first() {
        let cache = MemoryCache::new(30);
        for index in 0..3 {
            cache.insert(key(1, index), 0, &zeros(10));
        }
        cache.mark_consumed(key(1, 1));
        cache.mark_consumed(key(1, 2));
        assert!(cache.bytes(key(1, 1), 0, 10).is_some());
        cache.insert(key(1, 3), 0, &zeros(10));
        assert!(cache.bytes(key(1, 2), 0, 10).is_none());
        cache.insert(key(1, 4), 0, &zeros(10));
        assert!(cache.bytes(key(1, 1), 0, 10).is_none());
        assert!([0, 3, 4].iter().all(|index| cache.bytes(key(1, *index), 0, 10).is_some()));
    }

    #[test]
    fn block_consumed_in_flight_is_evicted_first() {
        let cache = MemoryCache::new(30);
        cache.insert(key(1, 0), 0, &zeros(10));
        cache.mark_consumed(key(1, 1));
        cache.insert(key(1, 1), 0, &zeros(5));
        cache.insert(key(1, 1), 5, &zeros(5));
        cache.insert(key(1, 2), 0, &zeros(10));
        cache.insert(key(1, 3), 0, &zeros(10));
        assert!(cache.bytes(key(1, 1), 0, 10).is_none());
        assert!([0, 2, 3].iter().all(|index| cache.bytes(key(1, *index), 0, 10).is_some()));
        // A later fetch of the block is for another reader.
        cache.insert(key(1, 1), 0, &zeros(10));
        assert!(cache.bytes(key(1, 0), 0, 10).is_none());
    }

    #[test]
    fn blocks_in_use_are_not_evicted() {
        let cache = MemoryCache::new(30);
        let bytes_in_use = zeros(10);
        cache.insert(key(1, 0), 0, &bytes_in_use);
        cache.insert(key(1, 1), 0, &zeros(10));
        cache.insert(key(1, 2), 0, &zeros(10));
        cache.insert(key(1, 3), 0, &zeros(10));
        let is_cached = |index| cache.contiguous_end(key(1, index), 0) == 10;
        assert!(is_cached(0) && !is_cached(1) && is_cached(2) && is_cached(3));
        drop(bytes_in_use);
        cache.insert(key(1, 4), 0, &zeros(10));
        assert!(!is_cached(0) && is_cached(2) && is_cached(3) && is_cached(4));
    }

    #[test]
    fn only_prefetch_reservations_are_limited() {
        let cache = MemoryCache::new(8 * BLOCK_LENGTH);
        let prefetch_reservation = cache.reserve_for_prefetch(100 * BLOCK_LENGTH).unwrap();
        assert_eq!(prefetch_reservation.bytes(), 5 * BLOCK_LENGTH);
        assert!(cache.reserve_for_prefetch(BLOCK_LENGTH).is_none());
        let demand_reservation = cache.reserve_for_demand(10 * BLOCK_LENGTH);
        assert_eq!(demand_reservation.bytes(), 10 * BLOCK_LENGTH);
        drop((prefetch_reservation, demand_reservation));
        assert!(cache.reserve_for_prefetch(BLOCK_LENGTH).is_some());
    }

    #[test]
    fn forget_drops_all_blocks_of_a_content() {
        let cache = MemoryCache::new(100);
        cache.insert(key(1, 0), 0, &zeros(10));
        cache.insert(key(2, 0), 0, &zeros(10));
        cache.forget(ContentId(1));
        assert!(cache.bytes(key(1, 0), 0, 10).is_none() && cache.bytes(key(2, 0), 0, 10).is_some());
        assert_eq!(cache.state.lock().cached_bytes, 10);
    }

    proptest! {
        #[test]
        fn reads_join_partial_inserts_to_exact_bytes(
            parts in prop::collection::vec((0usize..200, 1usize..80), 1..12),
            reads in prop::collection::vec((0usize..200, 1usize..80), 1..12),
        ) {
            let content: Vec<u8> = (0..=255).chain(0..=255).collect();
            let mut is_cached = vec![false; content.len()];
            let cache = MemoryCache::new(10_000);
            for (start, length) in parts {
                cache.insert(key(1, 0), start, &Bytes::copy_from_slice(&content[start..start + length]));
                is_cached[start..start + length].fill(true);
            }
            let cached_bytes: u64 = is_cached.iter().filter(|cached| **cached).count() as u64;
            prop_assert_eq!(cache.state.lock().cached_bytes, cached_bytes);
            for (from, length) in reads {
                let to = from + length;
                let is_complete = is_cached[from..to].iter().all(|cached| *cached);
                let bytes = cache.bytes(key(1, 0), from, to);
                prop_assert_eq!(bytes.as_deref(), is_complete.then_some(&content[from..to]));
                let cached_positions = is_cached[from..].iter().take_while(|cached| **cached);
                let expected_end = from + cached_positions.count();
                prop_assert_eq!(cache.contiguous_end(key(1, 0), from), expected_end);
            }
        }

        #[test]
        fn bytes_stay_within_the_budget_without_demand(
            steps in prop::collection::vec((0u8..4, 0u64..20, 1usize..40), 1..200)
        ) {
            let cache = MemoryCache::new(100);
            let mut reservations = Vec::new();
            for (step, index, length) in steps {
                match step {
                    0 => cache.insert(key(index % 3, index), length / 2, &zeros(length)),
                    1 => reservations.extend(cache.reserve_for_prefetch(length as u64)),
                    2 => cache.mark_consumed(key(index % 3, index)),
                    _ => { reservations.pop(); }
                }
                let mut state = cache.state.lock();
                // The bytes that this step inserted were in use until here, so `insert` could not
                // evict them.
                state.evict(100);
                prop_assert!(state.cached_bytes + state.reserved_bytes <= 100);
                let cached_bytes: u64 = state.keys().filter_map(|key| state.peek(key)).map(CachedBlock::cached_length).sum();
                let mut consumed_keys = state.consumed_blocks.iter().map(|(key, _)| key);
                prop_assert!(consumed_keys.all(|key| !state.blocks.contains(key)));
                prop_assert_eq!(cached_bytes, state.cached_bytes);
            }
        }
    }
}

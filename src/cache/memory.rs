//! The memory cache: least recently used first, under a byte budget that buffers in the making count against.

use bytes::Bytes;
use lru::LruCache;
use parking_lot::Mutex;
use std::sync::Arc;

use super::{BLOCK_LENGTH, BlockCache, BlockKey, ContentId};

/// Blocks in memory and the one ceiling for all block buffers.
///
/// **Invariant**: held bytes plus reserved bytes stay within the budget, but for reservations of demand, which
/// are always granted so that a read can go on under any load.
#[derive(Debug)]
pub struct MemoryCache {
    budget: u64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    blocks: LruCache<BlockKey, Bytes>,
    held: u64,
    reserved: u64,
}

/// Room for block buffers in the making; given back when dropped.
#[derive(Debug)]
pub struct Reservation {
    cache: Arc<MemoryCache>,
    bytes: u64,
}

impl Reservation {
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
        let state = State { blocks: LruCache::unbounded(), held: 0, reserved: 0 };
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

    /// Room for up to `bytes` that nobody waits for yet, in whole blocks; `None` when there is none. Buffers in
    /// the making take at most half of the budget this way, so that what was fetched ahead is still there when
    /// its reader comes.
    pub fn reserve_ahead(self: &Arc<Self>, bytes: u64) -> Option<Reservation> {
        let mut state = self.state.lock();
        let room = (self.budget / 2).saturating_sub(state.reserved);
        let granted = if bytes <= room { bytes } else { room / BLOCK_LENGTH * BLOCK_LENGTH };
        if granted == 0 {
            return None;
        }
        state.reserved += granted;
        state.make_room(self.budget);
        Some(Reservation { cache: self.clone(), bytes: granted })
    }
}

impl Reservation {
    /// How many bytes it stands for.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl State {
    fn make_room(&mut self, budget: u64) {
        while self.held + self.reserved > budget {
            let Some((_, block)) = self.blocks.pop_lru() else { return };
            self.held -= block.len() as u64;
        }
    }
}

impl BlockCache for MemoryCache {
    fn get(&self, key: BlockKey) -> Option<Bytes> {
        self.state.lock().blocks.get(&key).cloned()
    }

    fn insert(&self, key: BlockKey, block: Bytes) {
        let mut state = self.state.lock();
        state.held += block.len() as u64;
        if let Some(replaced) = state.blocks.put(key, block) {
            state.held -= replaced.len() as u64;
        }
        state.make_room(self.budget);
    }

    fn forget(&self, content: ContentId) {
        let mut state = self.state.lock();
        let doomed: Vec<_> =
            state.blocks.iter().map(|(key, _)| *key).filter(|key| key.content == content).collect();
        for key in doomed {
            if let Some(block) = state.blocks.pop(&key) {
                state.held -= block.len() as u64;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::BlockIndex;
    use proptest::prelude::*;

    fn key(content: u64, index: u64) -> BlockKey {
        BlockKey { content: ContentId(content), index: BlockIndex(index) }
    }

    #[test]
    fn the_block_used_longest_ago_makes_way() {
        let cache = MemoryCache::new(30);
        for index in 0..3 {
            cache.insert(key(1, index), Bytes::from(vec![0; 10]));
        }
        assert!(cache.get(key(1, 0)).is_some());
        cache.insert(key(1, 3), Bytes::from(vec![0; 10]));
        assert!(cache.get(key(1, 0)).is_some());
        assert!(cache.get(key(1, 1)).is_none());
    }

    #[test]
    fn demand_is_always_granted_and_what_is_fetched_ahead_only_within_half_the_budget() {
        let cache = MemoryCache::new(4 * BLOCK_LENGTH);
        let ahead = cache.reserve_ahead(100 * BLOCK_LENGTH).unwrap();
        assert_eq!(ahead.bytes(), 2 * BLOCK_LENGTH);
        assert!(cache.reserve_ahead(BLOCK_LENGTH).is_none());
        let demand = cache.reserve_for_demand(10 * BLOCK_LENGTH);
        assert_eq!(demand.bytes(), 10 * BLOCK_LENGTH);
        drop((ahead, demand));
        assert!(cache.reserve_ahead(BLOCK_LENGTH).is_some());
    }

    #[test]
    fn a_forgotten_content_is_gone_whole() {
        let cache = MemoryCache::new(100);
        cache.insert(key(1, 0), Bytes::from(vec![0; 10]));
        cache.insert(key(2, 0), Bytes::from(vec![0; 10]));
        cache.forget(ContentId(1));
        assert!(cache.get(key(1, 0)).is_none() && cache.get(key(2, 0)).is_some());
        assert_eq!(cache.state.lock().held, 10);
    }

    proptest! {
        #[test]
        fn held_and_reserved_bytes_never_pass_the_budget_without_demand(
            steps in prop::collection::vec((0u8..3, 0u64..20, 1usize..40), 1..200)
        ) {
            let cache = MemoryCache::new(100);
            let mut reservations = Vec::new();
            for (what, index, length) in steps {
                match what {
                    0 => cache.insert(key(index % 3, index), Bytes::from(vec![0; length])),
                    1 => reservations.extend(cache.reserve_ahead(length as u64)),
                    _ => { reservations.pop(); }
                }
                let state = cache.state.lock();
                prop_assert!(state.held + state.reserved <= 100);
                let sum: usize = state.blocks.iter().map(|(_, block)| block.len()).sum();
                prop_assert_eq!(sum as u64, state.held);
            }
        }
    }
}

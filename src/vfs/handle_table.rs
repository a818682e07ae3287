//! Open handles by their number.

use std::collections::HashMap;

use crate::sync::RwLock;
use crate::sync::atomic::{AtomicU64, Ordering};

/// The number by which the kernel names an open file or directory. A number is never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HandleId(pub u64);

/// All open handles. The kernel's limit on open files bounds their number.
#[derive(Debug)]
pub(super) struct HandleTable<H> {
    next: AtomicU64,
    open: RwLock<HashMap<HandleId, H>>,
}

impl<H> Default for HandleTable<H> {
    fn default() -> Self {
        Self { next: AtomicU64::new(0), open: RwLock::new(HashMap::new()) }
    }
}

impl<H: Clone> HandleTable<H> {
    pub(super) fn insert(&self, handle: H) -> HandleId {
        let id = HandleId(self.next.fetch_add(1, Ordering::Relaxed));
        self.open.write().insert(id, handle);
        id
    }

    pub(super) fn get(&self, id: HandleId) -> Option<H> {
        self.open.read().get(&id).cloned()
    }

    /// Removes a handle. The caller drops it, outside of the lock.
    pub(super) fn remove(&self, id: HandleId) -> Option<H> {
        self.open.write().remove(&id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handle_is_known_until_removed() {
        let table = HandleTable::default();
        let (first, second) = (table.insert("first"), table.insert("second"));
        assert_ne!(first, second);
        assert_eq!((table.get(first), table.get(second)), (Some("first"), Some("second")));
        assert_eq!(table.remove(first), Some("first"));
        assert_eq!((table.get(first), table.remove(first)), (None, None));
        assert_eq!(table.get(second), Some("second"));
    }

    #[test]
    fn numbers_are_never_reused() {
        let table = HandleTable::default();
        let mut numbers = std::collections::HashSet::new();
        for _ in 0..100 {
            let id = table.insert(());
            assert!(numbers.insert(id));
            table.remove(id);
        }
    }
}

//! The open handles, by number.

use std::collections::HashMap;

use crate::sync::RwLock;
use crate::sync::atomic::{AtomicU64, Ordering};

/// The number that identifies an open file or directory to the kernel. A number is never reused.
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

    /// Replaces an open handle and returns the former one. Has no effect on a closed handle.
    pub(super) fn replace(&self, id: HandleId, handle: H) -> Option<H> {
        let mut open = self.open.write();
        open.get_mut(&id).map(|former| std::mem::replace(former, handle))
    }

    /// Removes and returns a handle. The caller drops it after the lock is released.
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

#[cfg(all(test, feature = "model-check"))]
mod model_check {
    use std::sync::Arc;

    use shuttle::thread;

    use super::*;

    const SCHEDULES: usize = 10_000;

    #[test]
    fn schedules_give_each_handle_its_own_number() {
        let check = || {
            let table = Arc::new(HandleTable::default());
            let threads: Vec<_> = (0..3)
                .map(|thread| {
                    let table = table.clone();
                    thread::spawn(move || {
                        let values = [thread * 10, thread * 10 + 1];
                        let ids = values.map(|value| table.insert(value));
                        assert_eq!(ids.map(|id| table.get(id)), values.map(Some));
                        assert_eq!(table.remove(ids[0]), Some(values[0]));
                        assert_eq!(table.get(ids[0]), None);
                        assert_eq!(table.get(ids[1]), Some(values[1]));
                        ids
                    })
                })
                .collect();
            let ids = threads.into_iter().flat_map(|thread| thread.join().unwrap());
            let ids: std::collections::HashSet<_> = ids.collect();
            assert_eq!(ids.len(), 6);
            assert_eq!(table.open.read().len(), 3);
        };
        shuttle::check_random(check, SCHEDULES);
    }

    #[test]
    fn schedules_remove_a_handle_once() {
        let check = || {
            let table = Arc::new(HandleTable::default());
            let id = table.insert("value");
            let removing: Vec<_> = (0..2)
                .map(|_| {
                    let table = table.clone();
                    thread::spawn(move || {
                        let removed = table.remove(id);
                        assert_eq!(table.get(id), None);
                        removed
                    })
                })
                .collect();
            assert!(matches!(table.get(id), None | Some("value")));
            let removed = removing.into_iter().filter_map(|thread| thread.join().unwrap());
            assert_eq!(removed.count(), 1);
        };
        shuttle::check_random(check, SCHEDULES);
    }

    /// A handle that accesses the table when it is dropped.
    #[derive(Clone)]
    struct Reentrant(Arc<HandleTable<Option<Reentrant>>>);

    impl Drop for Reentrant {
        fn drop(&mut self) {
            self.0.get(HandleId(u64::MAX));
        }
    }

    #[test]
    fn schedules_drop_handles_outside_of_the_lock() {
        let check = || {
            let table = Arc::new(HandleTable::default());
            let id = table.insert(Some(Reentrant(table.clone())));
            let reading = {
                let table = table.clone();
                thread::spawn(move || drop(table.get(id)))
            };
            drop(table.remove(id));
            table.insert(None);
            reading.join().unwrap();
        };
        shuttle::check_random(check, SCHEDULES);
    }
}

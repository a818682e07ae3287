//! The table of open handles.

use std::collections::HashMap;

use crate::sync::RwLock;
use crate::sync::atomic::{AtomicU64, Ordering};

/// The number by which the kernel identifies an open file or directory. A number is never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HandleId(pub u64);

/// The table of open handles. The kernel limits the number of open files, which limits the size of
/// the table.
#[derive(Debug)]
pub(super) struct HandleTable<H> {
    next_id: AtomicU64,
    handles: RwLock<HashMap<HandleId, H>>,
}

impl<H> Default for HandleTable<H> {
    fn default() -> Self {
        Self { next_id: AtomicU64::new(0), handles: RwLock::new(HashMap::new()) }
    }
}

impl<H: Clone> HandleTable<H> {
    pub(super) fn insert(&self, handle: H) -> HandleId {
        let id = HandleId(self.next_id.fetch_add(1, Ordering::Relaxed));
        self.handles.write().insert(id, handle);
        id
    }

    pub(super) fn get(&self, id: HandleId) -> Option<H> {
        self.handles.read().get(&id).cloned()
    }

    /// Returns the number of handles for which `predicate` is true.
    pub(super) fn count(&self, predicate: impl Fn(&H) -> bool) -> usize {
        self.handles.read().values().filter(|handle| predicate(handle)).count()
    }

    /// Returns the results of `map` for all handles, without `None`.
    pub(super) fn filter_map<T>(&self, map: impl Fn(&H) -> Option<T>) -> Vec<T> {
        self.handles.read().values().filter_map(map).collect()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.handles.read().len()
    }

    /// Replaces an open handle and returns the old value. Does nothing if the handle is closed.
    pub(super) fn replace(&self, id: HandleId, handle: H) -> Option<H> {
        let mut handles = self.handles.write();
        handles.get_mut(&id).map(|entry| std::mem::replace(entry, handle))
    }

    /// Removes a handle and returns it, so the caller drops it after the lock is released.
    pub(super) fn remove(&self, id: HandleId) -> Option<H> {
        self.handles.write().remove(&id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handle_is_found_until_it_is_removed() {
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

    const SCHEDULE_COUNT: usize = 10_000;

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
            assert_eq!(table.handles.read().len(), 3);
        };
        shuttle::check_random(check, SCHEDULE_COUNT);
    }

    #[test]
    fn schedules_remove_a_handle_once() {
        let check = || {
            let table = Arc::new(HandleTable::default());
            let id = table.insert("value");
            let removing_threads: Vec<_> = (0..2)
                .map(|_| {
                    let table = table.clone();
                    thread::spawn(move || {
                        let removed_value = table.remove(id);
                        assert_eq!(table.get(id), None);
                        removed_value
                    })
                })
                .collect();
            assert!(matches!(table.get(id), None | Some("value")));
            let removed_values =
                removing_threads.into_iter().filter_map(|thread| thread.join().unwrap());
            assert_eq!(removed_values.count(), 1);
        };
        shuttle::check_random(check, SCHEDULE_COUNT);
    }

    /// A handle that accesses the table while it is dropped.
    #[derive(Clone)]
    struct ReentrantHandle(Arc<HandleTable<Option<ReentrantHandle>>>);

    impl Drop for ReentrantHandle {
        fn drop(&mut self) {
            self.0.get(HandleId(u64::MAX));
        }
    }

    #[test]
    fn schedules_drop_handles_outside_of_the_lock() {
        let check = || {
            let table = Arc::new(HandleTable::default());
            let id = table.insert(Some(ReentrantHandle(table.clone())));
            let reading_thread = {
                let table = table.clone();
                thread::spawn(move || drop(table.get(id)))
            };
            drop(table.remove(id));
            table.insert(None);
            reading_thread.join().unwrap();
        };
        shuttle::check_random(check, SCHEDULE_COUNT);
    }
}

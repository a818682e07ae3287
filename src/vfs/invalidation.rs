//! What the kernel must drop from its caches.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;

use crate::tree::{Ino, TreeChange};

/// One cache entry that the kernel must drop.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Invalidation {
    /// The node that a name leads to.
    Entry { parent: Ino, name: Arc<str> },
    /// Size and times of an inode.
    Attributes(Ino),
    /// Attributes and cached pages of an inode. The kernel waits for running reads of the pages.
    Pages(Ino),
}

impl From<TreeChange> for Invalidation {
    fn from(change: TreeChange) -> Self {
        match change {
            TreeChange::Entry { parent, name } => Self::Entry { parent, name },
            TreeChange::Attributes { ino } => Self::Attributes(ino),
            // The pages of a directory are its cached listing.
            TreeChange::Directory { ino } => Self::Pages(ino),
        }
    }
}

/// Collects invalidations for the thread that sends them. Equal ones that wait together are sent
/// once, so at most one for each name and two for each inode wait.
#[derive(Debug)]
pub struct InvalidationQueue {
    pending: Mutex<Pending>,
    wake: Condvar,
    /// Number of batches sent.
    sent: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Pending {
    invalidations: HashSet<Invalidation>,
    /// Number of batches taken.
    taken: u64,
    stopped: bool,
}

/// Invalidations that are sent together.
#[derive(Debug, PartialEq, Eq)]
pub struct InvalidationBatch {
    number: u64,
    /// Entries and attributes: the kernel handles them at once.
    pub immediate: Vec<Invalidation>,
    /// Inodes whose pages are dropped. Each can block, so they are sent after
    /// [`InvalidationQueue::acknowledge`].
    pub pages: Vec<Ino>,
}

impl Default for InvalidationQueue {
    fn default() -> Self {
        Self { pending: Mutex::default(), wake: Condvar::new(), sent: watch::Sender::new(0) }
    }
}

impl InvalidationQueue {
    /// Adds invalidations and returns at once.
    pub fn push(&self, invalidations: impl IntoIterator<Item = Invalidation>) {
        self.pending.lock().invalidations.extend(invalidations);
        self.wake.notify_one();
    }

    /// Invalidates the attributes of an inode and waits until the kernel has dropped them. Callers
    /// bound the wait.
    pub async fn invalidate_attributes(&self, ino: Ino) {
        let mut sent = self.sent.subscribe();
        let batch = {
            let mut pending = self.pending.lock();
            pending.invalidations.insert(Invalidation::Attributes(ino));
            pending.taken
        };
        self.wake.notify_one();
        let _ = sent.wait_for(|sent| *sent > batch).await; // The sender lives as long as `self`.
    }

    /// Waits for the next batch; `None` after [`stop`](Self::stop). Blocks the calling thread.
    pub fn next_batch(&self) -> Option<InvalidationBatch> {
        let mut pending = self.pending.lock();
        while pending.invalidations.is_empty() && !pending.stopped {
            self.wake.wait(&mut pending);
        }
        if pending.stopped {
            return None;
        }
        pending.taken += 1;
        let mut batch =
            InvalidationBatch { number: pending.taken, immediate: Vec::new(), pages: Vec::new() };
        for invalidation in pending.invalidations.drain() {
            match invalidation {
                Invalidation::Pages(ino) => batch.pages.push(ino),
                other => batch.immediate.push(other),
            }
        }
        Some(batch)
    }

    /// Notes that the kernel has handled [`InvalidationBatch::immediate`].
    pub fn acknowledge(&self, batch: &InvalidationBatch) {
        self.sent.send_replace(batch.number);
    }

    /// Ends [`next_batch`](Self::next_batch). What is pending is not sent.
    pub fn stop(&self) {
        self.pending.lock().stopped = true;
        self.wake.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn equal_invalidations_are_sent_once() {
        let queue = InvalidationQueue::default();
        let entry = |name: &str| Invalidation::Entry { parent: Ino::ROOT, name: name.into() };
        queue.push([entry("a"), Invalidation::Pages(Ino(2)), entry("a")]);
        queue.push([Invalidation::Pages(Ino(2)), Invalidation::Attributes(Ino(2))]);
        let batch = queue.next_batch().unwrap();
        assert_eq!(batch.pages, [Ino(2)]);
        assert_eq!(batch.immediate.len(), 2, "{batch:?}");
        assert!(batch.immediate.contains(&entry("a")));
        assert!(batch.immediate.contains(&Invalidation::Attributes(Ino(2))));
    }

    #[test]
    fn stopped_queue_sends_nothing() {
        let queue = Arc::new(InvalidationQueue::default());
        let waiting = {
            let queue = queue.clone();
            std::thread::spawn(move || queue.next_batch())
        };
        queue.stop();
        assert_eq!(waiting.join().unwrap(), None);
        queue.push([Invalidation::Attributes(Ino(2))]);
        assert_eq!(queue.next_batch(), None);
    }

    #[tokio::test]
    async fn waiter_returns_after_its_own_batch() {
        let queue = Arc::new(InvalidationQueue::default());
        queue.push([Invalidation::Attributes(Ino(2))]);
        let earlier = queue.next_batch().unwrap();
        let mut waiting = std::pin::pin!(queue.invalidate_attributes(Ino(3)));
        assert!(waiting.as_mut().now_or_never().is_none());
        queue.acknowledge(&earlier);
        assert!(waiting.as_mut().now_or_never().is_none());
        let batch = queue.next_batch().unwrap();
        assert_eq!(batch.immediate, [Invalidation::Attributes(Ino(3))]);
        queue.acknowledge(&batch);
        waiting.await;
    }

    #[test]
    fn directory_change_drops_its_cached_listing() {
        let change = TreeChange::Directory { ino: Ino(5) };
        assert_eq!(Invalidation::from(change), Invalidation::Pages(Ino(5)));
    }
}

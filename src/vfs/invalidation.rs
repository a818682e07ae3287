//! Invalidations: cache entries that the kernel must drop.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;

use crate::tree::{Ino, TreeChange};

/// A cache entry that the kernel must drop.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Invalidation {
    /// The cached result of looking up a name.
    Entry { parent: Ino, name: Arc<str> },
    /// The cached attributes of an inode.
    Attributes(Ino),
    /// The cached attributes and pages of an inode. Before the kernel drops a page, it waits for
    /// the reads of the page that are in progress.
    Pages(Ino),
}

impl From<TreeChange> for Invalidation {
    fn from(change: TreeChange) -> Self {
        match change {
            TreeChange::Entry { parent, name } => Self::Entry { parent, name },
            TreeChange::Attributes { ino } => Self::Attributes(ino),
            // The kernel caches the listing of a directory in its pages.
            TreeChange::Directory { ino } => Self::Pages(ino),
        }
    }
}

/// A queue of invalidations for the thread that sends them. Equal invalidations in the queue are
/// sent once, so the queue contains at most one for each name and two for each inode.
#[derive(Debug)]
pub struct InvalidationQueue {
    state: Mutex<QueueState>,
    wakeup: Condvar,
    /// Number of batches whose immediate invalidations have been sent.
    sent_batches: watch::Sender<u64>,
    /// Number of acknowledged page drops.
    page_drops: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct QueueState {
    invalidations: HashSet<Invalidation>,
    /// The inodes whose attributes the sending thread is invalidating.
    sending: HashSet<Ino>,
    /// The inodes of the page drops that the sending thread has taken and not acknowledged.
    pending_page_drops: HashSet<Ino>,
    /// Number of batches that the sending thread has taken.
    taken_batches: u64,
    is_stopped: bool,
}

/// Invalidations that are sent to the kernel together.
#[derive(Debug, PartialEq, Eq)]
pub struct InvalidationBatch {
    number: u64,
    /// Invalidations of names and attributes, which never block.
    pub immediate_invalidations: Vec<Invalidation>,
    /// Inodes whose pages the kernel must drop. An invalidation of pages can block, so these are
    /// sent after [`InvalidationQueue::acknowledge`]. Each is acknowledged with
    /// [`InvalidationQueue::acknowledge_page_drop`].
    pub pages: Vec<Ino>,
}

impl Default for InvalidationQueue {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            wakeup: Condvar::new(),
            sent_batches: watch::Sender::new(0),
            page_drops: watch::Sender::new(0),
        }
    }
}

impl InvalidationQueue {
    /// Adds invalidations to the queue, and returns at once.
    pub fn push(&self, invalidations: impl IntoIterator<Item = Invalidation>) {
        self.state.lock().invalidations.extend(invalidations);
        self.wakeup.notify_one();
    }

    /// Adds invalidations to the queue, and publishes the change that they belong to in the same
    /// step. From the publication until the invalidation of an inode has been sent,
    /// [`is_changing`](Self::is_changing) returns true for it. `publish` must not block.
    pub fn publish<T>(
        &self,
        invalidations: impl IntoIterator<Item = Invalidation>,
        publish: impl FnOnce() -> T,
    ) -> T {
        let mut state = self.state.lock();
        state.invalidations.extend(invalidations);
        let result = publish();
        drop(state);
        self.wakeup.notify_one();
        result
    }

    /// Whether the kernel may still have earlier attributes of the inode.
    pub fn is_changing(&self, ino: Ino) -> bool {
        let state = self.state.lock();
        state.sending.contains(&ino) || state.invalidations.contains(&Invalidation::Attributes(ino))
    }

    /// Waits until the kernel has dropped the earlier attributes of the inode. Has no timeout, so
    /// the caller must set one.
    pub async fn wait_for_change(&self, ino: Ino) {
        let mut sent_batches = self.sent_batches.subscribe();
        while self.is_changing(ino) {
            let _ = sent_batches.changed().await; // `self` owns the sender.
        }
    }

    /// Invalidates the attributes of an inode, and waits until the kernel has dropped them. Has no
    /// timeout, so the caller must set one.
    pub async fn invalidate_attributes(&self, ino: Ino) {
        let mut sent_batches = self.sent_batches.subscribe();
        let batch = {
            let mut state = self.state.lock();
            state.invalidations.insert(Invalidation::Attributes(ino));
            state.taken_batches
        };
        self.wakeup.notify_one();
        let _ = sent_batches.wait_for(|sent| *sent > batch).await; // `self` owns the sender.
    }

    /// Whether the kernel may still have the pages of the inode although they must be dropped.
    pub fn is_dropping_pages(&self, ino: Ino) -> bool {
        let state = self.state.lock();
        state.pending_page_drops.contains(&ino)
            || state.invalidations.contains(&Invalidation::Pages(ino))
    }

    /// Waits until the kernel has dropped the pages of the inode, if they must be dropped. Has no
    /// timeout, so the caller must set one.
    pub async fn wait_for_page_drop(&self, ino: Ino) {
        let mut page_drops = self.page_drops.subscribe();
        while self.is_dropping_pages(ino) {
            let _ = page_drops.changed().await; // `self` owns the sender.
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.state.lock().invalidations.len()
    }

    /// Waits for the next batch. Returns `None` after [`stop`](Self::stop). Blocks the calling
    /// thread.
    pub fn next_batch(&self) -> Option<InvalidationBatch> {
        let mut state = self.state.lock();
        while state.invalidations.is_empty() && !state.is_stopped {
            self.wakeup.wait(&mut state);
        }
        if state.is_stopped {
            return None;
        }
        state.taken_batches += 1;
        let mut batch = InvalidationBatch {
            number: state.taken_batches,
            immediate_invalidations: Vec::new(),
            pages: Vec::new(),
        };
        for invalidation in state.invalidations.drain() {
            match invalidation {
                Invalidation::Pages(ino) => batch.pages.push(ino),
                other => batch.immediate_invalidations.push(other),
            }
        }
        state.sending = batch.immediate_invalidations.iter().filter_map(changed_inode).collect();
        state.pending_page_drops = batch.pages.iter().copied().collect();
        Some(batch)
    }

    /// Records that the kernel has handled the [immediate
    /// invalidations](InvalidationBatch::immediate_invalidations) of the batch.
    pub fn acknowledge(&self, batch: &InvalidationBatch) {
        self.state.lock().sending.clear();
        self.sent_batches.send_replace(batch.number);
    }

    /// Records that the kernel has dropped the pages of an inode, or that it has none.
    pub fn acknowledge_page_drop(&self, ino: Ino) {
        self.state.lock().pending_page_drops.remove(&ino);
        self.page_drops.send_modify(|count| *count += 1);
    }

    /// Makes [`next_batch`](Self::next_batch) return `None`. Pending invalidations are not sent.
    pub fn stop(&self) {
        self.state.lock().is_stopped = true;
        self.wakeup.notify_one();
    }
}

/// Returns the inode whose attributes an invalidation drops.
fn changed_inode(invalidation: &Invalidation) -> Option<Ino> {
    match invalidation {
        Invalidation::Attributes(ino) => Some(*ino),
        Invalidation::Entry { .. } | Invalidation::Pages(_) => None,
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
        assert_eq!(batch.immediate_invalidations.len(), 2, "{batch:?}");
        assert!(batch.immediate_invalidations.contains(&entry("a")));
        assert!(batch.immediate_invalidations.contains(&Invalidation::Attributes(Ino(2))));
    }

    #[test]
    fn stopped_queue_sends_nothing() {
        let queue = Arc::new(InvalidationQueue::default());
        let waiting_thread = {
            let queue = queue.clone();
            std::thread::spawn(move || queue.next_batch())
        };
        queue.stop();
        assert_eq!(waiting_thread.join().unwrap(), None);
        queue.push([Invalidation::Attributes(Ino(2))]);
        assert_eq!(queue.next_batch(), None);
    }

    #[tokio::test]
    async fn waiter_returns_after_its_own_batch() {
        let queue = Arc::new(InvalidationQueue::default());
        queue.push([Invalidation::Attributes(Ino(2))]);
        let earlier_batch = queue.next_batch().unwrap();
        let mut waiter = std::pin::pin!(queue.invalidate_attributes(Ino(3)));
        assert!(waiter.as_mut().now_or_never().is_none());
        queue.acknowledge(&earlier_batch);
        assert!(waiter.as_mut().now_or_never().is_none());
        let batch = queue.next_batch().unwrap();
        assert_eq!(batch.immediate_invalidations, [Invalidation::Attributes(Ino(3))]);
        queue.acknowledge(&batch);
        waiter.await;
    }

    #[tokio::test]
    async fn inode_is_changing_until_the_kernel_is_told() {
        let queue = InvalidationQueue::default();
        let (changed, other) = (Ino(2), Ino(3));
        queue.publish([Invalidation::Attributes(changed)], || {});
        assert!(queue.is_changing(changed) && !queue.is_changing(other));
        let mut waiter = std::pin::pin!(queue.wait_for_change(changed));
        assert!(waiter.as_mut().now_or_never().is_none());
        let batch = queue.next_batch().unwrap();
        assert!(waiter.as_mut().now_or_never().is_none());
        queue.acknowledge(&batch);
        waiter.await;
        assert!(!queue.is_changing(changed));
    }

    #[tokio::test]
    async fn pages_are_dropping_until_the_kernel_has_none() {
        let queue = InvalidationQueue::default();
        let (dropped, other) = (Ino(2), Ino(3));
        queue.push([Invalidation::Pages(dropped), Invalidation::Attributes(other)]);
        let mut waiter = std::pin::pin!(queue.wait_for_page_drop(dropped));
        assert!(waiter.as_mut().now_or_never().is_none());
        assert!(!queue.is_dropping_pages(other));
        let batch = queue.next_batch().unwrap();
        queue.acknowledge(&batch);
        assert!(waiter.as_mut().now_or_never().is_none());
        // A drop that is requested during another drop is sent as well, because pages may have been
        // filled in between.
        queue.push([Invalidation::Pages(dropped)]);
        queue.acknowledge_page_drop(dropped);
        assert!(waiter.as_mut().now_or_never().is_none());
        let batch = queue.next_batch().unwrap();
        queue.acknowledge(&batch);
        queue.acknowledge_page_drop(dropped);
        waiter.await;
        assert!(!queue.is_dropping_pages(dropped));
    }

    #[test]
    fn directory_change_drops_its_cached_listing() {
        let change = TreeChange::Directory { ino: Ino(5) };
        assert_eq!(Invalidation::from(change), Invalidation::Pages(Ino(5)));
    }
}

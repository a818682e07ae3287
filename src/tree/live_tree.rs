//! Publishes the current snapshot to readers.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::change::TreeChange;
use super::inode::Ino;
use super::snapshot::Snapshot;

/// Holds the current snapshot. Reading it takes no lock.
#[derive(Debug)]
pub struct LiveTree {
    current: ArcSwap<Snapshot>,
    published: watch::Sender<u64>,
    /// The number of callers that wait for the next snapshot.
    waiters: watch::Sender<usize>,
}

impl Default for LiveTree {
    fn default() -> Self {
        Self {
            current: ArcSwap::from_pointee(Snapshot::empty()),
            published: watch::Sender::new(0),
            waiters: watch::Sender::new(0),
        }
    }
}

impl LiveTree {
    pub fn current(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Replaces the current snapshot and returns the differences.
    pub fn publish(&self, snapshot: Snapshot) -> Vec<TreeChange> {
        let snapshot = Arc::new(snapshot);
        let previous = self.current.swap(snapshot.clone());
        let changes = TreeChange::between(&previous, &snapshot);
        self.published.send_modify(|count| *count += 1);
        changes
    }

    /// Waits for a snapshot that satisfies `condition`. The caller sets the deadline.
    pub async fn wait_for(&self, condition: impl Fn(&Snapshot) -> bool) -> Arc<Snapshot> {
        let mut published = self.published.subscribe();
        let _expedited = self.expedite();
        loop {
            let current = self.current();
            if condition(&current) {
                return current;
            }
            let _ = published.changed().await; // The sender is a field of `self`.
        }
    }

    /// Requests the next snapshot without delay, until the returned value is dropped.
    pub fn expedite(&self) -> ExpeditedRebuild<'_> {
        self.waiters.send_modify(|count| *count += 1);
        ExpeditedRebuild(self)
    }

    /// Returns when [`expedite`](Self::expedite) was called and its value is not dropped yet.
    pub async fn wait_for_waiter(&self) {
        let mut waiters = self.waiters.subscribe();
        let _ = waiters.wait_for(|count| *count > 0).await; // The sender is a field of `self`.
    }

    /// Returns the path of a node relative to the mountpoint, for a log line.
    pub fn path_of(&self, ino: Ino) -> String {
        let snapshot = self.current();
        let mut names = Vec::new();
        let mut at = ino;
        while at != Ino::ROOT {
            let Some(node) = snapshot.node(at) else { break };
            names.push(&*node.name);
            at = node.parent;
        }
        names.reverse();
        names.join("/")
    }
}

/// A pending request for the next snapshot.
#[derive(Debug)]
pub struct ExpeditedRebuild<'a>(&'a LiveTree);

impl Drop for ExpeditedRebuild<'_> {
    fn drop(&mut self) {
        self.0.waiters.send_modify(|count| *count = count.saturating_sub(1));
    }
}

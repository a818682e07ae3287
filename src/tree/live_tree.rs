//! Publishes the current snapshot to readers.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::inode::Ino;
use super::snapshot::Snapshot;

/// Holds the current snapshot. Reading the snapshot does not take a lock.
#[derive(Debug)]
pub struct LiveTree {
    current_snapshot: ArcSwap<Snapshot>,
    publish_count: watch::Sender<u64>,
    /// The number of callers that wait for the next snapshot.
    waiter_count: watch::Sender<usize>,
}

impl Default for LiveTree {
    fn default() -> Self {
        Self {
            current_snapshot: ArcSwap::from_pointee(Snapshot::empty()),
            publish_count: watch::Sender::new(0),
            waiter_count: watch::Sender::new(0),
        }
    }
}

impl LiveTree {
    pub fn current(&self) -> Arc<Snapshot> {
        self.current_snapshot.load_full()
    }

    /// Replaces the current snapshot. Returns the previous one.
    pub fn publish(&self, snapshot: Snapshot) -> Arc<Snapshot> {
        let previous_snapshot = self.current_snapshot.swap(Arc::new(snapshot));
        self.publish_count.send_modify(|count| *count += 1);
        previous_snapshot
    }

    /// Waits until a snapshot satisfies `condition`, and returns it. The caller must set a
    /// deadline.
    pub async fn wait_for(&self, condition: impl Fn(&Snapshot) -> bool) -> Arc<Snapshot> {
        let mut publish_events = self.publish_count.subscribe();
        let _request = self.expedite();
        loop {
            let snapshot = self.current();
            if condition(&snapshot) {
                return snapshot;
            }
            let _ = publish_events.changed().await; // The sender is a field of `self`.
        }
    }

    /// Requests that the next snapshot is built without delay. The request is pending until the
    /// returned value is dropped.
    pub fn expedite(&self) -> ExpeditedRebuild<'_> {
        self.waiter_count.send_modify(|count| *count += 1);
        ExpeditedRebuild(self)
    }

    /// Waits until a request of [`expedite`](Self::expedite) is pending.
    pub async fn wait_for_request(&self) {
        let mut waiter_count = self.waiter_count.subscribe();
        let _ = waiter_count.wait_for(|count| *count > 0).await; // The sender is a field of `self`.
    }

    /// Returns the path of a node relative to the mountpoint, for log messages.
    pub fn path_of(&self, ino: Ino) -> String {
        let snapshot = self.current();
        let mut names = Vec::new();
        let mut current_ino = ino;
        while current_ino != Ino::ROOT {
            let Some(node) = snapshot.node(current_ino) else { break };
            names.push(&*node.name);
            current_ino = node.parent;
        }
        names.reverse();
        names.join("/")
    }
}

/// A pending request to build the next snapshot without delay.
#[derive(Debug)]
pub struct ExpeditedRebuild<'a>(&'a LiveTree);

impl Drop for ExpeditedRebuild<'_> {
    fn drop(&mut self) {
        self.0.waiter_count.send_modify(|count| *count = count.saturating_sub(1));
    }
}

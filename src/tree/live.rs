//! The newest snapshot, for whoever answers from it.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::watch;

use super::{Ino, Snapshot, TreeChange};

/// Holds the newest snapshot. Reading it takes no lock.
#[derive(Debug)]
pub struct LiveTree {
    current: ArcSwap<Snapshot>,
    published: watch::Sender<u64>,
    /// How many wait for another snapshot.
    awaited: watch::Sender<usize>,
}

impl Default for LiveTree {
    fn default() -> Self {
        Self {
            current: ArcSwap::from_pointee(Snapshot::empty()),
            published: watch::Sender::new(0),
            awaited: watch::Sender::new(0),
        }
    }
}

impl LiveTree {
    /// The newest snapshot.
    pub fn current(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Puts `snapshot` in place and says what changed with it.
    pub fn publish(&self, snapshot: Snapshot) -> Vec<TreeChange> {
        let snapshot = Arc::new(snapshot);
        let before = self.current.swap(snapshot.clone());
        let changes = snapshot.changes_since(&before);
        self.published.send_modify(|count| *count += 1);
        changes
    }

    /// Waits for a snapshot of which `holds` is true. Callers bound the wait.
    pub async fn wait_for(&self, holds: impl Fn(&Snapshot) -> bool) -> Arc<Snapshot> {
        let mut published = self.published.subscribe();
        let _awaited = self.expedite();
        loop {
            let current = self.current();
            if holds(&current) {
                return current;
            }
            let _sender_lives_as_long_as_self = published.changed().await;
        }
    }

    /// Asks for the next snapshot soon, for as long as the answer is held.
    pub fn expedite(&self) -> ExpeditedRebuild<'_> {
        self.awaited.send_modify(|waiting| *waiting += 1);
        ExpeditedRebuild(self)
    }

    /// Waits until somebody is waiting for the next snapshot.
    pub async fn wait_for_waiter(&self) {
        let mut awaited = self.awaited.subscribe();
        let _sender_lives_as_long_as_self = awaited.wait_for(|waiting| *waiting > 0).await.is_ok();
    }

    /// Where a node is, from the mountpoint, for a log line.
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

/// Somebody waits for the next snapshot, until dropped.
#[derive(Debug)]
pub struct ExpeditedRebuild<'a>(&'a LiveTree);

impl Drop for ExpeditedRebuild<'_> {
    fn drop(&mut self) {
        self.0.awaited.send_modify(|waiting| *waiting = waiting.saturating_sub(1));
    }
}

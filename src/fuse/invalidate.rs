//! Tells the kernel what it must not believe any more.
//!
//! Invalidations come from one thread of their own that holds no lock: from inside a callback they deadlock, and
//! dropping pages waits for reads of them that are under way.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::sync::Arc;
use std::thread::JoinHandle;

use fuser::{INodeNo, Notifier};
use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;

use crate::tree::{Ino, TreeChange};

/// One thing the kernel must forget.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Invalidation {
    /// What a name leads to. Never blocks.
    Entry {
        /// The directory.
        parent: Ino,
        /// The name in it.
        name: Arc<str>,
    },
    /// Size and times of an inode. Never blocks.
    Attributes(Ino),
    /// Attributes and cached pages of an inode. Waits for reads of those pages.
    Pages(Ino),
}

impl From<TreeChange> for Invalidation {
    fn from(change: TreeChange) -> Self {
        match change {
            TreeChange::Entry { parent, name } => Self::Entry { parent, name },
            TreeChange::Attributes { ino } => Self::Attributes(ino),
            // A directory's pages are its cached listing.
            TreeChange::Directory { ino } => Self::Pages(ino),
        }
    }
}

/// Collects invalidations and sends them. What is asked twice before it is sent is sent once, so at most one
/// entry a name and two an inode wait.
#[derive(Debug)]
pub struct Invalidator {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    pending: Mutex<Pending>,
    wake: Condvar,
    /// How many batches were sent.
    sent: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Pending {
    invalidations: HashSet<Invalidation>,
    /// Number of the batch that now fills.
    batch: u64,
    stopped: bool,
}

impl Default for Invalidator {
    fn default() -> Self {
        let shared =
            Shared { pending: Mutex::default(), wake: Condvar::new(), sent: watch::Sender::new(0) };
        Self { shared: Arc::new(shared), thread: Mutex::new(None) }
    }
}

impl Invalidator {
    /// Starts the thread. What was pushed before is sent first.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub(super) fn start(&self, notifier: Notifier) -> std::io::Result<()> {
        let shared = self.shared.clone();
        let thread = std::thread::Builder::new()
            .name("invalidate".into())
            .spawn(move || while shared.send_batch(&notifier) {})?;
        *self.thread.lock() = Some(thread);
        Ok(())
    }

    /// Asks for invalidations; returns at once.
    pub fn push(&self, invalidations: impl IntoIterator<Item = Invalidation>) {
        let mut pending = self.shared.pending.lock();
        pending.invalidations.extend(invalidations);
        self.shared.wake.notify_one();
    }

    /// Asks for one and waits until it has been sent.
    pub(super) async fn push_and_wait(&self, invalidation: Invalidation) {
        let mut sent = self.shared.sent.subscribe();
        let batch = {
            let mut pending = self.shared.pending.lock();
            pending.invalidations.insert(invalidation);
            self.shared.wake.notify_one();
            pending.batch
        };
        let _sender_lives_as_long_as_self = sent.wait_for(|count| *count > batch).await.is_ok();
    }

    /// Ends the thread; what still waits is not sent. Called before the mount is taken down.
    pub(super) fn stop(&self) {
        self.shared.pending.lock().stopped = true;
        self.shared.wake.notify_one();
    }
}

impl Shared {
    /// Sends what has collected; false when it is time to end.
    fn send_batch(&self, notifier: &Notifier) -> bool {
        let mut pending = self.pending.lock();
        while pending.invalidations.is_empty() && !pending.stopped {
            self.wake.wait(&mut pending);
        }
        if pending.stopped {
            return false;
        }
        let mut batch: Vec<_> = pending.invalidations.drain().collect();
        pending.batch += 1;
        let number = pending.batch;
        drop(pending);
        // Those that may block come last.
        batch.sort_by_key(|invalidation| matches!(invalidation, Invalidation::Pages(_)));
        let mut announced = false;
        for invalidation in &batch {
            if !announced && matches!(invalidation, Invalidation::Pages(_)) {
                self.sent.send_replace(number);
                announced = true;
            }
            let sent = match invalidation {
                Invalidation::Entry { parent, name } => {
                    notifier.inval_entry(INodeNo(parent.0), OsStr::new(&**name))
                }
                // A negative offset leaves the pages alone (libfuse, fuse_lowlevel_notify_inval_inode).
                Invalidation::Attributes(ino) => notifier.inval_inode(INodeNo(ino.0), -1, 0),
                Invalidation::Pages(ino) => notifier.inval_inode(INodeNo(ino.0), 0, 0),
            };
            if let Err(error) = sent {
                tracing::debug!("the kernel did not take an invalidation: {error}");
            }
        }
        self.sent.send_replace(number);
        true
    }
}

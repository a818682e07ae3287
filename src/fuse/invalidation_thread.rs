//! The thread that sends invalidations to the kernel.
//!
//! A notification that is sent from a FUSE callback deadlocks. A notification that drops pages
//! waits for the reads of these pages that are in progress. So a separate thread sends all
//! notifications, without holding a lock.

use std::ffi::OsStr;
use std::sync::Arc;

use fuser::{INodeNo, Notifier};

use crate::vfs::{Invalidation, InvalidationBatch, InvalidationQueue};

/// Starts the thread. It ends when the queue is stopped.
///
/// # Errors
/// The operating system cannot start a thread.
pub(super) fn start(queue: Arc<InvalidationQueue>, notifier: Notifier) -> std::io::Result<()> {
    std::thread::Builder::new().name("invalidate".into()).spawn(move || {
        while let Some(batch) = queue.next_batch() {
            send(&queue, &batch, &notifier);
        }
    })?;
    Ok(())
}

fn send(queue: &InvalidationQueue, batch: &InvalidationBatch, notifier: &Notifier) {
    let log_failure = |result: std::io::Result<()>| {
        if let Err(error) = result {
            tracing::debug!("the kernel rejected an invalidation: {error}");
        }
    };
    for invalidation in &batch.immediate_invalidations {
        log_failure(match invalidation {
            Invalidation::Entry { parent, name } => {
                notifier.inval_entry(INodeNo(parent.0), OsStr::new(&**name))
            }
            // A negative offset keeps the pages (libfuse, fuse_lowlevel_notify_inval_inode).
            Invalidation::Attributes(ino) => notifier.inval_inode(INodeNo(ino.0), -1, 0),
            Invalidation::Pages(ino) => notifier.inval_inode(INodeNo(ino.0), 0, 0),
        });
    }
    queue.acknowledge(batch);
    for ino in &batch.pages {
        // The kernel rejects the notification only if it does not know the inode, and then it has
        // no pages (fs/fuse/inode.c, fuse_reverse_inval_inode).
        log_failure(notifier.inval_inode(INodeNo(ino.0), 0, 0));
        queue.acknowledge_page_drop(*ino);
    }
}

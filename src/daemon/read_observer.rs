//! Passes facts that reads discover to the catalog and the refresher.
//!
//! Reads never wait: [`ReadObserver`] queues each fact, and [`apply`] stores it.

use std::sync::Arc;

use tokio::sync::{Notify, mpsc};

use crate::catalog::Catalog;
use crate::model::{FileId, LastReply, Version};
use crate::read::Observer;

/// Maximum length of the queue. Each entry causes one small database write. If the queue is full,
/// the fact is dropped, and the next read of the file discovers it again.
const MAX_QUEUED_FACTS: usize = 1024;

/// A fact that a read discovered about a recording file.
#[derive(Debug)]
pub(crate) enum ReadFact {
    /// The true size in bytes, which differs from the listed one.
    Size(FileId, Version, u64),
    Reply(FileId, Version, LastReply),
    ContentChanged(FileId),
}

/// Queues facts without blocking.
pub(crate) struct ReadObserver {
    queue: mpsc::Sender<ReadFact>,
    catalog: Arc<Catalog>,
}

impl ReadObserver {
    /// Returns an observer and the receiver of its queue.
    pub(crate) fn new(catalog: Arc<Catalog>) -> (Self, mpsc::Receiver<ReadFact>) {
        let (queue, facts) = mpsc::channel(MAX_QUEUED_FACTS);
        (Self { queue, catalog }, facts)
    }

    fn enqueue(&self, fact: ReadFact) {
        if self.queue.try_send(fact).is_err() {
            tracing::debug!("dropping a discovered fact, because the queue is full");
        }
    }
}

impl Observer for ReadObserver {
    fn on_size_found(&self, id: &FileId, version: Version, size: u64) {
        // Removed here and not through the queue: the next `open` must not use the old length.
        self.catalog.forget_reply(id);
        self.enqueue(ReadFact::Size(id.clone(), version, size));
    }

    fn on_reply(&self, id: &FileId, version: Version, reply: &LastReply) {
        self.enqueue(ReadFact::Reply(id.clone(), version, reply.clone()));
    }

    fn last_reply(&self, id: &FileId, version: Version) -> Option<LastReply> {
        self.catalog.last_reply(id, version)
    }

    fn on_content_changed(&self, id: &FileId) {
        // Removed here and not through the queue: the next `open` must not use the old validator.
        self.catalog.forget_reply(id);
        self.enqueue(ReadFact::ContentChanged(id.clone()));
    }
}

/// Stores facts until every observer is dropped.
pub(crate) async fn apply(
    mut facts: mpsc::Receiver<ReadFact>,
    catalog: Arc<Catalog>,
    refresh_requests: Vec<Arc<Notify>>,
) {
    while let Some(fact) = facts.recv().await {
        match fact {
            ReadFact::Size(id, version, size) => {
                tracing::info!(
                    source = %id.source,
                    "a file of meeting {} has {size} bytes, which differs from the listing; the listed size is corrected",
                    id.meeting
                );
                store(&catalog, move |catalog| catalog.record_size(&id, version, size)).await;
            }
            ReadFact::Reply(id, version, reply) => {
                store(&catalog, move |catalog| catalog.record_reply(&id, version, &reply)).await;
            }
            ReadFact::ContentChanged(id) => {
                // Also removes a reply with the old validator that was still in the queue.
                store(&catalog, move |catalog| catalog.delete_reply(&id)).await;
                refresh_requests.iter().for_each(|request| request.notify_one());
            }
        }
    }
}

/// Stores a fact. Logs a failure instead of returning it.
async fn store(catalog: &Arc<Catalog>, write: impl FnOnce(&Catalog) + Send + 'static) {
    if let Err(error) = catalog.run_blocking(write).await {
        tracing::error!("cannot store a fact that a read discovered: {error}");
    }
}

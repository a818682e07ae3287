//! What reading brings to light, on its way to the catalog and the kernel.

use std::sync::Arc;

use tokio::sync::{Notify, mpsc};

use crate::catalog::Catalog;
use crate::http::Validator;
use crate::model::{FileId, Version};
use crate::read::Observer;
use crate::tree::{Content, LiveTree};
use crate::vfs::{Invalidation, InvalidationQueue};

/// Things learned while reading that wait for the catalog. Each is one small write; when so many wait that this is
/// full, one is dropped and learned again at the next read.
const WAITING: usize = 1024;

#[derive(Debug)]
pub(crate) enum Finding {
    Size(FileId, Version, u64),
    Validator(FileId, Version, Validator),
    Changed(FileId),
}

/// Takes what reading brings to light and returns at once.
pub(crate) struct Findings {
    findings: mpsc::Sender<Finding>,
    catalog: Arc<Catalog>,
}

impl Findings {
    /// Where reading tells what it finds, and where that comes out.
    pub(crate) fn new(catalog: Arc<Catalog>) -> (Self, mpsc::Receiver<Finding>) {
        let (findings, found) = mpsc::channel(WAITING);
        (Self { findings, catalog }, found)
    }

    fn note(&self, finding: Finding) {
        if self.findings.try_send(finding).is_err() {
            tracing::debug!("too much was found out at once; it will be found out again");
        }
    }
}

impl Observer for Findings {
    fn on_size_found(&self, id: &FileId, version: Version, size: u64) {
        self.note(Finding::Size(id.clone(), version, size));
    }

    fn on_validator(&self, id: &FileId, version: Version, validator: &Validator) {
        self.note(Finding::Validator(id.clone(), version, validator.clone()));
    }

    fn last_validator(&self, id: &FileId, version: Version) -> Option<Validator> {
        self.catalog.validator(id, version).map(|text| Validator::new(&text))
    }

    fn on_content_changed(&self, id: &FileId) {
        // At once: whoever opens the file again must not begin under the old one.
        self.catalog.forget_validator(id);
        self.note(Finding::Changed(id.clone()));
    }
}

/// Takes findings over until the archive is gone.
pub(crate) async fn take(
    mut findings: mpsc::Receiver<Finding>,
    catalog: Arc<Catalog>,
    tree: Arc<LiveTree>,
    invalidations: Arc<InvalidationQueue>,
    sources: Vec<Arc<Notify>>,
) {
    while let Some(finding) = findings.recv().await {
        match finding {
            Finding::Size(id, version, size) => {
                tracing::info!(
                    source = %id.source,
                    "a file of meeting {} is {size} bytes long, not as listed; corrected",
                    id.meeting
                );
                catalog.record_size(&id, version, size);
            }
            Finding::Validator(id, version, validator) => {
                catalog.record_validator(&id, version, validator.as_str());
            }
            Finding::Changed(id) => {
                let snapshot = tree.current();
                let stale = snapshot.nodes().iter().filter(
                    |node| matches!(&node.content, Content::Recording { id: known, .. } if *known == id),
                );
                invalidations.push(stale.map(|node| Invalidation::Pages(node.ino)));
                sources.iter().for_each(|refresh| refresh.notify_one());
            }
        }
    }
}

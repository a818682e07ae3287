//! The contents that are open, and those that were open recently.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Weak};

use lru::LruCache;

use super::block_store::BlockStore;
use super::content::Content;
use super::content_revisions::ContentRevisions;
use super::observer::Observer;
use super::recording::Recording;
use crate::cache::ContentId;
use crate::http::Validator;
use crate::http::{FetchError, LeaseSource};
use crate::model::{FileId, Version};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU64, Ordering};

/// Closed contents that are kept, so that a reopened file finds its blocks in the memory cache and
/// need not confirm its size. This is more files than an indexer or a backup reads within a short
/// time. Each takes less than a kilobyte.
const MAX_RECENT_CONTENTS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4095);

/// Finds or creates the content of a file, and retires contents that the server no longer has.
///
/// Lock order: `open`, then the lock of `revisions`. The observer is called under neither of them.
pub(super) struct ContentTable {
    store: Arc<BlockStore>,
    observer: Arc<dyn Observer>,
    revisions: ContentRevisions,
    open: Mutex<HashMap<(FileId, Version), Weak<Content>>>,
    recent: Mutex<LruCache<(FileId, Version), Arc<Content>>>,
    next_id: AtomicU64,
}

impl ContentTable {
    pub(super) fn new(store: Arc<BlockStore>, observer: Arc<dyn Observer>) -> Self {
        Self {
            store,
            observer,
            revisions: ContentRevisions::new(),
            open: Mutex::default(),
            recent: Mutex::new(LruCache::new(MAX_RECENT_CONTENTS)),
            next_id: AtomicU64::new(1),
        }
    }

    /// Returns the content that a handle opened now reads.
    pub(super) fn open(&self, recording: &Recording, leases: Arc<dyn LeaseSource>) -> Arc<Content> {
        let name = (recording.id.clone(), recording.version);
        let existing = usable(self.open.lock().get(&name), recording);
        let content = existing.unwrap_or_else(|| self.insert(&name, recording, leases));
        let displaced = self.recent.lock().push(name, content.clone());
        drop(displaced); // Outside of the lock: it may be the last reference to a content.
        content
    }

    fn insert(
        &self,
        name: &(FileId, Version),
        recording: &Recording,
        leases: Arc<dyn LeaseSource>,
    ) -> Arc<Content> {
        let last_validator = match self.revisions.find(recording) {
            Some((_, validator)) => validator,
            None => self.observer.last_validator(&recording.id, recording.version),
        };
        let mut open = self.open.lock();
        // Another thread may have inserted it in the meantime.
        if let Some(content) = usable(open.get(name), recording) {
            return content;
        }
        let predecessor = open.get(name).and_then(Weak::upgrade);
        if open.len() > 2 * MAX_RECENT_CONTENTS.get() {
            open.retain(|_, content| content.strong_count() > 0);
        }
        let id = ContentId(self.next_id.fetch_add(1, Ordering::Relaxed));
        let revision = self.revisions.find_or_begin(recording, last_validator);
        let content =
            Arc::new(Content::new(recording.clone(), id, leases, revision, predecessor.clone()));
        open.insert(name.clone(), Arc::downgrade(&content));
        drop(open);
        drop(predecessor);
        content
    }

    /// Records an accepted reply for a content, and the validator in it.
    pub(super) fn confirm(&self, content: &Content, validator: Option<&Validator>) {
        content.confirm_size(validator);
        if self.revisions.record_validator(content, validator)
            && let Some(validator) = validator
        {
            let Recording { id, version, .. } = &content.recording;
            self.observer.on_validator(id, *version, validator);
        }
    }

    /// Records why a request for a content failed. If the error shows that the server has other
    /// bytes or another size, the content becomes stale and its blocks are dropped.
    pub(super) fn record_error(&self, content: &Content, error: &FetchError) {
        match error {
            FetchError::WrongTotal { served, .. } => self.retire_size(content, *served),
            FetchError::Changed(_) => {
                self.retire(content, error);
                self.observer.on_content_changed(&content.recording.id);
            }
            _ => {}
        }
        content.doubt_size();
    }

    /// Retires a content because the server serves the file with `served` bytes.
    pub(super) fn retire_size(&self, content: &Content, served: u64) {
        let Recording { id, version, size, .. } = &content.recording;
        self.retire(content, &FetchError::WrongTotal { expected: *size, served });
        self.observer.on_size_found(id, *version, served);
    }

    fn retire(&self, content: &Content, reason: &FetchError) {
        content.set_stale(reason);
        self.revisions.end(content);
        self.store.forget(content);
    }
}

fn usable(known: Option<&Weak<Content>>, recording: &Recording) -> Option<Arc<Content>> {
    known
        .and_then(Weak::upgrade)
        .filter(|content| !content.is_stale() && content.recording.size == recording.size)
}

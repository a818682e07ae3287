//! The table of contents that are open or were open recently.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Weak};

use lru::LruCache;
use tokio::time::Instant;

use super::cache_tiers::CacheTiers;
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

/// Maximum number of closed contents that are kept. When a file is opened again, its blocks are
/// still in the memory cache and its size need not be confirmed. The limit exceeds the number of
/// files that an indexer or a backup reads within a short time. Each content takes less than a
/// kilobyte.
const MAX_RECENT_CONTENTS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4095);

/// A file whose reads currently fail at once.
#[derive(Clone, Debug)]
pub struct FailingFile {
    pub id: FileId,
    /// The time from which one read sends requests again.
    pub retry_at: Instant,
    /// The error of the last read that sent requests.
    pub error: FetchError,
}

/// Finds or creates the content of a file, and retires contents that have changed on the server.
///
/// Lock order: `open`, then the lock of `revisions`. Neither is held during a call of the observer.
pub(super) struct ContentTable {
    caches: Arc<CacheTiers>,
    observer: Arc<dyn Observer>,
    revisions: ContentRevisions,
    open: Mutex<HashMap<(FileId, Version), Weak<Content>>>,
    recent: Mutex<LruCache<(FileId, Version), Arc<Content>>>,
    next_id: AtomicU64,
}

impl ContentTable {
    pub(super) fn new(caches: Arc<CacheTiers>, observer: Arc<dyn Observer>) -> Self {
        Self {
            caches,
            observer,
            revisions: ContentRevisions::new(),
            open: Mutex::default(),
            recent: Mutex::new(LruCache::new(MAX_RECENT_CONTENTS)),
            next_id: AtomicU64::new(1),
        }
    }

    /// Returns the content for a new handle.
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
        // Another thread may have inserted the content in the meantime.
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

    /// Returns the files whose reads currently fail at once.
    pub(super) fn failing_files(&self) -> Vec<FailingFile> {
        // The contents are collected first. Otherwise the last reference to a content could be
        // dropped while the lock is held.
        let contents: Vec<_> = self.open.lock().values().filter_map(Weak::upgrade).collect();
        let failing = contents.iter().filter_map(|content| {
            let (retry_at, error) = content.breaker.outage()?;
            Some(FailingFile { id: content.recording.id.clone(), retry_at, error })
        });
        failing.collect()
    }

    /// Records an accepted reply for a content, and its validator.
    ///
    /// # Errors
    /// [`FetchError::Changed`] if a reply to another request came from another version.
    pub(super) fn confirm(
        &self,
        content: &Content,
        validator: Option<&Validator>,
    ) -> Result<(), FetchError> {
        if let Some(validator) = validator {
            content.record_validator(validator)?;
        }
        content.confirm_size();
        if self.revisions.record_validator(content, validator)
            && let Some(validator) = validator
        {
            let Recording { id, version, .. } = &content.recording;
            self.observer.on_validator(id, *version, validator);
        }
        Ok(())
    }

    /// Records the error of a failed request for a content. If the error shows that the bytes or
    /// the size on the server have changed, the content becomes stale and its blocks are dropped.
    pub(super) fn record_error(&self, content: &Content, error: &FetchError) {
        match error {
            FetchError::WrongTotal { served_length, .. } => {
                self.retire_size(content, *served_length)
            }
            FetchError::Changed(_) => {
                self.retire(content, error);
                self.observer.on_content_changed(&content.recording.id);
            }
            _ => {}
        }
        content.mark_size_unconfirmed();
    }

    /// Retires a content because the server serves the file with `served_length` bytes.
    pub(super) fn retire_size(&self, content: &Content, served_length: u64) {
        let Recording { id, version, size, .. } = &content.recording;
        self.retire(content, &FetchError::WrongTotal { expected_length: *size, served_length });
        self.observer.on_size_found(id, *version, served_length);
    }

    fn retire(&self, content: &Content, reason: &FetchError) {
        content.set_stale(reason);
        self.revisions.end(content);
        self.caches.forget(content);
    }
}

fn usable(known: Option<&Weak<Content>>, recording: &Recording) -> Option<Arc<Content>> {
    known
        .and_then(Weak::upgrade)
        .filter(|content| !content.is_stale() && content.recording.size == recording.size)
}

#[cfg(test)]
mod tests {
    use super::super::test_support::{NoLeases, bytes_in, recording};
    use super::*;
    use crate::cache::{BLOCK_LENGTH, BlockExtent, BlockIndex, MemoryCache};

    const SIZE: u64 = 2 * BLOCK_LENGTH;

    /// Records the calls of the observer. The calls fail the test if a lock of the table is held.
    #[derive(Default)]
    struct Observations {
        table: Mutex<Weak<ContentTable>>,
        sizes: Mutex<Vec<u64>>,
        validators: Mutex<Vec<Validator>>,
        changes: Mutex<usize>,
        last_validator: Mutex<Option<Validator>>,
    }

    impl Observations {
        fn assert_unlocked(&self) {
            let table = self.table.lock().upgrade().unwrap();
            assert!(table.open.try_lock().is_some(), "the table is locked");
            assert!(table.recent.try_lock().is_some(), "the table is locked");
        }
    }

    impl Observer for Observations {
        fn on_size_found(&self, _id: &FileId, _version: Version, size: u64) {
            self.assert_unlocked();
            self.sizes.lock().push(size);
        }

        fn on_validator(&self, _id: &FileId, _version: Version, validator: &Validator) {
            self.assert_unlocked();
            self.validators.lock().push(validator.clone());
        }

        fn last_validator(&self, _id: &FileId, _version: Version) -> Option<Validator> {
            self.assert_unlocked();
            self.last_validator.lock().clone()
        }

        fn on_content_changed(&self, _id: &FileId) {
            self.assert_unlocked();
            *self.changes.lock() += 1;
        }
    }

    struct Setup {
        table: Arc<ContentTable>,
        observations: Arc<Observations>,
        caches: Arc<CacheTiers>,
    }

    impl Setup {
        fn new() -> Self {
            let memory = MemoryCache::new(64 * BLOCK_LENGTH);
            let caches = Arc::new(CacheTiers { memory, disk: None });
            let observations = Arc::new(Observations::default());
            let table = Arc::new(ContentTable::new(caches.clone(), observations.clone()));
            *observations.table.lock() = Arc::downgrade(&table);
            Self { table, observations, caches }
        }

        fn open(&self, size: u64) -> Arc<Content> {
            self.table.open(&recording(size), Arc::new(NoLeases))
        }
    }

    fn changed() -> FetchError {
        FetchError::Changed("another validator".into())
    }

    #[test]
    fn handles_share_a_content() {
        let setup = Setup::new();
        assert!(Arc::ptr_eq(&setup.open(SIZE), &setup.open(SIZE)));
    }

    #[test]
    fn other_size_is_another_content() {
        let setup = Setup::new();
        let (one, other) = (setup.open(SIZE), setup.open(SIZE + 1));
        assert_ne!(one.id, other.id);
        assert_ne!(one.revision(), other.revision());
    }

    #[test]
    fn changed_content_is_retired() {
        let setup = Setup::new();
        let content = setup.open(SIZE);
        let block = BlockExtent { index: BlockIndex(0), from: 0, to: 100 };
        setup.caches.insert(&content, block, &bytes_in(block));
        setup.table.record_error(&content, &changed());
        assert!(content.is_stale() && !content.is_confirmed());
        assert_eq!(
            setup.caches.memory.contiguous_end(content.key(BlockIndex(0)), 0),
            0,
            "bytes are dropped"
        );
        assert_eq!(*setup.observations.changes.lock(), 1);
        let next = setup.open(SIZE);
        assert!(!next.is_stale());
        assert_ne!(next.revision(), content.revision());
    }

    #[test]
    fn wrong_size_is_reported_and_retires() {
        let setup = Setup::new();
        let content = setup.open(SIZE);
        let error = FetchError::WrongTotal { expected_length: SIZE, served_length: 77 };
        setup.table.record_error(&content, &error);
        assert!(matches!(
            content.stale_reason(),
            Some(FetchError::WrongTotal { served_length: 77, .. })
        ));
        assert_eq!(*setup.observations.sizes.lock(), [77]);
    }

    #[test]
    fn transient_error_keeps_content_but_unconfirms_size() {
        let setup = Setup::new();
        let content = setup.open(SIZE);
        setup.table.confirm(&content, None).unwrap();
        setup.table.record_error(&content, &FetchError::Deadline("no reply".into()));
        assert!(!content.is_stale() && !content.is_confirmed());
        assert!(Arc::ptr_eq(&content, &setup.open(SIZE)));
    }

    #[test]
    fn new_validator_is_reported_once() {
        let setup = Setup::new();
        let content = setup.open(SIZE);
        let validator = Validator::parse("\"a\"").unwrap();
        setup.table.confirm(&content, None).unwrap();
        setup.table.confirm(&content, Some(&validator)).unwrap();
        setup.table.confirm(&content, Some(&validator)).unwrap();
        assert_eq!(*setup.observations.validators.lock(), [validator]);
    }

    #[test]
    fn validator_of_earlier_run_is_expected() {
        let setup = Setup::new();
        *setup.observations.last_validator.lock() = Validator::parse("\"old\"");
        let content = setup.open(SIZE);
        assert_eq!(content.expectation().validator, Validator::parse("\"old\""));
        // The validator is already known, so serving it is not reported.
        setup.table.confirm(&content, Some(&Validator::parse("\"old\"").unwrap())).unwrap();
        assert!(setup.observations.validators.lock().is_empty());
    }
}

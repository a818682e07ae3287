//! Stores the content of each file that is open or was open recently.

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
use crate::cache::disk::DiskKey;
use crate::http::Validator;
use crate::http::{FetchError, LeaseSource};
#[cfg(test)]
use crate::model::TableSize;
use crate::model::{FileId, Version};
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU64, Ordering};

/// Maximum number of closed files whose content is kept. When such a file is opened again, its
/// blocks are still in the memory cache, and its size need not be confirmed. The limit exceeds the
/// number of files that an indexer or a backup reads within a short time. Each content takes less
/// than a kilobyte.
const MAX_RECENT_CONTENTS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4095);

/// A file whose reads currently fail at once, without a request.
#[derive(Clone, Debug)]
pub struct FailingFile {
    pub id: FileId,
    /// The time from which one read sends requests again.
    pub retry_at: Instant,
    /// The error of the last read that sent requests.
    pub error: FetchError,
}

/// Finds or creates the content of a file, and makes a content stale if the file has changed on the
/// server.
///
/// Lock order: `open_contents`, then the lock of `revisions`. Neither lock is held during a call of
/// the observer.
pub(super) struct ContentTable {
    caches: Arc<CacheTiers>,
    observer: Arc<dyn Observer>,
    revisions: ContentRevisions,
    open_contents: Mutex<HashMap<(FileId, Version), Weak<Content>>>,
    recent_contents: Mutex<LruCache<(FileId, Version), Arc<Content>>>,
    next_id: AtomicU64,
}

impl ContentTable {
    pub(super) fn new(caches: Arc<CacheTiers>, observer: Arc<dyn Observer>) -> Self {
        Self {
            caches,
            observer,
            revisions: ContentRevisions::new(),
            open_contents: Mutex::default(),
            recent_contents: Mutex::new(LruCache::new(MAX_RECENT_CONTENTS)),
            next_id: AtomicU64::new(1),
        }
    }

    /// Returns the content of a file for a new handle.
    pub(super) fn open(&self, recording: &Recording, leases: Arc<dyn LeaseSource>) -> Arc<Content> {
        let key = (recording.id.clone(), recording.version);
        let existing_content = usable_content(self.open_contents.lock().get(&key), recording);
        let content = existing_content.unwrap_or_else(|| self.insert(&key, recording, leases));
        let evicted_content = self.recent_contents.lock().push(key, content.clone());
        // The lock has been released, because this may be the last reference to a content.
        drop(evicted_content);
        content
    }

    /// Returns the content of a file that is open or was open recently.
    pub(super) fn find(&self, recording: &Recording) -> Option<Arc<Content>> {
        let key = (recording.id.clone(), recording.version);
        // The last reference to a content must not be dropped while the lock is held.
        let content = self.open_contents.lock().get(&key).and_then(Weak::upgrade);
        content.filter(|content| !content.is_stale() && content.recording.size == recording.size)
    }

    /// Returns the key of a file in the disk cache, derived from its last reply in this or an
    /// earlier run.
    pub(super) fn disk_key_of_closed(&self, recording: &Recording) -> DiskKey {
        let Recording { id, version, size, .. } = recording;
        let last_reply = self.observer.last_reply(id, *version);
        let validator = last_reply.and_then(|reply| reply.validator).unwrap_or_default();
        let validator = Validator::parse(&validator).as_ref().map(Validator::to_text);
        DiskKey::new(id, *version, *size, &validator.unwrap_or_default())
    }

    /// Whether a reply in this or an earlier run stated the listed size.
    pub(super) fn has_confirmed_size(&self, recording: &Recording) -> bool {
        let last_reply = self.observer.last_reply(&recording.id, recording.version);
        last_reply.is_some_and(|reply| reply.length == Some(recording.size))
    }

    fn insert(
        &self,
        key: &(FileId, Version),
        recording: &Recording,
        leases: Arc<dyn LeaseSource>,
    ) -> Arc<Content> {
        let last_reply = self.observer.last_reply(&recording.id, recording.version);
        // A reply with another length belongs to other bytes.
        let is_of_length =
            |length: Option<u64>| length.is_none_or(|length| length == recording.size);
        let last_reply = last_reply.filter(|reply| is_of_length(reply.length)).unwrap_or_default();
        let mut open_contents = self.open_contents.lock();
        // Another thread may have inserted the content in the meantime.
        if let Some(content) = usable_content(open_contents.get(key), recording) {
            return content;
        }
        if open_contents.len() > 2 * MAX_RECENT_CONTENTS.get() {
            open_contents.retain(|_, content| content.strong_count() > 0);
        }
        let id = ContentId(self.next_id.fetch_add(1, Ordering::Relaxed));
        let last_validator = last_reply.validator.as_deref().and_then(Validator::parse);
        let revision = self.revisions.find_or_begin(recording, last_validator);
        let content = Arc::new(Content::new(recording.clone(), id, leases, revision));
        if last_reply.length.is_some() {
            content.confirm_size();
        }
        open_contents.insert(key.clone(), Arc::downgrade(&content));
        content
    }

    #[cfg(test)]
    pub(super) fn table_sizes(&self) -> Vec<TableSize> {
        let (open, recent) = (self.open_contents.lock().len(), self.recent_contents.lock().len());
        vec![
            // Contents are removed when another one is inserted.
            TableSize::new("open contents", open).with_limit(2 * MAX_RECENT_CONTENTS.get() + 1),
            TableSize::new("recent contents", recent).with_limit(MAX_RECENT_CONTENTS.get()),
            TableSize::new("failing files", self.failing_files().len()),
            self.revisions.table_size(),
        ]
    }

    /// Returns the files whose reads currently fail at once.
    pub(super) fn failing_files(&self) -> Vec<FailingFile> {
        // The contents are collected first. Otherwise the last reference to a content could be
        // dropped while the lock is held.
        let contents: Vec<_> =
            self.open_contents.lock().values().filter_map(Weak::upgrade).collect();
        let failing_files = contents.iter().filter_map(|content| {
            let (retry_at, error) = content.breaker.outage()?;
            Some(FailingFile { id: content.recording.id.clone(), retry_at, error })
        });
        failing_files.collect()
    }

    /// Records that a reply for a content was accepted, and the validator of the reply.
    ///
    /// # Errors
    /// [`FetchError::Changed`] if an earlier reply contained another version of the file.
    pub(super) fn record_reply(
        &self,
        content: &Content,
        validator: Option<&Validator>,
    ) -> Result<(), FetchError> {
        if let Some(validator) = validator {
            content.record_validator(validator)?;
        }
        let is_size_new = content.confirm_size();
        let is_validator_new = self.revisions.record_validator(content, validator);
        if is_size_new || is_validator_new {
            let Recording { id, version, .. } = &content.recording;
            self.observer.on_reply(id, *version, &content.last_reply());
        }
        Ok(())
    }

    /// Records the error of a failed request for a content. If the error shows that the bytes or
    /// the size on the server have changed, the content becomes stale and its blocks are dropped.
    pub(super) fn record_error(&self, content: &Content, error: &FetchError) {
        match error {
            FetchError::WrongTotal { served_length, .. } => {
                self.record_wrong_size(content, *served_length)
            }
            FetchError::Changed(_) => {
                self.make_stale(content, error);
                self.observer.on_content_changed(&content.recording.id);
            }
            // The reply states the size.
            FetchError::RangesIgnored(_) => return,
            _ => {}
        }
        content.mark_size_unconfirmed();
    }

    /// Makes a content stale, because the server states the length `served_length` for the file.
    pub(super) fn record_wrong_size(&self, content: &Content, served_length: u64) {
        let Recording { id, version, size, .. } = &content.recording;
        self.make_stale(content, &FetchError::WrongTotal { expected_length: *size, served_length });
        self.observer.on_size_found(id, *version, served_length);
    }

    fn make_stale(&self, content: &Content, reason: &FetchError) {
        content.set_stale(reason);
        self.revisions.end_revision(content);
        self.caches.forget(content);
    }
}

fn usable_content(entry: Option<&Weak<Content>>, recording: &Recording) -> Option<Arc<Content>> {
    entry
        .and_then(Weak::upgrade)
        .filter(|content| !content.is_stale() && content.recording.size == recording.size)
}

#[cfg(test)]
mod tests {
    use super::super::test_support::{NoLeases, bytes_in, recording};
    use super::*;
    use crate::cache::{BLOCK_LENGTH, BlockExtent, BlockIndex, MemoryCache};
    use crate::model::LastReply;

    const SIZE: u64 = 2 * BLOCK_LENGTH;

    /// An observer that records its calls. A call fails the test if a lock of the table is held.
    #[derive(Default)]
    struct TestObserver {
        table: Mutex<Weak<ContentTable>>,
        sizes: Mutex<Vec<u64>>,
        replies: Mutex<Vec<LastReply>>,
        change_count: Mutex<usize>,
        last_reply: Mutex<Option<LastReply>>,
    }

    impl TestObserver {
        fn assert_unlocked(&self) {
            let table = self.table.lock().upgrade().unwrap();
            assert!(table.open_contents.try_lock().is_some(), "the table is locked");
            assert!(table.recent_contents.try_lock().is_some(), "the table is locked");
        }
    }

    impl Observer for TestObserver {
        fn on_size_found(&self, _id: &FileId, _version: Version, size: u64) {
            self.assert_unlocked();
            self.sizes.lock().push(size);
        }

        fn on_reply(&self, _id: &FileId, _version: Version, reply: &LastReply) {
            self.assert_unlocked();
            self.replies.lock().push(reply.clone());
        }

        fn last_reply(&self, _id: &FileId, _version: Version) -> Option<LastReply> {
            self.assert_unlocked();
            self.last_reply.lock().clone()
        }

        fn on_content_changed(&self, _id: &FileId) {
            self.assert_unlocked();
            *self.change_count.lock() += 1;
        }
    }

    struct Setup {
        table: Arc<ContentTable>,
        observer: Arc<TestObserver>,
        caches: Arc<CacheTiers>,
    }

    impl Setup {
        fn new() -> Self {
            let memory = MemoryCache::new(64 * BLOCK_LENGTH);
            let caches = Arc::new(CacheTiers::new(memory, None));
            let observer = Arc::new(TestObserver::default());
            let table = Arc::new(ContentTable::new(caches.clone(), observer.clone()));
            *observer.table.lock() = Arc::downgrade(&table);
            Self { table, observer, caches }
        }

        fn open(&self, size: u64) -> Arc<Content> {
            self.table.open(&recording(size), Arc::new(NoLeases))
        }
    }

    fn changed_error() -> FetchError {
        FetchError::Changed("another validator".into())
    }

    #[test]
    fn handles_on_the_same_file_share_its_content() {
        let setup = Setup::new();
        assert!(Arc::ptr_eq(&setup.open(SIZE), &setup.open(SIZE)));
    }

    #[test]
    fn different_sizes_have_different_contents() {
        let setup = Setup::new();
        let (one, other) = (setup.open(SIZE), setup.open(SIZE + 1));
        assert_ne!(one.id, other.id);
        assert_ne!(one.revision(), other.revision());
    }

    #[test]
    fn changed_content_becomes_stale() {
        let setup = Setup::new();
        let content = setup.open(SIZE);
        let block = BlockExtent { index: BlockIndex(0), from: 0, to: 100 };
        setup.caches.insert(&content, block, &bytes_in(block));
        setup.table.record_error(&content, &changed_error());
        assert!(content.is_stale() && !content.is_size_confirmed());
        assert_eq!(
            setup.caches.memory.contiguous_end(content.key(BlockIndex(0)), 0),
            0,
            "bytes are dropped"
        );
        assert_eq!(*setup.observer.change_count.lock(), 1);
        let new_content = setup.open(SIZE);
        assert!(!new_content.is_stale());
        assert_ne!(new_content.revision(), content.revision());
    }

    #[test]
    fn wrong_size_is_reported_and_makes_content_stale() {
        let setup = Setup::new();
        let content = setup.open(SIZE);
        let error = FetchError::WrongTotal { expected_length: SIZE, served_length: 77 };
        setup.table.record_error(&content, &error);
        assert!(matches!(
            content.stale_reason(),
            Some(FetchError::WrongTotal { served_length: 77, .. })
        ));
        assert_eq!(*setup.observer.sizes.lock(), [77]);
    }

    #[test]
    fn transient_error_only_requires_a_new_size_confirmation() {
        let setup = Setup::new();
        let content = setup.open(SIZE);
        setup.table.record_reply(&content, None).unwrap();
        setup.table.record_error(&content, &FetchError::Deadline("no reply".into()));
        assert!(!content.is_stale() && !content.is_size_confirmed());
        assert!(Arc::ptr_eq(&content, &setup.open(SIZE)));
    }

    #[test]
    fn new_facts_are_reported_once() {
        let setup = Setup::new();
        let content = setup.open(SIZE);
        let validator = Validator::parse("\"a\"").unwrap();
        setup.table.record_reply(&content, None).unwrap();
        setup.table.record_reply(&content, Some(&validator)).unwrap();
        setup.table.record_reply(&content, Some(&validator)).unwrap();
        let reply = |validator| LastReply { length: Some(SIZE), validator };
        let expected = [reply(None), reply(Some(validator.to_text()))];
        assert_eq!(*setup.observer.replies.lock(), expected);
    }

    #[test]
    fn validator_of_earlier_run_is_expected() {
        let setup = Setup::new();
        let validator = Validator::parse("\"old\"");
        let validator_text = validator.as_ref().map(Validator::to_text);
        let last_reply = LastReply { length: Some(SIZE), validator: validator_text };
        *setup.observer.last_reply.lock() = Some(last_reply);
        let content = setup.open(SIZE);
        assert_eq!(content.expected_file().validator, validator);
        // The observer already has this validator.
        setup.table.record_reply(&content, validator.as_ref()).unwrap();
        assert!(setup.observer.replies.lock().is_empty());
    }

    #[test]
    fn length_of_earlier_run_is_confirmed() {
        let setup = Setup::new();
        let validator = Validator::parse("\"old\"");
        let validator_text = validator.as_ref().map(Validator::to_text);
        let last_reply = |length| Some(LastReply { length, validator: validator_text.clone() });
        *setup.observer.last_reply.lock() = last_reply(Some(SIZE));
        assert!(setup.open(SIZE).is_size_confirmed());
        let longer = setup.open(SIZE + 1);
        assert!(!longer.is_size_confirmed());
        assert_eq!(longer.expected_file().validator, None, "it belongs to other bytes");
        *setup.observer.last_reply.lock() = last_reply(None);
        let unmeasured = setup.open(SIZE + 2);
        assert!(!unmeasured.is_size_confirmed());
        assert_eq!(unmeasured.expected_file().validator, validator);
    }
}

//! Stores the current revision of each file version.

use std::num::NonZeroUsize;

use lru::LruCache;

use super::content::Content;
use super::recording::{ContentRevision, Recording};
use crate::http::Validator;
#[cfg(test)]
use crate::model::TableSize;
use crate::model::{FileId, Version};
use crate::sync::Mutex;

/// Maximum number of files whose revision is stored. A validator has less than 100 bytes, so the
/// table takes at most 4 MiB. A file that is evicted from the table gets a new revision at its next
/// `open`, and the kernel then drops its cached pages of the file.
const MAX_STORED_REVISIONS: NonZeroUsize = NonZeroUsize::new(16_384).unwrap();

/// The current revisions of files.
///
/// A file keeps its revision until a reply shows that the bytes on the server have changed. When
/// the file is opened again, the validator in the first reply shows whether they have changed.
pub(super) struct ContentRevisions {
    state: Mutex<State>,
}

struct State {
    next_revision: u64,
    files: LruCache<(FileId, Version), CurrentRevision>,
}

#[derive(Clone)]
struct CurrentRevision {
    revision: ContentRevision,
    size: u64,
    validator: Option<Validator>,
}

impl ContentRevisions {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::new(State {
                next_revision: 1,
                files: LruCache::new(MAX_STORED_REVISIONS),
            }),
        }
    }

    #[cfg(test)]
    pub(super) fn table_size(&self) -> TableSize {
        let size = self.state.lock().files.len();
        TableSize::new("content revisions", size).with_limit(MAX_STORED_REVISIONS.get())
    }

    /// Returns the current revision of a file, and its validator if one is known. Returns `None` if
    /// no revision is stored.
    pub(super) fn find(
        &self,
        recording: &Recording,
    ) -> Option<(ContentRevision, Option<Validator>)> {
        let mut state = self.state.lock();
        let current_revision = state.files.get(&(recording.id.clone(), recording.version))?;
        (current_revision.size == recording.size)
            .then(|| (current_revision.revision, current_revision.validator.clone()))
    }

    /// Returns the stored revision like [`find`](Self::find), or begins a new revision. The new
    /// revision has the validator `last_validator`, which an earlier run recorded.
    pub(super) fn find_or_begin(
        &self,
        recording: &Recording,
        last_validator: Option<Validator>,
    ) -> (ContentRevision, Option<Validator>) {
        if let Some(stored_revision) = self.find(recording) {
            return stored_revision;
        }
        let mut state = self.state.lock();
        let revision = ContentRevision(state.next_revision);
        state.next_revision += 1;
        let validator = last_validator.clone();
        let current_revision = CurrentRevision { revision, size: recording.size, validator };
        state.files.put((recording.id.clone(), recording.version), current_revision);
        (revision, last_validator)
    }

    /// Records the validator of the revision that a content belongs to. Returns whether the
    /// revision had no validator before.
    pub(super) fn record_validator(
        &self,
        content: &Content,
        validator: Option<&Validator>,
    ) -> bool {
        let mut state = self.state.lock();
        let key = (content.recording.id.clone(), content.recording.version);
        if let Some(current) = state.files.get_mut(&key)
            && current.revision == content.revision()
            && current.validator.is_none()
        {
            current.validator = validator.cloned();
            return current.validator.is_some();
        }
        false
    }

    /// Ends the revision that a content belongs to. The next handle on the file gets a new
    /// revision.
    pub(super) fn end_revision(&self, content: &Content) {
        let mut state = self.state.lock();
        let key = (content.recording.id.clone(), content.recording.version);
        let is_current = |file: &CurrentRevision| file.revision == content.revision();
        if state.files.peek(&key).is_some_and(is_current) {
            state.files.pop(&key);
        }
    }
}

//! What is remembered of contents between the last handle on them and the next.

use std::num::NonZeroUsize;

use lru::LruCache;
use parking_lot::Mutex;

use super::open_file::Content;
use super::{ContentRevision, Recording};
use crate::http::Validator;
use crate::model::{FileId, Version};

/// Files that are remembered. A validator is below 100 bytes, so this is 4 MiB at most; a file that drops out is
/// a new revision when it is opened again, and costs the kernel its pages of it.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(16_384).unwrap();

/// The revisions of files. A file is of the same revision as long as nothing says that the server has other bytes;
/// the validator makes the first request after a reopening say so.
pub(super) struct ContentRevisions {
    state: Mutex<State>,
}

struct State {
    next: u64,
    known: LruCache<(FileId, Version), Known>,
}

#[derive(Clone)]
struct Known {
    revision: ContentRevision,
    size: u64,
    validator: Option<Validator>,
}

impl ContentRevisions {
    pub(super) fn new() -> Self {
        Self { state: Mutex::new(State { next: 1, known: LruCache::new(REMEMBERED) }) }
    }

    /// The revision that a handle opened now reads, and its validator where that is known.
    /// `remembered` is the validator that an earlier run knew.
    pub(super) fn current(
        &self,
        recording: &Recording,
        remembered: impl FnOnce() -> Option<Validator>,
    ) -> (ContentRevision, Option<Validator>) {
        let mut state = self.state.lock();
        let name = (recording.id.clone(), recording.version);
        if let Some(known) = state.known.get(&name).filter(|known| known.size == recording.size) {
            return (known.revision, known.validator.clone());
        }
        let revision = ContentRevision(state.next);
        state.next += 1;
        let validator = remembered();
        state
            .known
            .put(name, Known { revision, size: recording.size, validator: validator.clone() });
        (revision, validator)
    }

    /// Takes over the validator under which the content is served; says whether it is news.
    pub(super) fn served(&self, content: &Content, validator: Option<&Validator>) -> bool {
        let mut state = self.state.lock();
        let name = (content.recording.id.clone(), content.recording.version);
        if let Some(known) = state.known.get_mut(&name)
            && known.revision == content.revision
            && known.validator.is_none()
        {
            known.validator = validator.cloned();
            return known.validator.is_some();
        }
        false
    }

    /// The server has other bytes than the content's: the next handle reads another revision.
    pub(super) fn over(&self, content: &Content) {
        let mut state = self.state.lock();
        let name = (content.recording.id.clone(), content.recording.version);
        if state.known.peek(&name).is_some_and(|known| known.revision == content.revision) {
            state.known.pop(&name);
        }
    }
}

//! Tracks which revision of a file the kernel's cached pages contain.

use std::num::NonZeroUsize;

use lru::LruCache;
use parking_lot::Mutex;

use crate::read::ContentRevision;
use crate::tree::Ino;

/// Maximum number of files whose revision is remembered. Each takes about 64 bytes. For a file that
/// is not remembered, the kernel drops the pages at the next `open`.
const MAX_FILES: NonZeroUsize = NonZeroUsize::new(16_384).unwrap();

/// How a new handle uses the kernel's cached pages of its inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PageMode {
    /// The pages contain the revision of the handle.
    Keep,
    /// The pages may contain another revision. The kernel drops them during the `open` call.
    Drop,
    /// A handle on another revision is still open. If the new handle filled the pages, the old
    /// handle would read a mixture of both revisions, so the new handle bypasses the pages.
    Bypass,
}

/// Remembers, for each file, the revision from which the kernel's pages were filled.
///
/// The pages belong to the inode and are shared by all its handles.
#[derive(Debug)]
pub(super) struct PageCache {
    revisions: Mutex<LruCache<Ino, ContentRevision>>,
}

impl Default for PageCache {
    fn default() -> Self {
        Self { revisions: Mutex::new(LruCache::new(MAX_FILES)) }
    }
}

impl PageCache {
    /// Returns the mode for a new handle on `revision`. `has_open_predecessor` is true if a handle
    /// on an earlier revision is open.
    pub(super) fn mode(
        &self,
        ino: Ino,
        revision: ContentRevision,
        has_open_predecessor: bool,
    ) -> PageMode {
        if has_open_predecessor {
            PageMode::Bypass
        } else if self.revisions.lock().get(&ino) == Some(&revision) {
            PageMode::Keep
        } else {
            PageMode::Drop
        }
    }

    /// Records that a read fills dropped pages from `revision`.
    ///
    /// The first read is the earliest proof that the kernel has acted on the reply to `open`. If
    /// the reply itself were recorded, a concurrent `open` could keep pages that the kernel is
    /// about to drop.
    pub(super) fn note_filled(&self, ino: Ino, revision: ContentRevision) {
        self.revisions.lock().put(ino, revision);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INO: Ino = Ino(7);

    #[test]
    fn pages_are_kept_for_their_own_revision() {
        let pages = PageCache::default();
        let (old, new) = (ContentRevision(1), ContentRevision(2));
        assert_eq!(pages.mode(INO, old, false), PageMode::Drop);
        // An `open` without a read does not prove that the pages were dropped.
        assert_eq!(pages.mode(INO, old, false), PageMode::Drop);
        pages.note_filled(INO, old);
        assert_eq!(pages.mode(INO, old, false), PageMode::Keep);
        assert_eq!(pages.mode(Ino(8), old, false), PageMode::Drop);
        assert_eq!(pages.mode(INO, new, false), PageMode::Drop);
    }

    #[test]
    fn open_predecessor_bypasses_pages() {
        let pages = PageCache::default();
        pages.note_filled(INO, ContentRevision(1));
        assert_eq!(pages.mode(INO, ContentRevision(2), true), PageMode::Bypass);
        assert_eq!(pages.mode(INO, ContentRevision(1), true), PageMode::Bypass);
    }

    #[test]
    fn evicted_file_drops_its_pages() {
        let pages = PageCache::default();
        for number in 0..=MAX_FILES.get() as u64 {
            pages.note_filled(Ino(number), ContentRevision(1));
        }
        assert_eq!(pages.mode(Ino(0), ContentRevision(1), false), PageMode::Drop);
        assert_eq!(pages.mode(Ino(1), ContentRevision(1), false), PageMode::Keep);
    }
}

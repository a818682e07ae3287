//! Tracks which revision of a file the kernel's cached pages contain.

use std::num::NonZeroUsize;

use lru::LruCache;
use parking_lot::Mutex;

#[cfg(test)]
use crate::model::TableSize;
use crate::read::ContentRevision;
use crate::tree::Ino;

/// Maximum number of files whose revision is stored. Each takes about 64 bytes. For any other file,
/// the kernel drops the pages at the next `open`.
const MAX_FILES: NonZeroUsize = NonZeroUsize::new(16_384).unwrap();

/// How a new handle uses the kernel's cached pages of its inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PageMode {
    /// The kernel keeps the pages, because they contain the revision of the handle.
    Keep,
    /// The kernel drops the pages during the `open` call, because they can contain another
    /// revision.
    Drop,
    /// The handle bypasses the pages, because a handle on another revision is open. If both filled
    /// the pages, they would read a mixture of both revisions.
    Bypass,
}

/// Stores, for each file, the revision that the kernel's cached pages contain.
///
/// The pages belong to the inode, so all its handles share them.
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
    /// Chooses how a new handle on `revision` uses the pages. `is_other_revision_open` is true if a
    /// handle on another revision is open.
    pub(super) fn choose_mode(
        &self,
        ino: Ino,
        revision: ContentRevision,
        is_other_revision_open: bool,
    ) -> PageMode {
        if is_other_revision_open {
            PageMode::Bypass
        } else if self.revisions.lock().get(&ino) == Some(&revision) {
            PageMode::Keep
        } else {
            PageMode::Drop
        }
    }

    #[cfg(test)]
    pub(super) fn table_size(&self) -> TableSize {
        let size = self.revisions.lock().len();
        TableSize::new("files with cached pages", size).with_limit(MAX_FILES.get())
    }

    /// Records that a read fills dropped pages with bytes of `revision`.
    ///
    /// The revision is recorded at the first read, which proves that the kernel has handled the
    /// reply to `open`. If it were recorded with the reply, a concurrent `open` could keep pages
    /// that the kernel is about to drop.
    pub(super) fn record_fill(&self, ino: Ino, revision: ContentRevision) {
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
        assert_eq!(pages.choose_mode(INO, old, false), PageMode::Drop);
        // An `open` without a read does not prove that the pages were dropped.
        assert_eq!(pages.choose_mode(INO, old, false), PageMode::Drop);
        pages.record_fill(INO, old);
        assert_eq!(pages.choose_mode(INO, old, false), PageMode::Keep);
        assert_eq!(pages.choose_mode(Ino(8), old, false), PageMode::Drop);
        assert_eq!(pages.choose_mode(INO, new, false), PageMode::Drop);
    }

    #[test]
    fn handle_on_another_revision_bypasses_pages() {
        let pages = PageCache::default();
        pages.record_fill(INO, ContentRevision(1));
        assert_eq!(pages.choose_mode(INO, ContentRevision(2), true), PageMode::Bypass);
        assert_eq!(pages.choose_mode(INO, ContentRevision(1), true), PageMode::Bypass);
    }

    #[test]
    fn evicted_file_drops_its_pages() {
        let pages = PageCache::default();
        for number in 0..=MAX_FILES.get() as u64 {
            pages.record_fill(Ino(number), ContentRevision(1));
        }
        assert_eq!(pages.choose_mode(Ino(0), ContentRevision(1), false), PageMode::Drop);
        assert_eq!(pages.choose_mode(Ino(1), ContentRevision(1), false), PageMode::Keep);
    }
}

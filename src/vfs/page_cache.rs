//! Which revision of a file the kernel's cached pages hold.

use std::num::NonZeroUsize;

use lru::LruCache;
use parking_lot::Mutex;

use crate::read::ContentRevision;
use crate::tree::Ino;

/// Files whose revision is remembered, at about 64 bytes each. A file that is evicted from this
/// list loses its pages at its next `open`.
const MAX_FILES: NonZeroUsize = NonZeroUsize::new(16_384).unwrap();

/// How a new handle uses the kernel's cached pages of its inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PageMode {
    /// The pages hold the revision of the handle.
    Keep,
    /// The pages can hold another revision. The kernel drops them inside the `open` call.
    Drop,
    /// A handle on another revision is still open. It would read the new bytes among its own, so
    /// the new handle bypasses the pages.
    Bypass,
}

/// The revision of each file from which its pages were filled.
///
/// Pages belong to the inode, whichever handle filled them.
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
    /// Returns the mode for a new handle on `revision`. `has_open_predecessor` states whether a
    /// handle on an earlier revision is open.
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

    /// Notes that a read fills dropped pages from `revision`.
    ///
    /// The first read is the earliest proof that the kernel has acted on the reply to `open`. If
    /// the reply itself were noted, a concurrent `open` could keep pages that the kernel is about
    /// to drop.
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
        // An open without a read proves nothing.
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

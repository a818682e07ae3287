//! Tracks which content of a file the kernel's cached pages contain.

use std::collections::HashMap;
use std::num::NonZeroUsize;

use lru::LruCache;
use parking_lot::Mutex;

use super::open_files::OpenContent;
#[cfg(test)]
use crate::model::TableSize;
use crate::tree::Ino;

/// Maximum number of closed files whose content is stored. For any other file, the next `open` must
/// wait until the kernel has dropped the pages. A walk through ten thousand meetings opens this
/// many text files. Each takes about 80 bytes.
const MAX_CLOSED_FILES: NonZeroUsize = NonZeroUsize::new(65_536).unwrap();

/// Stores, for each file, the content that the kernel's cached pages contain.
///
/// The pages belong to the inode, so all its handles share them. If handles on two contents filled
/// them, both would read a mixture.
///
/// The kernel could drop the pages itself when it handles the reply to an `open` (without
/// `FOPEN_KEEP_CACHE`). But before it drops a page, it waits for the reads of the page that are in
/// progress, and no signal ends this wait. If one program waited for a silent server, every further
/// `open` of the file would hang. Therefore each reply keeps the pages. If they must be dropped, an
/// [`Invalidation`](super::Invalidation) drops them before the reply, while no handle is read
/// through them. This drop waits at most for page faults of private memory mappings.
#[derive(Debug, Default)]
pub(super) struct PageCache {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The files with a handle that uses the pages.
    pages_in_use: HashMap<Ino, UsedPages>,
    /// The contents of the pages of other files. `None` if a handle that bypassed the pages may
    /// have filled them: the kernel does so for a private memory mapping (fs/fuse/file.c,
    /// `fuse_file_mmap`).
    closed_files: LruCache<Ino, Option<OpenContent>>,
    /// Whether the limit has ever removed an entry. If not, the kernel has no pages of a file
    /// without an entry.
    has_evicted: bool,
}

/// The pages of a file that handles use.
#[derive(Debug)]
struct UsedPages {
    content: OpenContent,
    handle_count: usize,
    /// Whether a handle that bypasses the pages was opened while these handles were open. A private
    /// mapping of it may have filled the pages.
    was_bypassed: bool,
}

impl Default for State {
    fn default() -> Self {
        Self {
            pages_in_use: HashMap::new(),
            closed_files: LruCache::new(MAX_CLOSED_FILES),
            has_evicted: false,
        }
    }
}

impl State {
    fn store(&mut self, ino: Ino, content: Option<OpenContent>) {
        let replaced = self.closed_files.push(ino, content);
        self.has_evicted |= replaced.is_some_and(|(other_ino, _)| other_ino != ino);
    }

    /// Whether the kernel may have pages with another content.
    fn has_other_pages(&mut self, ino: Ino, content: OpenContent) -> bool {
        match self.closed_files.get(&ino) {
            Some(stored) => *stored != Some(content),
            None => self.has_evicted,
        }
    }
}

impl PageCache {
    /// Prepares the pages for a handle on `content`. Calls `drop_pages` if the kernel may have
    /// pages with another content and no handle uses them. `drop_pages` must not block.
    pub(super) fn prepare(&self, ino: Ino, content: OpenContent, drop_pages: impl FnOnce()) {
        let mut state = self.state.lock();
        if state.pages_in_use.contains_key(&ino) {
            return;
        }
        if state.has_other_pages(ino, content) {
            drop_pages();
        }
        state.store(ino, Some(content));
    }

    /// Adds a handle on `content`. Returns true if the kernel may read it through the pages, and
    /// false if it must bypass them. Always returns false if `must_bypass` returns true, which is
    /// called under the lock and must not block. If the handle uses the pages, the caller must call
    /// [`close`](Self::close) after the kernel has released the handle.
    pub(super) fn open(
        &self,
        ino: Ino,
        content: OpenContent,
        must_bypass: impl FnOnce() -> bool,
    ) -> bool {
        let mut state = self.state.lock();
        let must_bypass = must_bypass();
        if let Some(pages) = state.pages_in_use.get_mut(&ino) {
            let uses_pages = !must_bypass && !pages.was_bypassed && pages.content == content;
            pages.was_bypassed |= !uses_pages;
            pages.handle_count += usize::from(uses_pages);
            return uses_pages;
        }
        let uses_pages = !must_bypass && state.closed_files.get(&ino) == Some(&Some(content));
        if uses_pages {
            let pages = UsedPages { content, handle_count: 1, was_bypassed: false };
            state.pages_in_use.insert(ino, pages);
        } else {
            state.store(ino, None);
        }
        uses_pages
    }

    /// Removes a handle that uses the pages.
    pub(super) fn close(&self, ino: Ino) {
        let mut state = self.state.lock();
        let Some(pages) = state.pages_in_use.get_mut(&ino) else { return };
        pages.handle_count -= 1;
        if pages.handle_count == 0 {
            let content = (!pages.was_bypassed).then_some(pages.content);
            state.pages_in_use.remove(&ino);
            state.store(ino, content);
        }
    }

    #[cfg(test)]
    pub(super) fn table_sizes(&self) -> [TableSize; 2] {
        let state = self.state.lock();
        [
            TableSize::new("files with used pages", state.pages_in_use.len()),
            TableSize::new("files with cached pages", state.closed_files.len())
                .with_limit(MAX_CLOSED_FILES.get()),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INO: Ino = Ino(7);
    const OLD: OpenContent = OpenContent { length: 10, hash: 1 };
    const NEW: OpenContent = OpenContent { length: 10, hash: 2 };

    /// Prepares the pages. Returns whether they must be dropped.
    fn prepare(pages: &PageCache, ino: Ino, content: OpenContent) -> bool {
        let mut must_drop = false;
        pages.prepare(ino, content, || must_drop = true);
        must_drop
    }

    #[test]
    fn pages_are_kept_for_their_own_content() {
        let pages = PageCache::default();
        for _ in 0..2 {
            assert!(!prepare(&pages, INO, OLD), "the kernel has no other pages");
            assert!(pages.open(INO, OLD, || false));
            pages.close(INO);
        }
        assert!(prepare(&pages, INO, NEW));
        assert!(!prepare(&pages, INO, NEW), "one drop is enough for concurrent opens");
        assert!(pages.open(INO, NEW, || false));
    }

    #[test]
    fn used_pages_are_never_dropped() {
        let pages = PageCache::default();
        prepare(&pages, INO, OLD);
        assert!(pages.open(INO, OLD, || false));
        assert!(!prepare(&pages, INO, OLD) && pages.open(INO, OLD, || false));
        assert!(!prepare(&pages, INO, NEW) && !pages.open(INO, NEW, || false));
        pages.close(INO);
        assert!(!prepare(&pages, INO, NEW), "one handle still uses them");
        pages.close(INO);
        assert!(prepare(&pages, INO, NEW));
    }

    #[test]
    fn unprepared_handle_bypasses_pages() {
        let pages = PageCache::default();
        assert!(!pages.open(INO, OLD, || false));
        // Of two concurrent opens, the later one has prepared the pages for its own content.
        prepare(&pages, INO, OLD);
        prepare(&pages, INO, NEW);
        assert!(!pages.open(INO, OLD, || false));
        assert!(!pages.open(INO, NEW, || false));
    }

    #[test]
    fn bypassed_pages_are_dropped_before_the_next_use() {
        let pages = PageCache::default();
        prepare(&pages, INO, OLD);
        assert!(!pages.open(INO, OLD, || true));
        assert!(prepare(&pages, INO, OLD));
        assert!(pages.open(INO, OLD, || false));
        assert!(!pages.open(INO, NEW, || true));
        assert!(!pages.open(INO, OLD, || false), "a memory mapping may have filled the pages");
        pages.close(INO);
        assert!(prepare(&pages, INO, OLD));
    }

    #[test]
    fn pages_of_evicted_entry_are_dropped() {
        let pages = PageCache::default();
        for number in 0..=MAX_CLOSED_FILES.get() as u64 {
            assert!(!prepare(&pages, Ino(number), OLD));
        }
        assert!(prepare(&pages, Ino(0), OLD));
        assert!(!prepare(&pages, Ino(2), OLD));
    }

    #[test]
    fn closing_unknown_file_has_no_effect() {
        let pages = PageCache::default();
        pages.close(INO);
        assert!(!prepare(&pages, INO, OLD));
    }
}

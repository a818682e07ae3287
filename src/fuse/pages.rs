//! Whose bytes the kernel's pages of a file are.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fuser::FopenFlags;
use lru::LruCache;
use parking_lot::Mutex;

use super::passthrough::Counted;
use crate::read::{ContentRevision, OpenFile};
use crate::tree::Ino;

/// Files remembered, some 64 bytes each. One that drops out loses its pages when it is opened again.
const REMEMBERED: NonZeroUsize = NonZeroUsize::new(16_384).unwrap();

/// The edition of each file that its pages were read from.
#[derive(Debug)]
pub(super) struct Pages {
    editions: Mutex<LruCache<Ino, ContentRevision>>,
}

/// A recording file that is open, and how.
#[derive(Debug)]
pub(super) struct OpenRecording {
    pub(super) file: Arc<OpenFile>,
    /// Whether its reads fill the kernel's pages and that has not been noted yet.
    to_note: AtomicBool,
    was_read: AtomicBool,
    _counted: Counted,
}

impl OpenRecording {
    /// One that the kernel reads by itself.
    pub(super) fn passed(file: Arc<OpenFile>, counted: Counted) -> Self {
        Self::new(file, false, counted)
    }

    fn new(file: Arc<OpenFile>, to_note: bool, counted: Counted) -> Self {
        Self { file, to_note: to_note.into(), was_read: false.into(), _counted: counted }
    }

    /// Whether this read is the first one; only once.
    pub(super) fn is_first_read(&self) -> bool {
        !self.was_read.load(Ordering::Relaxed) && !self.was_read.swap(true, Ordering::Relaxed)
    }
}

impl Default for Pages {
    fn default() -> Self {
        Self { editions: Mutex::new(LruCache::new(REMEMBERED)) }
    }
}

impl Pages {
    /// How to open `file`.
    ///
    /// Pages belong to the inode, whoever filled them. Those of another edition are dropped by an `open` without
    /// `KEEP_CACHE`, inside that call. Where a handle on another edition is still open, the new one goes past
    /// the pages, for the old one would read the new bytes among its own.
    pub(super) fn open(
        &self,
        number: Ino,
        file: Arc<OpenFile>,
        counted: Counted,
    ) -> (OpenRecording, FopenFlags) {
        let content = file.content();
        let flags = if content.has_open_predecessor() {
            FopenFlags::FOPEN_DIRECT_IO
        } else if self.editions.lock().get(&number) == Some(&content.revision()) {
            FopenFlags::FOPEN_KEEP_CACHE
        } else {
            FopenFlags::empty()
        };
        (OpenRecording::new(file, flags.is_empty(), counted), flags)
    }

    /// Notes a read. Only then has the kernel acted on the reply to `open`: an `open` beside it that kept the
    /// pages before would keep those that are about to be dropped.
    pub(super) fn read_from(&self, number: Ino, open: &OpenRecording) {
        if open.to_note.load(Ordering::Relaxed) && open.to_note.swap(false, Ordering::Relaxed) {
            self.editions.lock().put(number, open.file.content().revision());
        }
    }
}

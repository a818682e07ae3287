//! Open recording files.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::open_files::OpenContent;
use crate::read::{OpenFile, Recording};
use crate::tree::{Content, Ino, Node};

/// Whether a handle is read through the kernel's cached pages of its inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PageUse {
    /// The kernel does not use the pages.
    Bypass,
    /// The kernel uses the pages that it has.
    Keep,
    /// The kernel has dropped the pages for this handle and fills them again.
    Refill,
}

/// An open recording file.
#[derive(Debug)]
pub(super) struct OpenRecording {
    pub(super) ino: Ino,
    pub(super) file: Arc<OpenFile>,
    page_use: PageUse,
    /// Whether the next read is the first to fill pages that the kernel has dropped. That read must
    /// be recorded in the [`PageCache`](super::page_cache::PageCache).
    fills_pages: AtomicBool,
    was_read: AtomicBool,
}

impl OpenRecording {
    pub(super) fn new(ino: Ino, file: Arc<OpenFile>, page_use: PageUse) -> Self {
        let fills_pages = (page_use == PageUse::Refill).into();
        Self { ino, file, page_use, fills_pages, was_read: false.into() }
    }

    pub(super) fn content_of(file: &OpenFile) -> OpenContent {
        let content = file.content();
        OpenContent { length: content.recording.size, hash: content.revision().0 }
    }

    pub(super) fn content(&self) -> OpenContent {
        Self::content_of(&self.file)
    }

    pub(super) fn uses_pages(&self) -> bool {
        self.page_use != PageUse::Bypass
    }

    /// Returns whether this is the first read through the handle. Only the first call returns true.
    pub(super) fn take_first_read(&self) -> bool {
        !self.was_read.load(Ordering::Relaxed) && !self.was_read.swap(true, Ordering::Relaxed)
    }

    /// Returns whether this is the first read that fills dropped pages. Only the first call can
    /// return true.
    pub(super) fn take_first_fill(&self) -> bool {
        self.fills_pages.load(Ordering::Relaxed) && self.fills_pages.swap(false, Ordering::Relaxed)
    }
}

/// Returns the recording file of a node, or `None` if the node is not a recording file.
pub(super) fn recording_of(node: &Node) -> Option<Recording> {
    let Content::Recording { id, version, size, body } = &node.content else { return None };
    Some(Recording { id: id.clone(), version: *version, size: *size, body: *body })
}

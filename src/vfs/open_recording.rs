//! Open recording files.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::read::{OpenFile, Recording};
use crate::tree::{Content, Ino, Node};

/// An open recording file.
#[derive(Debug)]
pub(super) struct OpenRecording {
    pub(super) ino: Ino,
    pub(super) file: Arc<OpenFile>,
    /// Whether the next read is the first to fill pages that the kernel has dropped. That read must
    /// be recorded in the [`PageCache`](super::page_cache::PageCache).
    fills_pages: AtomicBool,
    was_read: AtomicBool,
}

impl OpenRecording {
    /// Creates a handle on a recording file. `fills_pages` is true if the kernel has dropped the
    /// pages of the inode for this handle.
    pub(super) fn new(ino: Ino, file: Arc<OpenFile>, fills_pages: bool) -> Self {
        Self { ino, file, fills_pages: fills_pages.into(), was_read: false.into() }
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

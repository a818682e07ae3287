//! Open recording files.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::open_files::OpenContent;
use crate::read::{OpenFile, Recording};
use crate::tree::{Content, Ino, Node};

/// An open recording file.
#[derive(Debug)]
pub(super) struct OpenRecording {
    pub(super) ino: Ino,
    pub(super) file: Arc<OpenFile>,
    /// Whether the kernel reads the file through its pages.
    pub(super) uses_pages: bool,
    was_read: AtomicBool,
}

impl OpenRecording {
    pub(super) fn new(ino: Ino, file: Arc<OpenFile>, uses_pages: bool) -> Self {
        Self { ino, file, uses_pages, was_read: false.into() }
    }

    pub(super) fn content_of(file: &OpenFile) -> OpenContent {
        let content = file.content();
        OpenContent { length: content.recording.size, hash: content.revision().0 }
    }

    pub(super) fn content(&self) -> OpenContent {
        Self::content_of(&self.file)
    }

    /// Returns whether this is the first read through the handle. Only the first call returns true.
    pub(super) fn take_first_read(&self) -> bool {
        !self.was_read.load(Ordering::Relaxed) && !self.was_read.swap(true, Ordering::Relaxed)
    }
}

/// Returns the recording file of a node, or `None` if the node is not a recording file.
pub(super) fn recording_of(node: &Node) -> Option<Recording> {
    let Content::Recording { id, version, size, body } = &node.content else { return None };
    Some(Recording { id: id.clone(), version: *version, size: *size, body: *body })
}

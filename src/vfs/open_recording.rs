//! Open recording files.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use super::open_files::OpenContent;
use super::read_rate::ReadRate;
use crate::read::{OpenFile, Recording};
use crate::tree::{Content, Ino, Node};

/// The id of the thread that opens or reads a file. It is 0 if the thread is in another PID
/// namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReaderId(pub u32);

impl ReaderId {
    pub const UNKNOWN: Self = Self(0);
}

/// An open recording file.
#[derive(Debug)]
pub(super) struct OpenRecording {
    pub(super) ino: Ino,
    pub(super) file: Arc<OpenFile>,
    /// Whether the kernel reads the file through its pages.
    pub(super) uses_pages: bool,
    was_read: AtomicBool,
    /// The thread that opened the file or read it last. The thread that opened it can end while
    /// other threads of its program read.
    reader: AtomicU32,
    bytes_read: AtomicU64,
    rate: ReadRate,
}

impl OpenRecording {
    pub(super) fn new(ino: Ino, file: Arc<OpenFile>, uses_pages: bool) -> Self {
        Self {
            ino,
            file,
            uses_pages,
            was_read: AtomicBool::new(false),
            reader: AtomicU32::new(0),
            bytes_read: AtomicU64::new(0),
            rate: ReadRate::new(),
        }
    }

    pub(super) fn content_of(file: &OpenFile) -> OpenContent {
        let content = file.content();
        OpenContent { length: content.recording.size, hash: content.revision().0 }
    }

    pub(super) fn content(&self) -> OpenContent {
        Self::content_of(&self.file)
    }

    pub(super) fn set_reader(&self, reader: ReaderId) {
        self.reader.store(reader.0, Ordering::Relaxed);
    }

    pub(super) fn reader(&self) -> ReaderId {
        ReaderId(self.reader.load(Ordering::Relaxed))
    }

    /// Records that a read has returned `bytes` bytes.
    pub(super) fn record_read(&self, bytes: usize) {
        self.bytes_read.fetch_add(bytes as u64, Ordering::Relaxed);
        self.rate.record(bytes);
    }

    /// Returns the number of bytes that were read, and their number per second at present.
    pub(super) fn progress(&self) -> (u64, u64) {
        (self.bytes_read.load(Ordering::Relaxed), self.rate.bytes_per_second())
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

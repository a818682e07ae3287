//! Open files and directories by the number the kernel holds.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use fuser::FileHandle;
use parking_lot::RwLock;

use super::pages::OpenRecording;
use crate::tree::{Ino, Snapshot};

/// What a handle number stands for.
#[derive(Clone, Debug)]
pub(super) enum Handle {
    /// A recording file being read.
    Recording(Arc<OpenRecording>),
    /// A small file whose bytes are at hand.
    Text(Bytes),
    /// A directory as it was when it was opened: a listing neither skips nor repeats a name when the tree changes.
    Directory(Arc<Snapshot>, Ino),
}

/// All open handles. Their number is bounded by the kernel's limit on open files.
#[derive(Debug, Default)]
pub(super) struct Handles {
    next: AtomicU64,
    open: RwLock<HashMap<u64, Handle>>,
}

impl Handles {
    pub(super) fn insert(&self, handle: Handle) -> FileHandle {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.open.write().insert(number, handle);
        FileHandle(number)
    }

    pub(super) fn get(&self, number: FileHandle) -> Option<Handle> {
        self.open.read().get(&number.0).cloned()
    }

    /// The handle is given back so that it is dropped outside of the lock.
    pub(super) fn remove(&self, number: FileHandle) -> Option<Handle> {
        self.open.write().remove(&number.0)
    }
}

//! Open directories.

use std::sync::Arc;
use std::time::Duration;

use crate::sync::atomic::{AtomicBool, Ordering};
use crate::tree::{Ino, Node, Snapshot};

use super::attributes::{Attributes, FileKind};

/// A name in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirectoryEntry<'a> {
    /// The offset at which the listing continues after this entry.
    pub next_offset: u64,
    pub name: &'a str,
    pub ino: Ino,
    pub kind: FileKind,
}

/// A name in a directory with the attributes of its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirectoryEntryPlus<'a> {
    /// The offset at which the listing continues after this entry.
    pub next_offset: u64,
    pub name: &'a str,
    pub attributes: Attributes,
    /// How long the kernel may cache the name and the attributes.
    pub ttl: Duration,
}

/// The entries of a directory at the time when it was opened or rewound. Therefore a listing
/// neither skips nor repeats a name when the tree changes.
#[derive(Clone, Debug)]
pub(super) struct DirectoryStream {
    pub(super) snapshot: Arc<Snapshot>,
    directory: Ino,
    /// Whether a listing has started.
    is_started: Arc<AtomicBool>,
}

impl DirectoryStream {
    pub(super) fn new(snapshot: Arc<Snapshot>, directory: Ino) -> Self {
        Self { snapshot, directory, is_started: Arc::default() }
    }

    /// Records that a listing starts. Returns whether a listing has started before, which means
    /// that rewinddir(3) was called in between.
    pub(super) fn start(&self) -> bool {
        self.is_started.swap(true, Ordering::Relaxed)
    }

    /// Returns a stream of the same directory in another snapshot. If the snapshot does not contain
    /// the directory, the stream has no entries.
    pub(super) fn in_snapshot(&self, snapshot: Arc<Snapshot>) -> Self {
        Self { snapshot, directory: self.directory, is_started: self.is_started.clone() }
    }

    /// Returns the entries from `offset` on. `.` and `..` come first. Each entry has the offset of
    /// the next one.
    pub(super) fn entries(&self, offset: u64) -> impl Iterator<Item = (u64, &str, &Node)> {
        let snapshot = &*self.snapshot;
        let this = snapshot.node(self.directory);
        let parent = this.and_then(|this| snapshot.node(this.parent)).or(this);
        let dots = [(".", this), ("..", parent)];
        let dots = dots.into_iter().filter_map(|(name, node)| node.map(|node| (name, node)));
        let entries = snapshot.entries(self.directory).unwrap_or_default();
        let entries = entries.iter().filter_map(|ino| snapshot.node(*ino));
        dots.chain(entries.map(|node| (&*node.name, node)))
            .enumerate()
            .skip(usize::try_from(offset).unwrap_or(usize::MAX))
            .map(|(index, (name, node))| (index as u64 + 1, name, node))
    }
}

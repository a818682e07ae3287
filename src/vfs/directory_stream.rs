//! The entries of open directories.

use std::sync::Arc;
use std::time::Duration;

use crate::sync::atomic::{AtomicBool, Ordering};
use crate::tree::{Ino, Node, Snapshot};

use super::attributes::{Attributes, FileKind};

/// A directory entry, as readdir returns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirectoryEntry<'a> {
    /// Offset at which a listing continues after this entry.
    pub next_offset: u64,
    pub name: &'a str,
    pub ino: Ino,
    pub kind: FileKind,
}

/// A directory entry with the attributes of its node, as readdirplus returns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirectoryEntryPlus<'a> {
    /// Offset at which a listing continues after this entry.
    pub next_offset: u64,
    pub name: &'a str,
    pub attributes: Attributes,
    /// How long the kernel may cache the name and the attributes.
    pub ttl: Duration,
}

/// The entries that a directory had when it was opened or rewound. A listing therefore neither
/// skips nor repeats a name when the tree changes.
#[derive(Clone, Debug)]
pub(super) struct DirectoryStream {
    pub(super) snapshot: Arc<Snapshot>,
    directory: Ino,
    has_listing_started: Arc<AtomicBool>,
}

impl DirectoryStream {
    pub(super) fn new(snapshot: Arc<Snapshot>, directory: Ino) -> Self {
        Self { snapshot, directory, has_listing_started: Arc::default() }
    }

    /// Records that a listing starts at offset 0. Returns whether a listing has started before, in
    /// which case the program has called rewinddir(3).
    pub(super) fn start_listing(&self) -> bool {
        self.has_listing_started.swap(true, Ordering::Relaxed)
    }

    /// Returns a stream of the same directory in another snapshot. If the snapshot does not contain
    /// the directory, the stream has no entries.
    pub(super) fn in_snapshot(&self, snapshot: Arc<Snapshot>) -> Self {
        Self {
            snapshot,
            directory: self.directory,
            has_listing_started: self.has_listing_started.clone(),
        }
    }

    /// Returns the entries from `offset` on, each with the offset of the next entry. The first two
    /// entries are `.` and `..`.
    pub(super) fn entries(&self, offset: u64) -> impl Iterator<Item = (u64, &str, &Node)> {
        let snapshot = &*self.snapshot;
        let directory = snapshot.node(self.directory);
        let parent = directory.and_then(|node| snapshot.node(node.parent)).or(directory);
        let dot_entries = [(".", directory), ("..", parent)];
        let dot_entries =
            dot_entries.into_iter().filter_map(|(name, node)| node.map(|node| (name, node)));
        let entries = snapshot.entries(self.directory).unwrap_or_default();
        let entries = entries.iter().filter_map(|ino| snapshot.node(*ino));
        dot_entries
            .chain(entries.map(|node| (&*node.name, node)))
            .enumerate()
            .skip(usize::try_from(offset).unwrap_or(usize::MAX))
            .map(|(index, (name, node))| (index as u64 + 1, name, node))
    }
}

//! The finished tree: immutable, and answers every metadata call from memory.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use jiff::Timestamp;

use super::inode::{Identity, Ino};
use crate::model::{BodyKind, Document, FileId, Version};

/// One file or folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its inode number.
    pub ino: Ino,
    /// The folder it is in; the root is its own parent.
    pub parent: Ino,
    /// Its name in that folder; empty for the root.
    pub name: Arc<str>,
    /// Its modification time; may lie before 1970.
    pub modified: Timestamp,
    /// When its provider will delete it, where that is known.
    pub expires: Option<Timestamp>,
    /// What it holds.
    pub content: Content,
}

/// What a node holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A folder.
    Folder {
        /// What is in it, ordered by the bytes of the names.
        entries: Box<[Ino]>,
    },
    /// A recording file: its bytes are at the provider.
    Recording {
        /// Which file.
        id: FileId,
        /// Which content of it.
        version: Version,
        /// Its length in bytes.
        size: u64,
        /// What its bytes must look like.
        body: BodyKind,
    },
    /// A file whose bytes are here.
    Text(Bytes),
    /// A file whose bytes are made from what is here.
    Document(Arc<Document>),
    /// What stands where a recording file would that cannot be had.
    Note {
        /// Why, for a person.
        text: Bytes,
        /// Length in bytes of the file itself, where that is listed.
        stands_for: Option<u64>,
    },
}

impl Node {
    /// Its length in bytes; 0 for a folder.
    pub fn size(&self) -> u64 {
        match &self.content {
            Content::Folder { .. } => 0,
            Content::Recording { size, .. } => *size,
            Content::Text(text) | Content::Note { text, .. } => text.len() as u64,
            Content::Document(document) => document.length(),
        }
    }

    /// Whether it is a folder.
    pub fn is_folder(&self) -> bool {
        matches!(self.content, Content::Folder { .. })
    }
}

/// How much a snapshot shows, for `statfs`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Sum of the lengths of all files, in bytes. A file that stands under two names counts twice, as it does for `du`.
    pub bytes: u64,
    /// Number of files.
    pub files: u64,
    /// Number of folders, the root included.
    pub folders: u64,
}

/// The whole archive at one moment.
///
/// **Invariant**: `nodes` is ordered by inode number, holds the root, and every entry and parent is in it; `places`
/// has the place in `nodes` of each.
#[derive(Clone, Debug)]
pub struct Snapshot {
    nodes: Box<[Node]>,
    /// Every metadata call begins with a number. Hashing finds it four times as fast as a search through the
    /// megabytes of a large archive's nodes (100,000 files).
    places: HashMap<Ino, usize>,
    /// Added up when somebody asks, for the lengths of documents are found out by making them.
    totals: OnceLock<Totals>,
}

/// A node before it has a number. The parent is the place of an earlier draft; the root is its own.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) parent: usize,
    pub(super) name: Arc<str>,
    pub(super) identity: Identity,
    pub(super) modified: Timestamp,
    pub(super) expires: Option<Timestamp>,
    pub(super) content: Content,
}

impl Draft {
    pub(super) fn root() -> Self {
        Self {
            parent: 0,
            name: "".into(),
            identity: Identity::ROOT,
            modified: Timestamp::UNIX_EPOCH,
            expires: None,
            content: Content::Folder { entries: Box::default() },
        }
    }
}

impl Snapshot {
    /// A root with nothing in it.
    pub fn empty() -> Self {
        Self::assemble(vec![Draft::root()], &[Ino::ROOT])
    }

    /// Joins drafts and their numbers; `drafts` begins with the root.
    pub(super) fn assemble(drafts: Vec<Draft>, inos: &[Ino]) -> Self {
        let ino = |place: usize| inos.get(place).copied().unwrap_or(Ino::ROOT);
        let mut nodes = Vec::with_capacity(drafts.len());
        let mut children = Vec::with_capacity(drafts.len());
        for (place, draft) in drafts.into_iter().enumerate() {
            let node = Node {
                ino: ino(place),
                parent: ino(draft.parent),
                name: draft.name,
                modified: draft.modified,
                expires: draft.expires,
                content: draft.content,
            };
            if node.ino != Ino::ROOT {
                children.push((node.parent, Arc::clone(&node.name), node.ino));
            }
            nodes.push(node);
        }
        children.sort_unstable();
        nodes.sort_unstable_by_key(|node| node.ino);
        let mut rest = children.as_slice();
        for node in &mut nodes {
            let (own, others) = rest.split_at(rest.partition_point(|(parent, ..)| *parent <= node.ino));
            rest = others;
            if let Content::Folder { entries } = &mut node.content {
                *entries = own.iter().map(|(.., child)| *child).collect();
            }
        }
        let places = nodes.iter().enumerate().map(|(place, node)| (node.ino, place)).collect();
        Self { nodes: nodes.into(), places, totals: OnceLock::new() }
    }

    /// The node with this number, if it is there now.
    pub fn node(&self, ino: Ino) -> Option<&Node> {
        self.places.get(&ino).and_then(|place| self.nodes.get(*place))
    }

    /// The node called `name` in the folder `parent`.
    pub fn lookup(&self, parent: Ino, name: &str) -> Option<&Node> {
        let entries = self.entries(parent)?;
        let named = |ino: &Ino| self.node(*ino).map(|node| &*node.name);
        let place = entries.binary_search_by(|ino| named(ino).cmp(&Some(name))).ok()?;
        entries.get(place).and_then(|ino| self.node(*ino))
    }

    /// What is in `folder`, ordered by the bytes of the names, without `.` and `..`; `None` where it is no folder.
    pub fn entries(&self, folder: Ino) -> Option<&[Ino]> {
        match &self.node(folder)?.content {
            Content::Folder { entries } => Some(entries),
            Content::Recording { .. } | Content::Text(_) | Content::Document(_) | Content::Note { .. } => {
                None
            }
        }
    }

    /// How much there is.
    pub fn totals(&self) -> Totals {
        *self.totals.get_or_init(|| {
            let mut totals = Totals::default();
            for node in &self.nodes {
                totals.bytes = totals.bytes.saturating_add(node.size());
                *if node.is_folder() { &mut totals.folders } else { &mut totals.files } += 1;
            }
            totals
        })
    }

    /// All nodes, ordered by inode number.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(parent: usize, name: &str) -> Draft {
        let content = Content::Folder { entries: Box::default() };
        Draft { parent, name: name.into(), content, ..Draft::root() }
    }

    fn text(parent: usize, name: &str, text: &'static str) -> Draft {
        Draft { content: Content::Text(text.into()), ..folder(parent, name) }
    }

    fn sample() -> Snapshot {
        let drafts =
            vec![Draft::root(), folder(0, "b"), folder(0, "a"), text(1, "é", "12"), text(1, "z", "345")];
        Snapshot::assemble(drafts, &[Ino::ROOT, Ino(50), Ino(90), Ino(7), Ino(60)])
    }

    #[test]
    fn entries_are_ordered_by_name_and_not_by_number() {
        let snapshot = sample();
        assert_eq!(snapshot.entries(Ino::ROOT), Some(&[Ino(90), Ino(50)][..]));
        assert_eq!(snapshot.entries(Ino(50)), Some(&[Ino(60), Ino(7)][..]));
        assert_eq!(snapshot.entries(Ino(90)), Some(&[][..]));
        assert_eq!(snapshot.entries(Ino(7)), None);
        assert_eq!(snapshot.entries(Ino(8)), None);
    }

    #[test]
    fn a_lookup_finds_the_exact_name_in_its_folder_only() {
        let snapshot = sample();
        assert_eq!(snapshot.lookup(Ino::ROOT, "b").map(|node| node.ino), Some(Ino(50)));
        assert_eq!(
            snapshot.lookup(Ino(50), "é").map(|node| (node.ino, node.parent)),
            Some((Ino(7), Ino(50)))
        );
        for (parent, name) in
            [(Ino::ROOT, "é"), (Ino::ROOT, ""), (Ino(50), "E"), (Ino(7), "z"), (Ino(99), "b")]
        {
            assert_eq!(snapshot.lookup(parent, name), None, "{name} in {parent}");
        }
    }

    #[test]
    fn totals_count_bytes_files_and_the_root() {
        assert_eq!(sample().totals(), Totals { bytes: 5, files: 2, folders: 3 });
        assert_eq!(Snapshot::empty().totals(), Totals { bytes: 0, files: 0, folders: 1 });
    }

    #[test]
    fn the_empty_snapshot_is_a_root_of_the_epoch() {
        let snapshot = Snapshot::empty();
        let root = snapshot.node(Ino::ROOT).unwrap();
        assert_eq!((root.parent, root.modified, root.is_folder()), (Ino::ROOT, Timestamp::UNIX_EPOCH, true));
        assert_eq!(snapshot.entries(Ino::ROOT), Some(&[][..]));
    }
}

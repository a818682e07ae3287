//! The finished tree: immutable, and answers every metadata call from memory.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use jiff::Timestamp;

use super::inode::{Identity, Ino};
use crate::model::{BodyKind, Document, FileId, Version};

/// One file or directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its inode number.
    pub ino: Ino,
    /// The directory it is in; the root is its own parent.
    pub parent: Ino,
    /// Its name in that directory; empty for the root.
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
    /// A directory.
    Directory {
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
        declared_size: Option<u64>,
    },
}

impl Node {
    /// Its length in bytes; 0 for a directory.
    pub fn size(&self) -> u64 {
        match &self.content {
            Content::Directory { .. } => 0,
            Content::Recording { size, .. } => *size,
            Content::Text(text) | Content::Note { text, .. } => text.len() as u64,
            Content::Document(document) => document.length(),
        }
    }

    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        matches!(self.content, Content::Directory { .. })
    }
}

/// How much a snapshot shows, for `statfs`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Sum of the lengths of all files, in bytes. A file that stands under two names counts twice, as it does for `du`.
    pub bytes: u64,
    /// Number of files.
    pub files: u64,
    /// Number of directories, the root included.
    pub directories: u64,
}

/// The whole archive at one moment.
///
/// **Invariant**: `nodes` is ordered by inode number, holds the root, and every entry and parent is in it.
#[derive(Clone, Debug)]
pub struct Snapshot {
    nodes: Box<[Node]>,
    places: Places,
    /// Added up when somebody asks, for the lengths of documents are found out by making them.
    totals: OnceLock<Totals>,
}

/// The nodes of a tree before they have numbers: until then, places stand for them. Those of a large archive are many
/// megabytes, so they become the snapshot's own where they lie.
///
/// **Invariant**: the first is the root, parents stand before their children, and each has an identity.
#[derive(Debug)]
pub(super) struct Drafts {
    nodes: Vec<Node>,
    identities: Vec<Identity>,
}

impl Drafts {
    /// The root alone, with room for `more`.
    pub(super) fn new(more: usize) -> Self {
        let (nodes, identities) = (Vec::with_capacity(more + 1), Vec::with_capacity(more + 1));
        let mut drafts = Self { nodes, identities };
        drafts.add(
            0,
            "".into(),
            Identity::ROOT,
            Timestamp::UNIX_EPOCH,
            Content::Directory { entries: Box::default() },
        );
        drafts
    }

    /// Adds a node below the one at the place `parent`; its own place.
    pub(super) fn add(
        &mut self,
        parent: usize,
        name: Arc<str>,
        identity: Identity,
        modified: Timestamp,
        content: Content,
    ) -> usize {
        let place = self.nodes.len();
        let (ino, parent) = (Ino(place as u64), Ino(parent as u64));
        self.nodes.push(Node { ino, parent, name, modified, expires: None, content });
        self.identities.push(identity);
        place
    }

    /// The node at a place.
    pub(super) fn get_mut(&mut self, place: usize) -> Option<&mut Node> {
        self.nodes.get_mut(place)
    }

    /// What the nodes are, in the order of their places.
    pub(super) fn identities(&self) -> &[Identity] {
        &self.identities
    }
}

/// Where in the nodes a number is. Every metadata call begins with one, and a search through the megabytes of a large
/// archive's nodes takes four times as long as this.
///
/// Numbers are hashes, so a node's place among all of them is known within a few: of as many equal parts as there are
/// nodes, each part of the numbers has one on average. A hash table would take four times the memory, in each of the
/// snapshots that are alive at the same time.
#[derive(Clone, Debug)]
struct Places {
    /// The place of the first node of each part, and behind them the number of nodes.
    starts: Box<[usize]>,
}

impl Places {
    fn of(nodes: &[Node]) -> Self {
        let mut starts = Vec::with_capacity(nodes.len() + 1);
        for (place, node) in nodes.iter().enumerate() {
            let part = Self::part(node.ino, nodes.len());
            while starts.len() <= part {
                starts.push(place);
            }
        }
        starts.resize(nodes.len() + 1, nodes.len());
        Self { starts: starts.into() }
    }

    /// Which of `parts` parts of all numbers one is in.
    fn part(ino: Ino, parts: usize) -> usize {
        let part = (u128::from(ino.0) * parts as u128) >> Ino::BITS;
        usize::try_from(part).unwrap_or(usize::MAX)
    }

    /// The places that a number can have.
    fn near(&self, ino: Ino) -> Range<usize> {
        let part = Self::part(ino, self.starts.len() - 1);
        match self.starts.get(part..) {
            Some([from, to, ..]) => *from..*to,
            // No node has such a number.
            _ => 0..0,
        }
    }
}

impl Snapshot {
    /// A root with nothing in it.
    pub fn empty() -> Self {
        Self::assemble(Drafts::new(0), &[Ino::ROOT])
    }

    /// Joins drafts and their numbers.
    pub(super) fn assemble(drafts: Drafts, inos: &[Ino]) -> Self {
        let numbered = |place: Ino| {
            let place = usize::try_from(place.0).ok();
            place.and_then(|place| inos.get(place)).copied().unwrap_or(Ino::ROOT)
        };
        let Drafts { mut nodes, identities } = drafts;
        drop(identities);
        for node in &mut nodes {
            (node.ino, node.parent) = (numbered(node.ino), numbered(node.parent));
        }
        // Ordered by directory and name, for the entries of each; then by number, for good.
        nodes.sort_unstable_by(|one, other| {
            (one.parent, &one.name, one.ino).cmp(&(other.parent, &other.name, other.ino))
        });
        let is_child = |node: &&Node| node.ino != Ino::ROOT;
        let children: Vec<(Ino, Ino)> =
            nodes.iter().filter(is_child).map(|node| (node.parent, node.ino)).collect();
        nodes.sort_unstable_by_key(|node| node.ino);
        let mut rest = children.as_slice();
        for node in &mut nodes {
            let (own, others) =
                rest.split_at(rest.partition_point(|(parent, _)| *parent <= node.ino));
            rest = others;
            if let Content::Directory { entries } = &mut node.content {
                *entries = own.iter().map(|(_, child)| *child).collect();
            }
        }
        let places = Places::of(&nodes);
        Self { nodes: nodes.into(), places, totals: OnceLock::new() }
    }

    /// The node with this number, if it is there now.
    pub fn node(&self, ino: Ino) -> Option<&Node> {
        let near = self.nodes.get(self.places.near(ino))?;
        near.binary_search_by_key(&ino, |node| node.ino).ok().and_then(|place| near.get(place))
    }

    /// The node called `name` in the directory `parent`.
    pub fn lookup(&self, parent: Ino, name: &str) -> Option<&Node> {
        let entries = self.entries(parent)?;
        let named = |ino: &Ino| self.node(*ino).map(|node| &*node.name);
        let place = entries.binary_search_by(|ino| named(ino).cmp(&Some(name))).ok()?;
        entries.get(place).and_then(|ino| self.node(*ino))
    }

    /// What is in `directory`, ordered by the bytes of the names, without `.` and `..`; `None` where it is no directory.
    pub fn entries(&self, directory: Ino) -> Option<&[Ino]> {
        match &self.node(directory)?.content {
            Content::Directory { entries } => Some(entries),
            Content::Recording { .. }
            | Content::Text(_)
            | Content::Document(_)
            | Content::Note { .. } => None,
        }
    }

    /// How much there is.
    pub fn totals(&self) -> Totals {
        *self.totals.get_or_init(|| {
            let mut totals = Totals::default();
            for node in &self.nodes {
                totals.bytes = totals.bytes.saturating_add(node.size());
                *if node.is_directory() { &mut totals.directories } else { &mut totals.files } += 1;
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

    fn sample() -> Snapshot {
        let directory = || Content::Directory { entries: Box::default() };
        let text = |text: &'static str| Content::Text(text.into());
        let mut drafts = Drafts::new(4);
        for (parent, name, content) in [
            (0, "b", directory()),
            (0, "a", directory()),
            (1, "é", text("12")),
            (1, "z", text("345")),
        ] {
            drafts.add(parent, name.into(), Identity::ROOT, Timestamp::UNIX_EPOCH, content);
        }
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
    fn a_lookup_finds_the_exact_name_in_its_directory_only() {
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
    fn every_number_is_found_however_the_numbers_lie_and_no_other_is() {
        let highest = (1 << Ino::BITS) - 1;
        for mut numbers in [
            vec![],
            vec![2, 3, 4, 5],
            vec![highest, highest - 1],
            (2..500).map(|step| step * (highest / 500)).collect(),
            (2..500_u64)
                .map(|step| xxhash_rust::xxh3::xxh3_64(&step.to_le_bytes()) & highest)
                .collect(),
        ] {
            numbers.insert(0, 1);
            let mut drafts = Drafts::new(numbers.len());
            for _ in 1..numbers.len() {
                drafts.add(
                    0,
                    "x".into(),
                    Identity::ROOT,
                    Timestamp::UNIX_EPOCH,
                    Content::Text("".into()),
                );
            }
            let inos: Vec<_> = numbers.iter().copied().map(Ino).collect();
            let snapshot = Snapshot::assemble(drafts, &inos);
            for number in numbers.iter().flat_map(|number| [number - 1, *number, number + 1]) {
                let found = snapshot.node(Ino(number)).map(|node| node.ino.0);
                assert_eq!(found, numbers.contains(&number).then_some(number));
            }
            assert!(
                [0, highest + 1, u64::MAX]
                    .iter()
                    .all(|number| snapshot.node(Ino(*number)).is_none())
            );
        }
    }

    #[test]
    fn totals_count_bytes_files_and_the_root() {
        assert_eq!(sample().totals(), Totals { bytes: 5, files: 2, directories: 3 });
        assert_eq!(Snapshot::empty().totals(), Totals { bytes: 0, files: 0, directories: 1 });
    }

    #[test]
    fn the_empty_snapshot_is_a_root_of_the_epoch() {
        let snapshot = Snapshot::empty();
        let root = snapshot.node(Ino::ROOT).unwrap();
        assert_eq!(
            (root.parent, root.modified, root.is_directory()),
            (Ino::ROOT, Timestamp::UNIX_EPOCH, true)
        );
        assert_eq!(snapshot.entries(Ino::ROOT), Some(&[][..]));
    }
}

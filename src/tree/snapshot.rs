//! The finished tree. It is immutable and answers every metadata call from memory.

use std::collections::HashMap;
use std::sync::OnceLock;

use super::draft::SnapshotDraft;
use super::inode::Ino;
use super::inode_index::InodeIndex;
use super::node::{Content, Node};
use super::source_totals::SourceTotals;
use crate::model::SourceName;

/// The totals of a snapshot, as reported by `statfs`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// The sum of the lengths of all files, in bytes. A file with two names counts twice, as in
    /// `du`.
    pub bytes: u64,
    pub files: u64,
    /// The number of directories, including the root.
    pub directories: u64,
}

/// The tree of the archive at one moment.
///
/// **Invariant**: `nodes` is ordered by inode number, and contains the root, every entry of a
/// directory, and the parent of every node.
#[derive(Clone, Debug)]
pub struct Snapshot {
    nodes: Box<[Node]>,
    index: InodeIndex,
    sources: HashMap<SourceName, SourceTotals>,
    /// The totals, computed on demand because the length of a document is known only after it is
    /// generated.
    totals: OnceLock<Totals>,
}

impl Snapshot {
    /// Returns a snapshot that contains only the root.
    pub fn empty() -> Self {
        Self::assemble(SnapshotDraft::with_capacity(0), &[Ino::ROOT])
    }

    /// Creates a snapshot from a draft. `inos` are the inode numbers of the nodes in the draft.
    pub(super) fn assemble(mut draft: SnapshotDraft, inos: &[Ino]) -> Self {
        let sources = std::mem::take(&mut draft.sources);
        let mut nodes = draft.into_nodes(inos);
        // The nodes are sorted by directory and name to collect the entries, and then by number for
        // lookups.
        nodes.sort_unstable_by(|one, other| {
            (one.parent, &one.name, one.ino).cmp(&(other.parent, &other.name, other.ino))
        });
        let is_child = |node: &&Node| node.ino != Ino::ROOT;
        let children: Vec<(Ino, Ino)> =
            nodes.iter().filter(is_child).map(|node| (node.parent, node.ino)).collect();
        nodes.sort_unstable_by_key(|node| node.ino);
        let mut remaining_children = children.as_slice();
        for node in &mut nodes {
            let child_count = remaining_children.partition_point(|(parent, _)| *parent <= node.ino);
            let (own_children, other_children) = remaining_children.split_at(child_count);
            remaining_children = other_children;
            if let Content::Directory { entries } = &mut node.content {
                *entries = own_children.iter().map(|(_, child)| *child).collect();
            }
        }
        let index = InodeIndex::new(&nodes);
        Self { nodes: nodes.into(), index, sources, totals: OnceLock::new() }
    }

    pub fn node(&self, ino: Ino) -> Option<&Node> {
        let nodes = self.nodes.get(self.index.candidates(ino))?;
        nodes
            .binary_search_by_key(&ino, |node| node.ino)
            .ok()
            .and_then(|position| nodes.get(position))
    }

    /// Returns the node that has this name in the directory `parent`.
    pub fn lookup(&self, parent: Ino, name: &str) -> Option<&Node> {
        let entries = self.entries(parent)?;
        let name_of = |ino: &Ino| self.node(*ino).map(|node| &*node.name);
        let position = entries.binary_search_by(|ino| name_of(ino).cmp(&Some(name))).ok()?;
        entries.get(position).and_then(|ino| self.node(*ino))
    }

    /// Returns the inode numbers of the entries of `directory`, ordered by the bytes of their
    /// names, without `.` and `..`. Returns `None` if `directory` is not a directory.
    pub fn entries(&self, directory: Ino) -> Option<&[Ino]> {
        match &self.node(directory)?.content {
            Content::Directory { entries } => Some(entries),
            Content::Recording { .. }
            | Content::Text(_)
            | Content::Document(_)
            | Content::Note { .. } => None,
        }
    }

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

    /// Returns the numbers of displayed meetings and files of a source.
    pub fn source_totals(&self, source: &SourceName) -> SourceTotals {
        self.sources.get(source).copied().unwrap_or_default()
    }

    /// Returns all nodes, ordered by inode number.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::super::inode::Identity;
    use super::*;

    fn sample_snapshot() -> Snapshot {
        let directory = || Content::Directory { entries: Box::default() };
        let text = |text: &'static str| Content::Text(text.into());
        let mut draft = SnapshotDraft::with_capacity(4);
        for (parent, name, content) in [
            (0, "b", directory()),
            (0, "a", directory()),
            (1, "é", text("12")),
            (1, "z", text("345")),
        ] {
            draft.add(parent, name.into(), Identity::ROOT, Timestamp::UNIX_EPOCH, content);
        }
        Snapshot::assemble(draft, &[Ino::ROOT, Ino(50), Ino(90), Ino(7), Ino(60)])
    }

    #[test]
    fn entries_are_ordered_by_name() {
        let snapshot = sample_snapshot();
        assert_eq!(snapshot.entries(Ino::ROOT), Some(&[Ino(90), Ino(50)][..]));
        assert_eq!(snapshot.entries(Ino(50)), Some(&[Ino(60), Ino(7)][..]));
        assert_eq!(snapshot.entries(Ino(90)), Some(&[][..]));
        assert_eq!(snapshot.entries(Ino(7)), None);
        assert_eq!(snapshot.entries(Ino(8)), None);
    }

    #[test]
    fn lookup_matches_exact_name_in_its_directory() {
        let snapshot = sample_snapshot();
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
    fn only_assigned_inode_numbers_are_found() {
        let max_ino = (1 << Ino::BITS) - 1;
        for mut numbers in [
            vec![],
            vec![2, 3, 4, 5],
            vec![max_ino, max_ino - 1],
            (2..500).map(|step| step * (max_ino / 500)).collect(),
            (2..500_u64)
                .map(|step| xxhash_rust::xxh3::xxh3_64(&step.to_le_bytes()) & max_ino)
                .collect(),
        ] {
            numbers.insert(0, 1);
            let mut draft = SnapshotDraft::with_capacity(numbers.len());
            for _ in 1..numbers.len() {
                draft.add(
                    0,
                    "x".into(),
                    Identity::ROOT,
                    Timestamp::UNIX_EPOCH,
                    Content::Text("".into()),
                );
            }
            let inos: Vec<_> = numbers.iter().copied().map(Ino).collect();
            let snapshot = Snapshot::assemble(draft, &inos);
            for number in numbers.iter().flat_map(|number| [number - 1, *number, number + 1]) {
                let ino = snapshot.node(Ino(number)).map(|node| node.ino.0);
                assert_eq!(ino, numbers.contains(&number).then_some(number));
            }
            assert!(
                [0, max_ino + 1, u64::MAX]
                    .iter()
                    .all(|number| snapshot.node(Ino(*number)).is_none())
            );
        }
    }

    #[test]
    fn totals_count_bytes_files_and_the_root() {
        assert_eq!(sample_snapshot().totals(), Totals { bytes: 5, files: 2, directories: 3 });
        assert_eq!(Snapshot::empty().totals(), Totals { bytes: 0, files: 0, directories: 1 });
    }

    #[test]
    fn empty_snapshot_has_only_a_root_from_1970() {
        let snapshot = Snapshot::empty();
        let root = snapshot.node(Ino::ROOT).unwrap();
        assert_eq!(
            (root.parent, root.recording_end, root.is_directory()),
            (Ino::ROOT, Timestamp::UNIX_EPOCH, true)
        );
        assert_eq!(snapshot.entries(Ino::ROOT), Some(&[][..]));
    }
}

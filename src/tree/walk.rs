//! The order in which programs walk directories.

use std::sync::Arc;

use super::inode::Ino;
use super::snapshot::Snapshot;

/// The order in which a program reads the entries of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WalkOrder {
    /// By name, which is the order of directory entries. `grep -r`, `find`, `rsync` and indexers
    /// use this order.
    ByName,
    /// By inode number, which is the fastest order on rotating disks. `cp -r` uses this order.
    ByInode,
}

/// Iterates over the files of one snapshot in depth-first order, beginning after a given file.
#[derive(Debug)]
pub struct TreeWalk {
    snapshot: Arc<Snapshot>,
    order: WalkOrder,
    /// The remaining entries of each directory on the path from the root to the current directory,
    /// in reverse order.
    remaining_entries: Vec<Vec<Ino>>,
}

impl TreeWalk {
    /// Creates a walk that begins after `file`. Returns `None` if the snapshot does not contain the
    /// file.
    pub fn starting_after(snapshot: Arc<Snapshot>, file: Ino, order: WalkOrder) -> Option<Self> {
        let mut walk = Self { order, remaining_entries: Vec::new(), snapshot };
        let mut current_ino = file;
        while current_ino != Ino::ROOT {
            let parent = walk.snapshot.node(current_ino)?.parent;
            let mut entries = walk.reversed_entries(parent);
            let position = entries.iter().position(|entry| *entry == current_ino)?;
            entries.truncate(position);
            walk.remaining_entries.push(entries);
            current_ino = parent;
        }
        walk.remaining_entries.reverse();
        Some(walk)
    }

    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    fn reversed_entries(&self, directory: Ino) -> Vec<Ino> {
        let mut entries = self.snapshot.entries(directory).unwrap_or_default().to_vec();
        match self.order {
            WalkOrder::ByName => entries.reverse(),
            WalkOrder::ByInode => entries.sort_unstable_by(|one, other| other.cmp(one)),
        }
        entries
    }
}

impl Iterator for TreeWalk {
    type Item = Ino;

    fn next(&mut self) -> Option<Ino> {
        loop {
            let Some(entry) = self.remaining_entries.last_mut()?.pop() else {
                self.remaining_entries.pop();
                continue;
            };
            if !self.snapshot.node(entry).is_some_and(|node| node.is_directory()) {
                return Some(entry);
            }
            let entries = self.reversed_entries(entry);
            self.remaining_entries.push(entries);
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::super::draft::SnapshotDraft;
    use super::super::inode::Identity;
    use super::super::node::Content;
    use super::*;

    /// Returns a tree with the files `/b/x`, `/b/y`, `/a/z` and `/c`. The order of their inode
    /// numbers is opposite to the order of their names.
    fn sample_tree() -> Arc<Snapshot> {
        let mut draft = SnapshotDraft::with_capacity(6);
        let mut add = |parent, name: &str, content| {
            draft.add(parent, name.into(), Identity::ROOT, Timestamp::UNIX_EPOCH, content)
        };
        for name in ["b", "a"] {
            add(0, name, Content::Directory { entries: Box::default() });
        }
        for (parent, name) in [(1, "x"), (1, "y"), (2, "z"), (0, "c")] {
            add(parent, name, Content::Text("t".into()));
        }
        let inos = [Ino::ROOT, Ino(20), Ino(30), Ino(9), Ino(8), Ino(7), Ino(10)];
        Arc::new(Snapshot::assemble(draft, &inos))
    }

    fn files_after(file: u64, order: WalkOrder) -> Vec<u64> {
        TreeWalk::starting_after(sample_tree(), Ino(file), order)
            .unwrap()
            .map(|ino| ino.0)
            .collect()
    }

    #[test]
    fn walk_by_name_crosses_directories() {
        assert_eq!(files_after(7, WalkOrder::ByName), [9, 8, 10]);
        assert_eq!(files_after(8, WalkOrder::ByName), [10]);
        assert!(files_after(10, WalkOrder::ByName).is_empty());
    }

    #[test]
    fn walk_by_inode_crosses_directories() {
        assert_eq!(files_after(10, WalkOrder::ByInode), [8, 9, 7]);
        assert_eq!(files_after(9, WalkOrder::ByInode), [7]);
    }

    #[test]
    fn unknown_file_does_not_start_a_walk() {
        assert!(TreeWalk::starting_after(sample_tree(), Ino(99), WalkOrder::ByName).is_none());
    }
}

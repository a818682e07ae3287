//! The order in which programs go through directories.

use std::sync::Arc;

use super::{Ino, Snapshot};

/// How a program orders what it finds in a directory before it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WalkOrder {
    /// As it is listed, by name: `grep -r`, `find`, `rsync`, an indexer.
    ByName,
    /// By inode number, which is the fastest on disks that turn: `cp -r`.
    ByInode,
}

/// The files that follow one, directory by directory and depth first.
///
/// It keeps to the snapshot it began with.
#[derive(Debug)]
pub struct TreeWalk {
    snapshot: Arc<Snapshot>,
    order: WalkOrder,
    /// For each directory from the root down: what is still to come in it, the next one last.
    rest: Vec<Vec<Ino>>,
}

impl TreeWalk {
    /// The files behind `file`; `None` where the snapshot does not have it.
    pub fn after(snapshot: Arc<Snapshot>, file: Ino, order: WalkOrder) -> Option<Self> {
        let mut course = Self { order, rest: Vec::new(), snapshot };
        let mut at = file;
        while at != Ino::ROOT {
            let parent = course.snapshot.node(at)?.parent;
            let mut rest = course.to_come(parent);
            let place = rest.iter().position(|entry| *entry == at)?;
            rest.truncate(place);
            course.rest.push(rest);
            at = parent;
        }
        course.rest.reverse();
        Some(course)
    }

    /// The snapshot it keeps to.
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    fn to_come(&self, directory: Ino) -> Vec<Ino> {
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
            let Some(entry) = self.rest.last_mut()?.pop() else {
                self.rest.pop();
                continue;
            };
            if !self.snapshot.node(entry).is_some_and(|node| node.is_directory()) {
                return Some(entry);
            }
            let inside = self.to_come(entry);
            self.rest.push(inside);
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::super::inode::Identity;
    use super::super::snapshot::Drafts;
    use super::*;
    use crate::tree::Content;

    /// `/b/{x,y}`, `/a/{z}`, `/c`, with numbers that run against the names.
    fn tree() -> Arc<Snapshot> {
        let mut drafts = Drafts::new(6);
        let mut add = |parent, name: &str, content| {
            drafts.add(parent, name.into(), Identity::ROOT, Timestamp::UNIX_EPOCH, content)
        };
        for name in ["b", "a"] {
            add(0, name, Content::Directory { entries: Box::default() });
        }
        for (parent, name) in [(1, "x"), (1, "y"), (2, "z"), (0, "c")] {
            add(parent, name, Content::Text("t".into()));
        }
        let inos = [Ino::ROOT, Ino(20), Ino(30), Ino(9), Ino(8), Ino(7), Ino(10)];
        Arc::new(Snapshot::assemble(drafts, &inos))
    }

    fn behind(file: u64, order: WalkOrder) -> Vec<u64> {
        TreeWalk::after(tree(), Ino(file), order).unwrap().map(|ino| ino.0).collect()
    }

    #[test]
    fn files_follow_each_other_by_name_through_all_directories() {
        assert_eq!(behind(7, WalkOrder::ByName), [9, 8, 10]);
        assert_eq!(behind(8, WalkOrder::ByName), [10]);
        assert!(behind(10, WalkOrder::ByName).is_empty());
    }

    #[test]
    fn files_follow_each_other_by_number_through_all_directories() {
        assert_eq!(behind(10, WalkOrder::ByInode), [8, 9, 7]);
        assert_eq!(behind(9, WalkOrder::ByInode), [7]);
    }

    #[test]
    fn nothing_follows_a_file_that_is_not_there() {
        assert!(TreeWalk::after(tree(), Ino(99), WalkOrder::ByName).is_none());
    }
}

//! The order in which programs go through directories.

use std::sync::Arc;

use super::{Ino, Snapshot};

/// How a program orders what it finds in a directory before it goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// As it is listed, by name: `grep -r`, `find`, `rsync`, an indexer.
    Names,
    /// By inode number, which is the fastest on disks that turn: `cp -r`.
    Numbers,
}

/// The files that follow one, directory by directory and depth first.
///
/// It keeps to the snapshot it began with.
#[derive(Debug)]
pub struct Course {
    snapshot: Arc<Snapshot>,
    order: Order,
    /// For each directory from the root down: what is still to come in it, the next one last.
    rest: Vec<Vec<Ino>>,
}

impl Course {
    /// The files behind `file`; `None` where the snapshot does not have it.
    pub fn behind(snapshot: Arc<Snapshot>, file: Ino, order: Order) -> Option<Self> {
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
            Order::Names => entries.reverse(),
            Order::Numbers => entries.sort_unstable_by(|one, other| other.cmp(one)),
        }
        entries
    }
}

impl Iterator for Course {
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

    fn behind(file: u64, order: Order) -> Vec<u64> {
        Course::behind(tree(), Ino(file), order).unwrap().map(|ino| ino.0).collect()
    }

    #[test]
    fn files_follow_each_other_by_name_through_all_directories() {
        assert_eq!(behind(7, Order::Names), [9, 8, 10]);
        assert_eq!(behind(8, Order::Names), [10]);
        assert!(behind(10, Order::Names).is_empty());
    }

    #[test]
    fn files_follow_each_other_by_number_through_all_directories() {
        assert_eq!(behind(10, Order::Numbers), [8, 9, 7]);
        assert_eq!(behind(9, Order::Numbers), [7]);
    }

    #[test]
    fn nothing_follows_a_file_that_is_not_there() {
        assert!(Course::behind(tree(), Ino(99), Order::Names).is_none());
    }
}

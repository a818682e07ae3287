//! The lengths and contents of the open files of each inode.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::tree::Ino;

/// The content that an open file returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OpenContent {
    /// The length in bytes.
    pub(super) length: u64,
    /// Differs for different contents of the same inode.
    pub(super) hash: u64,
}

/// The contents of the open files of each inode.
///
/// The kernel has one length for an inode and ends the reads of all its handles there. If the tree
/// gets a shorter length while a longer content is open, a program that copies the longer content
/// would see an early end of the file and report success. Therefore the length of an inode is at
/// least that of its longest open content.
#[derive(Debug, Default)]
pub(super) struct OpenFiles {
    contents: Mutex<HashMap<Ino, Vec<OpenContent>>>,
}

impl OpenFiles {
    /// Adds an open file. Returns whether another content of the inode is open.
    pub(super) fn add(&self, ino: Ino, content: OpenContent) -> bool {
        let mut contents = self.contents.lock();
        let open_contents = contents.entry(ino).or_default();
        let has_other = open_contents.iter().any(|other| *other != content);
        open_contents.push(content);
        has_other
    }

    /// Removes an open file. Returns its length if all other open files of the inode are shorter.
    pub(super) fn remove(&self, ino: Ino, content: OpenContent) -> Option<u64> {
        let mut contents = self.contents.lock();
        let open_contents = contents.get_mut(&ino)?;
        let index = open_contents.iter().position(|other| *other == content)?;
        open_contents.swap_remove(index);
        let longest = longest(open_contents);
        if open_contents.is_empty() {
            contents.remove(&ino);
        }
        (longest < content.length).then_some(content.length)
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.contents.lock().len()
    }

    /// Returns the length of the longest open content of an inode, or 0 if none is open.
    pub(super) fn longest(&self, ino: Ino) -> u64 {
        self.contents.lock().get(&ino).map_or(0, |contents| longest(contents))
    }
}

fn longest(contents: &[OpenContent]) -> u64 {
    contents.iter().map(|content| content.length).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INO: Ino = Ino(7);

    fn content(length: u64, hash: u64) -> OpenContent {
        OpenContent { length, hash }
    }

    #[test]
    fn length_is_that_of_the_longest_open_content() {
        let files = OpenFiles::default();
        assert_eq!(files.longest(INO), 0);
        files.add(INO, content(10, 1));
        files.add(INO, content(30, 2));
        files.add(INO, content(30, 2));
        assert_eq!((files.longest(INO), files.longest(Ino(8))), (30, 0));
        assert_eq!(files.remove(INO, content(30, 2)), None);
        assert_eq!(files.remove(INO, content(30, 2)), Some(30));
        assert_eq!(files.longest(INO), 10);
        assert_eq!(files.remove(INO, content(10, 1)), Some(10));
        assert!(files.contents.lock().is_empty());
    }

    #[test]
    fn other_content_of_the_inode_is_reported() {
        let files = OpenFiles::default();
        assert!(!files.add(INO, content(10, 1)));
        assert!(!files.add(INO, content(10, 1)));
        assert!(!files.add(Ino(8), content(10, 2)));
        assert!(files.add(INO, content(10, 2)));
    }

    #[test]
    fn unknown_file_is_not_removed() {
        let files = OpenFiles::default();
        files.add(INO, content(10, 1));
        assert_eq!(files.remove(INO, content(10, 2)), None);
        assert_eq!(files.remove(Ino(8), content(10, 1)), None);
        assert_eq!(files.longest(INO), 10);
    }
}

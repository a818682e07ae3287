//! Finds the node of an inode number.

use std::ops::Range;

use super::inode::Ino;
use super::node::Node;

/// Narrows an inode number down to a few nodes. Every metadata call starts with this lookup, and a
/// binary search in the megabytes of a large archive's nodes takes four times as long.
///
/// Inode numbers are hashes. The number space is divided into as many equal buckets as there are
/// nodes, so a bucket has one node on average. A hash table would use four times the memory, in
/// each of the snapshots that exist at the same time.
#[derive(Clone, Debug)]
pub(super) struct InodeIndex {
    /// The position of the first node of each bucket, followed by the number of nodes.
    starts: Box<[usize]>,
}

impl InodeIndex {
    /// Creates the index of nodes that are ordered by inode number.
    pub(super) fn new(nodes: &[Node]) -> Self {
        let mut starts = Vec::with_capacity(nodes.len() + 1);
        for (position, node) in nodes.iter().enumerate() {
            let bucket = Self::bucket(node.ino, nodes.len());
            while starts.len() <= bucket {
                starts.push(position);
            }
        }
        starts.resize(nodes.len() + 1, nodes.len());
        Self { starts: starts.into() }
    }

    /// Returns the positions that the node with this number can have.
    pub(super) fn candidates(&self, ino: Ino) -> Range<usize> {
        let bucket = Self::bucket(ino, self.starts.len() - 1);
        match self.starts.get(bucket..) {
            Some([from, to, ..]) => *from..*to,
            // The number is larger than any inode number.
            _ => 0..0,
        }
    }

    fn bucket(ino: Ino, buckets: usize) -> usize {
        let bucket = (u128::from(ino.0) * buckets as u128) >> Ino::BITS;
        usize::try_from(bucket).unwrap_or(usize::MAX)
    }
}

//! Finds the node that has an inode number.

use std::ops::Range;

use super::inode::Ino;
use super::node::Node;

/// Narrows the search for an inode number to a few nodes. Every metadata call starts with this
/// search. A binary search in all nodes of a large archive would take four times as long.
///
/// Inode numbers are hashes and therefore evenly distributed. The index divides the range of
/// numbers into as many equal buckets as there are nodes, so a bucket has one node on average. A
/// hash table would use four times as much memory, in each of the snapshots that exist at the same
/// time.
#[derive(Clone, Debug)]
pub(super) struct InodeIndex {
    /// The position of the first node of each bucket, and at the end the number of nodes.
    bucket_starts: Box<[usize]>,
}

impl InodeIndex {
    /// Creates the index of `nodes`, which must be ordered by inode number.
    pub(super) fn new(nodes: &[Node]) -> Self {
        let mut bucket_starts = Vec::with_capacity(nodes.len() + 1);
        for (position, node) in nodes.iter().enumerate() {
            let bucket = Self::bucket_index(node.ino, nodes.len());
            while bucket_starts.len() <= bucket {
                bucket_starts.push(position);
            }
        }
        bucket_starts.resize(nodes.len() + 1, nodes.len());
        Self { bucket_starts: bucket_starts.into() }
    }

    /// Returns the positions at which the node with this inode number can be.
    pub(super) fn candidates(&self, ino: Ino) -> Range<usize> {
        let bucket = Self::bucket_index(ino, self.bucket_starts.len() - 1);
        match self.bucket_starts.get(bucket..) {
            Some([from, to, ..]) => *from..*to,
            // The number is larger than all inode numbers.
            _ => 0..0,
        }
    }

    fn bucket_index(ino: Ino, bucket_count: usize) -> usize {
        let bucket = (u128::from(ino.0) * bucket_count as u128) >> Ino::BITS;
        usize::try_from(bucket).unwrap_or(usize::MAX)
    }
}

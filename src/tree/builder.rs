//! Builds snapshots.

use jiff::tz::TimeZone;

use super::inode::InodeTable;
use super::layout;
use super::snapshot::Snapshot;
use crate::model::SourceContents;

/// Builds snapshots and remembers the inode numbers that it assigned.
///
/// A process has one builder: a number is never assigned to two identities by the same builder.
#[derive(Debug)]
pub struct TreeBuilder {
    timezone: TimeZone,
    inodes: InodeTable,
}

impl TreeBuilder {
    /// Creates a builder whose directory names have the local time of `timezone`.
    pub fn new(timezone: TimeZone) -> Self {
        Self { timezone, inodes: InodeTable::new() }
    }

    pub fn build(&mut self, sources: &[SourceContents]) -> Snapshot {
        let draft = layout::lay_out(sources, &self.timezone);
        let inos = self.inodes.assign(draft.identities());
        Snapshot::assemble(draft, &inos)
    }
}

//! Builds snapshots of the tree.

use std::collections::HashMap;

use jiff::tz::TimeZone;

use super::inode::InodeTable;
use super::layout;
use super::snapshot::Snapshot;
use crate::model::{SourceContents, SourceName};

/// Builds snapshots and stores the inode numbers that it has assigned.
///
/// A process has only one builder, because a builder knows only the numbers that it has assigned
/// itself.
#[derive(Debug)]
pub struct TreeBuilder {
    timezone: TimeZone,
    zones: HashMap<SourceName, TimeZone>,
    inodes: InodeTable,
}

impl TreeBuilder {
    /// Creates a builder that uses the local time of `timezone` in directory names.
    pub fn new(timezone: TimeZone) -> Self {
        Self { timezone, zones: HashMap::new(), inodes: InodeTable::new() }
    }

    /// Sets the time zones of sources that use another time zone in directory names.
    pub fn with_zones(self, zones: HashMap<SourceName, TimeZone>) -> Self {
        Self { zones, ..self }
    }

    pub fn build(&mut self, sources: &[SourceContents]) -> Snapshot {
        let draft =
            layout::lay_out(sources, |source| self.zones.get(source).unwrap_or(&self.timezone));
        let inos = self.inodes.assign(draft.identities());
        Snapshot::assemble(draft, &inos)
    }
}

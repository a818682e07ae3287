//! Builds snapshots.

use std::collections::HashMap;

use jiff::tz::TimeZone;

use super::inode::InodeTable;
use super::layout;
use super::snapshot::Snapshot;
use crate::model::{SourceContents, SourceName};

/// Builds snapshots and remembers the inode numbers that it assigned.
///
/// A process has one builder: a number is never assigned to two identities by the same builder.
#[derive(Debug)]
pub struct TreeBuilder {
    timezone: TimeZone,
    zones: HashMap<SourceName, TimeZone>,
    inodes: InodeTable,
}

impl TreeBuilder {
    /// Creates a builder whose directory names have the local time of `timezone`.
    pub fn new(timezone: TimeZone) -> Self {
        Self { timezone, zones: HashMap::new(), inodes: InodeTable::new() }
    }

    /// Sets the time zones of single sources.
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

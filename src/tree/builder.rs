//! Builds snapshots of the tree.

use std::collections::HashMap;

use jiff::tz::TimeZone;

use super::inode::InodeTable;
use super::layout;
use super::snapshot::Snapshot;
use crate::model::{SourceContents, SourceName};

/// Builds snapshots and stores the inode numbers that it has assigned.
///
/// A process has only one builder. Two builders could assign the same number to different files.
#[derive(Debug)]
pub struct TreeBuilder {
    timezone: TimeZone,
    source_timezones: HashMap<SourceName, TimeZone>,
    inodes: InodeTable,
}

impl TreeBuilder {
    /// Creates a builder that uses the local time of `timezone` in directory names.
    pub fn new(timezone: TimeZone) -> Self {
        Self { timezone, source_timezones: HashMap::new(), inodes: InodeTable::new() }
    }

    /// Sets the time zones of the sources whose directory names use another time zone.
    pub fn with_source_timezones(self, source_timezones: HashMap<SourceName, TimeZone>) -> Self {
        Self { source_timezones, ..self }
    }

    pub fn build(&mut self, sources: &[SourceContents]) -> Snapshot {
        let draft = layout::lay_out(sources, |source| {
            self.source_timezones.get(source).unwrap_or(&self.timezone)
        });
        let inos = self.inodes.assign(draft.identities());
        Snapshot::assemble(draft, &inos)
    }
}

//! The open handles of a mount, and counts of their reads.

use super::handle::Handle;
use super::handle_table::HandleTable;
use super::read_counters::{ReadCounters, ReadCounts};

/// The open handles of a mount. It is separate from the file system, which belongs to the kernel
/// interface, so that status reports can show the open files.
#[derive(Debug, Default)]
pub struct Handles {
    pub(super) table: HandleTable<Handle>,
    pub(super) counters: ReadCounters,
}

impl Handles {
    /// Returns the number of open files, without directories.
    pub fn open_file_count(&self) -> usize {
        self.table.count(|handle| !matches!(handle, Handle::Directory(_)))
    }

    /// Returns the counts of reads since the mount started.
    pub fn read_counts(&self) -> ReadCounts {
        self.counters.counts()
    }
}

//! The open handles of a mount, and counts of their reads.

use std::sync::Arc;

use super::handle::Handle;
use super::handle_table::HandleTable;
use super::open_recording::ReaderId;
use super::read_counters::{ReadCounters, ReadCounts};
use crate::read::OpenFile;
use crate::tree::Ino;

/// The open handles of a mount. It is separate from the file system, which belongs to the kernel
/// interface, so that status reports can show the open files.
#[derive(Debug, Default)]
pub struct Handles {
    pub(super) table: HandleTable<Handle>,
    pub(super) counters: ReadCounters,
}

/// An open recording file, for status reports.
#[derive(Clone, Debug)]
pub struct OpenFileStatus {
    pub ino: Ino,
    pub file: Arc<OpenFile>,
    pub reader: ReaderId,
    /// Number of bytes that were read through the daemon.
    pub bytes_read: u64,
    pub bytes_per_second: u64,
}

impl Handles {
    /// Returns the open recording files, in no particular order.
    pub fn open_recordings(&self) -> Vec<OpenFileStatus> {
        let status = |handle: &Handle| {
            let Handle::Recording(recording) = handle else { return None };
            let (bytes_read, bytes_per_second) = recording.progress();
            Some(OpenFileStatus {
                ino: recording.ino,
                file: recording.file.clone(),
                reader: recording.reader(),
                bytes_read,
                bytes_per_second,
            })
        };
        self.table.filter_map(status)
    }

    /// Returns the number of open files, without directories.
    pub fn open_file_count(&self) -> usize {
        self.table.count(|handle| !matches!(handle, Handle::Directory(_)))
    }

    /// Returns the counts of reads since the mount started.
    pub fn read_counts(&self) -> ReadCounts {
        self.counters.counts()
    }
}

//! The progress of `meetfs expiring --not-in`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytesize::ByteSize;

/// Counts what is searched and compared. Clones share the counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct CopyProgress(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    found_files: AtomicU64,
    /// Number of files to compare. It is 0 during the search.
    files: AtomicU64,
    compared_files: AtomicU64,
    read_bytes: AtomicU64,
}

impl CopyProgress {
    pub(crate) fn record_found_file(&self) {
        self.0.found_files.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn start_comparison(&self, files: usize) {
        self.0.files.store(files as u64, Ordering::Relaxed);
    }

    pub(crate) fn record_compared_file(&self) {
        self.0.compared_files.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn record_read(&self, bytes: usize) {
        self.0.read_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(crate) fn describe(&self) -> String {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        match count(&self.0.files) {
            0 => format!("searching for copies: {} files so far", count(&self.0.found_files)),
            files => format!(
                "comparing with copies: {} of {files} files, {} read",
                count(&self.0.compared_files),
                ByteSize(count(&self.0.read_bytes))
            ),
        }
    }
}

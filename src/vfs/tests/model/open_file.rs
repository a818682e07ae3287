//! The bytes that an open file may return.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::archive::Archive;
use super::mount::FileVersion;
use crate::http::Revision;

/// What a handle on a recording file may read: one revision of its version, with the listed size.
#[derive(Debug)]
pub(super) struct OpenRecordingModel {
    pub(super) file: FileVersion,
    pub(super) opened_at: Instant,
    /// The possible sizes of the file. There are several if the size was corrected during the open.
    pub(super) sizes: Vec<PossibleSize>,
}

#[derive(Debug)]
pub(super) struct PossibleSize {
    pub(super) size: u64,
    /// The revisions that agree with all bytes that have been read. `None` if none has been read.
    revisions: Option<Vec<Arc<Revision>>>,
}

impl OpenRecordingModel {
    pub(super) fn new(
        file: FileVersion,
        opened_at: Instant,
        sizes: impl IntoIterator<Item = u64>,
    ) -> Self {
        let mut sizes: Vec<_> = sizes.into_iter().collect();
        sizes.sort_unstable();
        sizes.dedup();
        let sizes = sizes.into_iter().map(|size| PossibleSize { size, revisions: None });
        Self { file, opened_at, sizes: sizes.collect() }
    }

    /// Records the result of a read.
    ///
    /// # Errors
    /// No revision of the file has these bytes and agrees with the earlier reads.
    pub(super) fn record_read(
        &mut self,
        archive: &Mutex<Archive>,
        offset: u64,
        size: u32,
        bytes: &[u8],
    ) -> Result<(), String> {
        let archive = archive.lock();
        let served = archive.files[self.file.number].version(self.file.version);
        self.sizes.retain_mut(|possible| {
            let expected_length = possible.size.saturating_sub(offset).min(u64::from(size));
            if bytes.len() as u64 != expected_length {
                return false;
            }
            if bytes.is_empty() {
                return true;
            }
            let revisions = possible.revisions.get_or_insert_with(|| {
                let revisions = served.into_iter().flat_map(|served| &served.revisions);
                revisions.filter(|revision| revision.length == possible.size).cloned().collect()
            });
            revisions.retain(|revision| revision.contains(offset, bytes));
            !revisions.is_empty()
        });
        if self.sizes.is_empty() {
            return Err(format!(
                "a read of {size} bytes at {offset} returned {} bytes, which are not those of {}",
                bytes.len(),
                self.file
            ));
        }
        Ok(())
    }

    /// Returns the revisions that the handle may read, if bytes have been read.
    pub(super) fn revisions(&self) -> Option<Vec<Arc<Revision>>> {
        let mut revisions = Vec::new();
        for possible in &self.sizes {
            revisions.extend(possible.revisions.as_ref()?.iter().cloned());
        }
        Some(revisions)
    }
}

//! The measured sizes of the files of one meeting.

use std::collections::HashMap;

use crate::model::{FileKey, RecordingFile, Version};

/// The measured sizes of files, in bytes. Each size belongs to one version of a file.
#[derive(Clone, Debug, Default)]
pub(super) struct MeasuredSizes(HashMap<FileKey, (Version, u64)>);

impl MeasuredSizes {
    /// Returns the measured size of `file` if it was measured for the same version.
    pub(super) fn get(&self, file: &RecordingFile) -> Option<u64> {
        let (version, size) = self.0.get(&file.id.key)?;
        (*version == file.version).then_some(*size)
    }

    /// Stores a measured size. Returns whether it differs from the stored size.
    pub(super) fn insert(&mut self, key: FileKey, version: Version, size: u64) -> bool {
        self.0.insert(key, (version, size)) != Some((version, size))
    }

    /// Returns the measured sizes of `files`, by key.
    pub(super) fn for_files(&self, files: &[RecordingFile]) -> HashMap<FileKey, u64> {
        let sizes = files.iter().filter_map(|file| Some((file.id.key.clone(), self.get(file)?)));
        sizes.collect()
    }
}

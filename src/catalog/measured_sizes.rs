//! The measured sizes of the files of a meeting.

use std::collections::HashMap;

use crate::model::{FileKey, RecordingFile, Version};

/// Measured lengths in bytes, each for one version of a file.
#[derive(Clone, Debug, Default)]
pub(super) struct MeasuredSizes(HashMap<FileKey, (Version, u64)>);

impl MeasuredSizes {
    /// Returns the size of the listed version of a file.
    pub(super) fn get(&self, file: &RecordingFile) -> Option<u64> {
        let (version, size) = self.0.get(&file.id.key)?;
        (*version == file.version).then_some(*size)
    }

    /// Returns whether the size was not known before.
    pub(super) fn insert(&mut self, key: FileKey, version: Version, size: u64) -> bool {
        self.0.insert(key, (version, size)) != Some((version, size))
    }

    /// Returns the known sizes of `files`, as the tree expects them.
    pub(super) fn of_files(&self, files: &[RecordingFile]) -> HashMap<FileKey, u64> {
        let sizes = files.iter().filter_map(|file| Some((file.id.key.clone(), self.get(file)?)));
        sizes.collect()
    }
}

//! The sources whose recordings are not known yet.

use std::collections::HashSet;

use parking_lot::Mutex;

use crate::model::SourceName;

/// The sources that no run has listed. Their directories exist, but opening one fails.
///
/// An empty directory would look like an archive without recordings, and `rsync --delete` would
/// delete the backup of the source. After an error, it deletes nothing (rsync(1),
/// `--ignore-errors`).
#[derive(Debug, Default)]
pub struct UnlistedSources(Mutex<HashSet<SourceName>>);

impl UnlistedSources {
    pub fn new(sources: impl IntoIterator<Item = SourceName>) -> Self {
        Self(Mutex::new(sources.into_iter().collect()))
    }

    /// Makes the directory of a source readable. Its recordings must be in the tree.
    pub fn remove(&self, source: &SourceName) {
        self.0.lock().remove(source);
    }

    /// Whether a directory in the root directory is that of an unlisted source.
    pub(super) fn contains(&self, directory: &str) -> bool {
        self.0.lock().iter().any(|source| source.as_str() == directory)
    }
}

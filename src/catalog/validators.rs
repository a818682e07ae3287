//! The last HTTP validators of files.

use std::collections::{HashMap, HashSet};

use crate::model::{FileId, FileKey, MeetingId, SourceName, Version};
use crate::sync::Mutex;

/// The validators of one source. Each belongs to one version of a file.
type SourceValidators = HashMap<(MeetingId, FileKey), (Version, String)>;

/// The last HTTP validator of each file.
///
/// The table has its own lock, so opening a file does not wait for the lock of the sources. The
/// lock of the table is held only for one lookup or update. It may be taken while the sources are
/// locked. No other lock is taken while it is held.
#[derive(Debug)]
pub(super) struct ValidatorTable(Mutex<HashMap<SourceName, SourceValidators>>);

impl ValidatorTable {
    /// Creates a table for these sources. Validators of other sources are not recorded.
    pub(super) fn new(sources: impl IntoIterator<Item = (SourceName, SourceValidators)>) -> Self {
        Self(Mutex::new(sources.into_iter().collect()))
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.lock().values().map(HashMap::len).sum()
    }

    pub(super) fn get(&self, id: &FileId, version: Version) -> Option<String> {
        let key = (id.meeting.clone(), id.key.clone());
        let sources = self.0.lock();
        let (stored_version, validator) = sources.get(&id.source)?.get(&key)?;
        (*stored_version == version).then(|| validator.clone())
    }

    /// Stores a validator. Returns whether it differs from the stored validator.
    pub(super) fn insert(&self, id: &FileId, version: Version, validator: &str) -> bool {
        let key = (id.meeting.clone(), id.key.clone());
        let value = (version, validator.to_owned());
        let mut sources = self.0.lock();
        let Some(validators) = sources.get_mut(&id.source) else { return false };
        validators.insert(key, value.clone()) != Some(value)
    }

    pub(super) fn remove(&self, id: &FileId) {
        if let Some(validators) = self.0.lock().get_mut(&id.source) {
            validators.remove(&(id.meeting.clone(), id.key.clone()));
        }
    }

    /// Removes the validators of the meetings of a source that `is_kept` does not match.
    pub(super) fn retain_meetings(
        &self,
        source: &SourceName,
        is_kept: impl Fn(&MeetingId) -> bool,
    ) {
        if let Some(validators) = self.0.lock().get_mut(source) {
            validators.retain(|(meeting, _), _| is_kept(meeting));
        }
    }

    pub(super) fn remove_meetings(&self, source: &SourceName, meetings: &[MeetingId]) {
        let meetings: HashSet<_> = meetings.iter().collect();
        if let Some(validators) = self.0.lock().get_mut(source) {
            validators.retain(|(meeting, _), _| !meetings.contains(meeting));
        }
    }
}

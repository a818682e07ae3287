//! Files that were deleted upstream and can still be read from the cache.
//!
//! If the source is configured to keep deleted files, a file that is not listed any more keeps its
//! name as long as the cache contains all of its bytes. The catalog stores the meeting, including
//! its deleted files. Files that are not cached are hidden but still affect the names of the
//! others, so no name changes.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::Debug;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::{Availability, FileId, FileKey, Meeting, MeetingId, Version};

/// A cache from which files can be read without their provider.
pub trait CachedFiles: Debug + Send + Sync {
    /// Returns whether the cache contains all bytes of a file version. `size` is its length in
    /// bytes, and `validator` is its last validator. May read from the disk.
    fn is_complete(
        &self,
        file: &FileId,
        version: Version,
        size: u64,
        validator: Option<&str>,
    ) -> bool;
}

/// A meeting that was deleted upstream, or some files of which were deleted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct DeletedMeeting {
    /// The meeting, including its deleted files.
    pub(super) meeting: Meeting,
    /// The keys of the files that were deleted.
    #[serde(rename = "gone")]
    pub(super) deleted_files: BTreeSet<FileKey>,
}

/// A deleted meeting and the keys of its files that are cached.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RetainedMeeting {
    pub(super) deleted_meeting: DeletedMeeting,
    pub(super) cached_files: HashSet<FileKey>,
}

impl RetainedMeeting {
    pub(super) fn id(&self) -> &MeetingId {
        &self.deleted_meeting.meeting.id
    }

    /// Returns the meeting, including its deleted files. Files that are not cached are hidden.
    pub(super) fn visible_meeting(&self) -> Meeting {
        let mut meeting = self.deleted_meeting.meeting.clone();
        for file in &mut meeting.files {
            if !self.cached_files.contains(&file.id.key) {
                file.availability = Availability::Absent;
            }
        }
        meeting
    }

    /// Returns the listed meeting with its deleted files added. Deleted files that are not cached
    /// are hidden.
    pub(super) fn merge_into(&self, listed_meeting: &Meeting) -> Meeting {
        let mut merged_meeting = listed_meeting.clone();
        for file in self.visible_meeting().files {
            let is_listed = merged_meeting.files.iter().any(|other| other.id.key == file.id.key);
            if !is_listed && self.deleted_meeting.deleted_files.contains(&file.id.key) {
                merged_meeting.files.push(file);
            }
        }
        merged_meeting
    }
}

/// The deleted meetings of a source whose files may still be shown.
#[derive(Debug, Default)]
pub(super) struct RetainedMeetings {
    /// The cache, or `None` if deleted files are not kept.
    cache: Option<Arc<dyn CachedFiles>>,
    meetings: HashMap<MeetingId, Arc<RetainedMeeting>>,
}

/// The changes that a listing makes to the retained meetings.
#[derive(Debug, Default)]
pub(super) struct RetentionChange {
    pub(super) updated_meetings: Vec<DeletedMeeting>,
    pub(super) removed_ids: Vec<MeetingId>,
    /// Whether the tree changes.
    pub(super) changes_tree: bool,
}

impl RetainedMeetings {
    pub(super) fn new(cache: Option<Arc<dyn CachedFiles>>) -> Self {
        Self { cache, meetings: HashMap::new() }
    }

    /// Returns the cache, or `None` if deleted files are not kept.
    pub(super) fn cache(&self) -> Option<&Arc<dyn CachedFiles>> {
        self.cache.as_ref()
    }

    pub(super) fn get(&self, id: &MeetingId) -> Option<&Arc<RetainedMeeting>> {
        self.meetings.get(id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<RetainedMeeting>> {
        self.meetings.values()
    }

    pub(super) fn replace(&mut self, meetings: Vec<RetainedMeeting>) -> RetentionChange {
        let previous_meetings = std::mem::take(&mut self.meetings);
        self.meetings =
            meetings.into_iter().map(|meeting| (meeting.id().clone(), Arc::new(meeting))).collect();
        let removed_ids =
            previous_meetings.keys().filter(|id| !self.meetings.contains_key(*id)).cloned();
        let is_updated = |retained: &&Arc<RetainedMeeting>| {
            previous_meetings
                .get(retained.id())
                .is_none_or(|previous| previous.deleted_meeting != retained.deleted_meeting)
        };
        let updated_meetings = self.meetings.values().filter(is_updated);
        RetentionChange {
            updated_meetings: updated_meetings
                .map(|retained| retained.deleted_meeting.clone())
                .collect(),
            removed_ids: removed_ids.collect(),
            changes_tree: previous_meetings != self.meetings,
        }
    }
}

/// A deleted file and the values that identify its bytes in the cache.
#[derive(Debug)]
pub(super) struct DeletedFile {
    pub(super) id: FileId,
    pub(super) version: Version,
    pub(super) size: u64,
    pub(super) validator: Option<String>,
}

/// The meetings that may be retained after a listing is applied.
///
/// The candidates are collected while the catalog is locked. Whether they are cached is checked
/// later, without the lock, because the check may read from the disk.
#[derive(Debug, Default)]
pub(super) struct RetentionCandidates {
    pub(super) cache: Option<Arc<dyn CachedFiles>>,
    pub(super) meetings: Vec<(DeletedMeeting, Vec<DeletedFile>)>,
}

impl RetentionCandidates {
    /// Returns the meetings that have at least one cached file.
    pub(super) fn into_cached_meetings(self) -> Vec<RetainedMeeting> {
        let mut meetings = self.into_all_meetings();
        meetings.retain(|retained| !retained.cached_files.is_empty());
        meetings
    }

    /// Returns all meetings with the keys of their cached files, including meetings without a
    /// cached file.
    pub(super) fn into_all_meetings(self) -> Vec<RetainedMeeting> {
        let Some(cache) = self.cache else { return Vec::new() };
        let is_cached = |file: &DeletedFile| {
            cache.is_complete(&file.id, file.version, file.size, file.validator.as_deref())
        };
        let meetings = self.meetings.into_iter().map(|(deleted_meeting, files)| {
            let cached_files = files.into_iter().filter(is_cached).map(|file| file.id.key);
            RetainedMeeting { deleted_meeting, cached_files: cached_files.collect() }
        });
        meetings.collect()
    }
}

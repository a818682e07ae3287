//! Files that were deleted upstream and can still be read from the cache.
//!
//! If the source is configured so, a file that a listing no longer shows keeps its name as long as
//! the cache has all of its bytes. Its meeting is stored with all the files that it had: those that
//! are not cached are hidden, so no name changes.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt::Debug;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::{Availability, FileId, FileKey, Meeting, MeetingId, Version};

/// Knows which files can be read without their provider.
pub trait CachedFiles: Debug + Send + Sync {
    /// Returns whether all bytes are cached of a file version with `size` bytes that was last
    /// served under `validator`. May read from the disk.
    fn is_complete(
        &self,
        file: &FileId,
        version: Version,
        size: u64,
        validator: Option<&str>,
    ) -> bool;
}

/// A meeting that was deleted upstream, or lost files there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct DeletedMeeting {
    /// The meeting with all the files that it had.
    pub(super) meeting: Meeting,
    /// The files that were deleted.
    #[serde(rename = "gone")]
    pub(super) deleted: BTreeSet<FileKey>,
}

/// A deleted meeting with the files of it that are cached.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RetainedMeeting {
    pub(super) source: DeletedMeeting,
    pub(super) cached: HashSet<FileKey>,
}

impl RetainedMeeting {
    pub(super) fn id(&self) -> &MeetingId {
        &self.source.meeting.id
    }

    /// Returns the meeting as it was, with the files that are not cached hidden.
    pub(super) fn visible_meeting(&self) -> Meeting {
        let mut meeting = self.source.meeting.clone();
        for file in &mut meeting.files {
            if !self.cached.contains(&file.id.key) {
                file.availability = Availability::Absent;
            }
        }
        meeting
    }

    /// Returns a listed meeting with the retained ones of the files that it lost.
    pub(super) fn merge_into(&self, listed: &Meeting) -> Meeting {
        let mut merged = listed.clone();
        for file in self.visible_meeting().files {
            let is_listed = merged.files.iter().any(|other| other.id.key == file.id.key);
            if !is_listed && self.source.deleted.contains(&file.id.key) {
                merged.files.push(file);
            }
        }
        merged
    }
}

/// The retained meetings of a source.
#[derive(Debug, Default)]
pub(super) struct RetainedMeetings {
    /// `None` if deleted files are not retained.
    cache: Option<Arc<dyn CachedFiles>>,
    meetings: HashMap<MeetingId, Arc<RetainedMeeting>>,
}

/// The effect of a listing on the retained meetings.
#[derive(Debug, Default)]
pub(super) struct RetentionChange {
    pub(super) stored: Vec<DeletedMeeting>,
    pub(super) dropped: Vec<MeetingId>,
    /// Whether the tree changes.
    pub(super) is_visible: bool,
}

impl RetainedMeetings {
    pub(super) fn new(cache: Option<Arc<dyn CachedFiles>>) -> Self {
        Self { cache, meetings: HashMap::new() }
    }

    /// Returns the cache if deleted files are retained.
    pub(super) fn cache(&self) -> Option<&Arc<dyn CachedFiles>> {
        self.cache.as_ref()
    }

    pub(super) fn get(&self, id: &MeetingId) -> Option<&Arc<RetainedMeeting>> {
        self.meetings.get(id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Arc<RetainedMeeting>> {
        self.meetings.values()
    }

    pub(super) fn replace(&mut self, retained: Vec<RetainedMeeting>) -> RetentionChange {
        let before = std::mem::take(&mut self.meetings);
        self.meetings = retained
            .into_iter()
            .map(|retained| (retained.id().clone(), Arc::new(retained)))
            .collect();
        let dropped = before.keys().filter(|id| !self.meetings.contains_key(*id)).cloned();
        let is_new = |retained: &&Arc<RetainedMeeting>| {
            before.get(retained.id()).is_none_or(|before| before.source != retained.source)
        };
        let stored = self.meetings.values().filter(is_new).map(|new| new.source.clone());
        RetentionChange {
            stored: stored.collect(),
            dropped: dropped.collect(),
            is_visible: before != self.meetings,
        }
    }
}

/// A deleted file with what identifies its cached bytes.
#[derive(Debug)]
pub(super) struct DeletedFile {
    pub(super) id: FileId,
    pub(super) version: Version,
    pub(super) size: u64,
    pub(super) validator: Option<String>,
}

/// The meetings that may be retained once a listing is applied.
///
/// They are collected while the catalog is locked and checked while it is not, because the check
/// may read from the disk.
#[derive(Debug, Default)]
pub(super) struct RetentionCandidates {
    pub(super) cache: Option<Arc<dyn CachedFiles>>,
    pub(super) meetings: Vec<(DeletedMeeting, Vec<DeletedFile>)>,
}

impl RetentionCandidates {
    /// Returns the meetings of which a file is cached.
    pub(super) fn into_retained(self) -> Vec<RetainedMeeting> {
        let mut checked = self.into_checked();
        checked.retain(|retained| !retained.cached.is_empty());
        checked
    }

    /// Returns all meetings, also those of which nothing is cached.
    pub(super) fn into_checked(self) -> Vec<RetainedMeeting> {
        let Some(cache) = self.cache else { return Vec::new() };
        let is_cached = |file: &DeletedFile| {
            cache.is_complete(&file.id, file.version, file.size, file.validator.as_deref())
        };
        let checked = self.meetings.into_iter().map(|(source, files)| {
            let cached = files.into_iter().filter(is_cached).map(|file| file.id.key).collect();
            RetainedMeeting { source, cached }
        });
        checked.collect()
    }
}

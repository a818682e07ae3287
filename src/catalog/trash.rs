//! The recycle bin of a source, and which of its files can be downloaded.
//!
//! Providers do not document whether a file in the recycle bin can be downloaded. So each file is
//! probed once in the background, and the result is stored. The file is hidden until then, because
//! a name must not change after it has been shown. A restored meeting is listed in its original
//! place. Files that are listed there are not shown in the recycle bin, even if the last listing of
//! the recycle bin still contains them.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::model::{FileId, FileKey, MeetingId, Version};
use crate::providers::{RecycleBin, TrashEntry, TrashListing};

/// The stored contents of a recycle bin.
#[derive(Debug, Default)]
pub(super) struct StoredTrash {
    pub(super) meetings: Vec<TrashedMeeting>,
    pub(super) probes: Vec<((MeetingId, FileKey), DownloadProbe)>,
}

/// A meeting in the recycle bin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct TrashedMeeting {
    #[serde(rename = "trashed")]
    pub(super) entry: TrashEntry,
    /// The time of the first listing that contained the meeting.
    #[serde(rename = "seen")]
    first_seen: Timestamp,
}

impl TrashedMeeting {
    pub(super) fn id(&self) -> &MeetingId {
        &self.entry.meeting.id
    }

    /// Returns the time at which the provider deletes the meeting permanently. If the provider does
    /// not state when the meeting was moved to the recycle bin, the result is an upper bound.
    pub(super) fn expires_at(&self, recycle_bin: RecycleBin) -> Timestamp {
        let retention_time = SignedDuration::from_hours(24 * i64::from(recycle_bin.retention_days));
        let start = self.entry.deleted.unwrap_or(self.first_seen);
        start.checked_add(retention_time).unwrap_or(Timestamp::MAX)
    }
}

/// The result of an attempt to download a file from the recycle bin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DownloadProbe {
    pub(super) version: Version,
    pub(super) probed_at: Timestamp,
    /// The reason that the provider gave, or `None` if the file can be downloaded.
    pub(super) refusal: Option<String>,
}

/// The download probes of the files of one meeting.
pub(super) type MeetingProbes = HashMap<FileKey, DownloadProbe>;

/// The changes that a listing makes to a recycle bin.
#[derive(Debug, Default)]
pub(super) struct TrashChange {
    pub(super) updated_meetings: Vec<Arc<TrashedMeeting>>,
    pub(super) removed_ids: Vec<MeetingId>,
}

impl TrashChange {
    pub(super) fn is_empty(&self) -> bool {
        self.updated_meetings.is_empty() && self.removed_ids.is_empty()
    }
}

/// The last listing of a recycle bin, with the download probes of its files.
#[derive(Debug, Default)]
pub(super) struct Trash {
    /// The recycle bin of the provider, or `None` if the source has none or does not show it.
    recycle_bin: Option<RecycleBin>,
    meetings: HashMap<MeetingId, Arc<TrashedMeeting>>,
    probes: HashMap<MeetingId, Arc<MeetingProbes>>,
}

impl Trash {
    pub(super) fn new(recycle_bin: Option<RecycleBin>, stored: StoredTrash) -> Self {
        let meetings = stored.meetings.into_iter();
        let meetings = meetings.map(|trashed| (trashed.id().clone(), Arc::new(trashed))).collect();
        let mut probes: HashMap<MeetingId, Arc<MeetingProbes>> = HashMap::new();
        for ((meeting, file), probe) in stored.probes {
            Arc::make_mut(probes.entry(meeting).or_default()).insert(file, probe);
        }
        Self { recycle_bin, meetings, probes }
    }

    pub(super) fn recycle_bin(&self) -> Option<RecycleBin> {
        self.recycle_bin
    }

    pub(super) fn meetings(&self) -> impl Iterator<Item = &Arc<TrashedMeeting>> {
        self.meetings.values()
    }

    #[cfg(test)]
    pub(super) fn probe_count(&self) -> usize {
        self.probes.values().map(|probes| probes.len()).sum()
    }

    pub(super) fn contains(&self, id: &MeetingId) -> bool {
        self.meetings.contains_key(id)
    }

    pub(super) fn probes(&self, id: &MeetingId) -> Option<&Arc<MeetingProbes>> {
        self.probes.get(id)
    }

    /// Stores a probe and returns the previous probe of the same file.
    pub(super) fn insert_probe(
        &mut self,
        id: &FileId,
        probe: DownloadProbe,
    ) -> Option<DownloadProbe> {
        let probes = self.probes.entry(id.meeting.clone()).or_default();
        Arc::make_mut(probes).insert(id.key.clone(), probe)
    }

    /// Applies a listing and returns the changes. An incomplete listing removes only expired
    /// meetings.
    pub(super) fn apply(&mut self, listing: TrashListing, now: Timestamp) -> TrashChange {
        let Some(recycle_bin) = self.recycle_bin else { return TrashChange::default() };
        let mut change = TrashChange::default();
        let listed_ids: HashSet<_> =
            listing.meetings.iter().map(|entry| entry.meeting.id.clone()).collect();
        for entry in listing.meetings {
            let id = entry.meeting.id.clone();
            let previous_meeting = self.meetings.get(&id);
            let first_seen = previous_meeting.map_or(now, |previous| previous.first_seen);
            let trashed_meeting = TrashedMeeting { entry, first_seen };
            if previous_meeting.is_none_or(|previous| **previous != trashed_meeting) {
                let trashed_meeting = Arc::new(trashed_meeting);
                change.updated_meetings.push(trashed_meeting.clone());
                self.meetings.insert(id, trashed_meeting);
            }
        }
        self.meetings.retain(|id, trashed| {
            let is_kept = listed_ids.contains(id)
                || (listing.failed.is_some() && now < trashed.expires_at(recycle_bin));
            if !is_kept {
                change.removed_ids.push(id.clone());
            }
            is_kept
        });
        for id in &change.removed_ids {
            self.probes.remove(id);
        }
        change
    }
}

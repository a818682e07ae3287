//! The recycle bin of a source, and which of its files the provider lets users download.
//!
//! No provider documents whether a file in its recycle bin can be downloaded. So each file is
//! probed once in the background, and the result is stored. The file is hidden until then, because
//! a name never changes once it is shown. A restored meeting is listed in its original place, and
//! what is listed there is not shown in the recycle bin, whatever the bin was last seen to contain.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::model::{FileId, FileKey, MeetingId, Version};
use crate::providers::{RecycleBin, TrashEntry, TrashListing};

/// The stored state of a recycle bin.
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
    /// When it was first listed there.
    #[serde(rename = "seen")]
    first_seen: Timestamp,
}

impl TrashedMeeting {
    pub(super) fn id(&self) -> &MeetingId {
        &self.entry.meeting.id
    }

    /// Returns when the provider deletes the meeting permanently. It is an upper bound if the time
    /// of its deletion is unknown.
    pub(super) fn expires(&self, bin: RecycleBin) -> Timestamp {
        let retention = SignedDuration::from_hours(24 * i64::from(bin.days));
        let since = self.entry.deleted.unwrap_or(self.first_seen);
        since.checked_add(retention).unwrap_or(Timestamp::MAX)
    }
}

/// The result of an attempt to download a file from the recycle bin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct DownloadProbe {
    pub(super) version: Version,
    pub(super) at: Timestamp,
    /// The provider's reason; `None` if the file can be downloaded.
    pub(super) refusal: Option<String>,
}

/// The probes of a meeting's files.
pub(super) type MeetingProbes = HashMap<FileKey, DownloadProbe>;

/// The effect of a listing of the recycle bin.
#[derive(Debug, Default)]
pub(super) struct TrashChange {
    pub(super) listed: Vec<Arc<TrashedMeeting>>,
    pub(super) removed: Vec<MeetingId>,
}

impl TrashChange {
    pub(super) fn is_empty(&self) -> bool {
        self.listed.is_empty() && self.removed.is_empty()
    }
}

/// A recycle bin as it was listed last, with its probes.
#[derive(Debug, Default)]
pub(super) struct Trash {
    /// `None` if the source has no recycle bin, or it is not shown.
    bin: Option<RecycleBin>,
    meetings: HashMap<MeetingId, Arc<TrashedMeeting>>,
    probes: HashMap<MeetingId, Arc<MeetingProbes>>,
}

impl Trash {
    pub(super) fn new(bin: Option<RecycleBin>, stored: StoredTrash) -> Self {
        let meetings = stored.meetings.into_iter();
        let meetings = meetings.map(|trashed| (trashed.id().clone(), Arc::new(trashed))).collect();
        let mut probes: HashMap<MeetingId, Arc<MeetingProbes>> = HashMap::new();
        for ((meeting, file), probe) in stored.probes {
            Arc::make_mut(probes.entry(meeting).or_default()).insert(file, probe);
        }
        Self { bin, meetings, probes }
    }

    pub(super) fn bin(&self) -> Option<RecycleBin> {
        self.bin
    }

    pub(super) fn meetings(&self) -> impl Iterator<Item = &Arc<TrashedMeeting>> {
        self.meetings.values()
    }

    pub(super) fn contains(&self, id: &MeetingId) -> bool {
        self.meetings.contains_key(id)
    }

    pub(super) fn probes(&self, id: &MeetingId) -> Option<&Arc<MeetingProbes>> {
        self.probes.get(id)
    }

    /// Records a probe and returns the previous one.
    pub(super) fn insert_probe(
        &mut self,
        id: &FileId,
        probe: DownloadProbe,
    ) -> Option<DownloadProbe> {
        let probes = self.probes.entry(id.meeting.clone()).or_default();
        Arc::make_mut(probes).insert(id.key.clone(), probe)
    }

    /// Applies a listing. An incomplete one removes only meetings that have expired.
    pub(super) fn apply(&mut self, listing: TrashListing, now: Timestamp) -> TrashChange {
        let Some(bin) = self.bin else { return TrashChange::default() };
        let mut change = TrashChange::default();
        let listed: HashSet<_> =
            listing.meetings.iter().map(|entry| entry.meeting.id.clone()).collect();
        for entry in listing.meetings {
            let id = entry.meeting.id.clone();
            let previous = self.meetings.get(&id);
            let first_seen = previous.map_or(now, |previous| previous.first_seen);
            let trashed = TrashedMeeting { entry, first_seen };
            if previous.is_none_or(|previous| **previous != trashed) {
                let trashed = Arc::new(trashed);
                change.listed.push(trashed.clone());
                self.meetings.insert(id, trashed);
            }
        }
        self.meetings.retain(|id, trashed| {
            let stays =
                listed.contains(id) || (listing.failed.is_some() && now < trashed.expires(bin));
            if !stays {
                change.removed.push(id.clone());
            }
            stays
        });
        for id in &change.removed {
            self.probes.remove(id);
        }
        change
    }
}

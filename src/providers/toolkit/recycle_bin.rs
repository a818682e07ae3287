//! Recycle bins of providers.
//!
//! A meeting in the recycle bin has its own id (see [`MeetingId::in_trash`]), because its files
//! differ from those of the original meeting: their download may be refused, and they are purged
//! after some days.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::{Meeting, MeetingId};
use crate::providers::ProviderError;

/// The recycle bin of a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecycleBin {
    /// The name of the recycle bin, such as "Zoom's recycle bin".
    pub name: &'static str,
    /// The instruction for restoring a recording, such as "restore it in Zoom's web portal under
    /// Recordings > Trash".
    pub fix: &'static str,
    /// Number of days after which a deleted recording is purged.
    pub retention_days: u8,
}

/// The contents of a recycle bin.
#[derive(Debug, Default)]
pub struct TrashListing {
    /// The deleted meetings without duplicates, in no particular order.
    pub meetings: Vec<TrashEntry>,
    /// The error if the listing is incomplete. A meeting that an incomplete listing does not
    /// contain may still be in the recycle bin.
    pub failed: Option<ProviderError>,
}

/// A meeting in the recycle bin. Contains only the files that are in the recycle bin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrashEntry {
    /// The meeting and its files, with the ids that they have in the recycle bin.
    pub meeting: Meeting,
    /// The time at which the first of the files was deleted, if the provider returns it.
    pub deleted: Option<Timestamp>,
}

impl TrashEntry {
    /// Creates the entry of a meeting that the provider lists in its recycle bin.
    pub fn new(mut meeting: Meeting, deleted: Option<Timestamp>) -> Self {
        let id: MeetingId = meeting.id.to_trash_id();
        for file in &mut meeting.files {
            file.id.meeting = id.clone();
        }
        meeting.id = id;
        Self { meeting, deleted }
    }
}

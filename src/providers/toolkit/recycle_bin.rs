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
    /// Its name, as in "Zoom's trash".
    pub name: &'static str,
    /// How to restore a recording from it, as in "restore it …".
    pub fix: &'static str,
    /// Days after which a deleted recording is purged.
    pub days: u8,
}

/// The contents of a recycle bin.
#[derive(Debug, Default)]
pub struct TrashListing {
    /// Each meeting once, in no particular order.
    pub meetings: Vec<TrashEntry>,
    /// Why the listing is incomplete; `None` if it is complete. A meeting that an incomplete
    /// listing does not contain may still be in the recycle bin.
    pub failed: Option<ProviderError>,
}

/// A meeting in the recycle bin. Contains only the files that are in the recycle bin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrashEntry {
    /// The meeting and its files, with the ids that they have in the recycle bin.
    pub meeting: Meeting,
    /// When the first of its files was deleted, if the provider returns a time.
    pub deleted: Option<Timestamp>,
}

impl TrashEntry {
    /// Returns the entry of `meeting`, which the provider lists in the recycle bin.
    pub fn new(mut meeting: Meeting, deleted: Option<Timestamp>) -> Self {
        let id: MeetingId = meeting.id.in_trash();
        for file in &mut meeting.files {
            file.id.meeting = id.clone();
        }
        meeting.id = id;
        Self { meeting, deleted }
    }
}

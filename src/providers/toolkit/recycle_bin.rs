//! What lies in a provider's recycle bin, as every room is told of it.
//!
//! A meeting in the bin has an identity of its own (see [`MeetingId::in_trash`]), for its files are not those of the
//! meeting that it was: they may be refused, and they end.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::{Meeting, MeetingId};
use crate::providers::ProviderError;

/// A recycle bin in the words of its provider's users.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecycleBin {
    /// What it is called, as in "Zoom's trash".
    pub name: &'static str,
    /// How something is got back out of it: "restore it …".
    pub fix: &'static str,
    /// For how many days it keeps what was deleted.
    pub days: u8,
}

/// What a listing of a recycle bin brought.
#[derive(Debug, Default)]
pub struct TrashListing {
    /// What lies there, each meeting once, in no particular order.
    pub meetings: Vec<TrashEntry>,
    /// Why it could not be listed whole; `None` if it could. A meeting unseen then may still lie there.
    pub failed: Option<ProviderError>,
}

/// A meeting in the recycle bin, or what of it is there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrashEntry {
    /// The meeting with the files that lie there, under the bin's identity.
    pub meeting: Meeting,
    /// When the first of them was deleted, where the provider says so.
    pub deleted: Option<Timestamp>,
}

impl TrashEntry {
    /// A meeting as its provider lists it in the recycle bin.
    pub fn new(mut meeting: Meeting, deleted: Option<Timestamp>) -> Self {
        let id: MeetingId = meeting.id.in_trash();
        for file in &mut meeting.files {
            file.id.meeting = id.clone();
        }
        meeting.id = id;
        Self { meeting, deleted }
    }
}

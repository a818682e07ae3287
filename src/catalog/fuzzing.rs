//! What the fuzz targets reach of this room: rows of the catalog, and what the tree is told of a meeting.

use std::collections::HashMap;
use std::sync::Arc;

use super::source::Entry;
use super::{facts, kept};
use crate::model::{Details, Meeting, MeetingView};

/// The meeting in a row.
pub fn meeting(row: &str) -> Option<Meeting> {
    kept::meeting_of_row(row)
}

/// The details in a row.
pub fn details(row: &str) -> Option<Details> {
    facts::details_of_row(row)
}

/// What the tree is told of a meeting that was listed and described so.
pub fn view(listed: Meeting, details: Option<Details>) -> MeetingView {
    let entry = Entry::new(Arc::new(listed), Some(&details.map(Arc::new)));
    MeetingView { meeting: entry.meeting, sizes: HashMap::new(), document: entry.document }
}

//! Rows of the catalog, separated by NUL: a meeting, its details, its entry in the recycle bin, and
//! its tombstone.

use std::collections::HashMap;

use meetfs::fuzzing::catalog;
use serde_json::value::RawValue;

use super::{replies, tree};

pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut rows = text.split('\0');
    let meeting = rows.next().unwrap_or_default();
    let details = catalog::parse_details(rows.next().unwrap_or(meeting));
    let rows: Vec<_> = rows.collect();
    for (row, again) in rows.iter().flat_map(|row| {
        [
            (row, catalog::round_trip_trashed_meeting as Again),
            (row, catalog::round_trip_deleted_meeting),
        ]
    }) {
        let first = again(row);
        assert_eq!(first.as_deref().and_then(again), first, "not as it was");
    }
    let Some(meeting) = catalog::parse_meeting(meeting) else { return };
    let row = serde_json::to_string(&meeting).expect("a meeting can be written down");
    assert_eq!(catalog::parse_meeting(&row), Some(meeting.clone()), "not as it was");
    if meeting.source != replies::source() {
        return;
    }
    let own = meeting.clone();
    let view = tree::view(meeting, details);
    let document = view.document.as_ref().expect("it is known that there are no more details");
    assert!(is_object(&document.text()));
    assert_eq!(document.length(), document.text().len() as u64);
    tree::assert_valid(&tree::build(vec![view]));
    // Rows of another source are skipped.
    let is_own =
        |row: &&&str| !row.contains("\"source\"") || row.matches("\"source\":\"acme\"").count() > 0;
    let rows: Vec<_> = rows.iter().filter(is_own).copied().collect();
    let view = catalog::source_contents(&replies::source(), own, &rows, &rows);
    for view in view.meetings.iter().chain(&view.trash) {
        if let Some(document) = &view.document {
            assert!(is_object(&document.text()));
        }
    }
    tree::assert_valid(&tree::build_source(view));
}

type Again = fn(&str) -> Option<String>;

/// Returns whether the text is a JSON object by its grammar, which permits numbers that do not fit
/// an `f64`.
fn is_object(text: &[u8]) -> bool {
    serde_json::from_slice::<HashMap<String, Box<RawValue>>>(text).is_ok()
}

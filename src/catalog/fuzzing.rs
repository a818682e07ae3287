//! The functions of the catalog that fuzz targets call: parsing rows, and building the contents of
//! a source.

use std::collections::HashMap;
use std::sync::Arc;

use super::database;
use super::entry::CatalogEntry;
use super::filter::Filter;
use super::last_replies::ReplyTable;
use super::retention::CachedFiles;
use super::scope::ListingScope;
use super::source::{Source, SourceOptions};
use super::trash::{StoredTrash, Trash};
use crate::model::{
    Details, FileId, Meeting, MeetingContents, SourceContents, SourceName, Version,
};
use crate::providers::RecycleBin;

/// Parses a row of a listed meeting.
pub fn parse_meeting(row: &str) -> Option<Meeting> {
    database::meeting_from_row(row)
}

/// Parses a row of meeting details.
pub fn parse_details(row: &str) -> Option<Details> {
    database::details_from_row(row)
}

/// Parses a row of a recycle bin and serializes it again.
pub fn round_trip_trashed_meeting(row: &str) -> Option<String> {
    serde_json::to_string(&database::trashed_meeting_from_row(row)?).ok()
}

/// Parses a row of a deleted meeting and serializes it again.
pub fn round_trip_deleted_meeting(row: &str) -> Option<String> {
    serde_json::to_string(&database::deleted_meeting_from_row(row)?).ok()
}

/// Returns the contents of a listed meeting with these details.
pub fn meeting_contents(listed_meeting: Meeting, details: Option<Details>) -> MeetingContents {
    let entry = CatalogEntry::new(Arc::new(listed_meeting), Some(&details.map(Arc::new)));
    MeetingContents { meeting: entry.meeting, sizes: HashMap::new(), document: entry.document }
}

/// Returns the contents of a source that has a listed meeting, a recycle bin and deleted meetings.
/// All deleted files are cached, and trashed meetings have no details.
pub fn source_contents(
    name: &SourceName,
    listed_meeting: Meeting,
    trash_rows: &[&str],
    deleted_rows: &[&str],
) -> SourceContents {
    let recycle_bin = RecycleBin { name: "the recycle bin", fix: "restore it", retention_days: 30 };
    let replies = ReplyTable::new([(name.clone(), HashMap::new())]);
    let mut source = Source::empty(SourceOptions {
        name: name.clone(),
        scope: ListingScope::from_parts(["fuzzed"]),
        filter: Filter::show_all(),
        redundant_view_suffix: Some("(CC)"),
        recycle_bin: Some(recycle_bin),
        retention_cache: Some(Arc::new(CompleteCache)),
    });
    let entry = CatalogEntry::new(Arc::new(listed_meeting), None);
    source.meetings.insert(entry.listed_meeting.id.clone(), entry);
    let trashed_meetings =
        trash_rows.iter().filter_map(|row| database::trashed_meeting_from_row(row));
    let stored_trash = StoredTrash { meetings: trashed_meetings.collect(), probes: Vec::new() };
    source.trash = Trash::new(Some(recycle_bin), stored_trash);
    let trashed_contents = source.snapshot().into_contents().trash;
    let no_details =
        trashed_contents.into_iter().map(|contents| (contents.meeting.id.clone(), None));
    source.details.extend(no_details);
    let deleted_meetings =
        deleted_rows.iter().filter_map(|row| database::deleted_meeting_from_row(row));
    source.restore_deleted(deleted_meetings.collect(), &replies);
    source.snapshot().into_contents()
}

/// A cache that contains every file.
#[derive(Debug)]
struct CompleteCache;

impl CachedFiles for CompleteCache {
    fn is_complete(&self, _: &FileId, _: Version, _: u64, _: Option<&str>) -> bool {
        true
    }
}

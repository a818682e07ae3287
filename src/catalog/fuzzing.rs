//! What fuzz targets use of the catalog: its rows, and the contents that are built from them.

use std::collections::HashMap;
use std::sync::Arc;

use super::database;
use super::entry::CatalogEntry;
use super::filter::Filter;
use super::retention::CachedFiles;
use super::scope::ListingScope;
use super::source::{Source, SourceOptions};
use super::trash::{StoredTrash, Trash};
use super::validators::ValidatorTable;
use crate::model::{
    Details, FileId, Meeting, MeetingContents, SourceContents, SourceName, Version,
};
use crate::providers::RecycleBin;

/// Returns the meeting in a row.
pub fn meeting(row: &str) -> Option<Meeting> {
    database::meeting_from_row(row)
}

/// Returns the details in a row.
pub fn details(row: &str) -> Option<Details> {
    database::details_from_row(row)
}

/// Returns a row of a recycle bin as it is written again.
pub fn trash_again(row: &str) -> Option<String> {
    serde_json::to_string(&database::trashed_meeting_from_row(row)?).ok()
}

/// Returns a row of a deleted meeting as it is written again.
pub fn deleted_again(row: &str) -> Option<String> {
    serde_json::to_string(&database::deleted_meeting_from_row(row)?).ok()
}

/// Returns the contents of a listed meeting with these details.
pub fn view(listed: Meeting, details: Option<Details>) -> MeetingContents {
    let entry = CatalogEntry::new(Arc::new(listed), Some(&details.map(Arc::new)));
    MeetingContents { meeting: entry.meeting, sizes: HashMap::new(), document: entry.document }
}

/// Returns the contents of a source with a listed meeting, a recycle bin and deleted meetings. All
/// deleted files are cached, and trashed meetings have no details.
pub fn source(
    name: &SourceName,
    listed: Meeting,
    trash_rows: &[&str],
    deleted_rows: &[&str],
) -> SourceContents {
    let bin = RecycleBin { name: "the trash", fix: "restore it", days: 30 };
    let validators = ValidatorTable::new([(name.clone(), HashMap::new())]);
    let mut source = Source::empty(SourceOptions {
        name: name.clone(),
        scope: ListingScope::of(["fuzzed"]),
        filter: Filter::none(),
        redundant_view_suffix: Some("(CC)"),
        recycle_bin: Some(bin),
        keep_deleted: Some(Arc::new(CompleteCache)),
    });
    source.meetings.insert(listed.id.clone(), CatalogEntry::new(Arc::new(listed), None));
    let trashed = trash_rows.iter().filter_map(|row| database::trashed_meeting_from_row(row));
    let stored = StoredTrash { meetings: trashed.collect(), probes: Vec::new() };
    source.trash = Trash::new(Some(bin), stored);
    let visible = source.snapshot().into_contents().trash;
    let visible = visible.into_iter().map(|contents| (contents.meeting.id.clone(), None));
    source.details.extend(visible);
    let deleted = deleted_rows.iter().filter_map(|row| database::deleted_meeting_from_row(row));
    source.restore_deleted(deleted.collect(), &validators);
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

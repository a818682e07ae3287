//! What the fuzz targets reach of this room: rows of the catalog, and what the tree is told of them.

use std::collections::HashMap;
use std::sync::Arc;

use super::source::{Entry, Source};
use super::trash::Trash;
use super::{
    CachedFiles, Filter, ListingScope, SourceOptions, deleted, fact_store, listing_store, trash,
};
use crate::model::{
    Details, FileId, Meeting, MeetingContents, SourceContents, SourceName, Version,
};
use crate::providers::RecycleBin;

/// The meeting in a row.
pub fn meeting(row: &str) -> Option<Meeting> {
    listing_store::meeting_of_row(row)
}

/// The details in a row.
pub fn details(row: &str) -> Option<Details> {
    fact_store::details_of_row(row)
}

/// A row of the recycle bin as it would be written again.
pub fn trash_again(row: &str) -> Option<String> {
    serde_json::to_string(&trash::lying_of_row(row)?).ok()
}

/// A row of what was deleted, as it would be written again.
pub fn remains_again(row: &str) -> Option<String> {
    serde_json::to_string(&deleted::remains_of_row(row)?).ok()
}

/// What the tree is told of a meeting that was listed and described so.
pub fn view(listed: Meeting, details: Option<Details>) -> MeetingContents {
    let entry = Entry::new(Arc::new(listed), Some(&details.map(Arc::new)));
    MeetingContents { meeting: entry.meeting, sizes: HashMap::new(), document: entry.document }
}

/// What the tree is told of a source that lists a meeting, by rows of its recycle bin and of what was deleted. Every byte
/// of that is held, and of what lies in the bin it is known that there is no more.
pub fn source(
    name: &SourceName,
    listed: Meeting,
    in_bin: &[&str],
    was_deleted: &[&str],
) -> SourceContents {
    let bin = RecycleBin { name: "the trash", fix: "restore it", days: 30 };
    let mut source = Source::empty(SourceOptions {
        name: name.clone(),
        scope: ListingScope::of(["fuzzed"]),
        filter: Filter::none(),
        redundant_view_suffix: None,
        recycle_bin: Some(bin),
        keep_deleted: Some(Arc::new(Everything)),
    });
    source.meetings.insert(listed.id.clone(), Entry::new(Arc::new(listed), None));
    let lying: Vec<_> = in_bin.iter().filter_map(|row| trash::lying_of_row(row)).collect();
    source.trash = Trash::holding(Some(bin), (lying, Vec::new()));
    let in_trash: Vec<_> =
        source.trash_views().into_iter().map(|view| view.meeting.id.clone()).collect();
    source.details.extend(in_trash.into_iter().map(|id| (id, None)));
    source.take_in(was_deleted.iter().filter_map(|row| deleted::remains_of_row(row)).collect());
    SourceContents {
        name: name.clone(),
        meetings: source.views(),
        trash: source.trash_views(),
        redundant_view_suffix: Some("(CC)"),
    }
}

#[derive(Debug)]
struct Everything;

impl CachedFiles for Everything {
    fn is_complete(&self, _: &FileId, _: Version, _: u64, _: Option<&str>) -> bool {
        true
    }
}

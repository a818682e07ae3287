//! Test data: a source named `acme`, its meetings, and its catalog.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::Date;

use crate::catalog::{Catalog, CatalogDatabase, Filter, ListingScope, SourceOptions};
use crate::model::{
    Availability, BodyKind, DaySpan, FileId, Meeting, MeetingMetadata, RecordingFile, Role,
    SourceName, Version,
};
use crate::providers::Listing;

pub(super) fn acme() -> SourceName {
    SourceName::new("acme").unwrap()
}

/// Returns a file that can be downloaded and has seven bytes.
pub(super) fn file(meeting: &str, key: &str) -> RecordingFile {
    RecordingFile {
        id: FileId { source: acme(), meeting: meeting.into(), key: key.into() },
        version: Version(1),
        role: Role::Other,
        stem: key.into(),
        extension: "bin".into(),
        body: BodyKind::Opaque,
        declared_size: Some(7),
        recording_start: None,
        recording_end: None,
        availability: Availability::Ready,
    }
}

/// Returns a meeting that has a file for each key.
pub(super) fn meeting(id: &str, keys: &[&str]) -> Meeting {
    let start = Timestamp::from_second(1_790_000_000).unwrap();
    Meeting {
        source: acme(),
        id: id.into(),
        topic: id.into(),
        start,
        end: start,
        expires: None,
        files: keys.iter().map(|key| file(id, key)).collect(),
        metadata: MeetingMetadata::default(),
    }
}

pub(super) fn options() -> SourceOptions {
    SourceOptions {
        name: acme(),
        scope: ListingScope::from_parts(["mine"]),
        filter: Filter::show_all(),
        redundant_view_suffix: None,
        recycle_bin: None,
        retention_cache: None,
    }
}

pub(super) fn catalog(database: CatalogDatabase, options: SourceOptions) -> Arc<Catalog> {
    Catalog::new([options], Arc::new(database))
}

pub(super) fn all_days() -> DaySpan {
    DaySpan { from: Date::MIN, to: Date::MAX }
}

/// Applies a complete listing that contains these meetings.
pub(super) fn list(catalog: &Catalog, meetings: Vec<Meeting>) {
    catalog.apply(&acme(), all_days(), Listing { meetings, ..Listing::default() });
}

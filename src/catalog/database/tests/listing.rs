//! Tests of stored listings and their scopes.

use std::sync::Arc;

use jiff::Timestamp;

use super::fixtures::acme;
use crate::catalog::database::CatalogDatabase;
use crate::catalog::database::listing::ListingChange;
use crate::catalog::scope::ListingScope;
use crate::model::{Availability, BodyKind, FileId, Meeting, RecordingFile, Role, Version};

fn scope(text: &str) -> ListingScope {
    ListingScope::from_parts([text])
}

fn meeting(id: &str) -> Meeting {
    let start = "2026-10-06T07:00:11.25Z".parse().unwrap();
    let file = RecordingFile {
        id: FileId { source: acme(), meeting: id.into(), key: "k|ü".into() },
        version: Version(u64::MAX),
        role: Role::View,
        stem: "a \"view\"".into(),
        extension: "mp4".into(),
        body: BodyKind::IsoMedia,
        declared_size: Some(1 << 60),
        recording_start: None,
        recording_end: Some(start),
        availability: Availability::Unavailable("reason".into()),
    };
    // An inexact parser rounds this number to a different number.
    let number: serde_json::Value = serde_json::from_str("6666663333333433333E-61").unwrap();
    let metadata =
        [("share_url".to_owned(), "https://zoom.us/x".into()), ("number".to_owned(), number)];
    let metadata = metadata.into_iter().collect();
    Meeting {
        source: acme(),
        id: id.into(),
        topic: "Q&A / été\n".into(),
        start,
        end: start,
        expires: None,
        files: vec![file],
        metadata,
    }
}

fn shared_meeting(id: &str) -> Arc<Meeting> {
    Arc::new(meeting(id))
}

fn stored_meetings(database: &CatalogDatabase, scope: &ListingScope) -> Option<Vec<Meeting>> {
    database.load_listing(&acme(), scope).unwrap().map(|mut stored| {
        stored.meetings.sort_by(|a, b| a.id.cmp(&b.id));
        stored.meetings
    })
}

#[test]
fn listing_and_later_changes_are_stored() {
    let database = CatalogDatabase::in_memory().unwrap();
    let own_scope = scope("mine");
    assert_eq!(stored_meetings(&database, &own_scope), None);
    let change = ListingChange {
        updated_meetings: vec![shared_meeting("a"), shared_meeting("b//c==")],
        removed_ids: Vec::new(),
    };
    database.save_listing(&acme(), &own_scope, &change);
    assert_eq!(stored_meetings(&database, &own_scope), Some(vec![meeting("a"), meeting("b//c==")]));
    let mut renamed_meeting = meeting("a");
    renamed_meeting.topic = "renamed".into();
    let change = ListingChange {
        updated_meetings: vec![Arc::new(renamed_meeting.clone())],
        removed_ids: vec!["b//c==".into()],
    };
    database.save_listing(&acme(), &own_scope, &change);
    assert_eq!(stored_meetings(&database, &own_scope), Some(vec![renamed_meeting]));
    assert_eq!(database.load_listing(&acme(), &own_scope).unwrap().unwrap().fully_listed_at, None);
    let listed_at = Timestamp::from_second(1_790_000_000).unwrap();
    database.save_full_listing(&acme(), &own_scope, listed_at);
    assert_eq!(
        database.load_listing(&acme(), &own_scope).unwrap().unwrap().fully_listed_at,
        Some(listed_at)
    );
}

#[test]
fn other_scope_replaces_the_listing() {
    let database = CatalogDatabase::in_memory().unwrap();
    let (own_scope, other_scope) = (scope("mine"), scope("other"));
    let listing_of =
        |id| ListingChange { updated_meetings: vec![shared_meeting(id)], removed_ids: Vec::new() };
    database.save_listing(&acme(), &own_scope, &listing_of("a"));
    database.save_full_listing(&acme(), &own_scope, Timestamp::from_second(5).unwrap());
    assert_eq!(stored_meetings(&database, &other_scope), None);
    database.save_listing(&acme(), &other_scope, &listing_of("b"));
    assert_eq!(stored_meetings(&database, &other_scope), Some(vec![meeting("b")]));
    assert_eq!(stored_meetings(&database, &own_scope), None);
    assert_eq!(
        database.load_listing(&acme(), &other_scope).unwrap().unwrap().fully_listed_at,
        None
    );
}

#[test]
fn damaged_meeting_is_omitted_and_deleted() {
    let database = CatalogDatabase::in_memory().unwrap();
    let own_scope = scope("mine");
    let change =
        ListingChange { updated_meetings: vec![shared_meeting("a")], removed_ids: Vec::new() };
    database.save_listing(&acme(), &own_scope, &change);
    database.save_full_listing(&acme(), &own_scope, Timestamp::from_second(5).unwrap());
    let rows = "INSERT INTO listed_meeting VALUES ('acme', 'z', '{\"id\": 3'), ('acme', 'y', x'ff'), ('acme', x'fe', '')";
    database.execute(rows);
    let listing = database.load_listing(&acme(), &own_scope).unwrap().unwrap();
    assert_eq!((listing.meetings, listing.fully_listed_at), (vec![meeting("a")], None));
    let count = database.query::<i64>("SELECT count(*) FROM listed_meeting");
    assert_eq!(count, [1]);
    assert_eq!(database.load_listing(&acme(), &own_scope).unwrap().unwrap().fully_listed_at, None);
}

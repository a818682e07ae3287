//! Listings and their scopes.

use std::sync::Arc;

use jiff::Timestamp;

use super::fixtures::acme;
use crate::catalog::database::CatalogDatabase;
use crate::catalog::database::listing::ListingChange;
use crate::catalog::scope::ListingScope;
use crate::model::{Availability, BodyKind, FileId, Meeting, RecordingFile, Role, Version};

fn scope(text: &str) -> ListingScope {
    ListingScope::of([text])
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
        availability: Availability::Unavailable("why".into()),
    };
    // A reader that is not exact rounds this number to a different one.
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

fn shared(id: &str) -> Arc<Meeting> {
    Arc::new(meeting(id))
}

fn stored(database: &CatalogDatabase, scope: &ListingScope) -> Option<Vec<Meeting>> {
    database.listing(&acme(), scope).unwrap().map(|mut stored| {
        stored.meetings.sort_by(|a, b| a.id.cmp(&b.id));
        stored.meetings
    })
}

#[test]
fn listing_is_stored_with_later_changes() {
    let database = CatalogDatabase::in_memory().unwrap();
    let mine = scope("mine");
    assert_eq!(stored(&database, &mine), None);
    let both = ListingChange { listed: vec![shared("a"), shared("b//c==")], removed: Vec::new() };
    database.save_listing(&acme(), &mine, &both);
    assert_eq!(stored(&database, &mine), Some(vec![meeting("a"), meeting("b//c==")]));
    let mut renamed = meeting("a");
    renamed.topic = "renamed".into();
    let change =
        ListingChange { listed: vec![Arc::new(renamed.clone())], removed: vec!["b//c==".into()] };
    database.save_listing(&acme(), &mine, &change);
    assert_eq!(stored(&database, &mine), Some(vec![renamed]));
    assert_eq!(database.listing(&acme(), &mine).unwrap().unwrap().fully_listed_at, None);
    let at = Timestamp::from_second(1_790_000_000).unwrap();
    database.save_full_listing(&acme(), &mine, at);
    assert_eq!(database.listing(&acme(), &mine).unwrap().unwrap().fully_listed_at, Some(at));
}

#[test]
fn other_scope_replaces_the_listing() {
    let database = CatalogDatabase::in_memory().unwrap();
    let (mine, other) = (scope("mine"), scope("other"));
    let one = |id| ListingChange { listed: vec![shared(id)], removed: Vec::new() };
    database.save_listing(&acme(), &mine, &one("a"));
    database.save_full_listing(&acme(), &mine, Timestamp::from_second(5).unwrap());
    assert_eq!(stored(&database, &other), None);
    database.save_listing(&acme(), &other, &one("b"));
    assert_eq!(stored(&database, &other), Some(vec![meeting("b")]));
    assert_eq!(stored(&database, &mine), None);
    assert_eq!(database.listing(&acme(), &other).unwrap().unwrap().fully_listed_at, None);
}

#[test]
fn damaged_meeting_is_omitted_and_deleted() {
    let database = CatalogDatabase::in_memory().unwrap();
    let mine = scope("mine");
    let change = ListingChange { listed: vec![shared("a")], removed: Vec::new() };
    database.save_listing(&acme(), &mine, &change);
    database.save_full_listing(&acme(), &mine, Timestamp::from_second(5).unwrap());
    let rows = "INSERT INTO listed_meeting VALUES ('acme', 'z', '{\"id\": 3'), ('acme', 'y', x'ff'), ('acme', x'fe', '')";
    database.execute(rows);
    let found = database.listing(&acme(), &mine).unwrap().unwrap();
    assert_eq!((found.meetings, found.fully_listed_at), (vec![meeting("a")], None));
    let count = database.query::<i64>("SELECT count(*) FROM listed_meeting");
    assert_eq!(count, [1]);
    assert_eq!(database.listing(&acme(), &mine).unwrap().unwrap().fully_listed_at, None);
}

//! Tests of listings, details and the filter.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::fixtures::{acme, file, options};
use crate::catalog::{Catalog, CatalogDatabase, Filter, SourceOptions};
use crate::model::{DaySpan, Details, LastReply, Meeting, RecordingFile, Version};
use crate::providers::{Listing, ProviderError};

fn meeting(id: &str, day: &str) -> Meeting {
    let start = format!("{day}T10:00:00Z").parse().unwrap();
    Meeting { start, end: start, ..super::fixtures::meeting(id, &[]) }
}

fn span(from: &str, to: &str) -> DaySpan {
    DaySpan { from: from.parse().unwrap(), to: to.parse().unwrap() }
}

fn visible_ids(catalog: &Catalog) -> Vec<String> {
    let mut ids: Vec<_> = catalog.contents()[0]
        .meetings
        .iter()
        .map(|contents| contents.meeting.id.to_string())
        .collect();
    ids.sort();
    ids
}

fn catalog_with_filter(database: CatalogDatabase, filter: Filter) -> Arc<Catalog> {
    super::fixtures::catalog(database, SourceOptions { filter, ..options() })
}

fn catalog_without_filter(database: CatalogDatabase) -> Arc<Catalog> {
    catalog_with_filter(database, Filter::show_all())
}

fn catalog() -> Arc<Catalog> {
    catalog_without_filter(CatalogDatabase::in_memory().unwrap())
}

/// Lists two meetings, deletes the second one and records values of both.
fn catalog_with_deleted_meeting() -> Arc<Catalog> {
    let catalog = catalog();
    let meetings = ["kept", "deleted"].map(|id| super::fixtures::meeting(id, &["a"]));
    super::fixtures::list(&catalog, meetings.to_vec());
    super::fixtures::list(&catalog, meetings[..1].to_vec());
    for id in ["kept", "deleted"] {
        let file = file(id, "a").id;
        catalog.record_size(&file, Version(1), 9);
        let reply = LastReply { length: Some(9), validator: Some("etag".into()) };
        catalog.record_reply(&file, Version(1), &reply);
        let details = Details { missing_parts: vec!["participants".into()], ..Details::default() };
        catalog.record_details(&acme(), &id.into(), Some(details));
    }
    catalog
}

#[test]
fn full_listing_removes_values_of_deleted_meetings() {
    let names = [
        "meetings with sizes",
        "meetings with details",
        "incomplete details",
        "last replies",
        "rows of file_size",
        "rows of meeting_details",
        "rows of last_reply",
    ];
    let counts = |catalog: &Catalog| {
        let sizes = catalog.table_sizes();
        names.map(|name| sizes.iter().find(|size| size.name == name).unwrap().size)
    };
    let catalog = catalog_with_deleted_meeting();
    assert_eq!(counts(&catalog), [2; 7], "a listing of some days keeps them");
    catalog.record_full_listing(&acme(), Timestamp::now());
    assert_eq!(counts(&catalog), [1; 7]);
    assert!(catalog.last_reply(&file("kept", "a").id, Version(1)).is_some());
    assert_eq!(catalog.contents()[0].meetings[0].sizes.get(&"a".into()), Some(&9));
}

#[test]
fn listing_removes_only_meetings_on_listed_days() {
    let catalog = catalog();
    let all_days = span("2026-01-01", "2026-03-31");
    let meetings = vec![
        meeting("january", "2026-01-10"),
        meeting("february", "2026-02-10"),
        meeting("march", "2026-03-10"),
    ];
    catalog.apply(&acme(), all_days, Listing { meetings, ..Listing::default() });
    let failed_days = vec![(span("2026-02-01", "2026-02-28"), ProviderError::unavailable("down"))];
    catalog.apply(
        &acme(),
        span("2026-02-01", "2026-03-31"),
        Listing { meetings: vec![], failed: failed_days, ..Listing::default() },
    );
    assert_eq!(visible_ids(&catalog), ["february", "january"]);
}

#[test]
fn filtered_meetings_are_stored_but_not_shown() {
    let since = "2026-02-01".parse().unwrap();
    let catalog = catalog_with_filter(
        CatalogDatabase::in_memory().unwrap(),
        Filter { since, ..Filter::show_all() },
    );
    let meetings = vec![meeting("january", "2026-01-10"), meeting("february", "2026-02-10")];
    catalog.apply(
        &acme(),
        span("2026-01-01", "2026-03-31"),
        Listing { meetings, ..Listing::default() },
    );
    assert_eq!(visible_ids(&catalog), ["february"]);
    assert_eq!(catalog.counts(&acme()).hidden_meetings, 1);
    assert!(catalog.enrichment_tasks(&acme(), Timestamp::now()).is_empty());
}

#[test]
fn listing_survives_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let all_days = span("2026-01-01", "2026-03-31");
    {
        let catalog = catalog_without_filter(CatalogDatabase::open(directory.path()).unwrap());
        assert_eq!(catalog.earlier_listing(&acme()), None);
        let meetings = vec![meeting("a", "2026-01-10"), meeting("b", "2026-02-10")];
        catalog.apply(&acme(), all_days, Listing { meetings, ..Listing::default() });
        let meetings = vec![meeting("b", "2026-02-10"), meeting("c", "2026-03-10")];
        catalog.apply(&acme(), all_days, Listing { meetings, ..Listing::default() });
        catalog.record_full_listing(&acme(), "2026-03-31T00:00:00Z".parse().unwrap());
    }
    let catalog = catalog_without_filter(CatalogDatabase::open(directory.path()).unwrap());
    assert_eq!(visible_ids(&catalog), ["b", "c"]);
    assert_eq!(
        catalog.earlier_listing(&acme()),
        Some(Some("2026-03-31T00:00:00Z".parse().unwrap()))
    );
}

#[test]
fn detail_files_are_added_to_listed_files() {
    let directory = tempfile::tempdir().unwrap();
    let file = |key: &str, size| {
        let (version, declared_size) = (Version(size), Some(size));
        RecordingFile { version, declared_size, ..file("a", key) }
    };
    let listing = || {
        let mut listed_meeting = meeting("a", "2026-01-10");
        listed_meeting.files = vec![file("video", 1), file("both", 1)];
        Listing { meetings: vec![listed_meeting], ..Listing::default() }
    };
    let files = |catalog: &Catalog| {
        let files = catalog.contents()[0].meetings[0].meeting.files.clone();
        let mut files: Vec<_> =
            files.into_iter().map(|file| (file.id.key.to_string(), file.declared_size)).collect();
        files.sort();
        files
    };
    let all_days = span("2026-01-01", "2026-03-31");
    let expected =
        [("audio", 2), ("both", 2), ("video", 1)].map(|(key, size)| (key.into(), Some(size)));
    {
        let catalog = catalog_without_filter(CatalogDatabase::open(directory.path()).unwrap());
        catalog.apply(&acme(), all_days, listing());
        let details =
            Details { files: vec![file("audio", 2), file("both", 2)], ..Details::default() };
        catalog.record_details(&acme(), &"a".into(), Some(details));
        assert_eq!(files(&catalog), expected);
        let revision = *catalog.changes().borrow();
        catalog.apply(&acme(), all_days, listing());
        assert_eq!(*catalog.changes().borrow(), revision, "an equal listing is not a change");
    }
    let catalog = catalog_without_filter(CatalogDatabase::open(directory.path()).unwrap());
    assert_eq!(files(&catalog), expected);
}

#[test]
fn equal_listing_does_not_change_the_catalog() {
    let catalog = catalog();
    let all_days = span("2026-01-01", "2026-03-31");
    let listing = || Listing { meetings: vec![meeting("a", "2026-01-10")], ..Listing::default() };
    catalog.apply(&acme(), all_days, listing());
    let revision = *catalog.changes().borrow();
    catalog.apply(&acme(), all_days, listing());
    assert_eq!(*catalog.changes().borrow(), revision);
}

#[test]
fn document_is_missing_until_details_are_known() {
    let catalog = catalog();
    let mut listed_meeting = meeting("a", "2026-01-10");
    listed_meeting.metadata = [("topic".to_owned(), "listed".into())].into_iter().collect();
    let all_days = span("2026-01-01", "2026-03-31");
    catalog.apply(
        &acme(),
        all_days,
        Listing { meetings: vec![listed_meeting], ..Listing::default() },
    );
    assert_eq!(catalog.contents()[0].meetings[0].document, None);
    let details = [("topic", "other"), ("dept", "sales")].map(|(k, v)| (k.to_string(), v.into()));
    let details = Details { metadata: details.into_iter().collect(), ..Details::default() };
    catalog.record_details(&acme(), &"a".into(), Some(details));
    let document = catalog.contents()[0].meetings[0].document.clone().unwrap();
    let value: Value = serde_json::from_slice(&document.text()).unwrap();
    assert_eq!(value, serde_json::json!({"topic": "listed", "dept": "sales"}));
}

#[test]
fn new_size_removes_the_last_reply() {
    let directory = tempfile::tempdir().unwrap();
    let database = CatalogDatabase::open(directory.path()).unwrap();
    let catalog = super::fixtures::catalog(database, options());
    let listed_file = file("m", "a");
    super::fixtures::list(&catalog, vec![super::fixtures::meeting("m", &["a"])]);
    let (id, version) = (&listed_file.id, listed_file.version);
    catalog.record_size(id, version, 500);
    let reply = LastReply { length: Some(500), validator: Some("\"a\"".into()) };
    catalog.record_reply(id, version, &reply);
    catalog.record_size(id, version, 500);
    assert_eq!(catalog.last_reply(id, version), Some(reply), "the same size");
    catalog.record_size(id, version, 501);
    assert_eq!(catalog.last_reply(id, version), None);
}

#[test]
fn contradicted_size_is_measured_again_after_listing() {
    let directory = tempfile::tempdir().unwrap();
    let open_catalog = || {
        let database = CatalogDatabase::open(directory.path()).unwrap();
        super::fixtures::catalog(database, options())
    };
    let listed_file = RecordingFile { declared_size: Some(1000), ..file("m", "a") };
    let meeting =
        Meeting { files: vec![listed_file.clone()], ..super::fixtures::meeting("m", &[]) };
    let (id, version) = (&listed_file.id, listed_file.version);
    let needs_size = |catalog: &Catalog| catalog.needs_size(&listed_file);
    let reply = |length| LastReply { length, validator: Some("\"a\"".into()) };
    {
        let catalog = open_catalog();
        super::fixtures::list(&catalog, vec![meeting]);
        assert!(!needs_size(&catalog));
        catalog.record_size(&listed_file.id, listed_file.version, 500);
        assert!(!needs_size(&catalog), "the size was just measured");
        catalog.record_reply(id, version, &reply(Some(500)));
        catalog.record_full_listing(&acme(), Timestamp::now());
        assert!(needs_size(&catalog));
        assert_eq!(catalog.last_reply(id, version), Some(reply(None)));
        catalog.record_size(&listed_file.id, listed_file.version, 500);
        assert!(!needs_size(&catalog));
    }
    let catalog = open_catalog();
    assert!(needs_size(&catalog), "a contradicted size of an earlier run is measured again");
    assert_eq!(catalog.last_reply(id, version), Some(reply(None)));
    catalog.record_size(&listed_file.id, listed_file.version, 1000);
    catalog.record_full_listing(&acme(), Timestamp::now());
    assert!(!needs_size(&catalog), "the size agrees with the listing");
}

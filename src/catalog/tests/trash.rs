//! Tests of the recycle bin.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::fixtures::{acme, file, list, meeting, options};
use crate::catalog::enrichment_task::EnrichmentTask;
use crate::catalog::{Catalog, CatalogDatabase, SourceOptions};
use crate::model::{Availability, BodyKind, Details, FileId, LastReply, MeetingId, Version};
use crate::providers::{ProviderError, RecycleBin, TrashEntry, TrashListing};

const RECYCLE_BIN: RecycleBin =
    RecycleBin { name: "the recycle bin", fix: "restore it", retention_days: 30 };

fn catalog(database: CatalogDatabase) -> Arc<Catalog> {
    let options = SourceOptions { recycle_bin: Some(RECYCLE_BIN), ..options() };
    super::fixtures::catalog(database, options)
}

fn list_files(catalog: &Catalog, keys: &[&str]) {
    let meetings = if keys.is_empty() { Vec::new() } else { vec![meeting("m", keys)] };
    list(catalog, meetings);
}

fn list_trash(catalog: &Catalog, keys: &[&str], deleted_at: Option<Timestamp>) {
    let meetings = vec![TrashEntry::new(meeting("m", keys), deleted_at)];
    catalog.apply_trash(&acme(), TrashListing { meetings, failed: None });
}

/// Returns the keys of the files in the recycle bin. A suffix is their state: `+` readable, `-`
/// refused, `?` not probed yet.
fn visible_files(catalog: &Catalog) -> Vec<String> {
    let contents = catalog.contents();
    let files = contents[0].trash.iter().flat_map(|trashed| &trashed.meeting.files);
    let mut keys: Vec<_> = files
        .map(|file| {
            let suffix = match file.availability {
                Availability::Ready => '+',
                Availability::Unavailable(_) => '-',
                Availability::Processing | Availability::Absent => '?',
            };
            format!("{}{suffix}", file.id.key)
        })
        .collect();
    keys.sort();
    keys
}

fn trashed_file(key: &str) -> FileId {
    FileId { meeting: MeetingId::from("m").to_trash_id(), ..file("m", key).id }
}

#[test]
fn probe_results_survive_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let deleted_at = Some("2026-10-06T07:00:00Z".parse().unwrap());
    {
        let catalog = catalog(CatalogDatabase::open(directory.path()).unwrap());
        list_files(&catalog, &[]);
        list_trash(&catalog, &["a", "b", "c"], deleted_at);
        assert_eq!(visible_files(&catalog), ["a?", "b?", "c?"]);
        catalog.record_probe(&trashed_file("a"), Version(1), None);
        catalog.record_probe(&trashed_file("b"), Version(1), Some("no".into()));
        // The result for another version does not apply.
        catalog.record_probe(&trashed_file("c"), Version(2), None);
    }
    let catalog = catalog(CatalogDatabase::open(directory.path()).unwrap());
    assert_eq!(visible_files(&catalog), ["a+", "b-", "c?"]);
    let contents = catalog.contents();
    let meeting = &contents[0].trash[0].meeting;
    assert_eq!(meeting.expires, Some("2026-11-05T07:00:00Z".parse().unwrap()));
    let tasks = catalog.enrichment_tasks(&acme(), Timestamp::now());
    let expected = [
        EnrichmentTask::Details(MeetingId::from("m").to_trash_id()),
        EnrichmentTask::Probe(trashed_file("c"), Version(1), BodyKind::Opaque),
    ];
    assert_eq!(tasks, expected);
    let Availability::Unavailable(note) = &meeting.files[1].availability else { panic!() };
    assert!(
        note.contains("It is in the recycle bin, which does not allow downloads. No.\nRestore it"),
        "{note}"
    );
    assert!(note.contains("Restore it by 2026-11-05, and it reappears in its original directory."));
}

#[test]
fn returning_meeting_has_no_old_values() {
    let directory = tempfile::tempdir().unwrap();
    let record = |catalog: &Catalog| {
        list_trash(catalog, &["a"], None);
        catalog.record_size(&trashed_file("a"), Version(1), 9);
        let reply = LastReply { length: Some(9), validator: Some("etag".into()) };
        catalog.record_reply(&trashed_file("a"), Version(1), &reply);
        catalog.record_probe(&trashed_file("a"), Version(1), None);
    };
    {
        let catalog = catalog(CatalogDatabase::open(directory.path()).unwrap());
        list_files(&catalog, &[]);
        record(&catalog);
        catalog.apply_trash(&acme(), TrashListing::default());
        // A result that arrives after the meeting has left the recycle bin is not stored.
        catalog.record_probe(&trashed_file("a"), Version(1), Some("no".into()));
        assert_eq!(catalog.last_reply(&trashed_file("a"), Version(1)), None);
        record(&catalog);
        // The values of a meeting in the recycle bin are kept.
        catalog.record_full_listing(&acme(), Timestamp::now());
    }
    let catalog = catalog(CatalogDatabase::open(directory.path()).unwrap());
    assert_eq!(visible_files(&catalog), ["a+"]);
    assert_eq!(catalog.contents()[0].trash[0].sizes.get(&"a".into()), Some(&9));
    assert!(catalog.last_reply(&trashed_file("a"), Version(1)).is_some());
}

#[test]
fn damaged_rows_do_not_affect_intact_rows() {
    let directory = tempfile::tempdir().unwrap();
    {
        let catalog = catalog(CatalogDatabase::open(directory.path()).unwrap());
        list_files(&catalog, &[]);
        list_trash(&catalog, &["a", "b"], None);
        for key in ["a", "b"] {
            catalog.record_probe(&trashed_file(key), Version(1), None);
        }
        let database = catalog.database();
        database.execute("UPDATE trashed_file SET version = x'00' WHERE file = 'b'");
        database.execute("INSERT INTO trashed_meeting VALUES ('acme', 'x', '{')");
    }
    let catalog = catalog(CatalogDatabase::open(directory.path()).unwrap());
    assert_eq!(visible_files(&catalog), ["a+", "b?"]);
}

#[test]
fn refusal_is_probed_again_after_a_day() {
    let catalog = catalog(CatalogDatabase::in_memory().unwrap());
    list_trash(&catalog, &["a", "b"], None);
    catalog.record_details(&acme(), &MeetingId::from("m").to_trash_id(), None);
    catalog.record_probe(&trashed_file("a"), Version(1), Some("no".into()));
    catalog.record_probe(&trashed_file("b"), Version(1), None);
    let tasks_after = |hours| {
        let now = Timestamp::now() + SignedDuration::from_hours(hours);
        catalog.enrichment_tasks(&acme(), now).len()
    };
    assert_eq!((tasks_after(23), tasks_after(25)), (0, 1));
    assert_eq!(visible_files(&catalog), ["a-", "b+"]);
    let revision = *catalog.changes().borrow();
    catalog.record_probe(&trashed_file("a"), Version(1), Some("no".into()));
    assert_eq!(*catalog.changes().borrow(), revision, "an equal refusal is not a change");
    assert_eq!(tasks_after(23), 0);
}

#[test]
fn restored_files_leave_the_recycle_bin() {
    let catalog = catalog(CatalogDatabase::in_memory().unwrap());
    list_trash(&catalog, &["a", "b"], None);
    let mut detail_file = file("m", "d");
    detail_file.id = trashed_file("d");
    let details = Details { files: vec![detail_file], ..Details::default() };
    catalog.record_details(&acme(), &MeetingId::from("m").to_trash_id(), Some(details));
    assert_eq!(visible_files(&catalog), ["a?", "b?", "d?"]);
    list_files(&catalog, &["a"]);
    assert_eq!(
        visible_files(&catalog),
        ["a?", "b?", "d?"],
        "the restored file is hidden but still affects names"
    );
    let tasks = catalog.enrichment_tasks(&acme(), Timestamp::now()).into_iter();
    let probed_keys = tasks.filter_map(|task| match task {
        EnrichmentTask::Probe(id, ..) => Some(id.key.to_string()),
        EnrichmentTask::Size(..) | EnrichmentTask::Details(_) => None,
    });
    let mut probed_keys: Vec<_> = probed_keys.collect();
    probed_keys.sort();
    assert_eq!(probed_keys, ["b", "d"]);
    // If all listed files are restored, files of the details are not shown either.
    list_files(&catalog, &["a", "b"]);
    assert_eq!(visible_files(&catalog), Vec::<String>::new());
}

#[test]
fn incomplete_trash_listing_removes_only_expired_meetings() {
    let catalog = catalog(CatalogDatabase::in_memory().unwrap());
    let failed_listing =
        || TrashListing { meetings: Vec::new(), failed: Some(ProviderError::unavailable("down")) };
    list_trash(&catalog, &["a"], Some(Timestamp::now()));
    catalog.apply_trash(&acme(), failed_listing());
    assert_eq!(visible_files(&catalog), ["a?"]);
    list_trash(&catalog, &["a"], Some(Timestamp::now() - SignedDuration::from_hours(24 * 31)));
    catalog.apply_trash(&acme(), failed_listing());
    assert_eq!(visible_files(&catalog), Vec::<String>::new());
    list_trash(&catalog, &["a"], None);
    catalog.apply_trash(&acme(), TrashListing::default());
    assert_eq!(visible_files(&catalog), Vec::<String>::new());
}

#[test]
fn first_listing_replaces_unknown_deletion_time() {
    let catalog = catalog(CatalogDatabase::in_memory().unwrap());
    list_trash(&catalog, &["a"], None);
    let expiry = || catalog.contents()[0].trash[0].meeting.expires.unwrap();
    let first_expiry = expiry();
    list_trash(&catalog, &["a", "b"], None);
    assert_eq!(expiry(), first_expiry);
    let metadata = catalog.contents()[0].trash[0].meeting.metadata.to_map();
    assert_eq!(metadata.get("expires_is_latest"), Some(&true.into()));
    assert_eq!(metadata.get("deleted_time"), None);
}

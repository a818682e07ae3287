//! Tests of migrations, and of the fixed schema.

use std::path::Path;

use rusqlite::Connection;

use super::fixtures::{acme, file, last_reply};
use crate::catalog::database::CatalogDatabase;
use crate::catalog::database::schema::{MIGRATIONS, SCHEMA_VERSION};
use crate::catalog::scope::ListingScope;
use crate::model::{Details, LastReply, Version};

/// Creates a catalog whose tables have an earlier version.
fn create_catalog(directory: &Path, version: usize) -> Connection {
    let connection = Connection::open(directory.join("catalog.sqlite")).unwrap();
    MIGRATIONS[..version].iter().for_each(|schema| connection.execute_batch(schema).unwrap());
    connection.pragma_update(None, "user_version", version as i64).unwrap();
    connection
}

#[test]
fn version_one_is_migrated_with_its_data() {
    let directory = tempfile::tempdir().unwrap();
    {
        let connection = create_catalog(directory.path(), 1);
        connection
            .execute("INSERT INTO file_size VALUES ('acme', 'm/1==', 'a', zeroblob(8), 42)", [])
            .unwrap();
        let details = "INSERT INTO meeting_details VALUES ('acme', 'm', '{\"dept\":\"x\"}'), ('acme', 'o', NULL)";
        connection.execute(details, []).unwrap();
    }
    let database = CatalogDatabase::open(directory.path()).unwrap();
    database.save_reply(&file("a"), Version(3), &last_reply());
    assert_eq!(database.load_sizes(&acme()).unwrap().len(), 1);
    let metadata = [("dept".to_owned(), "x".into())].into_iter().collect();
    let details = Details { metadata, ..Details::default() };
    let expected = [("m".into(), Some(details)), ("o".into(), None)];
    assert_eq!(database.load_details(&acme()).unwrap(), expected);
    let expected = (("m/1==".into(), "a".into()), (Version(3), last_reply()));
    assert_eq!(database.load_replies(&acme()).unwrap(), [expected]);
    assert!(!directory.path().join("catalog.sqlite.damaged").exists());
}

#[test]
fn validators_of_version_six_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let row = "INSERT INTO file_validator VALUES ('acme', 'm/1==', 'a', zeroblob(8), '\"tag\"')";
    create_catalog(directory.path(), 6).execute(row, []).unwrap();
    let database = CatalogDatabase::open(directory.path()).unwrap();
    let reply = LastReply { length: None, ..last_reply() };
    let expected = (("m/1==".into(), "a".into()), (Version(0), reply));
    assert_eq!(database.load_replies(&acme()).unwrap(), [expected]);
}

#[test]
fn version_three_gets_tables_for_deletions() {
    let directory = tempfile::tempdir().unwrap();
    create_catalog(directory.path(), 3)
        .execute("INSERT INTO full_listing VALUES ('acme', 'mine', 5)", [])
        .unwrap();
    let database = CatalogDatabase::open(directory.path()).unwrap();
    for (table, rows) in
        [("trashed_meeting", 0), ("trashed_file", 0), ("deleted_meeting", 0), ("full_listing", 1)]
    {
        let count = database.query::<i64>(&format!("SELECT count(*) FROM {table}"));
        assert_eq!(count, [rows], "{table}");
    }
    assert!(!directory.path().join("catalog.sqlite.damaged").exists());
}

#[test]
fn readable_scopes_of_version_four_are_deleted() {
    let directory = tempfile::tempdir().unwrap();
    create_catalog(directory.path(), 4)
        .execute("INSERT INTO full_listing VALUES ('acme', 'Zoom(ana@example.org)', 5)", [])
        .unwrap();
    let database = CatalogDatabase::open(directory.path()).unwrap();
    assert!(database.load_listing(&acme(), &ListingScope::from_parts(["zoom"])).unwrap().is_none());
    assert_eq!(database.query::<String>("SELECT scope FROM full_listing"), [""]);
    assert!(!directory.path().join("catalog.sqlite.damaged").exists());
}

#[test]
fn changed_schema_needs_a_new_version() {
    const EXPECTED_HASH: u64 = 15_557_229_944_624_969_888;
    let database = CatalogDatabase::in_memory().unwrap();
    let tables = database.query::<String>("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL");
    let hash = xxhash_rust::xxh3::xxh3_64(tables.join(";").as_bytes());
    assert_eq!(
        (hash, SCHEMA_VERSION),
        (EXPECTED_HASH, 7),
        "the schema of the catalog changed: raise SCHEMA_VERSION and add a migration"
    );
}

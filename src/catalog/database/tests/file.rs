//! Tests of the catalog file: damage, newer versions, owner and modes.

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use rusqlite::Connection;

use super::fixtures::{acme, file};
use crate::catalog::database::file::{MAX_DAMAGED_FILES, move_damaged_file};
use crate::catalog::database::schema::SCHEMA_VERSION;
use crate::catalog::database::{CatalogDatabase, CatalogDatabaseError};
use crate::model::Version;

#[test]
fn damaged_file_is_renamed_and_replaced() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(
        directory.path().join("catalog.sqlite"),
        b"this is not a database at all, sorry",
    )
    .unwrap();
    let database = CatalogDatabase::open(directory.path()).unwrap();
    database.save_size(&file("a"), Version(3), 42);
    assert_eq!(database.load_sizes(&acme()).unwrap().len(), 1);
    assert!(directory.path().join("catalog.sqlite.damaged").exists());
}

#[test]
fn damaged_files_are_kept_up_to_a_limit() {
    let directory = tempfile::tempdir().unwrap();
    let path_of = |name: &str| directory.path().join(name);
    let damaged_text = |number: usize| format!("this is not a database at all, number {number:02}");
    for number in 0..MAX_DAMAGED_FILES + 2 {
        std::fs::write(path_of("catalog.sqlite"), damaged_text(number)).unwrap();
        let database = CatalogDatabase::open(directory.path()).unwrap();
        database.save_size(&file("a"), Version(3), 42);
        assert_eq!(database.load_sizes(&acme()).unwrap().len(), 1);
    }
    let read = |name: &str| std::fs::read_to_string(path_of(name)).unwrap();
    assert_eq!(read("catalog.sqlite.damaged"), damaged_text(0));
    assert_eq!(read("catalog.sqlite.damaged.9"), damaged_text(8));
    assert!(!path_of("catalog.sqlite.damaged.10").exists());
    std::fs::remove_file(path_of("catalog.sqlite.damaged.9")).unwrap();
    let (path, journal) = (path_of("catalog.sqlite"), "catalog.sqlite-wal");
    std::fs::write(path_of(journal), "last transaction").unwrap();
    assert_eq!(move_damaged_file(&path).unwrap(), Some(path_of("catalog.sqlite.damaged.9")));
    assert_eq!(read("catalog.sqlite.damaged.9-wal"), "last transaction");
    std::fs::write(path_of(journal), "another transaction").unwrap();
    assert_eq!(move_damaged_file(&path).unwrap(), None);
    assert!(
        !path_of(journal).exists() && !path.exists(),
        "a journal must not be applied to the new file"
    );
}

#[test]
fn newer_version_is_rejected_and_unchanged() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("catalog.sqlite");
    drop(CatalogDatabase::open(directory.path()).unwrap());
    for (journal, version) in [("WAL", SCHEMA_VERSION + 1), ("DELETE", i64::from(i32::MAX))] {
        let connection = Connection::open(&path).unwrap();
        connection.pragma_update(None, "journal_mode", journal).unwrap();
        connection.pragma_update(None, "user_version", version).unwrap();
        drop(connection);
        let original_bytes = std::fs::read(&path).unwrap();
        for result in [
            CatalogDatabase::check(directory.path()),
            CatalogDatabase::open(directory.path()).map(drop),
        ] {
            assert!(
                matches!(result, Err(CatalogDatabaseError::NewerVersion { version: rejected, .. }) if rejected == version),
                "{result:?}"
            );
        }
        assert!(std::fs::read(&path).unwrap() == original_bytes, "{journal}");
    }
    let names =
        std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(names.collect::<Vec<_>>(), ["catalog.sqlite"]);
}

#[test]
fn negative_version_counts_as_damage() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("catalog.sqlite");
    Connection::open(&path).unwrap().pragma_update(None, "user_version", -3).unwrap();
    CatalogDatabase::check(directory.path()).unwrap();
    CatalogDatabase::open(directory.path()).unwrap();
    assert!(directory.path().join("catalog.sqlite.damaged").exists());
}

#[test]
fn directory_and_file_are_private() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("cache");
    let _database = CatalogDatabase::open(&directory).unwrap();
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    assert_eq!(mode(&directory.join("catalog.sqlite")), 0o600);
}

#[test]
fn exposed_directory_is_rejected() {
    let directory = tempfile::tempdir().unwrap();
    let set_mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    for mode in [0o777, 0o1777, 0o770] {
        set_mode(directory.path(), mode);
        let result = CatalogDatabase::open(directory.path());
        assert!(
            matches!(result, Err(CatalogDatabaseError::Exposed { .. })),
            "{mode:o}: {result:?}"
        );
    }
    set_mode(directory.path(), 0o755);
    let path = directory.path().join("catalog.sqlite");
    std::fs::write(&path, b"").unwrap();
    set_mode(&path, 0o666);
    let _database = CatalogDatabase::open(directory.path()).unwrap();
    for name in ["catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm"] {
        let metadata = directory.path().join(name).metadata().unwrap();
        assert_eq!(metadata.mode() & 0o777, 0o600, "{name}");
    }
}

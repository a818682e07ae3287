//! The tables of the catalog: how they came to be, and whether a file has them.
//!
//! A file says which version its tables are of. An older one is brought up to date; a later one is not touched, for it may
//! hold what only a later meetfs can read.

use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

/// Raised with every change of the tables below; an older file is migrated in [`bring_up_to_date`].
pub(super) const SCHEMA_VERSION: i64 = 5;

/// Where SQLite has `user_version` in its file, four bytes with the highest first ("Database File Format", 1.3).
const VERSION_AT: u64 = 60;

const SCHEMA: &str = "
    CREATE TABLE file_size (
        source TEXT NOT NULL, meeting TEXT NOT NULL, file TEXT NOT NULL,
        version BLOB NOT NULL, size INTEGER NOT NULL,
        PRIMARY KEY (source, meeting, file)
    ) WITHOUT ROWID;
    CREATE TABLE meeting_details (
        source TEXT NOT NULL, meeting TEXT NOT NULL, details TEXT,
        PRIMARY KEY (source, meeting)
    ) WITHOUT ROWID;
";

/// Version 2 remembers under which validator a file was served, so that a restart does not mix two contents.
const SCHEMA_2: &str = "
    CREATE TABLE file_validator (
        source TEXT NOT NULL, meeting TEXT NOT NULL, file TEXT NOT NULL,
        version BLOB NOT NULL, validator TEXT NOT NULL,
        PRIMARY KEY (source, meeting, file)
    ) WITHOUT ROWID;
    PRAGMA user_version = 2;
";

/// Version 3 keeps what was listed, so that the tree is there before any cloud has answered, and the files that
/// details add.
const SCHEMA_3: &str = "
    CREATE TABLE listed_meeting (
        source TEXT NOT NULL, meeting TEXT NOT NULL, listed TEXT NOT NULL,
        PRIMARY KEY (source, meeting)
    ) WITHOUT ROWID;
    CREATE TABLE full_listing (
        source TEXT NOT NULL PRIMARY KEY, scope TEXT NOT NULL, at INTEGER
    ) WITHOUT ROWID;
    UPDATE meeting_details SET details = json_object('facts', json(details)) WHERE details IS NOT NULL;
    PRAGMA user_version = 3;
";

/// Version 4 keeps what lies in recycle bins with what came of trying it, and what was deleted upstream and is still held.
const SCHEMA_4: &str = "
    CREATE TABLE trashed_meeting (
        source TEXT NOT NULL, meeting TEXT NOT NULL, lying TEXT NOT NULL,
        PRIMARY KEY (source, meeting)
    ) WITHOUT ROWID;
    CREATE TABLE trashed_file (
        source TEXT NOT NULL, meeting TEXT NOT NULL, file TEXT NOT NULL,
        version BLOB NOT NULL, at INTEGER NOT NULL, refusal TEXT,
        PRIMARY KEY (source, meeting, file)
    ) WITHOUT ROWID;
    CREATE TABLE deleted_meeting (
        source TEXT NOT NULL, meeting TEXT NOT NULL, remains TEXT NOT NULL,
        PRIMARY KEY (source, meeting)
    ) WITHOUT ROWID;
    PRAGMA user_version = 4;
";

/// Version 5 knows archives by digests. Which one is meant by the settings that were written out in their place before is
/// not said any more, so everything is listed anew.
const SCHEMA_5: &str = "
    UPDATE full_listing SET scope = '', at = NULL;
    PRAGMA user_version = 5;
";

/// The changes in their order: a file of version `n` has had the first `n`.
const CHANGES: [&str; SCHEMA_VERSION as usize] = [SCHEMA, SCHEMA_2, SCHEMA_3, SCHEMA_4, SCHEMA_5];

/// Why a file is not opened.
#[derive(Debug)]
pub(super) enum Unopened {
    /// It is of a later meetfs.
    Later(i64),
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for Unopened {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// Refuses a file of a later meetfs. Nothing is written.
pub(super) fn check(connection: &Connection) -> Result<(), Unopened> {
    missing_changes(connection).map(drop)
}

/// Makes the tables, or makes of older ones what they are now: all of it or nothing.
pub(super) fn bring_up_to_date(connection: &mut Connection) -> Result<(), Unopened> {
    // Locked from the start: two that both read version 0 would both make the tables.
    let made = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for schema in missing_changes(&made)? {
        made.execute_batch(schema)?;
    }
    made.commit()?;
    Ok(())
}

/// The changes of the tables that a file has not had.
fn missing_changes(connection: &Connection) -> Result<&'static [&'static str], Unopened> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let Ok(had) = usize::try_from(version) else {
        // Nobody's: it is damaged.
        return Err(rusqlite::Error::IntegralValueOutOfRange(0, version).into());
    };
    CHANGES.get(had..).ok_or(Unopened::Later(version))
}

/// The version of the tables that a file says, unless a process has not yet moved it there. SQLite is not asked, for it
/// may make files beside it.
pub(super) fn written_version(path: &Path) -> Option<i64> {
    let file =
        std::fs::OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(path).ok()?;
    let mut version = [0; 4];
    file.read_exact_at(&mut version, VERSION_AT).ok()?;
    Some(i64::from(i32::from_be_bytes(version)))
}

#[cfg(test)]
mod tests {
    use super::super::fact_store::tests::{acme, file};
    use super::super::{CatalogDatabase, ListingScope};
    use super::*;
    use crate::model::{Details, Version};

    #[test]
    fn a_catalog_of_the_first_schema_is_migrated_and_keeps_what_it_knew() {
        let directory = tempfile::tempdir().unwrap();
        {
            let old = Connection::open(directory.path().join("catalog.sqlite")).unwrap();
            old.execute_batch(SCHEMA).unwrap();
            old.execute_batch("PRAGMA user_version = 1;").unwrap();
            old.execute("INSERT INTO file_size VALUES ('acme', 'm/1==', 'a', zeroblob(8), 42)", [])
                .unwrap();
            let details = "INSERT INTO meeting_details VALUES ('acme', 'm', '{\"dept\":\"x\"}'), ('acme', 'o', NULL)";
            old.execute(details, []).unwrap();
        }
        let store = CatalogDatabase::open(directory.path()).unwrap();
        store.keep_validator(&file("a"), Version(3), "\"tag\"");
        let (sizes, details) = store.load(&acme()).unwrap();
        assert_eq!(sizes.len(), 1);
        let facts = [("dept".to_owned(), "x".into())].into_iter().collect();
        let known = Details { metadata: facts, ..Details::default() };
        assert_eq!(details, [("m".into(), Some(known)), ("o".into(), None)]);
        let expected = (("m/1==".into(), "a".into()), (Version(3), "\"tag\"".to_string()));
        assert_eq!(store.validators(&acme()).unwrap(), [expected]);
        assert!(!directory.path().join("catalog.sqlite.damaged").exists());
    }

    #[test]
    fn a_catalog_of_the_third_schema_gets_the_tables_for_what_was_deleted() {
        let directory = tempfile::tempdir().unwrap();
        {
            let old = Connection::open(directory.path().join("catalog.sqlite")).unwrap();
            [SCHEMA, SCHEMA_2, SCHEMA_3]
                .iter()
                .for_each(|schema| old.execute_batch(schema).unwrap());
            old.execute("INSERT INTO full_listing VALUES ('acme', 'mine', 5)", []).unwrap();
        }
        let store = CatalogDatabase::open(directory.path()).unwrap();
        let connection = store.connection.lock();
        for (table, rows) in [
            ("trashed_meeting", 0),
            ("trashed_file", 0),
            ("deleted_meeting", 0),
            ("full_listing", 1),
        ] {
            let line = format!("SELECT count(*) FROM {table}");
            let found: i64 = connection.query_row(&line, [], |row| row.get(0)).unwrap();
            assert_eq!(found, rows, "{table}");
        }
        assert!(!directory.path().join("catalog.sqlite.damaged").exists());
    }

    #[test]
    fn a_catalog_of_the_fourth_schema_says_no_longer_how_somebody_signs_in() {
        let directory = tempfile::tempdir().unwrap();
        {
            let old = Connection::open(directory.path().join("catalog.sqlite")).unwrap();
            [SCHEMA, SCHEMA_2, SCHEMA_3, SCHEMA_4]
                .iter()
                .for_each(|schema| old.execute_batch(schema).unwrap());
            old.execute("INSERT INTO full_listing VALUES ('acme', 'Zoom(ana@example.org)', 5)", [])
                .unwrap();
        }
        let store = CatalogDatabase::open(directory.path()).unwrap();
        assert!(store.kept_listing(&acme(), &ListingScope::of(["zoom"])).unwrap().is_none());
        let connection = store.connection.lock();
        let scopes: String =
            connection.query_row("SELECT scope FROM full_listing", [], |row| row.get(0)).unwrap();
        assert_eq!(scopes, "");
        assert!(!directory.path().join("catalog.sqlite.damaged").exists());
    }

    #[test]
    fn the_schema_on_disk_is_the_one_frozen_here() {
        let store = CatalogDatabase::in_memory().unwrap();
        let connection = store.connection.lock();
        let mut query =
            connection.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL").unwrap();
        let tables: Vec<String> =
            query.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
        let hash = xxhash_rust::xxh3::xxh3_64(tables.join(";").as_bytes());
        assert_eq!(
            (hash, SCHEMA_VERSION),
            (FROZEN, 5),
            "the catalog's schema appears to have changed: raise SCHEMA_VERSION and add a migration"
        );
    }

    const FROZEN: u64 = 5_962_300_977_285_945_896;
}

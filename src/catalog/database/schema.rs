//! The tables of the catalog and their migrations.
//!
//! A file stores the version of its tables. Older tables are migrated. A file with later ones is
//! not touched, because it may contain data that only a later meetfs can read.

use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

/// Raised with every change of the tables below. [`migrate`] applies the changes to older files.
pub(super) const SCHEMA_VERSION: i64 = 6;

/// The offset of `user_version`: four bytes, big endian (SQLite, "Database File Format", 1.3).
const VERSION_OFFSET: u64 = 60;

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

/// Version 2 adds the validator under which a file was served, so a restart does not mix two
/// contents.
const SCHEMA_2: &str = "
    CREATE TABLE file_validator (
        source TEXT NOT NULL, meeting TEXT NOT NULL, file TEXT NOT NULL,
        version BLOB NOT NULL, validator TEXT NOT NULL,
        PRIMARY KEY (source, meeting, file)
    ) WITHOUT ROWID;
    PRAGMA user_version = 2;
";

/// Version 3 adds listings, so the tree exists before a provider answers, and the files that
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

/// Version 4 adds recycle bins with their download probes, and retained meetings.
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

/// Version 5 identifies archives by digests instead of settings. The old settings cannot be
/// converted, so everything is listed again.
const SCHEMA_5: &str = "
    UPDATE full_listing SET scope = '', at = NULL;
    PRAGMA user_version = 5;
";

/// Version 6 adds the time zone in which the directories of a source are named.
const SCHEMA_6: &str = "
    CREATE TABLE naming_zone (
        source TEXT NOT NULL PRIMARY KEY, zone TEXT NOT NULL
    ) WITHOUT ROWID;
    PRAGMA user_version = 6;
";

/// The migrations, in order. The first `n` have been applied to a file of version `n`.
pub(super) const MIGRATIONS: [&str; SCHEMA_VERSION as usize] =
    [SCHEMA, SCHEMA_2, SCHEMA_3, SCHEMA_4, SCHEMA_5, SCHEMA_6];

/// Why a file cannot be opened.
#[derive(Debug)]
pub(super) enum OpenError {
    /// A later meetfs made it. The version of its tables.
    LaterVersion(i64),
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for OpenError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// Rejects a file of a later meetfs. Nothing is written.
pub(super) fn check(connection: &Connection) -> Result<(), OpenError> {
    missing_migrations(connection).map(drop)
}

/// Creates or migrates the tables in one transaction.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), OpenError> {
    // Immediate: two processes that both read version 0 would both create the tables.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for schema in missing_migrations(&transaction)? {
        transaction.execute_batch(schema)?;
    }
    transaction.commit()?;
    Ok(())
}

/// Returns the migrations that a file does not have.
fn missing_migrations(connection: &Connection) -> Result<&'static [&'static str], OpenError> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let Ok(applied) = usize::try_from(version) else {
        // No version writes a negative number: the file is damaged.
        return Err(rusqlite::Error::IntegralValueOutOfRange(0, version).into());
    };
    MIGRATIONS.get(applied..).ok_or(OpenError::LaterVersion(version))
}

/// Reads the version of the tables from the file, without changes that are still in the write-ahead
/// log. It does not use SQLite, which may create files beside it.
pub(super) fn stored_version(path: &Path) -> Option<i64> {
    let file =
        std::fs::OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(path).ok()?;
    let mut version = [0; 4];
    file.read_exact_at(&mut version, VERSION_OFFSET).ok()?;
    Some(i64::from(i32::from_be_bytes(version)))
}

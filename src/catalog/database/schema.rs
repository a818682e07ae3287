//! The tables of the catalog and their migrations.
//!
//! A file stores the version of its tables. Tables of an older version are migrated. A file of a
//! newer version is not changed, because it may contain data that only a newer version of meetfs
//! can read.

use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

/// The version of the tables. Every change of the tables increments it, and [`migrate`] applies the
/// change to older files.
pub(super) const SCHEMA_VERSION: i64 = 7;

/// The offset of the `user_version` field in the file. The field is a 32-bit big-endian integer
/// (SQLite, "Database File Format", 1.3).
const VERSION_OFFSET: u64 = 60;

const MIGRATION_1: &str = "
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

/// Version 2 adds the validators of files. Without them, the cache could mix the old and the new
/// bytes of a file after a restart.
const MIGRATION_2: &str = "
    CREATE TABLE file_validator (
        source TEXT NOT NULL, meeting TEXT NOT NULL, file TEXT NOT NULL,
        version BLOB NOT NULL, validator TEXT NOT NULL,
        PRIMARY KEY (source, meeting, file)
    ) WITHOUT ROWID;
    PRAGMA user_version = 2;
";

/// Version 3 adds listings, so the tree exists before a provider responds. It also changes the
/// format of details, which can now contain files.
const MIGRATION_3: &str = "
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

/// Version 4 adds recycle bins with their download probes, and meetings that were deleted upstream.
const MIGRATION_4: &str = "
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

/// Version 5 identifies an archive by a digest instead of its settings. The old settings cannot be
/// converted to a digest, so everything is listed again.
const MIGRATION_5: &str = "
    UPDATE full_listing SET scope = '', at = NULL;
    PRAGMA user_version = 5;
";

/// Version 6 adds the time zone that is used in the directory names of a source.
const MIGRATION_6: &str = "
    CREATE TABLE naming_zone (
        source TEXT NOT NULL PRIMARY KEY, zone TEXT NOT NULL
    ) WITHOUT ROWID;
    PRAGMA user_version = 6;
";

/// Version 7 adds the confirmed length of each file, so files whose length has been confirmed open
/// without a request after a restart.
const MIGRATION_7: &str = "
    CREATE TABLE last_reply (
        source TEXT NOT NULL, meeting TEXT NOT NULL, file TEXT NOT NULL,
        version BLOB NOT NULL, length INTEGER, validator TEXT,
        PRIMARY KEY (source, meeting, file)
    ) WITHOUT ROWID;
    INSERT INTO last_reply
        SELECT source, meeting, file, version, NULL, validator FROM file_validator;
    DROP TABLE file_validator;
    PRAGMA user_version = 7;
";

/// The migrations in order. The first `n` migrations have been applied to a file of version `n`.
pub(super) const MIGRATIONS: [&str; SCHEMA_VERSION as usize] =
    [MIGRATION_1, MIGRATION_2, MIGRATION_3, MIGRATION_4, MIGRATION_5, MIGRATION_6, MIGRATION_7];

/// The reason why a database cannot be opened.
#[derive(Debug)]
pub(super) enum OpenError {
    /// A newer version of meetfs created the file. The value is the version of its tables.
    NewerVersion(i64),
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for OpenError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// Returns an error if a newer version of meetfs created the file. Does not change the file.
pub(super) fn check(connection: &Connection) -> Result<(), OpenError> {
    missing_migrations(connection).map(drop)
}

/// Creates or migrates the tables in one transaction.
pub(super) fn migrate(connection: &mut Connection) -> Result<(), OpenError> {
    // The transaction takes the write lock at once. Otherwise two processes could both read version
    // 0 and both create the tables.
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for schema in missing_migrations(&transaction)? {
        transaction.execute_batch(schema)?;
    }
    transaction.commit()?;
    Ok(())
}

/// Returns the migrations that have not been applied to the file.
fn missing_migrations(connection: &Connection) -> Result<&'static [&'static str], OpenError> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let Ok(applied) = usize::try_from(version) else {
        // No version of meetfs writes a negative number, so the file is damaged.
        return Err(rusqlite::Error::IntegralValueOutOfRange(0, version).into());
    };
    MIGRATIONS.get(applied..).ok_or(OpenError::NewerVersion(version))
}

/// Reads the version of the tables from the file, without changes that are only in the write-ahead
/// log. Does not use SQLite, because SQLite could create files next to the catalog.
pub(super) fn stored_version(path: &Path) -> Option<i64> {
    let file =
        std::fs::OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(path).ok()?;
    let mut version = [0; 4];
    file.read_exact_at(&mut version, VERSION_OFFSET).ok()?;
    Some(i64::from(i32::from_be_bytes(version)))
}

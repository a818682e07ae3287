//! The file of the index and its tables.

use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::error::SearchIndexError;
use crate::ownership::{self, FileType};

const FILE_NAME: &str = "search.sqlite";

/// Suffixes of the file and of the files that SQLite creates next to it.
const SUFFIXES: [&str; 3] = ["", "-wal", "-shm"];

/// The version of the tables and of the parsers. An index of another version is replaced.
const SCHEMA_VERSION: i64 = 1;

/// Maximum time to wait for another process that uses the index. A write takes milliseconds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// `cue_words` stores no text, only the positions of words. Its rows have the ids of `cue`. The
/// tokenizer ignores case and accents (SQLite, "FTS5", 4.3.1).
const TABLES: &str = "
    CREATE TABLE text (
        id INTEGER PRIMARY KEY,
        source TEXT NOT NULL, meeting TEXT NOT NULL, file TEXT NOT NULL,
        version BLOB NOT NULL, started_at INTEGER NOT NULL,
        UNIQUE (source, meeting, file)
    );
    CREATE TABLE cue (
        id INTEGER PRIMARY KEY, text INTEGER NOT NULL,
        start INTEGER, speaker TEXT, line TEXT NOT NULL
    );
    CREATE INDEX cue_of_text ON cue (text);
    CREATE VIRTUAL TABLE cue_words USING fts5 (
        speaker, line, content = '', contentless_delete = 1,
        tokenize = \"unicode61 remove_diacritics 2\"
    );
";

/// Opens or creates the index in `directory`, which must exist. Replaces a damaged index, and one
/// of another version.
pub(super) fn open(directory: &Path) -> Result<Connection, SearchIndexError> {
    let directory_error = |source| SearchIndexError::Directory { path: directory.into(), source };
    for path in paths(directory) {
        ownership::check_path(&path, FileType::File)?;
    }
    // SQLite rejects a symbolic link anywhere in the path, but the directory itself may be one.
    let path = directory.canonicalize().map_err(directory_error)?.join(FILE_NAME);
    match open_file(&path) {
        Ok(Some(connection)) => return Ok(connection),
        Ok(None) => {}
        Err(error) if is_damage(&error) => {
            tracing::warn!("the search index is damaged, so it is created again: {error}");
        }
        Err(error) => return Err(error.into()),
    }
    remove(directory).map_err(directory_error)?;
    // The version of a new file is never another one.
    open_file(&path)?.ok_or_else(|| rusqlite::Error::InvalidQuery.into())
}

/// Removes the index, if there is one.
pub(super) fn remove(directory: &Path) -> std::io::Result<()> {
    for path in paths(directory) {
        match std::fs::remove_file(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            result => result?,
        }
    }
    Ok(())
}

pub(super) fn in_memory() -> rusqlite::Result<Connection> {
    let connection = Connection::open_in_memory()?;
    create_tables(&connection)?;
    Ok(connection)
}

fn paths(directory: &Path) -> impl Iterator<Item = PathBuf> {
    SUFFIXES.iter().map(|suffix| directory.join(format!("{FILE_NAME}{suffix}")))
}

/// Opens the file at `path`, and creates it if needed. Returns `None` if it has another version.
fn open_file(path: &Path) -> rusqlite::Result<Option<Connection>> {
    // The file is created before SQLite opens it, because SQLite would create it with the mode of
    // the umask. If this fails, SQLite fails as well and returns the reason.
    let _ = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    match version {
        0 => create_tables(&connection)?,
        SCHEMA_VERSION => {}
        _ => return Ok(None),
    }
    Ok(Some(connection))
}

fn create_tables(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(&format!(
        "BEGIN IMMEDIATE;
         {TABLES}
         PRAGMA user_version = {SCHEMA_VERSION};
         COMMIT;"
    ))
}

pub(super) fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

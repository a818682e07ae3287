//! The file of the catalog: its location, its owner, and what happens if it is damaged.

use std::ffi::c_int;
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::backup::Backup;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use url::Url;

use super::error::CatalogDatabaseError;
use super::schema::{self, OpenError, SCHEMA_VERSION};
use crate::model::one_line;
use crate::ownership::{self, FileType};

const FILE_NAME: &str = "catalog.sqlite";

/// Files that SQLite creates beside the catalog.
const COMPANION_SUFFIXES: [&str; 3] = ["-wal", SHARED_MEMORY_SUFFIX, "-journal"];

/// The index of the write-ahead log. It is useless without the processes that have it open.
const SHARED_MEMORY_SUFFIX: &str = "-shm";

/// The number of damaged catalogs that are kept for analysis. If there are more, the cause
/// persists, and more copies would fill the disk.
pub(super) const MAX_DAMAGED_FILES: usize = 9;

/// How long to wait for another process that uses the file. Its writes take milliseconds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

const BUSY_RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// See `CatalogDatabase::open`.
pub(super) fn open(directory: &Path) -> Result<Connection, CatalogDatabaseError> {
    let failed = |source| CatalogDatabaseError::Directory { path: directory.into(), source };
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
    check_ownership(directory)?;
    // SQLite rejects symbolic links anywhere in the path. The user may link the directory itself.
    let file = directory.canonicalize().map_err(failed)?.join(FILE_NAME);
    let unopened = |error| unusable(directory.join(FILE_NAME), error);
    match open_file(&file) {
        Err(OpenError::Sqlite(damage)) if is_damage(&damage) => {
            let renamed = move_damaged_file(&file).map_err(failed)?;
            let path = directory.join(FILE_NAME);
            match renamed.as_ref().and_then(|renamed| renamed.file_name()) {
                Some(name) => tracing::warn!(
                    "the catalog {} is damaged ({damage}); renamed it to {} and created a new one",
                    path.display(),
                    directory.join(name).display()
                ),
                None => tracing::warn!(
                    "the catalog {} is damaged ({damage}); replaced it, because \
                     {MAX_DAMAGED_FILES} damaged ones are kept beside it",
                    path.display()
                ),
            }
            open_file(&file).map_err(unopened)
        }
        opened => opened.map_err(unopened),
    }
}

/// See `CatalogDatabase::check`.
pub(super) fn check(directory: &Path) -> Result<(), CatalogDatabaseError> {
    if !directory.exists() {
        return Ok(());
    }
    check_ownership(directory)?;
    let path = directory.join(FILE_NAME);
    match schema::stored_version(&path) {
        Some(version) if version > SCHEMA_VERSION => {
            Err(CatalogDatabaseError::LaterVersion { path, version })
        }
        _ => Ok(()),
    }
}

pub(super) fn in_memory() -> Result<Connection, CatalogDatabaseError> {
    let opened = Connection::open_in_memory().map_err(OpenError::from).and_then(migrated);
    opened.map_err(|error| unusable(":memory:".into(), error))
}

/// See `CatalogDatabase::copy_to_memory`.
pub(super) fn copy_to_memory(directory: &Path) -> Result<Connection, CatalogDatabaseError> {
    if !directory.exists() {
        return in_memory();
    }
    check_ownership(directory)?;
    let copied = directory
        .canonicalize()
        .map_err(|source| CatalogDatabaseError::Directory { path: directory.into(), source })
        .map(|directory| copy_of(&directory.join(FILE_NAME)))?;
    match copied {
        Ok(Some(connection)) => Ok(connection),
        Ok(None) => in_memory(),
        Err(error) => {
            let path = directory.join(FILE_NAME);
            tracing::warn!("{}", one_line(&unusable(path, error)));
            in_memory()
        }
    }
}

/// Returns a copy in memory of the catalog at `path`, or `None` if there is no file. The last
/// changes of a process that was killed are missing: they are in the write-ahead log, which SQLite
/// can read only with a file that it cannot create.
fn copy_of(path: &Path) -> Result<Option<Connection>, OpenError> {
    let Ok(mut url) = Url::from_file_path(path) else { return Ok(None) };
    if !path.exists() {
        return Ok(None);
    }
    url.set_query(Some("immutable=1"));
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let stored = Connection::open_with_flags(url.as_str(), flags)?;
    schema::check(&stored)?;
    let mut copy = Connection::open_in_memory()?;
    Backup::new(&stored, &mut copy)?.run_to_completion(c_int::MAX, Duration::ZERO, None)?;
    migrated(copy).map(Some)
}

fn unusable(path: PathBuf, error: OpenError) -> CatalogDatabaseError {
    match error {
        OpenError::LaterVersion(version) => CatalogDatabaseError::LaterVersion { path, version },
        OpenError::Sqlite(source) => CatalogDatabaseError::Database { path, source },
    }
}

fn open_file(path: &Path) -> Result<Connection, OpenError> {
    // Created first, because SQLite would use the mode of the umask. Its companions inherit the
    // mode of the file.
    let created = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path);
    // If this fails, SQLite fails as well and gives the reason.
    let _ = created.and_then(|file| file.set_permissions(std::fs::Permissions::from_mode(0o600)));
    let started = Instant::now();
    loop {
        match open_once(path) {
            // SQLite does not wait while another process converts a new file to a write-ahead log,
            // because the locks of two processes that do so at once could deadlock.
            Err(OpenError::Sqlite(error))
                if is_busy(&error) && started.elapsed() < BUSY_TIMEOUT =>
            {
                std::thread::sleep(BUSY_RETRY_INTERVAL);
            }
            opened => return opened,
        }
    }
}

fn open_once(path: &Path) -> Result<Connection, OpenError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // Before anything is written, the journal mode included.
    schema::check(&connection)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    migrated(connection)
}

fn migrated(mut connection: Connection) -> Result<Connection, OpenError> {
    schema::migrate(&mut connection)?;
    Ok(connection)
}

/// Rejects a directory in which other users could replace the files, and files that do not belong
/// to the user.
fn check_ownership(directory: &Path) -> Result<(), CatalogDatabaseError> {
    let metadata = directory
        .metadata()
        .map_err(|source| CatalogDatabaseError::Directory { path: directory.into(), source })?;
    ownership::check_owner(directory, &metadata)?;
    if metadata.mode() & 0o022 != 0 {
        return Err(CatalogDatabaseError::Exposed { path: directory.into() });
    }
    for suffix in std::iter::once("").chain(COMPANION_SUFFIXES) {
        ownership::check_path(&directory.join(format!("{FILE_NAME}{suffix}")), FileType::File)?;
    }
    Ok(())
}

/// Renames a damaged catalog to an unused name, or removes it and returns `None` if there are too
/// many. Its journals go with it: SQLite would apply them to the new file.
pub(super) fn move_damaged_file(path: &Path) -> std::io::Result<Option<PathBuf>> {
    let with_suffix = |path: &Path, suffix: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    let suffixes = (1..=MAX_DAMAGED_FILES).map(|number| match number {
        1 => ".damaged".to_owned(),
        number => format!(".damaged.{number}"),
    });
    let unused = suffixes
        .map(|suffix| with_suffix(path, &suffix))
        .find(|target| target.symlink_metadata().is_err());
    // The file itself last: if the process ends before, the next start continues.
    for suffix in COMPANION_SUFFIXES.into_iter().chain([""]) {
        let from = with_suffix(path, suffix);
        let moved = match &unused {
            Some(target) if suffix != SHARED_MEMORY_SUFFIX => {
                std::fs::rename(from, with_suffix(target, suffix))
            }
            _ => std::fs::remove_file(from),
        };
        match moved {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            moved => moved?,
        }
    }
    Ok(unused)
}

/// Returns whether the file itself is unusable. It is not if it is locked or read-only, or if the
/// disk is full.
fn is_damage(error: &rusqlite::Error) -> bool {
    match error.sqlite_error_code() {
        Some(code) => matches!(code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase),
        // The file has other tables.
        None => true,
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

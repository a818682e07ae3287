//! Opens the catalog file: creates it, checks its owner, and replaces it if it is damaged.

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

/// Suffixes of the files that SQLite creates next to the catalog.
const COMPANION_SUFFIXES: [&str; 3] = ["-wal", SHARED_MEMORY_SUFFIX, "-journal"];

/// Suffix of the index of the write-ahead log. The index is useless after the processes that have
/// the database open have ended.
const SHARED_MEMORY_SUFFIX: &str = "-shm";

/// Maximum number of damaged catalogs that are kept for analysis. Further copies would only fill
/// the disk.
pub(super) const MAX_DAMAGED_FILES: usize = 9;

/// Maximum time to wait for another process that uses the catalog. A write of that process takes
/// milliseconds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

const BUSY_RETRY_INTERVAL: Duration = Duration::from_millis(20);

pub(super) fn open(directory: &Path) -> Result<Connection, CatalogDatabaseError> {
    let directory_error =
        |source| CatalogDatabaseError::Directory { path: directory.into(), source };
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(directory_error)?;
    check_ownership(directory)?;
    // SQLite rejects a symbolic link anywhere in the path, but the directory itself may be one.
    let file = directory.canonicalize().map_err(directory_error)?.join(FILE_NAME);
    let open_error = |error| into_database_error(directory.join(FILE_NAME), error);
    match open_file(&file) {
        Err(OpenError::Sqlite(damage)) if is_damage(&damage) => {
            let new_path = move_damaged_file(&file).map_err(directory_error)?;
            let path = directory.join(FILE_NAME);
            match new_path.as_ref().and_then(|new_path| new_path.file_name()) {
                Some(name) => tracing::warn!(
                    "the catalog {} is damaged ({damage}); renamed it to {} and created a new one",
                    path.display(),
                    directory.join(name).display()
                ),
                None => tracing::warn!(
                    "the catalog {} is damaged ({damage}); replaced it without \
                     a copy, because {MAX_DAMAGED_FILES} damaged copies already exist",
                    path.display()
                ),
            }
            open_file(&file).map_err(open_error)
        }
        result => result.map_err(open_error),
    }
}

pub(super) fn check(directory: &Path) -> Result<(), CatalogDatabaseError> {
    if !directory.exists() {
        return Ok(());
    }
    check_ownership(directory)?;
    let path = directory.join(FILE_NAME);
    match schema::stored_version(&path) {
        Some(version) if version > SCHEMA_VERSION => {
            Err(CatalogDatabaseError::NewerVersion { path, version })
        }
        _ => Ok(()),
    }
}

pub(super) fn in_memory() -> Result<Connection, CatalogDatabaseError> {
    let result = Connection::open_in_memory().map_err(OpenError::from).and_then(migrate);
    result.map_err(|error| into_database_error(":memory:".into(), error))
}

pub(super) fn copy_to_memory(directory: &Path) -> Result<Connection, CatalogDatabaseError> {
    if !directory.exists() {
        return in_memory();
    }
    check_ownership(directory)?;
    let result = directory
        .canonicalize()
        .map_err(|source| CatalogDatabaseError::Directory { path: directory.into(), source })
        .map(|directory| copy_file_to_memory(&directory.join(FILE_NAME)))?;
    match result {
        Ok(Some(connection)) => Ok(connection),
        Ok(None) => in_memory(),
        Err(error) => {
            let path = directory.join(FILE_NAME);
            tracing::warn!("{}", one_line(&into_database_error(path, error)));
            in_memory()
        }
    }
}

/// Copies the catalog at `path` into memory. Returns `None` if the file does not exist. The copy
/// does not contain changes that are only in the write-ahead log, because SQLite would have to
/// create a file to read them. Such changes exist only if the last process was killed.
fn copy_file_to_memory(path: &Path) -> Result<Option<Connection>, OpenError> {
    let Ok(mut url) = Url::from_file_path(path) else { return Ok(None) };
    if !path.exists() {
        return Ok(None);
    }
    url.set_query(Some("immutable=1"));
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let stored_catalog = Connection::open_with_flags(url.as_str(), flags)?;
    schema::check(&stored_catalog)?;
    let mut copy = Connection::open_in_memory()?;
    Backup::new(&stored_catalog, &mut copy)?.run_to_completion(c_int::MAX, Duration::ZERO, None)?;
    migrate(copy).map(Some)
}

fn into_database_error(path: PathBuf, error: OpenError) -> CatalogDatabaseError {
    match error {
        OpenError::NewerVersion(version) => CatalogDatabaseError::NewerVersion { path, version },
        OpenError::Sqlite(source) => CatalogDatabaseError::Database { path, source },
    }
}

fn open_file(path: &Path) -> Result<Connection, OpenError> {
    // The file is created before SQLite opens it, because SQLite would create it with the mode of
    // the umask. The files that SQLite creates next to it inherit its mode.
    let file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path);
    // If this fails, SQLite fails as well and returns the reason.
    let _ = file.and_then(|file| file.set_permissions(std::fs::Permissions::from_mode(0o600)));
    let start = Instant::now();
    loop {
        match open_once(path) {
            // SQLite does not wait while another process switches a new file to a write-ahead log,
            // because two processes that do this at the same time could deadlock.
            Err(OpenError::Sqlite(error)) if is_busy(&error) && start.elapsed() < BUSY_TIMEOUT => {
                std::thread::sleep(BUSY_RETRY_INTERVAL);
            }
            result => return result,
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
    // The version is checked before anything is written, including the journal mode.
    schema::check(&connection)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "NORMAL")?;
    migrate(connection)
}

fn migrate(mut connection: Connection) -> Result<Connection, OpenError> {
    schema::migrate(&mut connection)?;
    Ok(connection)
}

/// Returns an error if other users can write to the directory, or if a file in it does not belong
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

/// Renames a damaged catalog and returns its new path. If [`MAX_DAMAGED_FILES`] damaged catalogs
/// exist already, removes the catalog and returns `None`. The journals are renamed or removed too,
/// because SQLite would apply them to the new catalog.
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
    let unused_path = suffixes
        .map(|suffix| with_suffix(path, &suffix))
        .find(|target| target.symlink_metadata().is_err());
    // The catalog itself is moved last: if the process ends before that, the next start continues.
    for suffix in COMPANION_SUFFIXES.into_iter().chain([""]) {
        let old_path = with_suffix(path, suffix);
        let result = match &unused_path {
            Some(target) if suffix != SHARED_MEMORY_SUFFIX => {
                std::fs::rename(old_path, with_suffix(target, suffix))
            }
            _ => std::fs::remove_file(old_path),
        };
        match result {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            result => result?,
        }
    }
    Ok(unused_path)
}

/// Returns whether the error means that the file is damaged. A locked or read-only file and a full
/// disk are not damage.
fn is_damage(error: &rusqlite::Error) -> bool {
    match error.sqlite_error_code() {
        Some(code) => matches!(code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase),
        // The error is not from SQLite: the tables do not have the expected content.
        None => true,
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

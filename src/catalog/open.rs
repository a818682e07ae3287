//! Opening the catalog's file: whose it is, what is done where it is damaged, and what is left alone.

use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::CatalogDatabase;
use super::schema::{self, SCHEMA_VERSION, Unopened};
use crate::ownership::{self, FileType, OwnershipError};

/// The catalog, and what SQLite makes beside it.
const NAME: &str = "catalog.sqlite";
const COMPANIONS: [&str; 3] = ["-wal", INDEX, "-journal"];

/// Says where things are in a write-ahead log to those who have it open, and is worth nothing to others.
const INDEX: &str = "-shm";

/// How many damaged catalogs are kept for somebody to look into. They are damaged for a reason that will not go by itself
/// where there are more, and nobody should find his disk full of them.
const MAX_SET_ASIDE: usize = 9;

/// How long another process may hold the file; its writes take milliseconds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CatalogDatabaseError {
    /// The directory cannot be made.
    #[error("the cache directory {} cannot be made ({cause}); set [cache] dir to one that can", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// The system's word.
        cause: std::io::Error,
    },
    /// Others could put files in its place.
    #[error("the cache directory {} may be written to by others, who could read what is kept there; run `chmod go-w` on it, or give another directory with --cache-dir", path.display())]
    Exposed {
        /// The directory.
        path: PathBuf,
    },
    /// The directory or a file in it is not the user's own.
    #[error(transparent)]
    Ownership(#[from] OwnershipError),
    /// It has tables that this meetfs does not know, and may hold what only a later one can read.
    #[error("the catalog {} was made by a later meetfs (version {version} of its tables; this one knows up to {SCHEMA_VERSION}) and is left as it is; use that meetfs, or give this one another directory with --cache-dir", path.display())]
    Later {
        /// The file.
        path: PathBuf,
        /// Of its tables.
        version: i64,
    },
    /// SQLite cannot work with the file.
    #[error("the catalog {} cannot be used ({cause}); free space there or give another directory with --cache-dir", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// SQLite's word.
        cause: rusqlite::Error,
    },
}

impl CatalogDatabase {
    /// Opens or makes `catalog.sqlite` in `directory` (made 0700, file 0600). A damaged one is set aside as
    /// `catalog.sqlite.damaged`, or with a number behind that, and replaced.
    ///
    /// # Errors
    /// The directory or a fresh file in it cannot be made, others could put files in its place, one that is there is not the
    /// user's own, or it was made by a later meetfs. Such a file is left as it is.
    pub fn open(directory: &Path) -> Result<Self, CatalogDatabaseError> {
        let failed = |cause| CatalogDatabaseError::Directory { path: directory.into(), cause };
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
        refuse_what_is_not_own(directory)?;
        // SQLite takes no link anywhere in the path. One that leads to the directory is what its owner wishes.
        let place = directory.canonicalize().map_err(failed)?.join(NAME);
        let unopened = |error| {
            let path = directory.join(NAME);
            match error {
                Unopened::Later(version) => CatalogDatabaseError::Later { path, version },
                Unopened::Sqlite(cause) => CatalogDatabaseError::Database { path, cause },
            }
        };
        match Self::open_file(&place) {
            Err(Unopened::Sqlite(damage)) if is_damage(&damage) => {
                let aside = set_aside(&place).map_err(failed)?;
                let path = directory.join(NAME);
                match aside.as_ref().and_then(|aside| aside.file_name()) {
                    Some(aside) => tracing::warn!(
                        "the catalog {} is damaged ({damage}); it is set aside as {} and made anew",
                        path.display(),
                        directory.join(aside).display()
                    ),
                    None => tracing::warn!(
                        "the catalog {} is damaged ({damage}) and made anew; it is not set aside, for {MAX_SET_ASIDE} \
                         that were lie beside it",
                        path.display()
                    ),
                }
                Self::open_file(&place).map_err(unopened)
            }
            opened => opened.map_err(unopened),
        }
    }

    /// Whether [`open`](Self::open) would refuse what there is in `directory`, if there is one. Nothing is made or changed.
    ///
    /// # Errors
    /// It would, and why.
    pub fn check(directory: &Path) -> Result<(), CatalogDatabaseError> {
        if !directory.exists() {
            return Ok(());
        }
        refuse_what_is_not_own(directory)?;
        let path = directory.join(NAME);
        match schema::written_version(&path) {
            Some(version) if version > SCHEMA_VERSION => {
                Err(CatalogDatabaseError::Later { path, version })
            }
            _ => Ok(()),
        }
    }

    /// A store that forgets everything with the process.
    ///
    /// # Errors
    /// SQLite has no memory.
    pub fn in_memory() -> Result<Self, CatalogDatabaseError> {
        let path = || ":memory:".into();
        let opened = Connection::open_in_memory().map_err(Unopened::from).and_then(Self::prepare);
        opened.map_err(|error| match error {
            Unopened::Later(version) => CatalogDatabaseError::Later { path: path(), version },
            Unopened::Sqlite(cause) => CatalogDatabaseError::Database { path: path(), cause },
        })
    }

    fn open_file(path: &Path) -> Result<Self, Unopened> {
        // Made first, so that SQLite never makes it with the mode of the umask; its companions get the mode of the file.
        let made = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(path);
        let _sqlite_will_say_why =
            made.and_then(|file| file.set_permissions(std::fs::Permissions::from_mode(0o600)));
        let started = Instant::now();
        loop {
            match Self::open_once(path) {
                // SQLite does not wait by itself while another process turns a new file into a write-ahead
                // one: the locks of two that do so at once could block each other for good.
                Err(Unopened::Sqlite(error))
                    if is_busy(&error) && started.elapsed() < BUSY_TIMEOUT =>
                {
                    std::thread::sleep(Duration::from_millis(20));
                }
                opened => return opened,
            }
        }
    }

    fn open_once(path: &Path) -> Result<Self, Unopened> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_NOFOLLOW;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        // Before anything is written, the kind of journal included.
        schema::check(&connection)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        Self::prepare(connection)
    }

    fn prepare(mut connection: Connection) -> Result<Self, Unopened> {
        schema::bring_up_to_date(&mut connection)?;
        Ok(Self { connection: Mutex::new(connection) })
    }
}

/// Refuses a directory in which others could put files in the place of the user's own, and files that are not the user's own.
fn refuse_what_is_not_own(directory: &Path) -> Result<(), CatalogDatabaseError> {
    let found = directory
        .metadata()
        .map_err(|cause| CatalogDatabaseError::Directory { path: directory.into(), cause })?;
    ownership::check_owner(directory, &found)?;
    if found.mode() & 0o022 != 0 {
        return Err(CatalogDatabaseError::Exposed { path: directory.into() });
    }
    for companion in std::iter::once("").chain(COMPANIONS) {
        ownership::check_path(&directory.join(format!("{NAME}{companion}")), FileType::File)?;
    }
    Ok(())
}

/// Gives a damaged catalog another name, which nothing has; `None` where there are too many and it was removed. Its
/// journals go with it: SQLite would take them for the new one's.
fn set_aside(path: &Path) -> std::io::Result<Option<PathBuf>> {
    let with = |path: &Path, end: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    };
    let ends = (1..=MAX_SET_ASIDE).map(|it| match it {
        1 => ".damaged".to_owned(),
        it => format!(".damaged.{it}"),
    });
    let free = ends.map(|end| with(path, &end)).find(|aside| aside.symlink_metadata().is_err());
    // The file itself last: after an end in between it is still damaged, and set aside at the next start.
    for companion in COMPANIONS.into_iter().chain([""]) {
        let from = with(path, companion);
        let gone = match &free {
            Some(aside) if companion != INDEX => std::fs::rename(from, with(aside, companion)),
            _ => std::fs::remove_file(from),
        };
        match gone {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            gone => gone?,
        }
    }
    Ok(free)
}

/// Whether the file itself is of no use. A locked or unwritable one, or a full disk, is no reason to set it aside.
fn is_damage(error: &rusqlite::Error) -> bool {
    match error.sqlite_error_code() {
        Some(code) => matches!(code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase),
        // The file speaks of other tables than ours.
        None => true,
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

#[cfg(test)]
mod tests {
    use super::super::fact_store::tests::{acme, file};
    use super::*;
    use crate::model::Version;

    #[test]
    fn a_damaged_file_is_set_aside_and_made_anew() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(
            directory.path().join("catalog.sqlite"),
            b"this is no database at all, sorry",
        )
        .unwrap();
        let store = CatalogDatabase::open(directory.path()).unwrap();
        store.keep_size(&file("a"), Version(3), 42);
        assert_eq!(store.load(&acme()).unwrap().0.len(), 1);
        assert!(directory.path().join("catalog.sqlite.damaged").exists());
    }

    #[test]
    fn no_file_that_was_set_aside_is_replaced_and_there_are_not_many() {
        let directory = tempfile::tempdir().unwrap();
        let place = |name: &str| directory.path().join(name);
        let damage = |number: usize| format!("this is no database at all, number {number:02}");
        for number in 0..MAX_SET_ASIDE + 2 {
            std::fs::write(place("catalog.sqlite"), damage(number)).unwrap();
            let store = CatalogDatabase::open(directory.path()).unwrap();
            store.keep_size(&file("a"), Version(3), 42);
            assert_eq!(store.load(&acme()).unwrap().0.len(), 1);
        }
        let read = |name: &str| std::fs::read_to_string(place(name)).unwrap();
        assert_eq!(read("catalog.sqlite.damaged"), damage(0));
        assert_eq!(read("catalog.sqlite.damaged.9"), damage(8));
        assert!(!place("catalog.sqlite.damaged.10").exists());
        std::fs::remove_file(place("catalog.sqlite.damaged.9")).unwrap();
        let (path, log) = (place("catalog.sqlite"), "catalog.sqlite-wal");
        std::fs::write(place(log), "what was written last").unwrap();
        assert_eq!(set_aside(&path).unwrap(), Some(place("catalog.sqlite.damaged.9")));
        assert_eq!(read("catalog.sqlite.damaged.9-wal"), "what was written last");
        std::fs::write(place(log), "what was written then").unwrap();
        assert_eq!(set_aside(&path).unwrap(), None);
        assert!(!place(log).exists() && !path.exists(), "no journal is taken for the next one's");
    }

    #[test]
    fn a_catalog_of_a_later_version_is_refused_and_not_a_byte_of_it_changes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("catalog.sqlite");
        drop(CatalogDatabase::open(directory.path()).unwrap());
        for (journal, version) in [("WAL", SCHEMA_VERSION + 1), ("DELETE", i64::from(i32::MAX))] {
            let later = Connection::open(&path).unwrap();
            later.pragma_update(None, "journal_mode", journal).unwrap();
            later.pragma_update(None, "user_version", version).unwrap();
            drop(later);
            let before = std::fs::read(&path).unwrap();
            for refused in [
                CatalogDatabase::check(directory.path()),
                CatalogDatabase::open(directory.path()).map(drop),
            ] {
                assert!(
                    matches!(refused, Err(CatalogDatabaseError::Later { version: found, .. }) if found == version),
                    "{refused:?}"
                );
            }
            assert!(std::fs::read(&path).unwrap() == before, "{journal}");
        }
        let names =
            std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(names.collect::<Vec<_>>(), ["catalog.sqlite"]);
    }

    #[test]
    fn a_version_that_nobody_gives_is_damage() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("catalog.sqlite");
        Connection::open(&path).unwrap().pragma_update(None, "user_version", -3).unwrap();
        CatalogDatabase::check(directory.path()).unwrap();
        CatalogDatabase::open(directory.path()).unwrap();
        assert!(directory.path().join("catalog.sqlite.damaged").exists());
    }

    #[test]
    fn the_directory_and_the_file_are_the_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let parent = tempfile::tempdir().unwrap();
        let directory = parent.path().join("cache");
        let _store = CatalogDatabase::open(&directory).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&directory), 0o700);
        assert_eq!(mode(&directory.join("catalog.sqlite")), 0o600);
    }

    #[test]
    fn a_directory_that_others_may_write_to_is_refused_and_a_file_that_others_may_read_is_closed() {
        let directory = tempfile::tempdir().unwrap();
        let mode = |path: &Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        for open in [0o777, 0o1777, 0o770] {
            mode(directory.path(), open);
            let refused = CatalogDatabase::open(directory.path());
            assert!(
                matches!(refused, Err(CatalogDatabaseError::Exposed { .. })),
                "{open:o}: {refused:?}"
            );
        }
        mode(directory.path(), 0o755);
        let path = directory.path().join("catalog.sqlite");
        std::fs::write(&path, b"").unwrap();
        mode(&path, 0o666);
        let _store = CatalogDatabase::open(directory.path()).unwrap();
        for name in ["catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm"] {
            let found = directory.path().join(name).metadata().unwrap();
            assert_eq!(found.mode() & 0o777, 0o600, "{name}");
        }
    }
}

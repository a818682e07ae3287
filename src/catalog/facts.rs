//! What was learned at a cost, kept over restarts: true sizes, and details of past meetings.
//!
//! Losing it loses no byte of anybody's: the facts are found out again. So a damaged file is set aside with a
//! warning, and a failed write is only logged.

use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, OpenFlags, Row, TransactionBehavior, params, params_from_iter};

use super::kept::digest_scopes;
use crate::model::{Details, FileId, FileKey, MeetingId, SourceName, Version};
use crate::ownership::{self, Kind, NotOwn};

/// Raised with every change of the tables below; an older file is migrated in [`FactStore::prepare`].
const SCHEMA_VERSION: i64 = 5;

/// The catalog, and what SQLite makes beside it.
const NAME: &str = "catalog.sqlite";
const COMPANIONS: [&str; 3] = ["-wal", INDEX, "-journal"];

/// Says where things are in a write-ahead log to those who have it open, and is worth nothing to others.
const INDEX: &str = "-shm";

/// How many damaged catalogs are kept for somebody to look into. They are damaged for a reason that will not go by itself
/// where there are more, and nobody should find his disk full of them.
const MOST_SET_ASIDE: usize = 9;

/// Where SQLite has `user_version` in its file, four bytes with the highest first ("Database File Format", 1.3).
const VERSION_AT: u64 = 60;

/// How long another process may hold the file; its writes take milliseconds.
const BUSY_WITHIN: Duration = Duration::from_secs(5);

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

/// Version 5 knows archives by digests instead of by settings written out.
const SCHEMA_5: &str = "PRAGMA user_version = 5;";

/// A change of the tables, and what of it SQL does not say.
type Change = (&'static str, Option<fn(&Connection) -> rusqlite::Result<()>>);

/// The changes in their order: a file of version `n` has had the first `n`.
const CHANGES: [Change; SCHEMA_VERSION as usize] =
    [(SCHEMA, None), (SCHEMA_2, None), (SCHEMA_3, None), (SCHEMA_4, None), (SCHEMA_5, Some(digest_scopes))];

/// A size learned for one version of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SizeFact {
    /// The meeting.
    pub meeting: MeetingId,
    /// The file within it.
    pub file: FileKey,
    /// The version it holds for.
    pub version: Version,
    /// True length in bytes.
    pub size: u64,
}

/// Details of a meeting; `None` where the provider has none for good.
pub type DetailsFact = (MeetingId, Option<Details>);

/// A validator learned for one version of a file: meeting and file, version and validator.
pub type ValidatorFact = ((MeetingId, FileKey), (Version, String));

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FactsError {
    /// The folder cannot be made.
    #[error("the cache folder {} cannot be made ({cause}); set [cache] dir to one that can", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The system's word.
        cause: std::io::Error,
    },
    /// Others could put files in its place.
    #[error("the cache folder {} may be written to by others, who could read what is kept there; run `chmod go-w` on it, or give another folder with --cache-dir", path.display())]
    Exposed {
        /// The folder.
        path: PathBuf,
    },
    /// The folder or a file in it is not the user's own.
    #[error(transparent)]
    NotOwn(#[from] NotOwn),
    /// It has tables that this meetfs does not know, and may hold what only a later one can read.
    #[error("the catalog {} was made by a later meetfs (version {version} of its tables; this one knows up to {SCHEMA_VERSION}) and is left as it is; use that meetfs, or give this one another folder with --cache-dir", path.display())]
    Later {
        /// The file.
        path: PathBuf,
        /// Of its tables.
        version: i64,
    },
    /// SQLite cannot work with the file.
    #[error("the catalog {} cannot be used ({cause}); free space there or give another folder with --cache-dir", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// SQLite's word.
        cause: rusqlite::Error,
    },
}

/// A small SQLite file, or the same in memory.
#[derive(Debug)]
pub struct FactStore {
    pub(super) connection: Mutex<Connection>,
}

/// Why a file is not opened.
#[derive(Debug)]
enum Unopened {
    /// It is of a later meetfs.
    Later(i64),
    Sqlite(rusqlite::Error),
}

impl From<rusqlite::Error> for Unopened {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl FactStore {
    /// Opens or makes `catalog.sqlite` in `folder` (made 0700, file 0600). A damaged one is set aside as
    /// `catalog.sqlite.damaged`, or with a number behind that, and replaced.
    ///
    /// # Errors
    /// The folder or a fresh file in it cannot be made, others could put files in its place, one that is there is not the
    /// user's own, or it was made by a later meetfs. Such a file is left as it is.
    pub fn open(folder: &Path) -> Result<Self, FactsError> {
        let failed = |cause| FactsError::Folder { path: folder.into(), cause };
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(failed)?;
        refuse_what_is_not_own(folder)?;
        // SQLite takes no link anywhere in the path. One that leads to the folder is what its owner wishes.
        let place = folder.canonicalize().map_err(failed)?.join(NAME);
        let unopened = |error| {
            let path = folder.join(NAME);
            match error {
                Unopened::Later(version) => FactsError::Later { path, version },
                Unopened::Sqlite(cause) => FactsError::Database { path, cause },
            }
        };
        match Self::open_file(&place) {
            Err(Unopened::Sqlite(damage)) if is_damage(&damage) => {
                let aside = set_aside(&place).map_err(failed)?;
                let path = folder.join(NAME);
                match aside.as_ref().and_then(|aside| aside.file_name()) {
                    Some(aside) => tracing::warn!(
                        "the catalog {} is damaged ({damage}); it is set aside as {} and made anew",
                        path.display(),
                        folder.join(aside).display()
                    ),
                    None => tracing::warn!(
                        "the catalog {} is damaged ({damage}) and made anew; it is not set aside, for {MOST_SET_ASIDE} \
                         that were lie beside it",
                        path.display()
                    ),
                }
                Self::open_file(&place).map_err(unopened)
            }
            opened => opened.map_err(unopened),
        }
    }

    /// Whether [`open`](Self::open) would refuse what there is in `folder`. Nothing is made or changed.
    ///
    /// # Errors
    /// It would, and why.
    pub fn examine(folder: &Path) -> Result<(), FactsError> {
        refuse_what_is_not_own(folder)?;
        let path = folder.join(NAME);
        match written_version(&path) {
            Some(version) if version > SCHEMA_VERSION => Err(FactsError::Later { path, version }),
            _ => Ok(()),
        }
    }

    /// A store that forgets everything with the process.
    ///
    /// # Errors
    /// SQLite has no memory.
    pub fn in_memory() -> Result<Self, FactsError> {
        let path = || ":memory:".into();
        let opened = Connection::open_in_memory().map_err(Unopened::from).and_then(Self::prepare);
        opened.map_err(|error| match error {
            Unopened::Later(version) => FactsError::Later { path: path(), version },
            Unopened::Sqlite(cause) => FactsError::Database { path: path(), cause },
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
                Err(Unopened::Sqlite(error)) if is_busy(&error) && started.elapsed() < BUSY_WITHIN => {
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
        connection.busy_timeout(BUSY_WITHIN)?;
        // Before anything is written, the kind of journal included.
        missing_changes(&connection)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        Self::prepare(connection)
    }

    fn prepare(mut connection: Connection) -> Result<Self, Unopened> {
        // Locked from the start: two that both read version 0 would both make the tables.
        let made = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        for (schema, rest) in missing_changes(&made)? {
            made.execute_batch(schema)?;
            rest.map_or(Ok(()), |rest| rest(&made))?;
        }
        made.commit()?;
        Ok(Self { connection: Mutex::new(connection) })
    }

    /// Everything known of a source.
    ///
    /// # Errors
    /// SQLite's.
    pub fn load(&self, source: &SourceName) -> rusqlite::Result<(Vec<SizeFact>, Vec<DetailsFact>)> {
        let connection = self.connection.lock();
        let sizes = intact(
            &connection,
            source,
            "SELECT meeting, file, version, size FROM file_size WHERE source = ?1",
            |row| {
                Some(SizeFact {
                    meeting: text(row, 0)?.into(),
                    file: text(row, 1)?.into(),
                    version: Version(u64::from_be_bytes(row.get(2).ok()?)),
                    size: u64::try_from(row.get::<_, i64>(3).ok()?).ok()?,
                })
            },
            "DELETE FROM file_size WHERE source = ?1 AND meeting = ?2 AND file = ?3",
        )?;
        let details = intact(
            &connection,
            source,
            "SELECT meeting, details FROM meeting_details WHERE source = ?1",
            |row| {
                // NULL is a word of the provider's: there are none for good.
                let details: Option<String> = row.get(1).ok()?;
                let details = details.map(|details| details_of_row(&details).ok_or(())).transpose().ok()?;
                Some((text(row, 0)?.into(), details))
            },
            "DELETE FROM meeting_details WHERE source = ?1 AND meeting = ?2",
        )?;
        Ok((sizes, details))
    }

    /// The validators of a source's files, each with the version it holds for.
    ///
    /// # Errors
    /// SQLite's.
    pub fn validators(&self, source: &SourceName) -> rusqlite::Result<Vec<ValidatorFact>> {
        intact(
            &self.connection.lock(),
            source,
            "SELECT meeting, file, version, validator FROM file_validator WHERE source = ?1",
            |row| {
                let place = (text(row, 0)?.into(), text(row, 1)?.into());
                let version = Version(u64::from_be_bytes(row.get(2).ok()?));
                Some((place, (version, row.get(3).ok()?)))
            },
            "DELETE FROM file_validator WHERE source = ?1 AND meeting = ?2 AND file = ?3",
        )
    }

    /// Keeps the validator under which a file version is served.
    pub fn keep_validator(&self, id: &FileId, version: Version, validator: &str) {
        let kept = self.connection.lock().execute(
            "INSERT OR REPLACE INTO file_validator VALUES (?1, ?2, ?3, ?4, ?5)",
            params![
                id.source.as_str(),
                id.meeting.as_str(),
                id.key.as_str(),
                version.0.to_be_bytes(),
                validator
            ],
        );
        log_failure(kept);
    }

    /// Keeps the true size of a file version.
    pub fn keep_size(&self, id: &FileId, version: Version, size: u64) {
        let Ok(size) = i64::try_from(size) else { return };
        let kept = self.connection.lock().execute(
            "INSERT OR REPLACE INTO file_size VALUES (?1, ?2, ?3, ?4, ?5)",
            params![id.source.as_str(), id.meeting.as_str(), id.key.as_str(), version.0.to_be_bytes(), size],
        );
        log_failure(kept);
    }

    /// Keeps what a provider said of a past meeting.
    pub fn keep_details(&self, source: &SourceName, meeting: &MeetingId, details: Option<&Details>) {
        let text = details.and_then(|details| serde_json::to_string(details).ok());
        let kept = self.connection.lock().execute(
            "INSERT OR REPLACE INTO meeting_details VALUES (?1, ?2, ?3)",
            params![source.as_str(), meeting.as_str(), text],
        );
        log_failure(kept);
    }
}

/// The rows of a source that can be read. The others are dropped with a word in the log: what they said is found out
/// again, and is told of once. `drop` names by its first columns, behind the source, which row goes.
pub(super) fn intact<T>(
    connection: &Connection,
    source: &SourceName,
    select: &str,
    read: impl Fn(&Row<'_>) -> Option<T>,
    drop: &str,
) -> rusqlite::Result<Vec<T>> {
    let mut drop = connection.prepare(drop)?;
    let (mut found, mut damaged) = (Vec::new(), Vec::new());
    {
        let mut select = connection.prepare(select)?;
        let mut rows = select.query(params![source.as_str()])?;
        while let Some(row) = rows.next()? {
            match read(row) {
                Some(fact) => found.push(fact),
                None => damaged.push(
                    (0..drop.parameter_count() - 1)
                        .map(|column| row.get(column))
                        .collect::<Result<Vec<Value>, _>>()?,
                ),
            }
        }
    }
    if !damaged.is_empty() {
        let count = damaged.len();
        tracing::warn!(%source, "{count} facts of the catalog are damaged; they are found out again");
        for names in damaged {
            let source = Value::from(source.as_str().to_owned());
            log_failure(drop.execute(params_from_iter(std::iter::once(source).chain(names))));
        }
    }
    Ok(found)
}

pub(super) fn text<'row>(row: &'row Row<'_>, column: usize) -> Option<&'row str> {
    row.get_ref(column).ok()?.as_str().ok()
}

/// The details that a row holds, unless they are damaged.
pub(super) fn details_of_row(text: &str) -> Option<Details> {
    serde_json::from_str(text).ok()
}

/// Refuses a folder in which others could put files in the place of the user's own, and files that are not the user's own.
fn refuse_what_is_not_own(folder: &Path) -> Result<(), FactsError> {
    let found = folder.metadata().map_err(|cause| FactsError::Folder { path: folder.into(), cause })?;
    ownership::check_owner(folder, &found)?;
    if found.mode() & 0o022 != 0 {
        return Err(FactsError::Exposed { path: folder.into() });
    }
    for companion in std::iter::once("").chain(COMPANIONS) {
        ownership::check(&folder.join(format!("{NAME}{companion}")), Kind::File)?;
    }
    Ok(())
}

/// The changes of the tables that a file has not had.
fn missing_changes(connection: &Connection) -> Result<&'static [Change], Unopened> {
    let version: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let Ok(had) = usize::try_from(version) else {
        // Nobody's: it is damaged.
        return Err(rusqlite::Error::IntegralValueOutOfRange(0, version).into());
    };
    CHANGES.get(had..).ok_or(Unopened::Later(version))
}

/// The version of the tables that a file says, unless a process has not yet moved it there.
fn written_version(path: &Path) -> Option<i64> {
    let file = std::fs::OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW).open(path).ok()?;
    let mut version = [0; 4];
    file.read_exact_at(&mut version, VERSION_AT).ok()?;
    Some(i64::from(i32::from_be_bytes(version)))
}

/// Gives a damaged catalog another name, which nothing has; `None` where there are too many and it was removed. Its
/// journals go with it: SQLite would take them for the new one's.
fn set_aside(path: &Path) -> std::io::Result<Option<PathBuf>> {
    let with = |path: &Path, end: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    };
    let ends = (1..=MOST_SET_ASIDE).map(|it| match it {
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

pub(super) fn log_failure(kept: rusqlite::Result<usize>) {
    if let Err(error) = kept {
        tracing::warn!("something learned could not be kept and will be asked for again: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::super::Scope;
    use super::*;

    fn acme() -> SourceName {
        SourceName::new("acme").unwrap()
    }

    fn file(key: &str) -> FileId {
        FileId { source: acme(), meeting: "m/1==".into(), key: key.into() }
    }

    #[test]
    fn facts_outlive_the_store() {
        let folder = tempfile::tempdir().unwrap();
        let facts = [("participants_count".to_owned(), 7.into())].into_iter().collect();
        let details = Details { facts, ..Details::default() };
        {
            let store = FactStore::open(folder.path()).unwrap();
            store.keep_size(&file("a"), Version(u64::MAX), 1 << 40);
            store.keep_size(&file("a"), Version(3), 42);
            store.keep_details(&acme(), &"m/1==".into(), Some(&details));
            store.keep_details(&acme(), &"old".into(), None);
        }
        let store = FactStore::open(folder.path()).unwrap();
        let (sizes, kept) = store.load(&acme()).unwrap();
        let expected = SizeFact { meeting: "m/1==".into(), file: "a".into(), version: Version(3), size: 42 };
        assert_eq!(sizes, [expected]);
        assert_eq!(kept.len(), 2);
        assert!(kept.contains(&("m/1==".into(), Some(details))) && kept.contains(&("old".into(), None)));
        assert_eq!(store.load(&SourceName::new("other").unwrap()).unwrap().0, []);
    }

    #[test]
    fn a_damaged_file_is_set_aside_and_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("catalog.sqlite"), b"this is no database at all, sorry").unwrap();
        let store = FactStore::open(folder.path()).unwrap();
        store.keep_size(&file("a"), Version(3), 42);
        assert_eq!(store.load(&acme()).unwrap().0.len(), 1);
        assert!(folder.path().join("catalog.sqlite.damaged").exists());
    }

    #[test]
    fn no_file_that_was_set_aside_is_replaced_and_there_are_not_many() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        let damage = |number: usize| format!("this is no database at all, number {number:02}");
        for number in 0..MOST_SET_ASIDE + 2 {
            std::fs::write(place("catalog.sqlite"), damage(number)).unwrap();
            let store = FactStore::open(folder.path()).unwrap();
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
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalog.sqlite");
        drop(FactStore::open(folder.path()).unwrap());
        for (journal, version) in [("WAL", SCHEMA_VERSION + 1), ("DELETE", i64::from(i32::MAX))] {
            let later = Connection::open(&path).unwrap();
            later.pragma_update(None, "journal_mode", journal).unwrap();
            later.pragma_update(None, "user_version", version).unwrap();
            drop(later);
            let before = std::fs::read(&path).unwrap();
            for refused in [FactStore::examine(folder.path()), FactStore::open(folder.path()).map(drop)] {
                assert!(
                    matches!(refused, Err(FactsError::Later { version: found, .. }) if found == version),
                    "{refused:?}"
                );
            }
            assert!(std::fs::read(&path).unwrap() == before, "{journal}");
        }
        let names = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(names.collect::<Vec<_>>(), ["catalog.sqlite"]);
    }

    #[test]
    fn a_version_that_nobody_gives_is_damage() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalog.sqlite");
        Connection::open(&path).unwrap().pragma_update(None, "user_version", -3).unwrap();
        FactStore::examine(folder.path()).unwrap();
        FactStore::open(folder.path()).unwrap();
        assert!(folder.path().join("catalog.sqlite.damaged").exists());
    }

    #[test]
    fn a_damaged_row_is_dropped_and_hides_no_other() {
        let store = FactStore::in_memory().unwrap();
        store.keep_size(&file("a"), Version(3), 42);
        store.keep_validator(&file("a"), Version(3), "\"tag\"");
        store.keep_details(&acme(), &"m/1==".into(), Some(&Details::default()));
        store.keep_details(&acme(), &"old".into(), None);
        for rows in [
            "INSERT INTO file_size VALUES ('acme', 'm', 'x', x'00', 1), ('acme', 'm', 'y', zeroblob(8), -1), ('acme', 'm', 'z', zeroblob(8), 'long'), ('acme', x'ff', 'a', zeroblob(8), 1)",
            "INSERT INTO meeting_details VALUES ('acme', 'm', '{\"facts\": 3'), ('acme', 'n', x'ff'), ('acme', x'fe', NULL)",
            "INSERT INTO file_validator VALUES ('acme', 'm', 'x', x'00', 'v'), ('acme', 'm', 'y', zeroblob(8), x'ff')",
        ] {
            store.connection.lock().execute(rows, []).unwrap();
        }
        for _ in 0..2 {
            let (sizes, details) = store.load(&acme()).unwrap();
            assert_eq!((sizes.len(), sizes[0].size), (1, 42));
            let expected = [("m/1==".into(), Some(Details::default())), ("old".into(), None)];
            assert_eq!(details, expected, "damaged details are no word that there are none");
            assert_eq!(store.validators(&acme()).unwrap().len(), 1);
        }
        let left = |table: &str| -> i64 {
            let query = format!("SELECT count(*) FROM {table}");
            store.connection.lock().query_row(&query, [], |row| row.get(0)).unwrap()
        };
        assert_eq!((left("file_size"), left("meeting_details"), left("file_validator")), (1, 2, 1));
    }

    #[test]
    fn the_folder_and_the_file_are_the_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("cache");
        let _store = FactStore::open(&folder).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&folder), 0o700);
        assert_eq!(mode(&folder.join("catalog.sqlite")), 0o600);
    }

    #[test]
    fn a_catalog_of_the_first_schema_is_migrated_and_keeps_what_it_knew() {
        let folder = tempfile::tempdir().unwrap();
        {
            let old = Connection::open(folder.path().join("catalog.sqlite")).unwrap();
            old.execute_batch(SCHEMA).unwrap();
            old.execute_batch("PRAGMA user_version = 1;").unwrap();
            old.execute("INSERT INTO file_size VALUES ('acme', 'm/1==', 'a', zeroblob(8), 42)", []).unwrap();
            let details =
                "INSERT INTO meeting_details VALUES ('acme', 'm', '{\"dept\":\"x\"}'), ('acme', 'o', NULL)";
            old.execute(details, []).unwrap();
        }
        let store = FactStore::open(folder.path()).unwrap();
        store.keep_validator(&file("a"), Version(3), "\"tag\"");
        let (sizes, details) = store.load(&acme()).unwrap();
        assert_eq!(sizes.len(), 1);
        let facts = [("dept".to_owned(), "x".into())].into_iter().collect();
        let known = Details { facts, ..Details::default() };
        assert_eq!(details, [("m".into(), Some(known)), ("o".into(), None)]);
        let expected = (("m/1==".into(), "a".into()), (Version(3), "\"tag\"".to_string()));
        assert_eq!(store.validators(&acme()).unwrap(), [expected]);
        assert!(!folder.path().join("catalog.sqlite.damaged").exists());
    }

    #[test]
    fn a_catalog_of_the_third_schema_gets_the_tables_for_what_was_deleted() {
        let folder = tempfile::tempdir().unwrap();
        {
            let old = Connection::open(folder.path().join("catalog.sqlite")).unwrap();
            [SCHEMA, SCHEMA_2, SCHEMA_3].iter().for_each(|schema| old.execute_batch(schema).unwrap());
            old.execute("INSERT INTO full_listing VALUES ('acme', 'mine', 5)", []).unwrap();
        }
        let store = FactStore::open(folder.path()).unwrap();
        let connection = store.connection.lock();
        for (table, rows) in
            [("trashed_meeting", 0), ("trashed_file", 0), ("deleted_meeting", 0), ("full_listing", 1)]
        {
            let line = format!("SELECT count(*) FROM {table}");
            let found: i64 = connection.query_row(&line, [], |row| row.get(0)).unwrap();
            assert_eq!(found, rows, "{table}");
        }
        assert!(!folder.path().join("catalog.sqlite.damaged").exists());
    }

    #[test]
    fn a_catalog_of_the_fourth_schema_says_no_longer_how_somebody_signs_in() {
        let folder = tempfile::tempdir().unwrap();
        {
            let old = Connection::open(folder.path().join("catalog.sqlite")).unwrap();
            [SCHEMA, SCHEMA_2, SCHEMA_3, SCHEMA_4]
                .iter()
                .for_each(|schema| old.execute_batch(schema).unwrap());
            old.execute("INSERT INTO full_listing VALUES ('acme', 'Zoom(ana@example.org)', 5)", []).unwrap();
        }
        let store = FactStore::open(folder.path()).unwrap();
        let scope = Scope::of(["zoom"]).formerly("Zoom(ana@example.org)");
        let kept = store.kept_listing(&acme(), &scope).unwrap().unwrap();
        assert_eq!(kept.whole_at, Some(jiff::Timestamp::from_second(5).unwrap()));
        let connection = store.connection.lock();
        let scopes: String =
            connection.query_row("SELECT scope FROM full_listing", [], |row| row.get(0)).unwrap();
        assert!(scopes.starts_with("0:") && !scopes.contains("ana"), "{scopes}");
        assert!(!folder.path().join("catalog.sqlite.damaged").exists());
    }

    #[test]
    fn a_folder_that_others_may_write_to_is_refused_and_a_file_that_others_may_read_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let mode = |path: &Path, mode| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        for open in [0o777, 0o1777, 0o770] {
            mode(folder.path(), open);
            let refused = FactStore::open(folder.path());
            assert!(matches!(refused, Err(FactsError::Exposed { .. })), "{open:o}: {refused:?}");
        }
        mode(folder.path(), 0o755);
        let path = folder.path().join("catalog.sqlite");
        std::fs::write(&path, b"").unwrap();
        mode(&path, 0o666);
        let _store = FactStore::open(folder.path()).unwrap();
        for name in ["catalog.sqlite", "catalog.sqlite-wal", "catalog.sqlite-shm"] {
            let found = folder.path().join(name).metadata().unwrap();
            assert_eq!(found.mode() & 0o777, 0o600, "{name}");
        }
    }

    #[test]
    fn the_schema_on_disk_is_the_one_frozen_here() {
        let store = FactStore::in_memory().unwrap();
        let connection = store.connection.lock();
        let mut query = connection.prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL").unwrap();
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

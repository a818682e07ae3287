//! What was learned at a cost, kept over restarts: true sizes, and details of past meetings.
//!
//! Losing it loses no byte of anybody's: the facts are found out again. So a damaged file is set aside with a
//! warning, and a failed write is only logged.

use parking_lot::Mutex;
use rusqlite::{Connection, params};

use super::rows::{intact, log_failure, text, version};
use crate::model::{Details, FileId, FileKey, MeetingId, SourceName, Version};

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

/// A small SQLite file, or the same in memory.
#[derive(Debug)]
pub struct CatalogDatabase {
    pub(super) connection: Mutex<Connection>,
}

impl CatalogDatabase {
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
                    version: version(row, 2)?,
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
                let details =
                    details.map(|details| details_of_row(&details).ok_or(())).transpose().ok()?;
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
                Some((place, (version(row, 2)?, row.get(3).ok()?)))
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
            params![
                id.source.as_str(),
                id.meeting.as_str(),
                id.key.as_str(),
                version.0.to_be_bytes(),
                size
            ],
        );
        log_failure(kept);
    }

    /// Keeps what a provider said of a past meeting.
    pub fn keep_details(
        &self,
        source: &SourceName,
        meeting: &MeetingId,
        details: Option<&Details>,
    ) {
        let text = details.and_then(|details| serde_json::to_string(details).ok());
        let kept = self.connection.lock().execute(
            "INSERT OR REPLACE INTO meeting_details VALUES (?1, ?2, ?3)",
            params![source.as_str(), meeting.as_str(), text],
        );
        log_failure(kept);
    }
}

/// The details that a row holds, unless they are damaged.
pub(super) fn details_of_row(text: &str) -> Option<Details> {
    serde_json::from_str(text).ok()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::catalog) fn acme() -> SourceName {
        SourceName::new("acme").unwrap()
    }

    pub(in crate::catalog) fn file(key: &str) -> FileId {
        FileId { source: acme(), meeting: "m/1==".into(), key: key.into() }
    }

    #[test]
    fn facts_outlive_the_store() {
        let directory = tempfile::tempdir().unwrap();
        let facts = [("participants_count".to_owned(), 7.into())].into_iter().collect();
        let details = Details { metadata: facts, ..Details::default() };
        {
            let store = CatalogDatabase::open(directory.path()).unwrap();
            store.keep_size(&file("a"), Version(u64::MAX), 1 << 40);
            store.keep_size(&file("a"), Version(3), 42);
            store.keep_details(&acme(), &"m/1==".into(), Some(&details));
            store.keep_details(&acme(), &"old".into(), None);
        }
        let store = CatalogDatabase::open(directory.path()).unwrap();
        let (sizes, kept) = store.load(&acme()).unwrap();
        let expected =
            SizeFact { meeting: "m/1==".into(), file: "a".into(), version: Version(3), size: 42 };
        assert_eq!(sizes, [expected]);
        assert_eq!(kept.len(), 2);
        assert!(
            kept.contains(&("m/1==".into(), Some(details))) && kept.contains(&("old".into(), None))
        );
        assert_eq!(store.load(&SourceName::new("other").unwrap()).unwrap().0, []);
    }

    #[test]
    fn a_damaged_row_is_dropped_and_hides_no_other() {
        let store = CatalogDatabase::in_memory().unwrap();
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
}

//! Stores and finds cues in an SQLite database.

use std::collections::HashMap;
use std::path::Path;

use jiff::Timestamp;
use rusqlite::{Connection, ErrorCode, params};

use super::error::SearchIndexError;
use super::schema;
use super::search::{SearchRequest, SearchResult, search};
use super::text_plan::TextId;
use crate::model::{SourceName, Version};
use crate::sync::Mutex;
use crate::text::{Cue, segment};

/// The search index, in a file or in memory.
#[derive(Debug)]
pub struct SearchIndex {
    connection: Mutex<Connection>,
}

impl SearchIndex {
    /// Opens or creates the index in the cache directory, which must exist. Replaces a damaged
    /// index, and one that another version of meetfs created.
    ///
    /// # Errors
    /// The file cannot be created, or it belongs to another user.
    pub fn open(directory: &Path) -> Result<Self, SearchIndexError> {
        Ok(Self { connection: Mutex::new(schema::open(directory)?) })
    }

    /// Creates an index in memory.
    ///
    /// # Errors
    /// SQLite cannot allocate memory.
    pub fn in_memory() -> Result<Self, SearchIndexError> {
        Ok(Self { connection: Mutex::new(schema::in_memory()?) })
    }

    /// Removes the index in the cache directory, if there is one.
    ///
    /// # Errors
    /// The files cannot be removed.
    pub fn remove(directory: &Path) -> Result<(), SearchIndexError> {
        schema::remove(directory)
            .map_err(|source| SearchIndexError::Directory { path: directory.into(), source })
    }

    /// Finds cues in the texts of `sources`.
    ///
    /// # Errors
    /// The file cannot be read or is damaged, or the query takes too long.
    pub fn search(
        &self,
        request: &SearchRequest,
        sources: &[SourceName],
    ) -> Result<SearchResult, SearchIndexError> {
        let mut connection = self.connection.lock();
        search(&mut connection, request, sources)
            .map_err(|error| into_index_error(&connection, error))
    }

    /// Returns the versions of the indexed texts of a source.
    pub(super) fn indexed_texts(
        &self,
        source: &SourceName,
    ) -> Result<HashMap<TextId, Version>, SearchIndexError> {
        let connection = self.connection.lock();
        load_texts(&connection, source).map_err(|error| into_index_error(&connection, error))
    }

    /// Stores the cues of a text, and removes those of its earlier version.
    pub(super) fn save(
        &self,
        id: &TextId,
        version: Version,
        started_at: Timestamp,
        cues: &[Cue],
    ) -> Result<(), SearchIndexError> {
        let mut connection = self.connection.lock();
        let result = save(&mut connection, id, version, started_at, cues);
        result.map_err(|error| into_index_error(&connection, error))
    }

    pub(super) fn remove_texts(&self, ids: &[TextId]) -> Result<(), SearchIndexError> {
        let mut connection = self.connection.lock();
        let result = remove_texts(&mut connection, ids);
        result.map_err(|error| into_index_error(&connection, error))
    }
}

/// Marks a damaged file, so that the next start replaces it.
fn into_index_error(connection: &Connection, error: rusqlite::Error) -> SearchIndexError {
    if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) {
        return SearchIndexError::Timeout;
    }
    if schema::is_damage(&error) {
        // A file that cannot be written is checked again at the next start.
        let _ = connection.pragma_update(None, "user_version", -1);
    }
    error.into()
}

fn load_texts(
    connection: &Connection,
    source: &SourceName,
) -> rusqlite::Result<HashMap<TextId, Version>> {
    let mut select =
        connection.prepare("SELECT meeting, file, version FROM text WHERE source = ?1")?;
    let mut rows = select.query(params![source.as_str()])?;
    let mut texts = HashMap::new();
    while let Some(row) = rows.next()? {
        let (meeting, file): (String, String) = (row.get(0)?, row.get(1)?);
        let file = (!file.is_empty()).then(|| file.as_str().into());
        let id = TextId { source: source.clone(), meeting: meeting.as_str().into(), file };
        texts.insert(id, Version(u64::from_be_bytes(row.get(2)?)));
    }
    Ok(texts)
}

fn save(
    connection: &mut Connection,
    id: &TextId,
    version: Version,
    started_at: Timestamp,
    cues: &[Cue],
) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    delete_text(&transaction, id)?;
    transaction.prepare(
        "INSERT INTO text (source, meeting, file, version, started_at) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?
    .execute(params![
        id.source.as_str(),
        id.meeting.as_str(),
        file_column(id),
        version.0.to_be_bytes(),
        started_at.as_second()
    ])?;
    let text = transaction.last_insert_rowid();
    {
        let mut insert_cue = transaction
            .prepare("INSERT INTO cue (text, start, speaker, line) VALUES (?1, ?2, ?3, ?4)")?;
        let mut insert_words = transaction
            .prepare("INSERT INTO cue_words (rowid, speaker, line) VALUES (?1, ?2, ?3)")?;
        for cue in cues {
            let start = cue.start.and_then(|start| i64::try_from(start.as_millis()).ok());
            insert_cue.execute(params![text, start, cue.speaker, cue.text])?;
            let speaker = cue.speaker.as_deref().map(segment);
            insert_words.execute(params![
                transaction.last_insert_rowid(),
                speaker,
                segment(&cue.text)
            ])?;
        }
    }
    transaction.commit()
}

fn remove_texts(connection: &mut Connection, ids: &[TextId]) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    for id in ids {
        delete_text(&transaction, id)?;
    }
    transaction.commit()
}

fn delete_text(connection: &Connection, id: &TextId) -> rusqlite::Result<()> {
    const TEXT: &str = "(SELECT id FROM text WHERE source = ?1 AND meeting = ?2 AND file = ?3)";
    for statement in [
        format!("DELETE FROM cue_words WHERE rowid IN (SELECT id FROM cue WHERE text = {TEXT})"),
        format!("DELETE FROM cue WHERE text = {TEXT}"),
        format!("DELETE FROM text WHERE id = {TEXT}"),
    ] {
        let mut delete = connection.prepare(&statement)?;
        delete.execute(params![id.source.as_str(), id.meeting.as_str(), file_column(id)])?;
    }
    Ok(())
}

/// Returns the value of the column `file`, which is empty for a topic. No key of a file is empty.
fn file_column(id: &TextId) -> &str {
    id.file.as_ref().map_or("", |file| file.as_str())
}

//! Stores values that listings do not contain: sizes, details, last replies and naming time zones.

use rusqlite::{Connection, OptionalExtension, params};

use super::rows::{load_intact_rows, text_column, version_column};
use crate::model::{Details, FileId, FileKey, LastReply, MeetingId, SourceName, Version};

/// The measured size of one version of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::catalog) struct SizeRow {
    pub(in crate::catalog) meeting: MeetingId,
    pub(in crate::catalog) file: FileKey,
    pub(in crate::catalog) version: Version,
    /// The size in bytes.
    pub(in crate::catalog) size: u64,
}

/// A meeting and its details. `None` means that the provider has no details.
pub(in crate::catalog) type DetailsRow = (MeetingId, Option<Details>);

/// A file, one of its versions, and the last reply for that version.
pub(in crate::catalog) type ReplyRow = ((MeetingId, FileKey), (Version, LastReply));

pub(super) fn load_naming_zone(
    connection: &Connection,
    source: &SourceName,
) -> rusqlite::Result<Option<String>> {
    let mut select = connection.prepare("SELECT zone FROM naming_zone WHERE source = ?1")?;
    select.query_row(params![source.as_str()], |row| row.get(0)).optional()
}

pub(super) fn save_naming_zone(
    connection: &Connection,
    source: &SourceName,
    zone: &str,
) -> rusqlite::Result<()> {
    let statement = "INSERT OR REPLACE INTO naming_zone VALUES (?1, ?2)";
    connection.execute(statement, params![source.as_str(), zone])?;
    Ok(())
}

pub(super) fn load_sizes(
    connection: &Connection,
    source: &SourceName,
) -> rusqlite::Result<Vec<SizeRow>> {
    load_intact_rows(
        connection,
        source,
        "SELECT meeting, file, version, size FROM file_size WHERE source = ?1",
        |row| {
            Some(SizeRow {
                meeting: text_column(row, 0)?.into(),
                file: text_column(row, 1)?.into(),
                version: version_column(row, 2)?,
                size: u64::try_from(row.get::<_, i64>(3).ok()?).ok()?,
            })
        },
        "DELETE FROM file_size WHERE source = ?1 AND meeting = ?2 AND file = ?3",
    )
}

pub(super) fn save_size(
    connection: &Connection,
    id: &FileId,
    version: Version,
    size: u64,
) -> rusqlite::Result<()> {
    let Ok(size) = i64::try_from(size) else { return Ok(()) };
    connection.execute(
        "INSERT OR REPLACE INTO file_size VALUES (?1, ?2, ?3, ?4, ?5)",
        params![
            id.source.as_str(),
            id.meeting.as_str(),
            id.key.as_str(),
            version.0.to_be_bytes(),
            size
        ],
    )?;
    Ok(())
}

pub(super) fn load_details(
    connection: &Connection,
    source: &SourceName,
) -> rusqlite::Result<Vec<DetailsRow>> {
    load_intact_rows(
        connection,
        source,
        "SELECT meeting, details FROM meeting_details WHERE source = ?1",
        |row| {
            // NULL means that the provider has no details.
            let details: Option<String> = row.get(1).ok()?;
            let details =
                details.map(|details| details_from_row(&details).ok_or(())).transpose().ok()?;
            Some((text_column(row, 0)?.into(), details))
        },
        "DELETE FROM meeting_details WHERE source = ?1 AND meeting = ?2",
    )
}

pub(super) fn save_details(
    connection: &Connection,
    source: &SourceName,
    meeting: &MeetingId,
    details: Option<&Details>,
) -> rusqlite::Result<()> {
    let json = details.and_then(|details| serde_json::to_string(details).ok());
    connection.execute(
        "INSERT OR REPLACE INTO meeting_details VALUES (?1, ?2, ?3)",
        params![source.as_str(), meeting.as_str(), json],
    )?;
    Ok(())
}

pub(super) fn load_replies(
    connection: &Connection,
    source: &SourceName,
) -> rusqlite::Result<Vec<ReplyRow>> {
    load_intact_rows(
        connection,
        source,
        "SELECT meeting, file, version, length, validator FROM last_reply WHERE source = ?1",
        |row| {
            let key = (text_column(row, 0)?.into(), text_column(row, 1)?.into());
            let length = row.get::<_, Option<i64>>(3).ok()?.map(u64::try_from).transpose().ok()?;
            let reply = LastReply { length, validator: row.get(4).ok()? };
            Some((key, (version_column(row, 2)?, reply)))
        },
        "DELETE FROM last_reply WHERE source = ?1 AND meeting = ?2 AND file = ?3",
    )
}

pub(super) fn save_reply(
    connection: &Connection,
    id: &FileId,
    version: Version,
    reply: &LastReply,
) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT OR REPLACE INTO last_reply VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            id.source.as_str(),
            id.meeting.as_str(),
            id.key.as_str(),
            version.0.to_be_bytes(),
            reply.length.and_then(|length| i64::try_from(length).ok()),
            reply.validator
        ],
    )?;
    Ok(())
}

pub(super) fn delete_reply(connection: &Connection, id: &FileId) -> rusqlite::Result<()> {
    connection.execute(
        "DELETE FROM last_reply WHERE source = ?1 AND meeting = ?2 AND file = ?3",
        params![id.source.as_str(), id.meeting.as_str(), id.key.as_str()],
    )?;
    Ok(())
}

/// Parses the details of a meeting. Returns `None` if the row is damaged.
pub(in crate::catalog) fn details_from_row(text: &str) -> Option<Details> {
    serde_json::from_str(text).ok()
}

//! Stores recycle bins with their download probes, and meetings that were deleted upstream.

use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::rows::{
    delete_meetings, load_intact_rows, text_column, upsert_meetings, version_column,
};
use crate::catalog::retention::{DeletedMeeting, RetentionChange};
use crate::catalog::trash::{DownloadProbe, StoredTrash, TrashChange, TrashedMeeting};
use crate::model::{FileId, Meeting, SourceName};

/// The tables that contain rows about trashed meetings. When a meeting leaves the recycle bin, its
/// rows are deleted, because they may be wrong if the meeting returns.
const TRASH_TABLES: [&str; 5] =
    ["trashed_meeting", "trashed_file", "meeting_details", "file_size", "last_reply"];

pub(super) fn load_trash(
    connection: &Connection,
    source: &SourceName,
) -> rusqlite::Result<StoredTrash> {
    let meetings = load_intact_rows(
        connection,
        source,
        "SELECT meeting, lying FROM trashed_meeting WHERE source = ?1",
        |row| trashed_meeting_from_row(text_column(row, 1)?),
        "DELETE FROM trashed_meeting WHERE source = ?1 AND meeting = ?2",
    )?;
    let probes = load_intact_rows(
        connection,
        source,
        "SELECT meeting, file, version, at, refusal FROM trashed_file WHERE source = ?1",
        |row| {
            let key = (text_column(row, 0)?.into(), text_column(row, 1)?.into());
            let probed_at = Timestamp::from_second(row.get(3).ok()?).ok()?;
            let refusal = row.get(4).ok()?;
            Some((key, DownloadProbe { version: version_column(row, 2)?, probed_at, refusal }))
        },
        "DELETE FROM trashed_file WHERE source = ?1 AND meeting = ?2 AND file = ?3",
    )?;
    Ok(StoredTrash { meetings, probes })
}

pub(super) fn save_trash(
    connection: &mut Connection,
    source: &SourceName,
    change: &TrashChange,
) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    for table in TRASH_TABLES {
        delete_meetings(&transaction, table, source, &change.removed_ids)?;
    }
    let updated_meetings = change.updated_meetings.iter().map(|trashed| (trashed.id(), &**trashed));
    upsert_meetings(&transaction, "trashed_meeting", source, updated_meetings)?;
    transaction.commit()
}

pub(super) fn save_probe(
    connection: &Connection,
    id: &FileId,
    probe: &DownloadProbe,
) -> rusqlite::Result<()> {
    connection.execute(
        "INSERT OR REPLACE INTO trashed_file VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            id.source.as_str(),
            id.meeting.as_str(),
            id.key.as_str(),
            probe.version.0.to_be_bytes(),
            probe.probed_at.as_second(),
            probe.refusal
        ],
    )?;
    Ok(())
}

pub(super) fn load_deleted_meetings(
    connection: &Connection,
    source: &SourceName,
) -> rusqlite::Result<Vec<DeletedMeeting>> {
    load_intact_rows(
        connection,
        source,
        "SELECT meeting, remains FROM deleted_meeting WHERE source = ?1",
        |row| deleted_meeting_from_row(text_column(row, 1)?),
        "DELETE FROM deleted_meeting WHERE source = ?1 AND meeting = ?2",
    )
}

pub(super) fn save_retention(
    connection: &mut Connection,
    source: &SourceName,
    change: &RetentionChange,
) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    delete_meetings(&transaction, "deleted_meeting", source, &change.removed_ids)?;
    let updated_meetings = change.updated_meetings.iter();
    let updated_meetings = updated_meetings.map(|deleted| (&deleted.meeting.id, deleted));
    upsert_meetings(&transaction, "deleted_meeting", source, updated_meetings)?;
    transaction.commit()
}

/// Parses a trashed meeting. Returns `None` if the row is damaged or if its ids are not ids of
/// trashed meetings.
pub(in crate::catalog) fn trashed_meeting_from_row(text: &str) -> Option<TrashedMeeting> {
    let trashed_meeting: TrashedMeeting = serde_json::from_str(text).ok()?;
    let Meeting { id, files, .. } = &trashed_meeting.entry.meeting;
    let has_trash_ids = id.is_in_trash() && files.iter().all(|file| file.id.meeting == *id);
    has_trash_ids.then_some(trashed_meeting)
}

/// Parses a deleted meeting. Returns `None` if the row is damaged.
pub(in crate::catalog) fn deleted_meeting_from_row(text: &str) -> Option<DeletedMeeting> {
    serde_json::from_str(text).ok()
}

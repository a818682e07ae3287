//! The rows of listings. With them the tree exists before a provider answers, or without one.

use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, params};

use super::rows::{delete_meetings, log_failed_write, put_meetings};
use crate::catalog::scope::ListingScope;
use crate::model::{Meeting, MeetingId, SourceName};

/// The stored listing of a source.
#[derive(Debug)]
pub(in crate::catalog) struct StoredListing {
    pub(in crate::catalog) meetings: Vec<Meeting>,
    /// The last time that the source was listed completely.
    pub(in crate::catalog) fully_listed_at: Option<Timestamp>,
}

/// The effect of a listing.
#[derive(Debug, Default)]
pub(in crate::catalog) struct ListingChange {
    /// New and changed meetings.
    pub(in crate::catalog) listed: Vec<Arc<Meeting>>,
    pub(in crate::catalog) removed: Vec<MeetingId>,
}

pub(super) fn load(
    connection: &Connection,
    source: &SourceName,
    scope: &ListingScope,
) -> rusqlite::Result<Option<StoredListing>> {
    let mut full =
        connection.prepare("SELECT at FROM full_listing WHERE source = ?1 AND scope = ?2")?;
    let mut rows = full.query(params![source.as_str(), scope.as_str()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let at: Option<i64> = row.get(0)?;
    let mut fully_listed_at = at.and_then(|at| Timestamp::from_second(at).ok());
    let (mut meetings, mut damaged) = (Vec::new(), Vec::new());
    {
        let mut listed =
            connection.prepare("SELECT meeting, listed FROM listed_meeting WHERE source = ?1")?;
        let mut rows = listed.query(params![source.as_str()])?;
        while let Some(row) = rows.next()? {
            match row.get_ref(1)?.as_str().ok().and_then(meeting_from_row) {
                Some(meeting) => meetings.push(share_names(meeting, source)),
                None => damaged.push(row.get::<_, Value>(0)?),
            }
        }
    }
    if !damaged.is_empty() {
        let count = damaged.len();
        tracing::warn!(%source, "dropped {count} damaged meetings of the catalog; all are listed again");
        fully_listed_at = None;
        log_failed_write(delete_damaged(connection, source, &damaged));
    }
    Ok(Some(StoredListing { meetings, fully_listed_at }))
}

pub(super) fn save(
    connection: &mut Connection,
    source: &SourceName,
    scope: &ListingScope,
    change: &ListingChange,
) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    let is_same_scope = transaction
        .prepare("SELECT 1 FROM full_listing WHERE source = ?1 AND scope = ?2")?
        .exists(params![source.as_str(), scope.as_str()])?;
    if !is_same_scope {
        for table in ["listed_meeting", "trashed_meeting", "trashed_file", "deleted_meeting"] {
            let statement = format!("DELETE FROM {table} WHERE source = ?1");
            transaction.execute(&statement, params![source.as_str()])?;
        }
        transaction.execute(
            "INSERT OR REPLACE INTO full_listing VALUES (?1, ?2, NULL)",
            params![source.as_str(), scope.as_str()],
        )?;
    }
    delete_meetings(&transaction, "listed_meeting", source, &change.removed)?;
    let listed = change.listed.iter().map(|meeting| (&meeting.id, &**meeting));
    put_meetings(&transaction, "listed_meeting", source, listed)?;
    transaction.commit()
}

pub(super) fn save_full_listing(
    connection: &Connection,
    source: &SourceName,
    scope: &ListingScope,
    at: Timestamp,
) -> rusqlite::Result<()> {
    connection.execute(
        "UPDATE full_listing SET at = ?3 WHERE source = ?1 AND scope = ?2",
        params![source.as_str(), scope.as_str(), at.as_second()],
    )?;
    Ok(())
}

/// Shares the ids that the files of a meeting repeat, as a provider does. A meeting from a row has
/// two copies for every file, a hundred bytes each.
fn share_names(mut meeting: Meeting, source: &SourceName) -> Meeting {
    if meeting.source == *source {
        meeting.source = source.clone();
    }
    for file in &mut meeting.files {
        if file.id.source == meeting.source {
            file.id.source = meeting.source.clone();
        }
        if file.id.meeting == meeting.id {
            file.id.meeting = meeting.id.clone();
        }
    }
    meeting
}

/// Deletes damaged rows, so they are reported once, and records that the listing is incomplete, in
/// case the process ends before the next listing.
fn delete_damaged(
    connection: &Connection,
    source: &SourceName,
    meetings: &[Value],
) -> rusqlite::Result<()> {
    connection
        .execute("UPDATE full_listing SET at = NULL WHERE source = ?1", params![source.as_str()])?;
    let mut delete =
        connection.prepare("DELETE FROM listed_meeting WHERE source = ?1 AND meeting = ?2")?;
    for meeting in meetings {
        delete.execute(params![source.as_str(), meeting])?;
    }
    Ok(())
}

/// Returns the meeting in a row, or `None` if it is damaged.
pub(in crate::catalog) fn meeting_from_row(text: &str) -> Option<Meeting> {
    serde_json::from_str(text).ok()
}

//! Stores listings. With a stored listing, the tree exists before the provider responds, and also
//! if the provider does not respond.

use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, params};

use super::rows::{delete_meetings, log_failed_write, upsert_meetings};
use crate::catalog::scope::ListingScope;
use crate::model::{Meeting, MeetingId, SourceName};

#[derive(Debug)]
pub(in crate::catalog) struct StoredListing {
    pub(in crate::catalog) meetings: Vec<Meeting>,
    /// The time of the last complete listing, if there was one.
    pub(in crate::catalog) fully_listed_at: Option<Timestamp>,
}

/// The changes that a listing makes to the stored meetings.
#[derive(Debug, Default)]
pub(in crate::catalog) struct ListingChange {
    /// The new and changed meetings.
    pub(in crate::catalog) updated_meetings: Vec<Arc<Meeting>>,
    pub(in crate::catalog) removed_ids: Vec<MeetingId>,
}

pub(super) fn load(
    connection: &Connection,
    source: &SourceName,
    scope: &ListingScope,
) -> rusqlite::Result<Option<StoredListing>> {
    let mut select_time =
        connection.prepare("SELECT at FROM full_listing WHERE source = ?1 AND scope = ?2")?;
    let mut rows = select_time.query(params![source.as_str(), scope.as_str()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let seconds: Option<i64> = row.get(0)?;
    let mut fully_listed_at = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok());
    let (mut meetings, mut damaged) = (Vec::new(), Vec::new());
    {
        let mut select_meetings =
            connection.prepare("SELECT meeting, listed FROM listed_meeting WHERE source = ?1")?;
        let mut rows = select_meetings.query(params![source.as_str()])?;
        while let Some(row) = rows.next()? {
            match row.get_ref(1)?.as_str().ok().and_then(meeting_from_row) {
                Some(meeting) => meetings.push(share_ids(meeting, source)),
                None => damaged.push(row.get::<_, Value>(0)?),
            }
        }
    }
    if !damaged.is_empty() {
        let damaged_count = damaged.len();
        tracing::warn!(
            %source,
            "deleted {damaged_count} damaged meetings from the catalog; all meetings will be listed again"
        );
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
    delete_meetings(&transaction, "listed_meeting", source, &change.removed_ids)?;
    let updated_meetings = change.updated_meetings.iter().map(|meeting| (&meeting.id, &**meeting));
    upsert_meetings(&transaction, "listed_meeting", source, updated_meetings)?;
    transaction.commit()
}

/// Stores the time of a complete listing, and deletes the values of meetings that are neither
/// listed, nor in the recycle bin, nor retained.
pub(super) fn save_full_listing(
    connection: &mut Connection,
    source: &SourceName,
    scope: &ListingScope,
    listed_at: Timestamp,
) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute(
        "UPDATE full_listing SET at = ?3 WHERE source = ?1 AND scope = ?2",
        params![source.as_str(), scope.as_str(), listed_at.as_second()],
    )?;
    for table in ["meeting_details", "file_size", "last_reply"] {
        let statement = format!(
            "DELETE FROM {table} WHERE source = ?1 AND meeting NOT IN (
                 SELECT meeting FROM listed_meeting WHERE source = ?1
                 UNION SELECT meeting FROM trashed_meeting WHERE source = ?1
                 UNION SELECT meeting FROM deleted_meeting WHERE source = ?1)"
        );
        transaction.execute(&statement, params![source.as_str()])?;
    }
    transaction.commit()
}

/// Lets all files of a meeting share its id and its source name, as in a listing from a provider.
/// After parsing, each file has its own copies, which take about a hundred bytes each.
fn share_ids(mut meeting: Meeting, source: &SourceName) -> Meeting {
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

/// Deletes damaged rows, so they are reported only once. Also records that the listing is
/// incomplete, in case the process ends before the next listing.
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

/// Parses a listed meeting. Returns `None` if the row is damaged.
pub(in crate::catalog) fn meeting_from_row(text: &str) -> Option<Meeting> {
    serde_json::from_str(text).ok()
}

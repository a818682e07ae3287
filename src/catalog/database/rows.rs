//! Reads and writes rows: a damaged row is dropped and reported once, and a failed write is logged.

use rusqlite::types::Value;
use rusqlite::{Connection, Row, params, params_from_iter};
use serde::Serialize;

use crate::model::{MeetingId, SourceName, Version};

/// Returns the intact rows of a source. Damaged ones are deleted and logged once: their content is
/// learned again. The parameters of `delete` are the source and the first columns of the row.
pub(super) fn intact_rows<T>(
    connection: &Connection,
    source: &SourceName,
    select: &str,
    read: impl Fn(&Row<'_>) -> Option<T>,
    delete: &str,
) -> rusqlite::Result<Vec<T>> {
    let mut delete = connection.prepare(delete)?;
    let (mut intact, mut damaged) = (Vec::new(), Vec::new());
    {
        let mut select = connection.prepare(select)?;
        let mut rows = select.query(params![source.as_str()])?;
        while let Some(row) = rows.next()? {
            match read(row) {
                Some(value) => intact.push(value),
                None => damaged.push(
                    (0..delete.parameter_count() - 1)
                        .map(|column| row.get(column))
                        .collect::<Result<Vec<Value>, _>>()?,
                ),
            }
        }
    }
    if !damaged.is_empty() {
        let count = damaged.len();
        tracing::warn!(%source, "dropped {count} damaged rows of the catalog; they are learned again");
        for columns in damaged {
            let source = Value::from(source.as_str().to_owned());
            let parameters = params_from_iter(std::iter::once(source).chain(columns));
            log_failed_write(delete.execute(parameters));
        }
    }
    Ok(intact)
}

pub(super) fn text<'row>(row: &'row Row<'_>, column: usize) -> Option<&'row str> {
    row.get_ref(column).ok()?.as_str().ok()
}

/// Returns the version in a column, or `None` if it is damaged.
pub(super) fn version(row: &Row<'_>, column: usize) -> Option<Version> {
    Some(Version(u64::from_be_bytes(row.get(column).ok()?)))
}

/// Writes rows to a table whose columns are the source, the meeting, and a value as JSON.
pub(super) fn put_meetings<'a, T: Serialize + 'a>(
    connection: &Connection,
    table: &str,
    source: &SourceName,
    meetings: impl Iterator<Item = (&'a MeetingId, &'a T)>,
) -> rusqlite::Result<()> {
    let mut put =
        connection.prepare(&format!("INSERT OR REPLACE INTO {table} VALUES (?1, ?2, ?3)"))?;
    for (id, value) in meetings {
        let Ok(text) = serde_json::to_string(value) else { continue };
        put.execute(params![source.as_str(), id.as_str(), text])?;
    }
    Ok(())
}

/// Deletes the rows of these meetings.
pub(super) fn delete_meetings(
    connection: &Connection,
    table: &str,
    source: &SourceName,
    meetings: &[MeetingId],
) -> rusqlite::Result<()> {
    let mut delete =
        connection.prepare(&format!("DELETE FROM {table} WHERE source = ?1 AND meeting = ?2"))?;
    for id in meetings {
        delete.execute(params![source.as_str(), id.as_str()])?;
    }
    Ok(())
}

pub(super) fn log_failed_write<T>(result: rusqlite::Result<T>) {
    if let Err(error) = result {
        tracing::warn!("cannot write to the catalog; the value is learned again: {error}");
    }
}

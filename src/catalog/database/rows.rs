//! Reads and writes rows. A damaged row is deleted and reported once. A failed write is logged.

use rusqlite::types::Value;
use rusqlite::{Connection, Row, params, params_from_iter};
use serde::Serialize;

use crate::model::{MeetingId, SourceName, Version};

/// Returns the intact rows of a source. Deletes damaged rows and logs a warning; their values will
/// be requested again. The parameters of `delete` are the source and the first columns of the row.
pub(super) fn load_intact_rows<T>(
    connection: &Connection,
    source: &SourceName,
    select: &str,
    parse: impl Fn(&Row<'_>) -> Option<T>,
    delete: &str,
) -> rusqlite::Result<Vec<T>> {
    let mut delete = connection.prepare(delete)?;
    let (mut intact, mut damaged) = (Vec::new(), Vec::new());
    {
        let mut select = connection.prepare(select)?;
        let mut rows = select.query(params![source.as_str()])?;
        while let Some(row) = rows.next()? {
            match parse(row) {
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
        let damaged_count = damaged.len();
        tracing::warn!(
            %source,
            "deleted {damaged_count} damaged rows from the catalog; the values will be requested again"
        );
        for columns in damaged {
            let source = Value::from(source.as_str().to_owned());
            let parameters = params_from_iter(std::iter::once(source).chain(columns));
            log_failed_write(delete.execute(parameters));
        }
    }
    Ok(intact)
}

pub(super) fn text_column<'row>(row: &'row Row<'_>, column: usize) -> Option<&'row str> {
    row.get_ref(column).ok()?.as_str().ok()
}

/// Reads a file version. Returns `None` if the column is damaged.
pub(super) fn version_column(row: &Row<'_>, column: usize) -> Option<Version> {
    Some(Version(u64::from_be_bytes(row.get(column).ok()?)))
}

/// Inserts or replaces rows. The columns of the table must be the source, the meeting, and a value
/// as JSON.
pub(super) fn upsert_meetings<'a, T: Serialize + 'a>(
    connection: &Connection,
    table: &str,
    source: &SourceName,
    meetings: impl Iterator<Item = (&'a MeetingId, &'a T)>,
) -> rusqlite::Result<()> {
    let mut statement =
        connection.prepare(&format!("INSERT OR REPLACE INTO {table} VALUES (?1, ?2, ?3)"))?;
    for (id, value) in meetings {
        let Ok(json) = serde_json::to_string(value) else { continue };
        statement.execute(params![source.as_str(), id.as_str(), json])?;
    }
    Ok(())
}

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
        tracing::warn!("cannot write to the catalog; the value will be requested again: {error}");
    }
}

//! Rows of the catalog's tables, as every subject reads and writes them: what is damaged is dropped and told of once, and
//! what cannot be written is only logged.

use rusqlite::types::Value;
use rusqlite::{Connection, Row, params, params_from_iter};
use serde::Serialize;

use crate::model::{MeetingId, SourceName, Version};

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

/// The version in a column, unless that is damaged.
pub(super) fn version(row: &Row<'_>, column: usize) -> Option<Version> {
    Some(Version(u64::from_be_bytes(row.get(column).ok()?)))
}

/// Puts what is known of meetings into a table whose columns are source, meeting and that.
pub(super) fn put_meetings<'a, T: Serialize + 'a>(
    connection: &Connection,
    table: &str,
    source: &SourceName,
    meetings: impl Iterator<Item = (&'a MeetingId, &'a T)>,
) -> rusqlite::Result<()> {
    let mut put =
        connection.prepare(&format!("INSERT OR REPLACE INTO {table} VALUES (?1, ?2, ?3)"))?;
    for (id, known) in meetings {
        let Ok(text) = serde_json::to_string(known) else { continue };
        put.execute(params![source.as_str(), id.as_str(), text])?;
    }
    Ok(())
}

/// Takes meetings out of a table.
pub(super) fn drop_meetings(
    connection: &Connection,
    table: &str,
    source: &SourceName,
    meetings: &[MeetingId],
) -> rusqlite::Result<()> {
    let mut drop =
        connection.prepare(&format!("DELETE FROM {table} WHERE source = ?1 AND meeting = ?2"))?;
    for id in meetings {
        drop.execute(params![source.as_str(), id.as_str()])?;
    }
    Ok(())
}

pub(super) fn log_failure(kept: rusqlite::Result<usize>) {
    if let Err(error) = kept {
        tracing::warn!("something learned could not be kept and will be asked for again: {error}");
    }
}

//! Finds cues.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use serde::{Deserialize, Serialize};

use super::text_plan::TextId;
use crate::model::SourceName;
use crate::text::{Cue, SearchQuery};

/// A query and its filters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SearchRequest {
    pub query: SearchQuery,
    /// Words of the name of the speaker.
    pub speaker: Option<SearchQuery>,
    /// Only recordings that began at this time or later.
    pub since: Option<Timestamp>,
    pub source: Option<SourceName>,
    /// Maximum number of hits.
    pub limit: u32,
}

/// Maximum duration of a query. A word that is in every cue of a large archive takes seconds. The
/// client of a longer query has given up, and other queries wait.
pub(super) const MAX_QUERY_DURATION: Duration = Duration::from_secs(30);

/// Number of instructions of SQLite's virtual machine between two checks of the duration. They take
/// less than a millisecond.
const CHECK_INTERVAL: i32 = 10_000;

/// A cue that matches a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchHit {
    pub text: TextId,
    pub cue: Cue,
}

/// The hits of a query: the newest recordings first, and in each of them the order of the text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SearchResult {
    pub hits: Vec<SearchHit>,
    /// Whether there are more hits than the limit.
    pub is_truncated: bool,
}

/// Searches the texts of `sources`. The index can contain texts of sources that are not configured
/// any more.
///
/// # Errors
/// The index cannot be read, or the query takes longer than [`MAX_QUERY_DURATION`].
pub(super) fn search(
    connection: &mut Connection,
    request: &SearchRequest,
    sources: &[SourceName],
) -> rusqlite::Result<SearchResult> {
    let deadline = Instant::now() + MAX_QUERY_DURATION;
    connection.progress_handler(CHECK_INTERVAL, Some(move || Instant::now() > deadline))?;
    let result = run_query(connection, request, sources);
    connection.progress_handler(0, None::<fn() -> bool>)?;
    result
}

fn run_query(
    connection: &Connection,
    request: &SearchRequest,
    sources: &[SourceName],
) -> rusqlite::Result<SearchResult> {
    let mut expression = format!("line : ({})", request.query.to_fts_expression());
    if let Some(speaker) = &request.speaker {
        expression.push_str(&format!(" AND speaker : ({})", speaker.to_fts_expression()));
    }
    let mut statement = "SELECT text.source, text.meeting, text.file, \
         cue.start, cue.speaker, cue.line \
         FROM cue_words JOIN cue ON cue.id = cue_words.rowid JOIN text ON text.id = cue.text \
         WHERE cue_words MATCH ?"
        .to_owned();
    let mut parameters = vec![Value::from(expression)];
    if let Some(since) = request.since {
        statement.push_str(" AND text.started_at >= ?");
        parameters.push(since.as_second().into());
    }
    let sources =
        sources.iter().filter(|name| request.source.as_ref().is_none_or(|source| source == *name));
    let sources: Vec<_> = sources.map(|name| Value::from(name.as_str().to_owned())).collect();
    let placeholders = vec!["?"; sources.len()].join(", ");
    statement.push_str(&format!(" AND text.source IN ({placeholders})"));
    parameters.extend(sources);
    statement.push_str(" ORDER BY text.started_at DESC, text.id, cue.id LIMIT ?");
    let limit = usize::try_from(request.limit).unwrap_or(usize::MAX);
    parameters.push((i64::from(request.limit) + 1).into());
    let mut select = connection.prepare(&statement)?;
    let mut rows = select.query(params_from_iter(parameters))?;
    let mut result = SearchResult::default();
    while let Some(row) = rows.next()? {
        if result.hits.len() == limit {
            result.is_truncated = true;
            break;
        }
        let (source, meeting, file): (String, String, String) =
            (row.get(0)?, row.get(1)?, row.get(2)?);
        // Only damage can change the name of a source.
        let Some(source) = SourceName::new(&source) else { continue };
        let file = (!file.is_empty()).then(|| file.as_str().into());
        let milliseconds: Option<i64> = row.get(3)?;
        let start = milliseconds.and_then(|start| u64::try_from(start).ok());
        result.hits.push(SearchHit {
            text: TextId { source, meeting: meeting.as_str().into(), file },
            cue: Cue {
                start: start.map(Duration::from_millis),
                speaker: row.get(4)?,
                text: row.get(5)?,
            },
        });
    }
    Ok(result)
}

//! Finds cues.

use std::time::Duration;

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

pub(super) fn search(
    connection: &Connection,
    request: &SearchRequest,
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
    if let Some(source) = &request.source {
        statement.push_str(" AND text.source = ?");
        parameters.push(source.as_str().to_owned().into());
    }
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

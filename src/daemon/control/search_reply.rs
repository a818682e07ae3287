//! Cues that a search has found, with the paths of their files.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::catalog::{SearchRequest, SearchResult, SourceCoverage, TextId};
use crate::daemon::archive::Archive;
use crate::model::{ErrorReport, one_line};
use crate::tree::Content;

/// A cue that matches a query.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct FoundCue {
    /// Path of the file relative to the mountpoint, or of the directory of the meeting if its topic
    /// matches.
    pub path: String,
    /// Offset from the start of the recording, in seconds.
    pub start: Option<f64>,
    pub speaker: Option<String>,
    pub text: String,
}

/// The reply to a search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum SearchReply {
    /// The mount has no search index.
    Off,
    Failed(ErrorReport),
    Found {
        cues: Vec<FoundCue>,
        is_truncated: bool,
        coverage: Vec<SourceCoverage>,
    },
}

/// Searches the texts of an archive. Does blocking I/O.
pub(super) fn search(archive: &Archive, request: &SearchRequest) -> SearchReply {
    let Some((index, coverage)) = archive.search_index() else { return SearchReply::Off };
    let sources: Vec<_> = archive.sources().map(|(source, _)| source.config.name.clone()).collect();
    let SearchResult { hits, is_truncated } = match index.search(request, &sources) {
        Ok(result) => result,
        Err(error) => {
            tracing::error!("{}", one_line(&error));
            return SearchReply::Failed(ErrorReport::of(&error));
        }
    };
    let paths = find_paths(archive, hits.iter().map(|hit| &hit.text).collect());
    let cues = hits.into_iter().filter_map(|hit| {
        // A file without a path is hidden by a filter, or was deleted a moment ago.
        let path = paths.get(&hit.text)?.clone();
        let start = hit.cue.start.map(|start| start.as_secs_f64());
        Some(FoundCue { path, start, speaker: hit.cue.speaker, text: hit.cue.text })
    });
    let mut coverage = coverage.sources();
    if let Some(source) = &request.source {
        coverage.retain(|coverage| coverage.source == source.as_str());
    }
    SearchReply::Found { cues: cues.collect(), is_truncated, coverage }
}

/// Returns the paths of texts relative to the mountpoint. A transcript that has several names has
/// the path of the first.
fn find_paths(archive: &Archive, texts: HashSet<&TextId>) -> HashMap<TextId, String> {
    // Most nodes are of other meetings. Comparing only their meetings is fast.
    let meetings: HashSet<_> = texts.iter().map(|text| &text.meeting).collect();
    let snapshot = archive.tree.current();
    let mut paths = HashMap::new();
    for node in snapshot.nodes() {
        let (id, ino) = match &node.content {
            Content::Recording { id, .. } if meetings.contains(&id.meeting) => {
                (TextId::from(id.clone()), node.ino)
            }
            Content::Document(document) if meetings.contains(&document.meeting().id) => {
                let meeting = document.meeting();
                let (source, meeting) = (meeting.source.clone(), meeting.id.clone());
                (TextId { source, meeting, file: None }, node.parent)
            }
            _ => continue,
        };
        if texts.contains(&id) && !paths.contains_key(&id) {
            let path = archive.tree.path_of(ino);
            paths.insert(id, path);
        }
    }
    paths
}

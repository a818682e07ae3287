//! Transcripts, chats and queries: every cue is one line, and every query can be run.
//!
//! Input: one byte for the kind, then the text.

use meetfs::catalog::{SearchIndex, SearchRequest};
use meetfs::text::{SearchQuery, TextKind};

thread_local! {
    static INDEX: SearchIndex = SearchIndex::in_memory().expect("memory");
}

pub fn check(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else { return };
    let kinds = [TextKind::Transcript, TextKind::Captions, TextKind::Chat];
    for cue in kinds[usize::from(kind % 3)].parse(data) {
        let lines = std::iter::once(&cue.text).chain(&cue.speaker);
        for line in lines {
            assert!(!line.is_empty() && !line.contains(char::is_control), "{cue:?}");
        }
    }
    let text = String::from_utf8_lossy(data);
    let Some(query) = SearchQuery::new(text.lines()) else { return };
    let speaker = SearchQuery::new(text.split(':'));
    let request = SearchRequest { query, speaker, since: None, source: None, limit: 1 };
    INDEX.with(|index| index.search(&request, &[]).expect("a valid query"));
}

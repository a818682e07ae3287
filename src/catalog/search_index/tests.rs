//! The index finds what was saved, and nothing else.

use std::time::Duration;

use super::*;
use crate::model::{SourceName, Version};
use crate::text::{Cue, SearchQuery};

fn acme() -> SourceName {
    SourceName::new("acme").unwrap()
}

fn text_id(meeting: &str) -> TextId {
    TextId { source: acme(), meeting: meeting.into(), file: Some("t".into()) }
}

fn cue(seconds: u64, speaker: &str, text: &str) -> Cue {
    Cue {
        start: Some(Duration::from_secs(seconds)),
        speaker: Some(speaker.to_owned()),
        text: text.to_owned(),
    }
}

fn request(phrases: &[&str]) -> SearchRequest {
    let query = SearchQuery::new(phrases.iter().copied()).unwrap();
    SearchRequest { query, speaker: None, since: None, source: None, limit: 100 }
}

fn found_texts(index: &SearchIndex, request: &SearchRequest) -> Vec<String> {
    index.search(request, &[acme()]).unwrap().hits.into_iter().map(|hit| hit.cue.text).collect()
}

fn sample_index() -> SearchIndex {
    let index = SearchIndex::in_memory().unwrap();
    let cues = [
        cue(1, "Ana Alves", "The budget plan for été"),
        cue(754, "Bo", "Planning: the BUDGET, then 会議の議事録"),
    ];
    index
        .save(&text_id("old"), Version(1), "2026-01-02T03:04:05Z".parse().unwrap(), &cues)
        .unwrap();
    let cues = [cue(3, "Ana Alves", "No budget")];
    index
        .save(&text_id("new"), Version(1), "2026-05-02T03:04:05Z".parse().unwrap(), &cues)
        .unwrap();
    index
}

#[test]
fn phrases_are_found_without_case_and_accents() {
    let index = sample_index();
    let (first, second) = ("The budget plan for été", "Planning: the BUDGET, then 会議の議事録");
    for (phrases, texts) in [
        (&["budget"][..], &["No budget", first, second][..]),
        (&["budget plan"], &[first]),
        (&["plan", "budget"], &[first]),
        (&["plan*"], &[first, second]),
        (&["ETE"], &[first]),
        (&["議事"], &[second]),
        (&["事議"], &[]),
        (&["udge"], &[]),
        (&["\" OR line : budget"], &[]),
    ] {
        assert_eq!(found_texts(&index, &request(phrases)), texts, "{phrases:?}");
    }
}

#[test]
fn filters_and_limit_restrict_the_hits() {
    let index = sample_index();
    let budget = request(&["budget"]);
    let speaker = SearchQuery::new(["ana"]);
    let hits = found_texts(&index, &SearchRequest { speaker, ..budget.clone() });
    assert_eq!(hits, ["No budget", "The budget plan for été"]);
    let since = Some("2026-02-01T00:00:00Z".parse().unwrap());
    assert_eq!(found_texts(&index, &SearchRequest { since, ..budget.clone() }), ["No budget"]);
    let source = SourceName::new("other");
    assert!(found_texts(&index, &SearchRequest { source, ..budget.clone() }).is_empty());
    let result = index.search(&SearchRequest { limit: 2, ..budget.clone() }, &[acme()]).unwrap();
    assert!(result.hits.len() == 2 && result.is_truncated);
    assert_eq!(result.hits[1].text, text_id("old"));
    assert_eq!(result.hits[1].cue.start, Some(Duration::from_secs(1)));
    let result = index.search(&SearchRequest { limit: 3, ..budget.clone() }, &[acme()]).unwrap();
    assert!(!result.is_truncated);
    // The source was removed from the configuration.
    let result = index.search(&SearchRequest { limit: 2, ..budget }, &[]).unwrap();
    assert_eq!(result, SearchResult::default());
}

#[test]
fn new_version_replaces_the_cues() {
    let index = sample_index();
    let started_at = "2026-01-02T03:04:05Z".parse().unwrap();
    index.save(&text_id("old"), Version(2), started_at, &[cue(1, "Bo", "nothing")]).unwrap();
    assert_eq!(found_texts(&index, &request(&["budget"])), ["No budget"]);
    index.remove_texts(&[text_id("new"), text_id("unknown")]).unwrap();
    assert!(found_texts(&index, &request(&["budget"])).is_empty());
    let texts = index.indexed_texts(&text_id("old").source).unwrap();
    assert_eq!(texts, [(text_id("old"), Version(2))].into());
}

#[test]
fn damaged_file_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let index = SearchIndex::open(directory.path()).unwrap();
    let started_at = "2026-01-02T03:04:05Z".parse().unwrap();
    index.save(&text_id("old"), Version(2), started_at, &[cue(1, "Bo", "nothing")]).unwrap();
    drop(index);
    let index = SearchIndex::open(directory.path()).unwrap();
    assert_eq!(found_texts(&index, &request(&["nothing"])), ["nothing"]);
    drop(index);
    let file = directory.path().join("search.sqlite");
    std::fs::write(&file, vec![0x55; 40_000]).unwrap();
    let index = SearchIndex::open(directory.path()).unwrap();
    assert!(found_texts(&index, &request(&["nothing"])).is_empty());
    drop(index);
    SearchIndex::remove(directory.path()).unwrap();
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

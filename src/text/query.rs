//! Search queries.

use serde::{Deserialize, Serialize};

use super::segmentation::segment;

/// A search query: phrases that must all occur in a cue. It has at least one phrase, and every
/// phrase has at least one word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SearchQuery {
    phrases: Vec<Phrase>,
}

/// Consecutive words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Phrase {
    words: String,
    /// Whether the last word may continue, as in `plan*`.
    is_prefix: bool,
}

impl SearchQuery {
    /// Returns a query for phrases. An asterisk at the end of a phrase lets its last word continue.
    /// Returns `None` if no phrase contains a letter or a digit.
    pub fn new<'a>(phrases: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let phrases = phrases.into_iter().map(|phrase| {
            let words = phrase.trim().trim_end_matches('*');
            Phrase { words: words.to_owned(), is_prefix: words.len() < phrase.trim().len() }
        });
        let phrases: Vec<_> =
            phrases.filter(|phrase| phrase.words.contains(char::is_alphanumeric)).collect();
        (!phrases.is_empty()).then_some(Self { phrases })
    }

    /// Returns the query in the syntax of SQLite (FTS5, "Full-text Query Syntax").
    pub fn to_fts_expression(&self) -> String {
        let phrases = self.phrases.iter().map(|Phrase { words, is_prefix }| {
            let asterisk = if *is_prefix { " *" } else { "" };
            // A null character would end the expression.
            let is_syntax = |character: char| character == '"' || character.is_control();
            format!("\"{}\"{asterisk}", segment(words).replace(is_syntax, " "))
        });
        phrases.collect::<Vec<_>>().join(" AND ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_become_an_expression() {
        for (phrases, expression) in [
            (&["budget"][..], "\"budget\""),
            (&["budget plan", "ana"], "\"budget plan\" AND \"ana\""),
            (&["plan*"], "\"plan\" *"),
            (&["会議"], "\" 会  議 \""),
            (&["a\" OR\0b", "..."], "\"a  OR b\""),
            (&["NEAR(x)", "-y"], "\"NEAR(x)\" AND \"-y\""),
        ] {
            let query = SearchQuery::new(phrases.iter().copied()).unwrap();
            assert_eq!(query.to_fts_expression(), expression);
        }
        for phrases in [&[""][..], &["*"], &["\"", " - "], &[]] {
            assert_eq!(SearchQuery::new(phrases.iter().copied()), None, "{phrases:?}");
        }
    }
}

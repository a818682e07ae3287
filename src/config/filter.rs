//! Which of a source's recordings are shown.

use std::time::Duration;

use glob::Pattern;
use jiff::SignedDuration;
use jiff::civil::Date;

use super::error::ConfigError;
use super::file::{Table, Text, Texts, known_keys};
use super::problem::ValueProblem;
use super::source::Context;
use super::suggestion::nearest;
use super::value;

/// What is shown; everything where nothing is said.
#[derive(Clone, Debug, Default)]
pub struct FilterConfig {
    /// Last day whose meetings are shown, in the settings' time zone.
    pub until: Option<Date>,
    /// Topics, in lower case, of which one must match.
    pub topics: Option<Vec<Pattern>>,
    /// E-mail addresses of hosts, in lower case, of which one must match.
    pub hosts: Option<Vec<Pattern>>,
    /// Kinds of recording files.
    pub kinds: Option<Vec<FileKind>>,
    /// The shortest meeting.
    pub min_duration: Option<Duration>,
}

/// A kind of recording file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// Pictures, with or without sound.
    Video,
    /// Sound alone.
    Audio,
    /// The spoken words, captions included.
    Transcript,
    /// What was written in the chat.
    Chat,
    /// Everything else: polls, timelines, summaries.
    Other,
}

impl FileKind {
    const ALL: [(&'static str, Self); 5] = [
        ("video", Self::Video),
        ("audio", Self::Audio),
        ("transcript", Self::Transcript),
        ("chat", Self::Chat),
        ("other", Self::Other),
    ];
}

known_keys! {
    /// What chooses among the recordings of any source, besides `since`.
    struct FilterKeys {
        until: Text,
        topics: Texts,
        hosts: Texts,
        kinds: Texts,
        min_duration: Text,
    }
}

/// Every key that chooses.
pub(super) fn key_names() -> Vec<String> {
    FilterKeys::names()
}

/// Makes a filter of the keys of one table.
pub(super) fn resolve(
    table: &Table<'_>,
    since: Date,
    context: &Context<'_>,
) -> Result<FilterConfig, ConfigError> {
    let keys = FilterKeys::read(table)?;
    let until = keys
        .until
        .map(|until| until.check(|text| last_day(text, since, context.today)))
        .transpose()?;
    Ok(FilterConfig {
        until,
        topics: keys.topics.map(|topics| topics.check(patterns)).transpose()?,
        hosts: keys.hosts.map(|hosts| hosts.check(patterns)).transpose()?,
        kinds: keys.kinds.map(|kinds| kinds.check(file_kinds)).transpose()?,
        min_duration: keys.min_duration.map(|least| least.check(duration)).transpose()?,
    })
}

fn last_day(text: String, since: Date, today: Date) -> Result<Date, ValueProblem> {
    let until = value::past_day(text, today)?;
    if until < since { Err(ValueProblem::NoDays { since, until }) } else { Ok(until) }
}

/// Patterns that match whole texts, in lower case; at least one.
fn patterns(patterns: Vec<String>) -> Result<Vec<Pattern>, ValueProblem> {
    const INSTEAD: &str = "write patterns like \"Weekly*\", or leave it out to show all";
    if patterns.is_empty() {
        return Err(ValueProblem::Empty { instead: INSTEAD });
    }
    if patterns.iter().any(|pattern| pattern.trim().is_empty()) {
        return Err(ValueProblem::EmptyInList { instead: INSTEAD });
    }
    let read = |pattern: String| {
        Pattern::new(&pattern.to_lowercase())
            .map_err(|error| ValueProblem::Pattern { pattern, why: error.msg.to_owned() })
    };
    patterns.into_iter().map(read).collect()
}

fn file_kinds(names: Vec<String>) -> Result<Vec<FileKind>, ValueProblem> {
    const INSTEAD: &str =
        "write video, audio, transcript, chat or other, or leave `kinds` out to show all";
    if names.is_empty() {
        return Err(ValueProblem::Empty { instead: INSTEAD });
    }
    if names.iter().any(|name| name.trim().is_empty()) {
        return Err(ValueProblem::EmptyInList { instead: INSTEAD });
    }
    let known = |name: String| {
        let found =
            FileKind::ALL.into_iter().find(|(known, _)| *known == name).map(|(_, kind)| kind);
        found.ok_or_else(|| {
            let nearest = nearest(&name, FileKind::ALL.map(|(known, _)| known)).map(str::to_owned);
            ValueProblem::FileKind { name, nearest }
        })
    };
    names.into_iter().map(known).collect()
}

/// "10m", "90s", "1h 30m", or a bare number of seconds.
fn duration(text: String) -> Result<Duration, ValueProblem> {
    let duration = match text.trim().parse::<u32>() {
        Ok(seconds) => Ok(SignedDuration::from_secs(i64::from(seconds))),
        Err(_) => text.trim().parse::<SignedDuration>(),
    };
    duration
        .ok()
        .and_then(|duration| Duration::try_from(duration).ok())
        .ok_or(ValueProblem::Duration(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_pattern_or_kind_is_told() {
        let problem = patterns(vec!["[a".into()]).unwrap_err().to_string();
        assert!(problem.contains("`[a`"), "{problem}");
        assert!(matches!(patterns(Vec::new()), Err(ValueProblem::Empty { .. })));
        assert!(matches!(
            patterns(vec!["a".into(), " ".into()]),
            Err(ValueProblem::EmptyInList { .. })
        ));
        let problem =
            file_kinds(vec!["video".into(), "transcripts".into()]).unwrap_err().to_string();
        assert!(problem.contains("transcript"), "{problem}");
        assert_eq!(file_kinds(vec!["chat".into()]).unwrap(), [FileKind::Chat]);
    }

    #[test]
    fn durations_are_read_with_and_without_a_unit() {
        assert_eq!(duration("90".into()).unwrap(), Duration::from_secs(90));
        assert_eq!(duration("1h 30m".into()).unwrap(), Duration::from_secs(5400));
        assert!(duration("-1m".into()).is_err() && duration("soon".into()).is_err());
    }

    #[test]
    fn an_end_before_the_beginning_is_refused() {
        let day = |text: &str| text.parse::<Date>().unwrap();
        let until = |text: &str| last_day(text.into(), day("2026-01-01"), day("2026-06-01"));
        assert_eq!(until("2026-01-01").unwrap(), day("2026-01-01"));
        assert!(until("2025-12-31").unwrap_err().to_string().contains("2026-01-01"));
    }
}

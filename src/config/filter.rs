//! The keys that select which recordings of a source are shown.

use std::time::Duration;

use glob::Pattern;
use jiff::civil::Date;

use super::error::ConfigError;
use super::keys::{Text, TextList, known_keys};
use super::suggestion::find_nearest;
use super::table::Table;
use super::value;
use super::value_problem::ValueProblem;

/// The conditions that a recording must meet to be shown. `None` means no condition.
#[derive(Clone, Debug, Default)]
pub struct FilterConfig {
    /// Last day whose meetings are shown, in the configured time zone.
    pub until: Option<Date>,
    /// Lower-case patterns. At least one must match the topic in lower case.
    pub topics: Option<Vec<Pattern>>,
    /// Lower-case patterns. At least one must match the e-mail address of the meeting host.
    pub meeting_hosts: Option<Vec<Pattern>>,
    pub kinds: Option<Vec<FileKind>>,
    /// Minimum duration of a meeting.
    pub min_duration: Option<Duration>,
}

/// A kind of recording file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A video, with or without sound.
    Video,
    /// Sound without video.
    Audio,
    /// A transcript or captions.
    Transcript,
    Chat,
    /// A poll, a timeline, a summary, or any other file.
    Other,
}

impl FileKind {
    const NAMES: [(&'static str, Self); 5] = [
        ("video", Self::Video),
        ("audio", Self::Audio),
        ("transcript", Self::Transcript),
        ("chat", Self::Chat),
        ("other", Self::Other),
    ];

    fn from_name(name: String) -> Result<Self, ValueProblem> {
        let entry = Self::NAMES.into_iter().find(|(known_name, _)| *known_name == name);
        let kind = entry.map(|(_, kind)| kind);
        kind.ok_or_else(|| ValueProblem::UnknownName {
            subject: "kind of file",
            nearest_name: find_nearest(&name, Self::NAMES.map(|(known_name, _)| known_name))
                .map(str::to_owned),
            name,
            choices: "The kinds are video, audio, transcript, chat and other.".into(),
        })
    }
}

known_keys! {
    /// The keys that filter the recordings of a source, except `since`.
    struct FilterKeys {
        until: Text,
        topics: TextList,
        hosts: TextList,
        kinds: TextList,
        min_duration: Text,
    }
}

impl FilterConfig {
    /// Reads the filter from the table of a source. `until` must be between `since` and `today`.
    pub(super) fn read(table: &Table<'_>, since: Date, today: Date) -> Result<Self, ConfigError> {
        let keys = FilterKeys::read(table)?;
        let until = keys
            .until
            .map(|until| until.validate(|text| parse_last_day(text, since, today)))
            .transpose()?;
        Ok(Self {
            until,
            topics: keys.topics.map(|topics| topics.validate(parse_patterns)).transpose()?,
            meeting_hosts: keys.hosts.map(|hosts| hosts.validate(parse_patterns)).transpose()?,
            kinds: keys.kinds.map(|kinds| kinds.validate(parse_file_kinds)).transpose()?,
            min_duration: keys
                .min_duration
                .map(|text| text.validate(value::parse_duration))
                .transpose()?,
        })
    }
}

fn parse_last_day(text: String, since: Date, today: Date) -> Result<Date, ValueProblem> {
    let until = value::parse_past_day(text, today)?;
    if until < since { Err(ValueProblem::NoDays { since, until }) } else { Ok(until) }
}

/// Converts patterns to lower case and parses them. Returns an error if the list is empty.
fn parse_patterns(patterns: Vec<String>) -> Result<Vec<Pattern>, ValueProblem> {
    refuse_empty_items(
        &patterns,
        "Write patterns such as \"Weekly*\", or omit the key to show all recordings.",
    )?;
    patterns.iter().map(|pattern| value::parse_pattern(pattern)).collect()
}

fn parse_file_kinds(names: Vec<String>) -> Result<Vec<FileKind>, ValueProblem> {
    refuse_empty_items(
        &names,
        "Write video, audio, transcript, chat or other, or omit `kinds` to show all recordings.",
    )?;
    names.into_iter().map(FileKind::from_name).collect()
}

fn refuse_empty_items(items: &[String], hint: &'static str) -> Result<(), ValueProblem> {
    if items.is_empty() {
        return Err(ValueProblem::Empty { hint });
    }
    if items.iter().any(|item| item.trim().is_empty()) {
        return Err(ValueProblem::EmptyInList { hint });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn error_names_the_invalid_pattern() {
        let problem = parse_patterns(vec!["[a".into()]).unwrap_err().to_string();
        assert!(problem.contains("`[a`"), "{problem}");
        assert!(matches!(parse_patterns(Vec::new()), Err(ValueProblem::Empty { .. })));
        assert!(matches!(
            parse_patterns(vec!["a".into(), " ".into()]),
            Err(ValueProblem::EmptyInList { .. })
        ));
    }

    #[test]
    fn unknown_kind_suggests_the_nearest_one() {
        let problem = parse_file_kinds(vec!["video".into(), "transcripts".into()]).unwrap_err();
        let ValueProblem::UnknownName { nearest_name, .. } = problem else { panic!("{problem}") };
        assert_eq!(nearest_name.as_deref(), Some("transcript"));
        assert_eq!(parse_file_kinds(vec!["chat".into()]).unwrap(), [FileKind::Chat]);
    }

    #[test]
    fn last_day_before_first_day_is_refused() {
        let day = |text: &str| text.parse::<Date>().unwrap();
        let until = |text: &str| parse_last_day(text.into(), day("2026-01-01"), day("2026-06-01"));
        assert_eq!(until("2026-01-01").unwrap(), day("2026-01-01"));
        assert!(until("2025-12-31").unwrap_err().to_string().contains("2026-01-01"));
    }
}

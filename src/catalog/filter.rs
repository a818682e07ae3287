//! Selects which listed recordings are shown.

use std::time::Duration;

use glob::Pattern;
use jiff::SignedDuration;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::model::{Meeting, RecordingFile, Role};

/// Selects the meetings and files of a source that are shown. Hidden meetings and files stay in the
/// catalog, so a changed filter can show them at the next start without another listing.
#[derive(Clone, Debug)]
pub struct Filter {
    /// The time zone of the days `since` and `until`.
    pub timezone: TimeZone,
    /// The first day whose meetings are shown.
    pub since: Date,
    /// The last day whose meetings are shown. `None` does not limit the days.
    pub until: Option<Date>,
    /// Patterns in lower case. The topic of a meeting must match one of them. `None` matches every
    /// topic.
    pub topics: Option<Vec<Pattern>>,
    /// Patterns in lower case. The e-mail address of the meeting host must match one of them.
    /// `None` matches every meeting, even one without a meeting host.
    pub meeting_hosts: Option<Vec<Pattern>>,
    /// The metadata field that contains the e-mail address of the meeting host.
    pub meeting_host_field: Option<&'static str>,
    /// The kinds of files that are shown. `None` means all kinds.
    pub kinds: Option<Vec<RecordingKind>>,
    /// The minimum duration of a meeting that is shown.
    pub min_duration: Duration,
}

/// A kind of recording file that a user can select.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordingKind {
    /// A video, with or without audio.
    Video,
    Audio,
    /// A transcript or captions.
    Transcript,
    Chat,
    Other,
}

impl RecordingKind {
    fn from_file(file: &RecordingFile) -> Self {
        match file.role {
            Role::View => Self::Video,
            Role::Audio | Role::Participant => Self::Audio,
            Role::Transcript | Role::Captions => Self::Transcript,
            Role::Other if file.stem == "chat" => Self::Chat,
            Role::Other => Self::Other,
        }
    }
}

impl Filter {
    /// Returns a filter that shows all meetings and files.
    pub fn show_all() -> Self {
        Self {
            timezone: TimeZone::UTC,
            since: Date::MIN,
            until: None,
            topics: None,
            meeting_hosts: None,
            meeting_host_field: None,
            kinds: None,
            min_duration: Duration::ZERO,
        }
    }

    /// Returns whether the meeting is shown. [`shows_file`](Self::shows_file) decides which of its
    /// files are shown.
    pub fn shows(&self, meeting: &Meeting) -> bool {
        let day = self.timezone.to_datetime(meeting.start).date();
        let duration = meeting.end.duration_since(meeting.start);
        let min_duration =
            SignedDuration::try_from(self.min_duration).unwrap_or(SignedDuration::MAX);
        day >= self.since
            && self.until.is_none_or(|until| day <= until)
            && duration >= min_duration
            && self.topics.as_ref().is_none_or(|topics| any_matches(topics, &meeting.topic))
            && self.meeting_hosts.as_ref().is_none_or(|patterns| {
                self.meeting_host(meeting).is_some_and(|host| any_matches(patterns, &host))
            })
            && (self.kinds.is_none() || meeting.files.iter().any(|file| self.shows_file(file)))
    }

    fn meeting_host(&self, meeting: &Meeting) -> Option<String> {
        meeting.metadata.text(self.meeting_host_field?)
    }

    /// Returns whether a file is shown if its meeting is shown.
    pub fn shows_file(&self, file: &RecordingFile) -> bool {
        self.kinds.as_ref().is_none_or(|kinds| kinds.contains(&RecordingKind::from_file(file)))
    }

    pub fn shows_transcripts(&self) -> bool {
        self.kinds.as_ref().is_none_or(|kinds| kinds.contains(&RecordingKind::Transcript))
    }

    /// Returns whether the filter can hide files of a meeting that it shows.
    pub fn can_hide_files(&self) -> bool {
        self.kinds.is_some()
    }
}

/// Returns whether one of the patterns matches the whole text, regardless of case.
fn any_matches(patterns: &[Pattern], text: &str) -> bool {
    let text = text.to_lowercase();
    patterns.iter().any(|pattern| pattern.matches(&text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Availability, BodyKind, FileId, MeetingMetadata, SourceName, Version};

    fn file(role: Role, stem: &str) -> RecordingFile {
        RecordingFile {
            id: FileId {
                source: SourceName::new("acme").unwrap(),
                meeting: "m".into(),
                key: stem.into(),
            },
            version: Version(1),
            role,
            stem: stem.into(),
            extension: "x".into(),
            body: BodyKind::Opaque,
            declared_size: Some(1),
            recording_start: None,
            recording_end: None,
            availability: Availability::Ready,
        }
    }

    /// Returns a meeting that starts on March 1 at 23:30 UTC and lasts half an hour.
    fn meeting() -> Meeting {
        Meeting {
            source: SourceName::new("acme").unwrap(),
            id: "m".into(),
            topic: "Weekly".into(),
            start: "2026-03-01T23:30:00Z".parse().unwrap(),
            end: "2026-03-02T00:00:00Z".parse().unwrap(),
            expires: None,
            files: vec![
                file(Role::View, "view"),
                file(Role::Captions, "cc"),
                file(Role::Other, "chat"),
            ],
            metadata: [("host_email".to_owned(), "ana@example.org".into())].into_iter().collect(),
        }
    }

    fn patterns(texts: &[&str]) -> Vec<Pattern> {
        texts.iter().map(|text| Pattern::new(text).unwrap()).collect()
    }

    fn glob(pattern: &str) -> Option<Vec<Pattern>> {
        Some(patterns(&[pattern]))
    }

    #[test]
    fn patterns_match_whole_text_regardless_of_case() {
        let topics = patterns(&["weekly*", "q?", "été/?"]);
        for topic in ["Weekly: sales / all", "q4", "ÉTÉ/é", "Qé"] {
            assert!(any_matches(&topics, topic), "{topic}");
        }
        for topic in ["Biweekly", "Q10", "été"] {
            assert!(!any_matches(&topics, topic), "{topic}");
        }
    }

    #[test]
    fn empty_filter_shows_everything() {
        assert!(Filter::show_all().shows(&meeting()));
        assert!(meeting().files.iter().all(|file| Filter::show_all().shows_file(file)));
    }

    #[test]
    fn days_are_in_the_configured_time_zone() {
        let paris = TimeZone::fixed(jiff::tz::offset(1));
        let is_shown_since = |day: &str, timezone: &TimeZone| {
            let since = day.parse().unwrap();
            Filter { since, timezone: timezone.clone(), ..Filter::show_all() }.shows(&meeting())
        };
        assert!(is_shown_since("2026-03-01", &TimeZone::UTC));
        assert!(!is_shown_since("2026-03-02", &TimeZone::UTC));
        assert!(is_shown_since("2026-03-02", &paris) && !is_shown_since("2026-03-03", &paris));
        let is_shown_until = |day: &str| {
            Filter {
                until: Some(day.parse().unwrap()),
                timezone: paris.clone(),
                ..Filter::show_all()
            }
            .shows(&meeting())
        };
        assert!(is_shown_until("2026-03-02") && !is_shown_until("2026-03-01"));
    }

    #[test]
    fn all_conditions_must_hold() {
        let filter = |topics, meeting_hosts, minutes: u64| Filter {
            topics,
            meeting_hosts,
            meeting_host_field: Some("host_email"),
            min_duration: Duration::from_secs(minutes * 60),
            ..Filter::show_all()
        };
        assert!(filter(glob("week*"), glob("*@example.org"), 30).shows(&meeting()));
        assert!(!filter(glob("daily"), glob("*@example.org"), 30).shows(&meeting()));
        assert!(!filter(glob("week*"), glob("ben@*"), 30).shows(&meeting()));
        assert!(!filter(glob("week*"), glob("*@example.org"), 31).shows(&meeting()));
        let mut meeting_without_host = meeting();
        meeting_without_host.metadata = MeetingMetadata::default();
        assert!(!filter(None, glob("*"), 0).shows(&meeting_without_host));
    }

    #[test]
    fn meeting_without_files_of_the_kinds_is_hidden() {
        let filter = |kinds| Filter { kinds: Some(kinds), ..Filter::show_all() };
        let transcripts = filter(vec![RecordingKind::Transcript]);
        let shown_files: Vec<_> =
            meeting().files.into_iter().filter(|file| transcripts.shows_file(file)).collect();
        assert_eq!(shown_files.iter().map(|file| file.stem.as_str()).collect::<Vec<_>>(), ["cc"]);
        assert!(
            transcripts.shows(&meeting()) && filter(vec![RecordingKind::Chat]).shows(&meeting())
        );
        assert!(!filter(vec![RecordingKind::Audio]).shows(&meeting()));
    }
}

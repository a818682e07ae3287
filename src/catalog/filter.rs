//! Selects which listed recordings are shown.

use std::time::Duration;

use glob::Pattern;
use jiff::SignedDuration;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::model::{Meeting, RecordingFile, Role};

/// Selects meetings and files of a source. Hidden ones stay in the catalog, so a changed filter
/// shows them at the next start without another listing.
#[derive(Clone, Debug)]
pub struct Filter {
    /// The time zone of `since` and `until`.
    pub timezone: TimeZone,
    /// The first day.
    pub since: Date,
    /// The last day; `None` is unlimited.
    pub until: Option<Date>,
    /// Patterns in lower case, one of which must match the topic; `None` matches all.
    pub topics: Option<Vec<Pattern>>,
    /// Patterns in lower case, one of which must match the e-mail address of the host; `None`
    /// matches all, also meetings without a host.
    pub hosts: Option<Vec<Pattern>>,
    /// The metadata field with the e-mail address of the host.
    pub meeting_host_field: Option<&'static str>,
    /// `None` selects all kinds.
    pub kinds: Option<Vec<RecordingKind>>,
    /// The minimum duration of a meeting.
    pub min_duration: Duration,
}

/// A kind of recording file that a user can select.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordingKind {
    /// With or without audio.
    Video,
    Audio,
    /// Includes captions.
    Transcript,
    Chat,
    Other,
}

impl RecordingKind {
    fn of(file: &RecordingFile) -> Self {
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
    /// Returns a filter that shows everything.
    pub fn none() -> Self {
        Self {
            timezone: TimeZone::UTC,
            since: Date::MIN,
            until: None,
            topics: None,
            hosts: None,
            meeting_host_field: None,
            kinds: None,
            min_duration: Duration::ZERO,
        }
    }

    /// Returns whether the meeting is shown. [`shows_file`](Self::shows_file) selects its files.
    pub fn shows(&self, meeting: &Meeting) -> bool {
        let day = self.timezone.to_datetime(meeting.start).date();
        let duration = meeting.end.duration_since(meeting.start);
        let min_duration =
            SignedDuration::try_from(self.min_duration).unwrap_or(SignedDuration::MAX);
        day >= self.since
            && self.until.is_none_or(|until| day <= until)
            && duration >= min_duration
            && self.topics.as_ref().is_none_or(|topics| any_matches(topics, &meeting.topic))
            && self.hosts.as_ref().is_none_or(|hosts| {
                self.host(meeting).is_some_and(|host| any_matches(hosts, &host))
            })
            && (self.kinds.is_none() || meeting.files.iter().any(|file| self.shows_file(file)))
    }

    fn host(&self, meeting: &Meeting) -> Option<String> {
        meeting.metadata.text(self.meeting_host_field?)
    }

    /// Returns whether the file of a visible meeting is shown.
    pub fn shows_file(&self, file: &RecordingFile) -> bool {
        self.kinds.as_ref().is_none_or(|kinds| kinds.contains(&RecordingKind::of(file)))
    }

    pub fn shows_transcripts(&self) -> bool {
        self.kinds.as_ref().is_none_or(|kinds| kinds.contains(&RecordingKind::Transcript))
    }

    /// Returns whether some files of visible meetings are hidden.
    pub fn selects_files(&self) -> bool {
        self.kinds.is_some()
    }
}

/// Returns whether a pattern matches the whole text, in upper or lower case.
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

    /// A meeting of half an hour that starts in the last half hour of March 1, UTC.
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
    fn patterns_match_whole_texts_ignoring_case() {
        let topics = patterns(&["weekly*", "q?", "été/?"]);
        for matched in ["Weekly: sales / all", "q4", "ÉTÉ/é", "Qé"] {
            assert!(any_matches(&topics, matched), "{matched}");
        }
        for other in ["Biweekly", "Q10", "été"] {
            assert!(!any_matches(&topics, other), "{other}");
        }
    }

    #[test]
    fn empty_filter_shows_everything() {
        assert!(Filter::none().shows(&meeting()));
        assert!(meeting().files.iter().all(|file| Filter::none().shows_file(file)));
    }

    #[test]
    fn days_are_local() {
        let paris = TimeZone::fixed(jiff::tz::offset(1));
        let from = |day: &str, timezone: &TimeZone| {
            let since = day.parse().unwrap();
            Filter { since, timezone: timezone.clone(), ..Filter::none() }.shows(&meeting())
        };
        assert!(from("2026-03-01", &TimeZone::UTC) && !from("2026-03-02", &TimeZone::UTC));
        assert!(from("2026-03-02", &paris) && !from("2026-03-03", &paris));
        let to = |day: &str| {
            Filter { until: Some(day.parse().unwrap()), timezone: paris.clone(), ..Filter::none() }
                .shows(&meeting())
        };
        assert!(to("2026-03-02") && !to("2026-03-01"));
    }

    #[test]
    fn all_conditions_must_hold() {
        let filter = |topics, hosts, minutes: u64| Filter {
            topics,
            hosts,
            meeting_host_field: Some("host_email"),
            min_duration: Duration::from_secs(minutes * 60),
            ..Filter::none()
        };
        assert!(filter(glob("week*"), glob("*@example.org"), 30).shows(&meeting()));
        assert!(!filter(glob("daily"), glob("*@example.org"), 30).shows(&meeting()));
        assert!(!filter(glob("week*"), glob("ben@*"), 30).shows(&meeting()));
        assert!(!filter(glob("week*"), glob("*@example.org"), 31).shows(&meeting()));
        let mut without_host = meeting();
        without_host.metadata = MeetingMetadata::default();
        assert!(!filter(None, glob("*"), 0).shows(&without_host));
    }

    #[test]
    fn kinds_select_files_and_their_meetings() {
        let filter = |kinds| Filter { kinds: Some(kinds), ..Filter::none() };
        let transcripts = filter(vec![RecordingKind::Transcript]);
        let shown: Vec<_> =
            meeting().files.into_iter().filter(|file| transcripts.shows_file(file)).collect();
        assert_eq!(shown.iter().map(|file| file.stem.as_str()).collect::<Vec<_>>(), ["cc"]);
        assert!(
            transcripts.shows(&meeting()) && filter(vec![RecordingKind::Chat]).shows(&meeting())
        );
        assert!(!filter(vec![RecordingKind::Audio]).shows(&meeting()));
    }
}

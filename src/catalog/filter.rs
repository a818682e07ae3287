//! Which of the listed recordings are shown.

use std::time::Duration;

use glob::Pattern;
use jiff::SignedDuration;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::model::{Meeting, RecordingFile, Role};

/// Chooses among what was listed. What it leaves out stays in the catalog: a filter that is changed shows it at the
/// next start without another listing.
#[derive(Clone, Debug)]
pub struct Filter {
    /// In which days are counted.
    pub timezone: TimeZone,
    /// First day.
    pub since: Date,
    /// Last day; `None` has no end.
    pub until: Option<Date>,
    /// Topics, in lower case, of which one must match; `None` is all.
    pub topics: Option<Vec<Pattern>>,
    /// Addresses of hosts, in lower case, of which one must match; `None` is all, meetings without one included.
    pub hosts: Option<Vec<Pattern>>,
    /// The metadata field with the e-mail address of the host.
    pub host_field: Option<&'static str>,
    /// Kinds of files; `None` is all.
    pub kinds: Option<Vec<RecordingKind>>,
    /// The shortest meeting.
    pub min_duration: Duration,
}

/// A kind of recording file, as people choose among them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordingKind {
    /// Pictures, with or without sound.
    Video,
    /// Sound alone.
    Audio,
    /// The spoken words, captions included.
    Transcript,
    /// What was written in the chat.
    Chat,
    /// Everything else.
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
    /// A filter that shows everything.
    pub fn none() -> Self {
        Self {
            timezone: TimeZone::UTC,
            since: Date::MIN,
            until: None,
            topics: None,
            hosts: None,
            host_field: None,
            kinds: None,
            min_duration: Duration::ZERO,
        }
    }

    /// Whether the meeting is shown; which of its files are is for [`shows_file`](Self::shows_file) to say.
    pub fn shows(&self, meeting: &Meeting) -> bool {
        let day = self.timezone.to_datetime(meeting.start).date();
        let lasted = meeting.end.duration_since(meeting.start);
        let least = SignedDuration::try_from(self.min_duration).unwrap_or(SignedDuration::MAX);
        day >= self.since
            && self.until.is_none_or(|until| day <= until)
            && lasted >= least
            && self.topics.as_ref().is_none_or(|topics| one_matches(topics, &meeting.topic))
            && self.hosts.as_ref().is_none_or(|hosts| {
                self.host(meeting).is_some_and(|host| one_matches(hosts, &host))
            })
            && (self.kinds.is_none() || meeting.files.iter().any(|file| self.shows_file(file)))
    }

    fn host(&self, meeting: &Meeting) -> Option<String> {
        meeting.metadata.text(self.host_field?)
    }

    /// Whether a file of a meeting that is shown is.
    pub fn shows_file(&self, file: &RecordingFile) -> bool {
        self.kinds.as_ref().is_none_or(|kinds| kinds.contains(&RecordingKind::of(file)))
    }

    /// Whether a transcript of a meeting that is shown is.
    pub fn shows_transcripts(&self) -> bool {
        self.kinds.as_ref().is_none_or(|kinds| kinds.contains(&RecordingKind::Transcript))
    }

    /// Whether it looks at files at all.
    pub fn looks_at_files(&self) -> bool {
        self.kinds.is_some()
    }
}

/// Whether a pattern matches all of a text, whatever its case.
fn one_matches(patterns: &[Pattern], text: &str) -> bool {
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

    /// A meeting of half an hour, from half past eleven in the evening of the first of March, UTC.
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
    fn patterns_match_whole_texts_in_any_case() {
        let topics = patterns(&["weekly*", "q?", "été/?"]);
        for matched in ["Weekly: sales / all", "q4", "ÉTÉ/é", "Qé"] {
            assert!(one_matches(&topics, matched), "{matched}");
        }
        for other in ["Biweekly", "Q10", "été"] {
            assert!(!one_matches(&topics, other), "{other}");
        }
    }

    #[test]
    fn without_a_word_everything_is_shown() {
        assert!(Filter::none().shows(&meeting()));
        assert!(meeting().files.iter().all(|file| Filter::none().shows_file(file)));
    }

    #[test]
    fn days_are_counted_where_the_user_is() {
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
    fn topics_hosts_and_length_must_all_fit() {
        let filter = |topics, hosts, minutes: u64| Filter {
            topics,
            hosts,
            host_field: Some("host_email"),
            min_duration: Duration::from_secs(minutes * 60),
            ..Filter::none()
        };
        assert!(filter(glob("week*"), glob("*@example.org"), 30).shows(&meeting()));
        assert!(!filter(glob("daily"), glob("*@example.org"), 30).shows(&meeting()));
        assert!(!filter(glob("week*"), glob("ben@*"), 30).shows(&meeting()));
        assert!(!filter(glob("week*"), glob("*@example.org"), 31).shows(&meeting()));
        let mut nobodys = meeting();
        nobodys.metadata = MeetingMetadata::default();
        assert!(!filter(None, glob("*"), 0).shows(&nobodys));
    }

    #[test]
    fn kinds_choose_files_and_meetings_that_have_them() {
        let filter = |kinds| Filter { kinds: Some(kinds), ..Filter::none() };
        let spoken = filter(vec![RecordingKind::Transcript]);
        let shown: Vec<_> =
            meeting().files.into_iter().filter(|file| spoken.shows_file(file)).collect();
        assert_eq!(shown.iter().map(|file| file.stem.as_str()).collect::<Vec<_>>(), ["cc"]);
        assert!(spoken.shows(&meeting()) && filter(vec![RecordingKind::Chat]).shows(&meeting()));
        assert!(!filter(vec![RecordingKind::Audio]).shows(&meeting()));
    }
}

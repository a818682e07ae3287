//! The archive of a Webex site: recordings and the files of their details.

use jiff::{SignedDuration, Timestamp};

use super::archive::{Archive, Content, ListedSize, moment, today};
use super::pattern::pattern_seed;

#[derive(Clone, Debug, Default)]
pub struct WebexArchive {
    /// In any order. Those of [`Archive::OWNER`] belong to the owner of the token.
    pub recordings: Vec<WebexRecording>,
    /// Whether URLs of next pages contain `max=null`, which the API then rejects (webexpythonsdk,
    /// `restsession.py`).
    pub null_pages: bool,
    /// The parameters that URLs of next pages lack (webexpythonsdk, issue 168).
    pub lacking_in_next_pages: Vec<String>,
    /// Whether the owner of the token is a compliance officer, who may list transcripts of the
    /// site.
    pub is_compliance_officer: bool,
}

#[derive(Clone, Debug)]
pub struct WebexRecording {
    pub id: String,
    /// Shared by recordings that were stopped and restarted.
    pub meeting_id: String,
    /// Any text.
    pub topic: String,
    pub host_email: String,
    pub time_recorded: Timestamp,
    pub create_time: Timestamp,
    pub duration_seconds: u32,
    /// `MP4`, `ARF`, `UPLOADED` or a future format.
    pub format: String,
    /// `available`, `deleted` or `purged`.
    pub status: String,
    /// "Prevent downloading": neither a download page nor URLs.
    pub prevent_downloading: bool,
    /// Whether numbers are written as strings.
    pub numbers_as_strings: bool,
    pub listed_size: ListedSize,
    pub video: Content,
    /// Has a URL if present.
    pub audio: Option<Content>,
    /// Has a URL if present.
    pub transcript: Option<Content>,
    /// A transcript that only `/meetingTranscripts` lists.
    pub stored_transcript: Option<Content>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WebexFile {
    Video,
    Audio,
    /// The transcript with a URL.
    Transcript,
    /// The transcript of `/meetingTranscripts`.
    StoredTranscript,
}

#[derive(Clone, Debug)]
pub struct WebexObject {
    /// Id of its recording.
    pub recording: String,
    pub topic: String,
    pub file: WebexFile,
    pub content: Content,
}

impl WebexArchive {
    /// Without recordings.
    pub fn empty() -> Self {
        Self { null_pages: true, ..Self::default() }
    }

    /// `count` recordings over the last `days` days, each with audio and a transcript of at most
    /// 50,000 bytes.
    pub fn many(recordings: usize, days: u32) -> Self {
        let today = today();
        let mut archive = Self::empty();
        archive.recordings = (0..recordings)
            .map(|index| {
                let back = index as u64 * u64::from(days.max(1)) / recordings.max(1) as u64;
                let minute = index % (9 * 60);
                let start =
                    moment(today, 1 + back as i64, 8 + (minute / 60) as i8, (minute % 60) as i8);
                WebexRecording::new(&format!("{index:032x}"), &format!("Recording {index}"), start)
            })
            .collect();
        archive
    }
}

impl WebexRecording {
    /// A complete half-hour MP4 of the owner, with audio and a transcript. All bytes derive from
    /// the id.
    pub fn new(id: &str, topic: &str, time_recorded: Timestamp) -> Self {
        let pattern = |file: &str, length| Content::Pattern {
            seed: pattern_seed(&format!("{id}#{file}")),
            length,
        };
        let spoken = format!(
            "WEBVTT\n\n1\n00:00:01.000 --> 00:00:04.000\nNothing was decided in {topic}.\n"
        );
        Self {
            id: id.into(),
            meeting_id: format!("{id}_I_{}", pattern_seed(id)),
            topic: topic.into(),
            host_email: Archive::OWNER.into(),
            time_recorded,
            create_time: time_recorded + SignedDuration::from_mins(36),
            duration_seconds: 1800,
            format: "MP4".into(),
            status: "available".into(),
            prevent_downloading: false,
            numbers_as_strings: false,
            listed_size: ListedSize::True,
            video: pattern("video", 50_000),
            audio: Some(pattern("audio", 9_000)),
            transcript: Some(Content::Stored(spoken.into())),
            stored_transcript: None,
        }
    }

    pub fn with_video(mut self, length: u64) -> Self {
        self.video = Content::Pattern { seed: pattern_seed(&format!("{}#video", self.id)), length };
        self
    }

    /// Removes the transcript from the details, so only `/meetingTranscripts` lists it.
    pub fn with_stored_transcript(mut self) -> Self {
        self.stored_transcript = self.transcript.take();
        self
    }

    pub fn video_only(mut self) -> Self {
        (self.audio, self.transcript, self.stored_transcript) = (None, None, None);
        self
    }

    pub fn of_format(mut self, format: &str) -> Self {
        self.format = format.into();
        self
    }

    pub(super) fn is_available(&self) -> bool {
        self.status == "available"
    }

    /// Returns whether its files are served. Files of trashed recordings are served only if
    /// configured.
    pub(super) fn is_served(&self, trash_downloads: bool) -> bool {
        self.is_available() || (trash_downloads && self.status == "deleted")
    }

    pub(super) fn stored_transcript_id(&self) -> String {
        format!("{}_00000", self.id)
    }

    pub(super) fn objects(&self) -> Vec<WebexObject> {
        let linked = self.is_available() && !self.prevent_downloading;
        let files = [
            (WebexFile::Video, Some(&self.video).filter(|_| linked)),
            (WebexFile::Audio, self.audio.as_ref().filter(|_| linked)),
            (WebexFile::Transcript, self.transcript.as_ref().filter(|_| linked)),
            (
                WebexFile::StoredTranscript,
                self.stored_transcript.as_ref().filter(|_| self.is_available()),
            ),
        ];
        let object = |(file, content): (WebexFile, Option<&Content>)| {
            content.map(|content| WebexObject {
                recording: self.id.clone(),
                topic: self.topic.clone(),
                file,
                content: content.clone(),
            })
        };
        files.into_iter().filter_map(object).collect()
    }
}

impl WebexObject {
    /// Returns the SHA-256 in lower-case hexadecimal. A pattern is computed from end to end.
    pub fn sha256(&self) -> String {
        self.content.sha256()
    }
}

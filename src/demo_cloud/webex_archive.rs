//! The archive of a Webex site: its recordings and their files.

use jiff::{SignedDuration, Timestamp};

use super::archive::{Archive, Content, ListedSize, today, utc_time};
use super::pattern::pattern_seed;

#[derive(Clone, Debug, Default)]
pub struct WebexArchive {
    /// The recordings, in any order. Those with the host [`Archive::OWNER_EMAIL`] belong to the
    /// owner of the token.
    pub recordings: Vec<WebexRecording>,
    /// Whether the URLs of next pages contain `max=null`. The API rejects such URLs
    /// (webexpythonsdk, `restsession.py`).
    pub has_null_page_size: bool,
    /// Parameters that the URLs of next pages omit (webexpythonsdk, issue 168).
    pub missing_in_next_pages: Vec<String>,
    /// Whether the owner of the token is a compliance officer, who can list the transcripts of the
    /// whole site.
    pub is_compliance_officer: bool,
}

#[derive(Clone, Debug)]
pub struct WebexRecording {
    pub id: String,
    /// Meeting id. If a recording is stopped and restarted, both recordings have the same meeting
    /// id.
    pub meeting_id: String,
    pub topic: String,
    pub host_email: String,
    pub time_recorded: Timestamp,
    pub create_time: Timestamp,
    pub duration_seconds: u32,
    /// Format: `MP4`, `ARF`, `UPLOADED` or a format that meetfs does not support.
    pub format: String,
    /// Status: `available`, `deleted` or `purged`.
    pub status: String,
    /// Whether downloads are prevented. Replies then contain neither a download page nor download
    /// URLs.
    pub prevents_downloads: bool,
    /// Whether replies write numbers as strings.
    pub numbers_as_strings: bool,
    pub listed_size: ListedSize,
    pub video: Content,
    /// Audio file. If present, the details contain its URL.
    pub audio: Option<Content>,
    /// Transcript. If present, the details contain its URL.
    pub transcript: Option<Content>,
    /// Transcript that only `/meetingTranscripts` lists.
    pub stored_transcript: Option<Content>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WebexFile {
    Video,
    Audio,
    /// The transcript whose URL is in the details.
    Transcript,
    /// The transcript that only `/meetingTranscripts` lists.
    StoredTranscript,
}

#[derive(Clone, Debug)]
pub struct WebexObject {
    /// Id of the recording.
    pub recording_id: String,
    pub topic: String,
    pub file: WebexFile,
    pub content: Content,
}

impl WebexArchive {
    /// Creates an archive without recordings.
    pub fn empty() -> Self {
        Self { has_null_page_size: true, ..Self::default() }
    }

    /// Creates an archive with `recordings` recordings in the last `days` days, each with audio and
    /// a transcript. No file is larger than 50,000 bytes.
    pub fn with_recordings(recordings: usize, days: u32) -> Self {
        let today = today();
        let mut archive = Self::empty();
        archive.recordings = (0..recordings)
            .map(|index| {
                let days_before = index as u64 * u64::from(days.max(1)) / recordings.max(1) as u64;
                let minute = index % (9 * 60);
                let start = utc_time(
                    today,
                    1 + days_before as i64,
                    8 + (minute / 60) as i8,
                    (minute % 60) as i8,
                );
                WebexRecording::new(&format!("{index:032x}"), &format!("Recording {index}"), start)
            })
            .collect();
        archive
    }
}

impl WebexRecording {
    /// Creates a complete half-hour MP4 recording of the owner, with audio and a transcript. All
    /// bytes derive from the id and the topic.
    pub fn new(id: &str, topic: &str, time_recorded: Timestamp) -> Self {
        let pattern = |file: &str, length| Content::Pattern {
            seed: pattern_seed(&format!("{id}#{file}")),
            length,
        };
        let transcript = format!(
            "WEBVTT\n\n1\n00:00:01.000 --> 00:00:04.000\nNothing was decided in {topic}.\n"
        );
        Self {
            id: id.into(),
            meeting_id: format!("{id}_I_{}", pattern_seed(id)),
            topic: topic.into(),
            host_email: Archive::OWNER_EMAIL.into(),
            time_recorded,
            create_time: time_recorded + SignedDuration::from_mins(36),
            duration_seconds: 1800,
            format: "MP4".into(),
            status: "available".into(),
            prevents_downloads: false,
            numbers_as_strings: false,
            listed_size: ListedSize::True,
            video: pattern("video", 50_000),
            audio: Some(pattern("audio", 9_000)),
            transcript: Some(Content::Stored(transcript.into())),
            stored_transcript: None,
        }
    }

    pub fn with_video(mut self, length: u64) -> Self {
        self.video = Content::Pattern { seed: pattern_seed(&format!("{}#video", self.id)), length };
        self
    }

    /// Moves the transcript out of the details, so only `/meetingTranscripts` lists it.
    pub fn with_stored_transcript(mut self) -> Self {
        self.stored_transcript = self.transcript.take();
        self
    }

    /// Removes audio and transcripts.
    pub fn with_video_only(mut self) -> Self {
        (self.audio, self.transcript, self.stored_transcript) = (None, None, None);
        self
    }

    pub fn with_format(mut self, format: &str) -> Self {
        self.format = format.into();
        self
    }

    pub(super) fn is_available(&self) -> bool {
        self.status == "available"
    }

    /// Returns whether the files are served. Files of trashed recordings are served only if
    /// `is_trash_served` is set.
    pub(super) fn is_served(&self, is_trash_served: bool) -> bool {
        self.is_available() || (is_trash_served && self.status == "deleted")
    }

    pub(super) fn stored_transcript_id(&self) -> String {
        format!("{}_00000", self.id)
    }

    pub(super) fn objects(&self) -> Vec<WebexObject> {
        let is_downloadable = self.is_available() && !self.prevents_downloads;
        let files = [
            (WebexFile::Video, Some(&self.video).filter(|_| is_downloadable)),
            (WebexFile::Audio, self.audio.as_ref().filter(|_| is_downloadable)),
            (WebexFile::Transcript, self.transcript.as_ref().filter(|_| is_downloadable)),
            (
                WebexFile::StoredTranscript,
                self.stored_transcript.as_ref().filter(|_| self.is_available()),
            ),
        ];
        let object = |(file, content): (WebexFile, Option<&Content>)| {
            content.map(|content| WebexObject {
                recording_id: self.id.clone(),
                topic: self.topic.clone(),
                file,
                content: content.clone(),
            })
        };
        files.into_iter().filter_map(object).collect()
    }
}

impl WebexObject {
    /// Returns the SHA-256 digest in lower-case hexadecimal. For a pattern, this computes all
    /// bytes.
    pub fn sha256(&self) -> String {
        self.content.sha256()
    }
}

//! What the cloud holds for Webex: recordings, each with what its detail leads to.

use jiff::{SignedDuration, Timestamp};

use super::archive::{Archive, Content, ListedSize, moment, today};
use super::pattern::pattern_seed;

/// Everything that a Webex site has.
#[derive(Clone, Debug, Default)]
pub struct WebexArchive {
    /// The recordings, in no particular order. Those of [`Archive::OWNER`] are the token owner's own.
    pub recordings: Vec<WebexRecording>,
    /// Whether next pages are named with `max=null` in their address, and refused like that (webexpythonsdk,
    /// `restsession.py`).
    pub null_pages: bool,
    /// Whether the token's owner is a compliance officer, who may list transcripts of the whole site.
    pub is_compliance_officer: bool,
}

/// One recording.
#[derive(Clone, Debug)]
pub struct WebexRecording {
    /// Its id.
    pub id: String,
    /// The held meeting; recordings that were stopped and restarted share it.
    pub meeting_id: String,
    /// The topic; anything at all.
    pub topic: String,
    /// E-mail address of the host.
    pub host_email: String,
    /// When recording began.
    pub time_recorded: Timestamp,
    /// When the file was made.
    pub create_time: Timestamp,
    /// Seconds it took.
    pub duration_seconds: u32,
    /// `MP4`, `ARF`, `UPLOADED`, or whatever is still to come.
    pub format: String,
    /// `available`, `deleted` or `purged`.
    pub status: String,
    /// "Prevent downloading": neither a page for downloads nor a link.
    pub prevent_downloading: bool,
    /// Whether numbers are written as strings.
    pub numbers_as_strings: bool,
    /// What the listing says of the video's length.
    pub listed_size: ListedSize,
    /// The video's bytes.
    pub video: Content,
    /// The sound's, which has a link if it is there.
    pub audio: Option<Content>,
    /// The transcript's, which has a link if it is there.
    pub transcript: Option<Content>,
    /// A transcript that only `/meetingTranscripts` has.
    pub stored_transcript: Option<Content>,
}

/// What an object is to its recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WebexFile {
    /// The video.
    Video,
    /// The sound.
    Audio,
    /// The transcript that has a link.
    Transcript,
    /// The transcript of `/meetingTranscripts`.
    StoredTranscript,
}

/// Something that can be downloaded.
#[derive(Clone, Debug)]
pub struct WebexObject {
    /// Id of its recording.
    pub recording: String,
    /// The recording's topic.
    pub topic: String,
    /// What it is.
    pub file: WebexFile,
    /// Its bytes.
    pub content: Content,
}

impl WebexArchive {
    /// Nothing, paged as Webex has been seen to page.
    pub fn empty() -> Self {
        Self { null_pages: true, ..Self::default() }
    }

    /// That many recordings spread over the `days` days before today, each with sound and a transcript, the longest
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
    /// A finished MP4 of half an hour, the owner's, with sound and a transcript. All bytes derive from the id.
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

    /// The same recording with a video of that many bytes.
    pub fn with_video(mut self, length: u64) -> Self {
        self.video = Content::Pattern { seed: pattern_seed(&format!("{}#video", self.id)), length };
        self
    }

    /// The same recording with its transcript where only `/meetingTranscripts` has it.
    pub fn with_stored_transcript(mut self) -> Self {
        self.stored_transcript = self.transcript.take();
        self
    }

    /// The same recording without sound and transcript.
    pub fn alone(mut self) -> Self {
        (self.audio, self.transcript, self.stored_transcript) = (None, None, None);
        self
    }

    /// The same recording in another format.
    pub fn of_format(mut self, format: &str) -> Self {
        self.format = format.into();
        self
    }

    pub(super) fn is_available(&self) -> bool {
        self.status == "available"
    }

    /// Whether its files are given out: not while it lies in the recycle bin, unless that is so here.
    pub(super) fn is_served(&self, trash_downloads: bool) -> bool {
        self.is_available() || (trash_downloads && self.status == "deleted")
    }

    /// The id of the transcript that `/meetingTranscripts` has of it.
    pub(super) fn stored_transcript_id(&self) -> String {
        format!("{}_00000", self.id)
    }

    /// What can be downloaded of it.
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
    /// The SHA-256 of its bytes in lower-case hexadecimal. A pattern is made once for it from end to end.
    pub fn sha256(&self) -> String {
        self.content.sha256()
    }
}

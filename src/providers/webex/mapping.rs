//! Maps Webex's recordings to the model.

use jiff::{SignedDuration, Timestamp};

use super::{metadata, wire};
use crate::model::{
    Availability, BodyKind, FileId, FileKey, Meeting, MeetingId, RecordingFile, Role, SecretUrl,
    SourceName,
};
use crate::providers::toolkit::version_facts::VersionFacts;

/// The reason why a listed video has no download URL. The details contain one if the token belongs
/// to a compliance officer.
pub(crate) const DOWNLOAD_PREVENTED: &str = "Webex returns no download URL for this recording, probably because \"Prevent downloading\" is set. The meeting host can allow downloads in Webex. The token of a compliance officer can download the recording anyway.";

/// The kind of a file, as encoded in its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum File<'a> {
    Video,
    Audio,
    /// The transcript with a download URL.
    Transcript,
    /// A transcript that the API serves under this id.
    ApiTranscript(&'a str),
}

impl<'a> File<'a> {
    const API_TRANSCRIPT_PREFIX: &'static str = "transcript/";

    /// Parses a key. Returns `None` for a key that [`File::key`] does not create.
    pub(crate) fn from_key(key: &'a FileKey) -> Option<Self> {
        match key.as_str() {
            "recording" => Some(Self::Video),
            "audio" => Some(Self::Audio),
            "transcript" => Some(Self::Transcript),
            other => other.strip_prefix(Self::API_TRANSCRIPT_PREFIX).map(Self::ApiTranscript),
        }
    }

    fn key(self) -> FileKey {
        match self {
            Self::Video => "recording".into(),
            Self::Audio => "audio".into(),
            Self::Transcript => "transcript".into(),
            Self::ApiTranscript(id) => {
                FileKey::from(format!("{}{id}", Self::API_TRANSCRIPT_PREFIX).as_str())
            }
        }
    }
}

/// The state of a removed recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Removal {
    /// The recording is in the recycle bin, where it stays for 30 days.
    Trashed,
    Purged,
}

/// Returns the state of a removed recording, or `None` if the recording is available. An unknown
/// status counts as available: if the files cannot be downloaded, reads return the error.
pub(crate) fn removal(recording: &wire::Recording) -> Option<Removal> {
    match recording.status.as_deref().map(str::to_ascii_lowercase).as_deref() {
        Some("deleted") => Some(Removal::Trashed),
        Some("purged") => Some(Removal::Purged),
        _ => None,
    }
}

/// Maps a listed recording to a meeting. Its only file is the video, because a listing contains no
/// other file.
pub(crate) fn map_recording(source: &SourceName, recording: &wire::Recording) -> Meeting {
    let id = MeetingId::from(recording.id());
    let times = RecordingTimes::from_recording(recording);
    let availability = match recording.download_url {
        Some(_) => Availability::Ready,
        None => Availability::Unavailable(DOWNLOAD_PREVENTED.into()),
    };
    let builder = FileBuilder { source, meeting: &id, recording, times };
    Meeting {
        source: source.clone(),
        topic: recording.topic.clone().unwrap_or_default(),
        start: times.start,
        end: times.end,
        expires: None,
        files: vec![builder.build_video(availability)],
        metadata: metadata::recording_metadata(recording).into(),
        id,
    }
}

/// Returns the files that only the details contain: files with a download URL, and transcripts that
/// the API serves. The video is included only if its download URL is missing in the listing.
pub(crate) fn files_of_details(
    source: &SourceName,
    meeting: &MeetingId,
    recording: &wire::Recording,
    transcripts: &[wire::Transcript],
) -> Vec<RecordingFile> {
    let builder = FileBuilder {
        source,
        meeting,
        recording,
        times: RecordingTimes::from_recording(recording),
    };
    let urls = &recording.direct_urls;
    let mut files = Vec::new();
    if recording.download_url.is_none() && urls.recording.is_some() {
        files.push(builder.build_video(Availability::Ready));
    }
    if let Some(url) = &urls.audio {
        files.push(builder.build_file(
            File::Audio,
            Role::Audio,
            "audio_only",
            extension_of(url, "mp3"),
        ));
    }
    if let Some(url) = &urls.transcript {
        files.push(builder.build_file(
            File::Transcript,
            Role::Transcript,
            "transcript",
            extension_of(url, "txt"),
        ));
    }
    for transcript in transcripts {
        let file = File::ApiTranscript(transcript.id());
        files.push(builder.build_file(file, Role::Transcript, "transcript", "vtt".into()));
    }
    files
}

/// Returns the key of the video, from which the other files of a recording are derived.
pub(crate) fn video_key() -> FileKey {
    File::Video.key()
}

/// Maps a transcript that Webex created after the details of its recording were requested. The
/// result is the same as if the details had contained the transcript.
pub(crate) fn late_transcript(
    meeting: &Meeting,
    transcript: &wire::Transcript,
) -> Option<RecordingFile> {
    let video =
        meeting.files.iter().find(|file| File::from_key(&file.id.key) == Some(File::Video))?;
    let extension = "vtt";
    Some(RecordingFile {
        id: FileId { key: File::ApiTranscript(transcript.id()).key(), ..video.id.clone() },
        role: Role::Transcript,
        stem: "transcript".into(),
        extension: extension.into(),
        body: body_kind(extension),
        declared_size: None,
        availability: Availability::Ready,
        ..video.clone()
    })
}

/// Builds the files of one recording from their common properties.
struct FileBuilder<'a> {
    source: &'a SourceName,
    meeting: &'a MeetingId,
    recording: &'a wire::Recording,
    times: RecordingTimes,
}

impl FileBuilder<'_> {
    fn build_video(&self, availability: Availability) -> RecordingFile {
        let extension = video_extension(self.recording.format.as_deref().unwrap_or_default());
        let file = self.build_file(File::Video, Role::View, "recording", extension);
        RecordingFile { declared_size: self.recording.declared_size(), availability, ..file }
    }

    fn build_file(
        &self,
        file: File<'_>,
        role: Role,
        stem: &str,
        extension: String,
    ) -> RecordingFile {
        RecordingFile {
            id: FileId {
                source: self.source.clone(),
                meeting: self.meeting.clone(),
                key: file.key(),
            },
            version: version_facts(self.recording).version(),
            role,
            stem: stem.into(),
            body: body_kind(&extension),
            extension: extension.into(),
            declared_size: None,
            recording_start: self.times.known_start,
            recording_end: Some(self.times.end),
            availability: Availability::Ready,
        }
    }
}

#[derive(Clone, Copy)]
struct RecordingTimes {
    known_start: Option<Timestamp>,
    start: Timestamp,
    end: Timestamp,
}

impl RecordingTimes {
    fn from_recording(recording: &wire::Recording) -> Self {
        let known_start = recording.time_recorded.or(recording.create_time);
        let start = known_start.unwrap_or(Timestamp::UNIX_EPOCH);
        let seconds =
            SignedDuration::from_secs(recording.duration_seconds.unwrap_or_default().max(0));
        Self { known_start, start, end: start.checked_add(seconds).unwrap_or(start) }
    }
}

/// Returns the facts that distinguish the versions of a recording. All files of a recording have
/// the same version.
pub(crate) fn version_facts(recording: &wire::Recording) -> VersionFacts {
    VersionFacts {
        size: recording.declared_size(),
        time: recording.create_time.map(|time| time.to_string()),
        kind: recording.format.as_deref().unwrap_or_default().to_ascii_uppercase(),
    }
}

/// Returns the extension of a video, which is its format in lower case. Only the formats MP4 and
/// ARF are documented.
fn video_extension(format: &str) -> String {
    let extension: String = format
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect();
    if extension.is_empty() { "bin".into() } else { extension }
}

/// Returns the extension of the last path segment of a URL, such as
/// `/nbr/MultiThreadDownloadServlet/audio.mp3`. Returns `default` if there is none.
fn extension_of(url: &SecretUrl, default: &str) -> String {
    /// Maximum length of an extension, such as `vtt`, `json` or `m4a`.
    const MAX_LENGTH: usize = 4;
    let name = url.expose().path_segments().and_then(Iterator::last).unwrap_or_default();
    let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    extension
        .filter(|extension| (1..=MAX_LENGTH).contains(&extension.len()))
        .filter(|extension| {
            extension.bytes().all(|byte| byte.is_ascii_alphanumeric()) && extension != "do"
        })
        .unwrap_or_else(|| default.to_owned())
}

fn body_kind(extension: &str) -> BodyKind {
    match extension {
        "mp4" | "m4a" => BodyKind::IsoMedia,
        "vtt" => BodyKind::WebVtt,
        "json" => BodyKind::Json,
        _ => BodyKind::Opaque,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use xxhash_rust::xxh3::xxh3_64;

    use super::*;
    use crate::model::Version;

    fn source() -> SourceName {
        SourceName::new("cisco").unwrap()
    }

    fn recording(entry: Value) -> wire::Recording {
        wire::Recording::parse(entry).unwrap()
    }

    fn map_entry(entry: Value) -> Meeting {
        map_recording(&source(), &recording(entry))
    }

    fn file_names(files: &[RecordingFile]) -> Vec<String> {
        files.iter().map(|file| format!("{}.{}", file.stem, file.extension)).collect()
    }

    /// Returns the example entry in Webex's documentation.
    fn example_entry() -> Value {
        json!({"id": "4f91", "meetingId": "f91b_I_1666", "topic": "Weekly: sales", "createTime": "2026-07-13T17:11:35Z",
            "timeRecorded": "2026-07-13T17:05:35Z", "downloadUrl": "https://example.webex.com/example/lsr.php?RCID=1",
            "format": "MP4", "durationSeconds": 1841, "sizeBytes": 16810345, "status": "available"})
    }

    fn with_field(mut entry: Value, name: &str, value: Value) -> Value {
        entry[name] = value;
        entry
    }

    #[test]
    fn listed_recording_becomes_a_meeting_with_video() {
        let meeting = map_entry(example_entry());
        assert_eq!((meeting.id.as_str(), meeting.topic.as_str()), ("4f91", "Weekly: sales"));
        assert_eq!(meeting.start.to_string(), "2026-07-13T17:05:35Z");
        assert_eq!(meeting.end.to_string(), "2026-07-13T17:36:16Z");
        let [video] = meeting.files.as_slice() else { panic!("{:?}", meeting.files) };
        assert_eq!(
            (video.declared_size, video.role, video.body),
            (Some(16_810_345), Role::View, BodyKind::IsoMedia)
        );
        assert_eq!(video.recording_end, Some(meeting.end));
        assert_eq!(video.availability, Availability::Ready);
    }

    #[test]
    fn video_is_named_by_its_format() {
        for (format, name, body) in [
            (json!("MP4"), "recording.mp4", BodyKind::IsoMedia),
            (json!("ARF"), "recording.arf", BodyKind::Opaque),
            (json!("UPLOADED"), "recording.uploaded", BodyKind::Opaque),
            (json!("../x y"), "recording.xy", BodyKind::Opaque),
            (json!(null), "recording.bin", BodyKind::Opaque),
            (json!("é/"), "recording.bin", BodyKind::Opaque),
        ] {
            let files = map_entry(with_field(example_entry(), "format", format.clone())).files;
            assert_eq!(
                (file_names(&files), files[0].body),
                (vec![name.to_owned()], body),
                "{format}"
            );
        }
    }

    #[test]
    fn details_override_a_prevented_download() {
        let prevented_entry = with_field(example_entry(), "downloadUrl", json!(null));
        let Availability::Unavailable(reason) =
            &map_entry(prevented_entry.clone()).files[0].availability
        else {
            panic!()
        };
        assert!(reason.contains("Prevent downloading"), "{reason}");
        let details =
            |entry: Value| files_of_details(&source(), &"4f91".into(), &recording(entry), &[]);
        assert!(details(prevented_entry.clone()).is_empty());
        let urls = json!({"recordingDownloadLink": "https://nsj1wss.webex.com/nbr/downloadMedia.do?ticket=t"});
        let files = details(with_field(
            prevented_entry.clone(),
            "temporaryDirectDownloadLinks",
            urls.clone(),
        ));
        assert_eq!((files.len(), &files[0].availability), (1, &Availability::Ready));
        assert_eq!(files[0].id, map_entry(prevented_entry).files[0].id);
        assert!(
            details(with_field(example_entry(), "temporaryDirectDownloadLinks", urls)).is_empty(),
            "the listing contains the video"
        );
    }

    #[test]
    fn details_add_audio_and_transcripts() {
        let url = |path: &str| json!(format!("https://nsj1wss.webex.com/nbr/{path}?ticket=a.b"));
        for (audio, transcript, expected) in [
            (
                "MultiThreadDownloadServlet/audio.mp3",
                "MultiThreadDownloadServlet/transcript.txt",
                ["audio_only.mp3", "transcript.txt"],
            ),
            ("downloadMedia.do", "downloadMedia.do", ["audio_only.mp3", "transcript.txt"]),
            ("audio.M4A", "transcript.vtt", ["audio_only.m4a", "transcript.vtt"]),
            ("a.toolong", "a.%2e%2e", ["audio_only.mp3", "transcript.txt"]),
        ] {
            let urls =
                json!({"audioDownloadLink": url(audio), "transcriptDownloadLink": url(transcript)});
            let recording =
                recording(with_field(example_entry(), "temporaryDirectDownloadLinks", urls));
            let files = files_of_details(&source(), &"4f91".into(), &recording, &[]);
            assert_eq!(file_names(&files), expected);
            assert!(files.iter().all(|file| file.declared_size.is_none()));
        }
        let Value::Object(reply) = json!({"items": [{"id": "t1", "status": "available"},
            {"id": "t2", "status": "Deleted"}, {"id": ".."}, {}, 3]})
        else {
            panic!()
        };
        let transcripts = wire::parse_transcripts(reply).unwrap();
        let files =
            files_of_details(&source(), &"4f91".into(), &recording(example_entry()), &transcripts);
        assert_eq!(file_names(&files), ["transcript.vtt"]);
        assert_eq!(File::from_key(&files[0].id.key), Some(File::ApiTranscript("t1")));
        assert_eq!(
            late_transcript(&map_entry(example_entry()), &transcripts[0]).as_ref(),
            files.first()
        );
    }

    #[test]
    fn key_determines_its_file() {
        for file in [File::Video, File::Audio, File::Transcript, File::ApiTranscript("a/b")] {
            assert_eq!(File::from_key(&file.key()), Some(file));
        }
        assert_eq!(File::from_key(&"other".into()), None);
    }

    #[test]
    fn version_depends_on_size_creation_and_format() {
        let version = |entry: Value| map_entry(entry).files[0].version;
        let original_version = version(example_entry());
        assert_eq!(original_version, version(with_field(example_entry(), "topic", json!("other"))));
        assert_eq!(
            original_version,
            version(with_field(
                example_entry(),
                "downloadUrl",
                json!("https://example.webex.com/other")
            ))
        );
        for (name, value) in [
            ("sizeBytes", json!(5)),
            ("createTime", json!("2026-07-14T00:00:00Z")),
            ("format", json!("ARF")),
        ] {
            assert_ne!(
                original_version,
                version(with_field(example_entry(), name, value)),
                "{name}"
            );
        }
        // A different value would invalidate every cached file.
        assert_eq!(original_version, Version(xxh3_64(b"16810345|2026-07-13T17:11:35Z|MP4")));
    }

    #[test]
    fn meeting_never_ends_before_it_begins() {
        let meeting = map_entry(with_field(example_entry(), "timeRecorded", json!(null)));
        assert_eq!(meeting.start.to_string(), "2026-07-13T17:11:35Z");
        for (start, seconds) in [
            (json!("9999-12-30T22:00:00Z"), json!(i64::MAX)),
            (json!("2026-07-13T17:05:35Z"), json!(-5)),
            (json!({}), json!("x")),
        ] {
            let meeting =
                map_entry(json!({"id": "x", "timeRecorded": start, "durationSeconds": seconds}));
            assert!(meeting.start <= meeting.end, "{start} {seconds}");
        }
    }

    #[test]
    fn unknown_status_is_not_a_removal() {
        for (status, expected) in [
            (json!("available"), None),
            (json!("DELETED"), Some(Removal::Trashed)),
            (json!("purged"), Some(Removal::Purged)),
            (json!("hibernating"), None),
            (json!(null), None),
        ] {
            assert_eq!(
                removal(&recording(with_field(example_entry(), "status", status.clone()))),
                expected,
                "{status}"
            );
        }
    }
}

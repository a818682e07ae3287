//! Maps Webex's recordings to the model.

use jiff::{SignedDuration, Timestamp};

use super::{metadata, wire};
use crate::model::{
    Availability, BodyKind, FileId, FileKey, Meeting, MeetingId, RecordingFile, Role, SecretUrl,
    SourceName,
};
use crate::providers::toolkit::version_facts::VersionFacts;

/// Why a listed video has no download URL. The details may have one: a compliance officer gets it.
pub(crate) const PREVENTED: &str = "Webex returns no download URL for this recording, probably because \"Prevent downloading\" is set. Its host can allow downloads in Webex. The token of a compliance officer works without that.";

/// A file of a recording, as its key names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum File<'a> {
    Video,
    Audio,
    /// The transcript with a download URL.
    Transcript,
    /// The transcript with this id at the API.
    Stored(&'a str),
}

impl<'a> File<'a> {
    const STORED_PREFIX: &'static str = "transcript/";

    /// Returns `None` for a key that this module does not create.
    pub(crate) fn of(key: &'a FileKey) -> Option<Self> {
        match key.as_str() {
            "recording" => Some(Self::Video),
            "audio" => Some(Self::Audio),
            "transcript" => Some(Self::Transcript),
            other => other.strip_prefix(Self::STORED_PREFIX).map(Self::Stored),
        }
    }

    fn key(self) -> FileKey {
        match self {
            Self::Video => "recording".into(),
            Self::Audio => "audio".into(),
            Self::Transcript => "transcript".into(),
            Self::Stored(id) => FileKey::from(format!("{}{id}", Self::STORED_PREFIX).as_str()),
        }
    }
}

/// How a recording was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Removal {
    /// It is in the recycle bin for 30 days.
    Trashed,
    Purged,
}

/// Returns how the recording was removed, if it was. An unknown status counts as available: if its
/// files are not, a read returns the error.
pub(crate) fn removal(recording: &wire::Recording) -> Option<Removal> {
    match recording.status.as_deref().map(str::to_ascii_lowercase).as_deref() {
        Some("deleted") => Some(Removal::Trashed),
        Some("purged") => Some(Removal::Purged),
        _ => None,
    }
}

/// Returns the recording as a meeting with its video, the only file that a listing shows.
pub(crate) fn meeting(source: &SourceName, recording: &wire::Recording) -> Meeting {
    let id = MeetingId::from(recording.id());
    let times = Times::of(recording);
    let availability = match recording.download_url {
        Some(_) => Availability::Ready,
        None => Availability::Unavailable(PREVENTED.into()),
    };
    let builder = FileBuilder { source, meeting: &id, recording, times };
    Meeting {
        source: source.clone(),
        topic: recording.topic.clone().unwrap_or_default(),
        start: times.start,
        end: times.end,
        expires: None,
        files: vec![builder.video(availability)],
        metadata: metadata::of_recording(recording).into(),
        id,
    }
}

/// Returns the files that a listing does not show: those with a download URL, and the transcripts
/// at the API. The video is one of them only if the listing shows it without a download URL.
pub(crate) fn files_of_details(
    source: &SourceName,
    meeting: &MeetingId,
    recording: &wire::Recording,
    transcripts: &[wire::Transcript],
) -> Vec<RecordingFile> {
    let builder = FileBuilder { source, meeting, recording, times: Times::of(recording) };
    let links = &recording.links;
    let mut files = Vec::new();
    if recording.download_url.is_none() && links.recording.is_some() {
        files.push(builder.video(Availability::Ready));
    }
    if let Some(link) = &links.audio {
        files.push(builder.file(File::Audio, Role::Audio, "audio_only", extension_of(link, "mp3")));
    }
    if let Some(link) = &links.transcript {
        files.push(builder.file(
            File::Transcript,
            Role::Transcript,
            "transcript",
            extension_of(link, "txt"),
        ));
    }
    for transcript in transcripts {
        let file = File::Stored(transcript.id());
        files.push(builder.file(file, Role::Transcript, "transcript", "vtt".into()));
    }
    files
}

/// Returns the file that the other files of a recording are derived from.
pub(crate) fn video() -> FileKey {
    File::Video.key()
}

/// Returns a transcript that was made after the details of its recording were requested, equal to
/// what the details would have had.
pub(crate) fn late_transcript(
    listed: &Meeting,
    transcript: &wire::Transcript,
) -> Option<RecordingFile> {
    let video = listed.files.iter().find(|file| File::of(&file.id.key) == Some(File::Video))?;
    let extension = "vtt";
    Some(RecordingFile {
        id: FileId { key: File::Stored(transcript.id()).key(), ..video.id.clone() },
        role: Role::Transcript,
        stem: "transcript".into(),
        extension: extension.into(),
        body: body_kind(extension),
        declared_size: None,
        availability: Availability::Ready,
        ..video.clone()
    })
}

/// The common part of the files of one recording.
struct FileBuilder<'a> {
    source: &'a SourceName,
    meeting: &'a MeetingId,
    recording: &'a wire::Recording,
    times: Times,
}

impl FileBuilder<'_> {
    fn video(&self, availability: Availability) -> RecordingFile {
        let extension = video_extension(self.recording.format.as_deref().unwrap_or_default());
        let file = self.file(File::Video, Role::View, "recording", extension);
        RecordingFile { declared_size: self.recording.declared_size(), availability, ..file }
    }

    fn file(&self, file: File<'_>, role: Role, stem: &str, extension: String) -> RecordingFile {
        RecordingFile {
            id: FileId {
                source: self.source.clone(),
                meeting: self.meeting.clone(),
                key: file.key(),
            },
            version: facts(self.recording).version(),
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
struct Times {
    known_start: Option<Timestamp>,
    start: Timestamp,
    end: Timestamp,
}

impl Times {
    fn of(recording: &wire::Recording) -> Self {
        let known_start = recording.time_recorded.or(recording.create_time);
        let start = known_start.unwrap_or(Timestamp::UNIX_EPOCH);
        let seconds =
            SignedDuration::from_secs(recording.duration_seconds.unwrap_or_default().max(0));
        Self { known_start, start, end: start.checked_add(seconds).unwrap_or(start) }
    }
}

/// Returns what a reply says of the contents of a recording. All its files have one version.
pub(crate) fn facts(recording: &wire::Recording) -> VersionFacts {
    VersionFacts {
        size: recording.declared_size(),
        time: recording.create_time.map(|time| time.to_string()),
        kind: recording.format.as_deref().unwrap_or_default().to_ascii_uppercase(),
    }
}

/// MP4 and ARF are documented. Files of any other format are named after it.
fn video_extension(format: &str) -> String {
    let plain: String = format
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect();
    if plain.is_empty() { "bin".into() } else { plain }
}

/// Returns the extension of the last part of the path, as in
/// `/nbr/MultiThreadDownloadServlet/audio.mp3`, or `default` if it has none.
fn extension_of(link: &SecretUrl, default: &str) -> String {
    /// `vtt`, `json`, `m4a`: anything longer, or with other characters, is not an extension.
    const MAX_LENGTH: usize = 4;
    let name = link.expose().path_segments().and_then(Iterator::last).unwrap_or_default();
    let found = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    found
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
        wire::Recording::read(entry).unwrap()
    }

    fn listed(entry: Value) -> Meeting {
        meeting(&source(), &recording(entry))
    }

    fn names(files: &[RecordingFile]) -> Vec<String> {
        files.iter().map(|file| format!("{}.{}", file.stem, file.extension)).collect()
    }

    /// Returns the entry of Webex's documentation.
    fn entry() -> Value {
        json!({"id": "4f91", "meetingId": "f91b_I_1666", "topic": "Weekly: sales", "createTime": "2026-07-13T17:11:35Z",
            "timeRecorded": "2026-07-13T17:05:35Z", "downloadUrl": "https://example.webex.com/example/lsr.php?RCID=1",
            "format": "MP4", "durationSeconds": 1841, "sizeBytes": 16810345, "status": "available"})
    }

    fn with(mut entry: Value, name: &str, value: Value) -> Value {
        entry[name] = value;
        entry
    }

    #[test]
    fn listed_recording_is_a_meeting_with_its_video() {
        let meeting = listed(entry());
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
            let files = listed(with(entry(), "format", format.clone())).files;
            assert_eq!((names(&files), files[0].body), (vec![name.to_owned()], body), "{format}");
        }
    }

    #[test]
    fn details_override_a_prevented_download() {
        let prevented = with(entry(), "downloadUrl", json!(null));
        let Availability::Unavailable(why) = &listed(prevented.clone()).files[0].availability
        else {
            panic!()
        };
        assert!(why.contains("Prevent downloading"), "{why}");
        let details =
            |entry: Value| files_of_details(&source(), &"4f91".into(), &recording(entry), &[]);
        assert!(details(prevented.clone()).is_empty());
        let links = json!({"recordingDownloadLink": "https://nsj1wss.webex.com/nbr/downloadMedia.do?ticket=t"});
        let files = details(with(prevented.clone(), "temporaryDirectDownloadLinks", links.clone()));
        assert_eq!((files.len(), &files[0].availability), (1, &Availability::Ready));
        assert_eq!(files[0].id, listed(prevented).files[0].id);
        assert!(
            details(with(entry(), "temporaryDirectDownloadLinks", links)).is_empty(),
            "the listing has it"
        );
    }

    #[test]
    fn details_add_linked_files_and_stored_transcripts() {
        let at = |path: &str| json!(format!("https://nsj1wss.webex.com/nbr/{path}?ticket=a.b"));
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
            let links =
                json!({"audioDownloadLink": at(audio), "transcriptDownloadLink": at(transcript)});
            let recording = recording(with(entry(), "temporaryDirectDownloadLinks", links));
            let files = files_of_details(&source(), &"4f91".into(), &recording, &[]);
            assert_eq!(names(&files), expected);
            assert!(files.iter().all(|file| file.declared_size.is_none()));
        }
        let Value::Object(reply) = json!({"items": [{"id": "t1", "status": "available"},
            {"id": "t2", "status": "Deleted"}, {"id": ".."}, {}, 3]})
        else {
            panic!()
        };
        let stored = wire::transcripts(reply).unwrap();
        let files = files_of_details(&source(), &"4f91".into(), &recording(entry()), &stored);
        assert_eq!(names(&files), ["transcript.vtt"]);
        assert_eq!(File::of(&files[0].id.key), Some(File::Stored("t1")));
        assert_eq!(late_transcript(&listed(entry()), &stored[0]).as_ref(), files.first());
    }

    #[test]
    fn key_identifies_its_file() {
        for file in [File::Video, File::Audio, File::Transcript, File::Stored("a/b")] {
            assert_eq!(File::of(&file.key()), Some(file));
        }
        assert_eq!(File::of(&"other".into()), None);
    }

    #[test]
    fn version_depends_on_size_creation_and_format() {
        let version = |entry: Value| listed(entry).files[0].version;
        let known = version(entry());
        assert_eq!(known, version(with(entry(), "topic", json!("other"))));
        assert_eq!(
            known,
            version(with(entry(), "downloadUrl", json!("https://example.webex.com/other")))
        );
        for (name, value) in [
            ("sizeBytes", json!(5)),
            ("createTime", json!("2026-07-14T00:00:00Z")),
            ("format", json!("ARF")),
        ] {
            assert_ne!(known, version(with(entry(), name, value)), "{name}");
        }
        // Another value invalidates every cached file.
        assert_eq!(known, Version(xxh3_64(b"16810345|2026-07-13T17:11:35Z|MP4")));
    }

    #[test]
    fn meeting_never_ends_before_it_begins() {
        let meeting = listed(with(entry(), "timeRecorded", json!(null)));
        assert_eq!(meeting.start.to_string(), "2026-07-13T17:11:35Z");
        for (start, seconds) in [
            (json!("9999-12-30T22:00:00Z"), json!(i64::MAX)),
            (json!("2026-07-13T17:05:35Z"), json!(-5)),
            (json!({}), json!("x")),
        ] {
            let meeting =
                listed(json!({"id": "x", "timeRecorded": start, "durationSeconds": seconds}));
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
                removal(&recording(with(entry(), "status", status.clone()))),
                expected,
                "{status}"
            );
        }
    }
}

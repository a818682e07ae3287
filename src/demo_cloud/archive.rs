//! The archive that the demo server serves: hosts, meetings, files and their content.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use jiff::civil::Date;
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp, ToSpan};
use sha2::{Digest, Sha256};

use super::pattern::{pattern_bytes, pattern_seed};

/// Content of a file in `assets/` (see its README). With a name, an MP4 or M4A that contains it.
macro_rules! asset {
    ($file:literal) => {
        $crate::demo_cloud::Content::Stored(bytes::Bytes::from_static(include_bytes!(concat!(
            "../../assets/",
            $file
        ))))
    };
    ($file:literal, $name:expr) => {
        $crate::demo_cloud::archive::named(include_bytes!(concat!("../../assets/", $file)), $name)
    };
}
pub(super) use asset;

/// The archive of one account. The first host owns the app and is `me`.
#[derive(Clone, Debug, Default)]
pub struct Archive {
    /// The users of the account. A host that a meeting names and that is not listed here owns
    /// recordings without being a user.
    pub hosts: Vec<Host>,
    /// In any order.
    pub meetings: Vec<Meeting>,
}

#[derive(Clone, Debug)]
pub struct Host {
    pub id: String,
    /// Listings accept it in place of the id.
    pub email: String,
    /// First and last name. Deactivated users may have none.
    pub name: Option<(String, String)>,
    pub status: &'static str,
}

#[derive(Clone, Debug)]
pub struct Meeting {
    /// UUID of the instance.
    pub uuid: String,
    /// Shared by the instances of a recurring meeting.
    pub number: u64,
    pub host_email: String,
    /// Any text.
    pub topic: String,
    pub start: Timestamp,
    /// Listed duration in minutes; 0 for less than one.
    pub minutes: u32,
    pub files: Vec<MeetingFile>,
    /// Audio of single participants, listed only with the meeting itself. The view of each is its
    /// `file_name`.
    pub participant_audio: Vec<MeetingFile>,
    /// How the listing writes an empty list of files.
    pub without_files: EmptyFileList,
    /// Whether `id`, `type`, `recording_count` and sizes are written as strings.
    pub numbers_as_strings: bool,
    /// Whether `past_meetings` answers that the meeting is more than a year old.
    pub details_too_old: bool,
    /// Day of deletion by the account's retention rule.
    pub auto_delete: Option<Date>,
    /// When it was moved to the trash before the server started; `None` if it is not in the trash.
    pub deleted: Option<Timestamp>,
    pub participants: Vec<Participant>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Participant {
    /// Any text.
    pub name: String,
    /// Empty for a guest without an account.
    pub email: String,
}

/// How an entry without files is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmptyFileList {
    /// `"recording_files": []`
    Empty,
    /// `"recording_files": null`
    Null,
    /// Without the key.
    Absent,
}

#[derive(Clone, Debug)]
pub struct MeetingFile {
    /// The id of the file. Captions and timelines have none.
    pub id: Option<String>,
    /// `MP4`, `TRANSCRIPT` and so on, as listed after processing.
    pub file_type: String,
    /// The listed extension, if any.
    pub file_extension: Option<String>,
    /// The listed view, if any.
    pub recording_type: Option<String>,
    pub recording_start: Timestamp,
    pub recording_end: Timestamp,
    /// Number of the version. The download URL of an earlier one leads to the earlier content.
    pub revision: u32,
    pub status: FileStatus,
    pub listed_size: ListedSize,
    pub place: FileLocation,
    pub content: Content,
}

/// The `status` of a listed file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileStatus {
    Completed,
    /// Type, extension, size and end are not known yet.
    Processing,
    /// An empty string.
    Empty,
    /// Without the key.
    Absent,
}

/// The `file_size` of a listed file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListedSize {
    True,
    /// The listed size differs from the true size by this many bytes.
    Wrong(i64),
    /// Without the key.
    Absent,
}

/// How a file can be downloaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileLocation {
    Link,
    /// A download URL that already has a query.
    LinkWithQuery,
    /// A path on the customer's own storage, without a URL.
    OnPremise(String),
}

#[derive(Clone)]
pub enum Content {
    /// In memory.
    Stored(Bytes),
    /// Computed when requested, see [`pattern_bytes`].
    Pattern { seed: u64, length: u64 },
    /// On another server: the download URL redirects there, and this server never sees the bytes.
    Elsewhere {
        /// Scheme, host and port.
        origin: String,
        path: String,
        length: u64,
    },
}

impl fmt::Debug for Content {
    /// Prints length and validator: a failed assertion must not print a video.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Content({} bytes, {})", self.length(), self.etag())
    }
}

impl Content {
    pub fn length(&self) -> u64 {
        match self {
            Self::Stored(bytes) => bytes.len() as u64,
            Self::Pattern { length, .. } | Self::Elsewhere { length, .. } => *length,
        }
    }

    /// Returns the bytes of `span`, without those past the end; empty for content on another
    /// server.
    pub fn slice(&self, span: Range<u64>) -> Bytes {
        let end = span.end.min(self.length());
        let start = span.start.min(end);
        match self {
            // Both ends are within the bytes, so they fit a usize.
            Self::Stored(bytes) => bytes.slice(start as usize..end as usize),
            Self::Pattern { seed, .. } => {
                let mut out = vec![0; (end - start) as usize];
                pattern_bytes(*seed, start, &mut out);
                out.into()
            }
            Self::Elsewhere { .. } => Bytes::new(),
        }
    }

    /// Returns the SHA-256 in lower-case hexadecimal. A pattern is computed from end to end.
    pub fn sha256(&self) -> String {
        const STEP: u64 = 256 * 1024;
        let mut digest = Sha256::new();
        let mut position = 0;
        while position < self.length() {
            let part = self.slice(position..position.saturating_add(STEP));
            if part.is_empty() {
                break;
            }
            digest.update(&part);
            position += part.len() as u64;
        }
        hexadecimal(&digest.finalize())
    }

    /// Returns the strong validator of HTTP: different content has different tags.
    pub(super) fn etag(&self) -> String {
        match self {
            Self::Stored(bytes) => {
                format!("\"{:016x}-{:x}\"", xxhash_rust::xxh3::xxh3_64(bytes), bytes.len())
            }
            Self::Pattern { seed, length } => format!("\"p{seed:016x}-{length:x}\""),
            Self::Elsewhere { path, length, .. } => {
                format!("\"e{:016x}-{length:x}\"", xxhash_rust::xxh3::xxh3_64(path.as_bytes()))
            }
        }
    }
}

pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Archive {
    /// Host of the generated archives.
    pub const OWNER: &'static str = "owner@example.org";

    /// One host, without meetings.
    pub fn empty() -> Self {
        Self {
            hosts: vec![Host::active("hostOwner", Self::OWNER, "Demo", "Owner")],
            meetings: Vec::new(),
        }
    }

    /// `meetings` meetings over the last `days` days, each with a transcript and a chat.
    pub fn many(meetings: usize, days: u32) -> Self {
        let today = today();
        let mut archive = Self::empty();
        archive.meetings = (0..meetings)
            .map(|index| {
                let back = index as u64 * u64::from(days.max(1)) / meetings.max(1) as u64;
                let minute = index % (9 * 60);
                let start =
                    moment(today, 1 + back as i64, 8 + (minute / 60) as i8, (minute % 60) as i8);
                let uuid = format!("{}==", base64_like(index as u64));
                Meeting::new(&uuid, &format!("Meeting {index}"), start)
                    .with(MeetingFile::new("TRANSCRIPT", text("WEBVTT\n\n", index, 40)))
                    .with(MeetingFile::new("CHAT", text("", index, 5)))
            })
            .collect();
        archive
    }

    /// One meeting per name, from 09:00 UTC yesterday, with that topic and one MP4 of `length`
    /// bytes: [`pattern_bytes`] with the seed [`pattern_seed`] of the name.
    pub fn pattern(files: &[(&str, u64)]) -> Self {
        let today = today();
        let mut archive = Self::empty();
        archive.meetings = files
            .iter()
            .enumerate()
            .map(|(index, &(name, length))| {
                let start = moment(today, 1, 9, 0) + SignedDuration::from_mins(index as i64);
                let content = Content::Pattern { seed: pattern_seed(name), length };
                Meeting::new(&format!("{}==", base64_like(index as u64)), name, start)
                    .with(MeetingFile::new("MP4", content))
            })
            .collect();
        archive
    }
}

impl Host {
    pub fn active(id: &str, email: &str, first_name: &str, last_name: &str) -> Self {
        Self {
            id: id.into(),
            email: email.into(),
            name: Some((first_name.into(), last_name.into())),
            status: "active",
        }
    }
}

impl Meeting {
    /// A 40-minute meeting of the owner, without files. Its number derives from the UUID.
    pub fn new(uuid: &str, topic: &str, start: Timestamp) -> Self {
        Self {
            uuid: uuid.into(),
            number: 80_000_000_000 + pattern_seed(uuid) % 9_999_999_999,
            host_email: Archive::OWNER.into(),
            topic: topic.into(),
            start,
            minutes: 40,
            files: Vec::new(),
            participant_audio: Vec::new(),
            without_files: EmptyFileList::Empty,
            numbers_as_strings: false,
            details_too_old: false,
            auto_delete: None,
            deleted: None,
            participants: vec![
                Participant { name: "Demo Owner".into(), email: Archive::OWNER.into() },
                Participant { name: "A guest".into(), email: String::new() },
            ],
        }
    }

    /// Adds a file. Times that are not set become the meeting's, and a file of a kind that has an
    /// id gets one.
    pub fn with(mut self, mut file: MeetingFile) -> Self {
        if file.recording_start == Timestamp::UNIX_EPOCH {
            file.recording_start = self.start + SignedDuration::from_secs(11);
            file.recording_end =
                file.recording_start + SignedDuration::from_mins(i64::from(self.minutes.max(1)));
        }
        if file.id.is_none() && !matches!(file.file_type.as_str(), "CC" | "TIMELINE") {
            file.id = Some(format!(
                "{:016x}",
                pattern_seed(&format!("{}#{}", self.uuid, self.files.len()))
            ));
        }
        self.files.push(file);
        self
    }
}

impl MeetingFile {
    /// A complete file as it is usually listed, without id and times.
    pub fn new(file_type: &str, content: Content) -> Self {
        let (extension, recording_type) = usual(file_type);
        let terse = matches!(file_type, "CC" | "TIMELINE");
        Self {
            id: None,
            file_type: file_type.into(),
            file_extension: extension.map(Into::into),
            recording_type: if terse { None } else { recording_type.map(Into::into) },
            recording_start: Timestamp::UNIX_EPOCH,
            recording_end: Timestamp::UNIX_EPOCH,
            revision: 0,
            status: if terse { FileStatus::Absent } else { FileStatus::Completed },
            listed_size: if terse { ListedSize::Absent } else { ListedSize::True },
            place: if file_type == "CC" { FileLocation::LinkWithQuery } else { FileLocation::Link },
            content,
        }
    }

    pub fn view(mut self, recording_type: &str) -> Self {
        self.recording_type = Some(recording_type.into());
        self
    }

    pub fn with_status_processing(mut self) -> Self {
        self.status = FileStatus::Processing;
        self
    }

    pub fn listed(mut self, size: ListedSize) -> Self {
        self.listed_size = size;
        self
    }

    pub fn at(mut self, place: FileLocation) -> Self {
        self.place = place;
        self
    }

    pub fn between(mut self, start: Timestamp, end: Timestamp) -> Self {
        self.recording_start = start;
        self.recording_end = end;
        self
    }

    /// The extension that fits the content, even if the listing states another one.
    pub(super) fn true_extension(&self) -> &str {
        usual(&self.file_type).0.unwrap_or("BIN")
    }

    /// The `Content-Type` of the media host.
    pub(super) fn content_type(&self) -> &'static str {
        match self.true_extension() {
            "MP4" => "video/mp4",
            "M4A" => "audio/mp4",
            "VTT" => "text/vtt",
            "TXT" => "text/plain",
            "CSV" => "text/csv",
            "JSON" => "application/json",
            "JPG" => "image/jpeg",
            _ => "application/octet-stream",
        }
    }
}

/// Returns the extension and `recording_type` that go with a `file_type`.
fn usual(file_type: &str) -> (Option<&'static str>, Option<&'static str>) {
    match file_type {
        "MP4" => (Some("MP4"), Some("shared_screen_with_speaker_view")),
        "M4A" => (Some("M4A"), Some("audio_only")),
        "CHAT" => (Some("TXT"), Some("chat_file")),
        "TRANSCRIPT" => (Some("VTT"), Some("audio_transcript")),
        "CC" => (Some("VTT"), Some("closed_caption")),
        "CSV" => (Some("CSV"), Some("poll")),
        "TB" => (Some("JPG"), Some("thumbnail")),
        "TIMELINE" => (Some("JSON"), Some("timeline")),
        "SUMMARY" => (Some("JSON"), Some("summary")),
        "CHAT_MESSAGE" => (Some("JSON"), Some("chat_message")),
        _ => (None, None),
    }
}

/// An MP4 or M4A of `assets/` that contains a name, so no two recordings have the same bytes. The
/// name is in a trailing `free` box, which players skip (ISO/IEC 14496-12, 8.1.2).
pub(super) fn named(media: &'static [u8], name: &str) -> Content {
    let length = u32::try_from(8 + name.len()).unwrap_or(u32::MAX);
    Content::Stored([media, &length.to_be_bytes(), b"free", name.as_bytes()].concat().into())
}

pub(super) fn today() -> Date {
    Offset::UTC.to_datetime(Timestamp::now()).date()
}

/// Returns a time of day in UTC, `days_before` days before `day`.
pub(super) fn moment(day: Date, days_before: i64, hour: i8, minute: i8) -> Timestamp {
    // Fails only near the ends of the calendar.
    day.checked_sub(days_before.days())
        .ok()
        .map(|day| day.at(hour, minute, 0, 0))
        .and_then(|time| Offset::UTC.to_timestamp(time).ok())
        .unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Returns text that looks like a UUID in base64, different for each number.
fn base64_like(index: u64) -> String {
    use base64::Engine;
    let mixed = index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    base64::engine::general_purpose::STANDARD_NO_PAD.encode(mixed.to_be_bytes())
}

fn text(head: &str, index: usize, lines: usize) -> Content {
    let mut out = String::from(head);
    for line in 0..lines {
        out.push_str(&format!("Meeting {index}, line {line}: nothing was decided.\n"));
    }
    Content::Stored(out.into())
}

//! The Zoom archive that the demo server serves: users, meetings, files and their content.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use jiff::civil::Date;
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp, ToSpan};
use sha2::{Digest, Sha256};
use xxhash_rust::xxh3::Xxh3;

use super::pattern::{pattern_bytes, pattern_seed};

/// Embeds a file of `assets/` (see the README there) as `Content`. A second argument is appended to
/// the media file, so each name has different content.
macro_rules! asset {
    ($file:literal) => {
        $crate::demo_cloud::Content::Stored(bytes::Bytes::from_static(include_bytes!(concat!(
            "../../assets/",
            $file
        ))))
    };
    ($file:literal, $name:expr) => {
        $crate::demo_cloud::archive::with_appended_name(
            include_bytes!(concat!("../../assets/", $file)),
            $name,
        )
    };
}
pub(super) use asset;

/// The users and meetings of one Zoom account. The first user owns the app: the API calls this user
/// `me`.
#[derive(Clone, Debug, Default)]
pub struct Archive {
    /// The users of the account. The host of a meeting need not be one of them.
    pub users: Vec<User>,
    /// The meetings, in any order.
    pub meetings: Vec<Meeting>,
}

#[derive(Clone, Debug)]
pub struct User {
    pub id: String,
    /// E-mail address. Requests accept it in place of the id.
    pub email: String,
    /// First and last name. Deactivated users may have none.
    pub name: Option<(String, String)>,
    pub status: &'static str,
}

#[derive(Clone, Debug)]
pub struct Meeting {
    /// UUID of the held instance. Every instance of a recurring meeting has its own UUID.
    pub uuid: String,
    /// Meeting number. All instances of a recurring meeting have the same number.
    pub number: u64,
    pub host_email: String,
    pub topic: String,
    pub start: Timestamp,
    /// Duration as listed, in whole minutes. 0 means less than one minute.
    pub duration_minutes: u32,
    pub files: Vec<MeetingFile>,
    /// Separate audio files of the participants. Only the reply about a single meeting lists these
    /// files, and it states their `recording_type` as `file_name`.
    pub participant_audio: Vec<MeetingFile>,
    /// How a reply writes the list of files if `files` is empty.
    pub empty_file_list: EmptyFileList,
    /// Whether replies write `id`, `type`, `recording_count` and sizes as strings.
    pub numbers_as_strings: bool,
    /// Whether `past_meetings` rejects requests for this meeting, because the meeting took place
    /// more than a year ago.
    pub is_too_old_for_details: bool,
    /// Date on which the retention rule of the account deletes the recording.
    pub auto_delete_date: Option<Date>,
    /// Time at which the meeting was moved to the trash, before the server started. `None` if the
    /// meeting is not in the trash.
    pub deletion_time: Option<Timestamp>,
    pub participants: Vec<Participant>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Participant {
    pub name: String,
    /// E-mail address; empty for a guest without an account.
    pub email: String,
}

/// How a reply writes an empty list of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmptyFileList {
    /// The reply contains `"recording_files": []`.
    Empty,
    /// The reply contains `"recording_files": null`.
    Null,
    /// The reply has no key `recording_files`.
    Absent,
}

#[derive(Clone, Debug)]
pub struct MeetingFile {
    /// File id. Captions and timelines have none.
    pub id: Option<String>,
    /// File type as listed after processing, for example `MP4` or `TRANSCRIPT`.
    pub file_type: String,
    /// Extension as listed; `None` if the listing omits it.
    pub file_extension: Option<String>,
    /// View as listed, for example `gallery_view`; `None` if the listing omits it.
    pub recording_type: Option<String>,
    pub recording_start: Timestamp,
    pub recording_end: Timestamp,
    /// Version number of the content. The download URL of an earlier version still serves the
    /// earlier content.
    pub revision: u32,
    pub status: FileStatus,
    pub listed_size: ListedSize,
    pub location: FileLocation,
    pub content: Content,
}

/// The `status` of a listed file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileStatus {
    Completed,
    /// The file is being processed. The listing does not state its type, extension, size and end
    /// yet.
    Processing,
    /// The listed status is an empty string.
    Empty,
    /// The listing has no `status`.
    Absent,
}

/// The `file_size` of a listed file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListedSize {
    True,
    /// The listed size differs from the true size by this many bytes.
    Wrong(i64),
    /// The listing has no `file_size`.
    Absent,
}

/// Where a file is stored, and how the listing refers to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileLocation {
    DownloadUrl,
    /// The listing has a download URL that already contains a query.
    DownloadUrlWithQuery,
    /// The file is on the customer's own storage. The listing has this path instead of a URL.
    OnPremise(String),
}

#[derive(Clone)]
pub enum Content {
    /// Bytes in memory.
    Stored(Bytes),
    /// Bytes that are computed on request, see [`pattern_bytes`].
    Pattern { seed: u64, length: u64 },
    /// Bytes in memory at some offsets of a file. All its other bytes are 0.
    Sparse { parts: Arc<[(u64, Bytes)]>, length: u64 },
    /// A file on another server. The download URL redirects there, so this server never reads the
    /// bytes.
    External {
        /// Scheme, host and port of the other server.
        origin: String,
        path: String,
        length: u64,
    },
}

impl fmt::Debug for Content {
    /// Prints only the length and the entity tag, so a failed assertion does not print a video.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Content({} bytes, {})", self.length(), self.etag())
    }
}

impl Content {
    pub fn length(&self) -> u64 {
        match self {
            Self::Stored(bytes) => bytes.len() as u64,
            Self::Pattern { length, .. }
            | Self::Sparse { length, .. }
            | Self::External { length, .. } => *length,
        }
    }

    /// Returns the bytes of `span` up to the end of the content. Returns no bytes for content on
    /// another server.
    pub fn slice(&self, span: Range<u64>) -> Bytes {
        let end = span.end.min(self.length());
        let start = span.start.min(end);
        match self {
            // Both ends are at most the length of the bytes, so they fit into a `usize`.
            Self::Stored(bytes) => bytes.slice(start as usize..end as usize),
            Self::Pattern { seed, .. } => {
                let mut bytes = vec![0; (end - start) as usize];
                pattern_bytes(*seed, start, &mut bytes);
                bytes.into()
            }
            Self::Sparse { parts, .. } => {
                let mut bytes = vec![0; (end - start) as usize];
                for (offset, part) in parts.iter() {
                    let (from, to) = (start.max(*offset), end.min(offset + part.len() as u64));
                    if from < to
                        && let Some(target) =
                            bytes.get_mut((from - start) as usize..(to - start) as usize)
                    {
                        let part_span = (from - offset) as usize..(to - offset) as usize;
                        target.copy_from_slice(&part.slice(part_span));
                    }
                }
                bytes.into()
            }
            Self::External { .. } => Bytes::new(),
        }
    }

    /// Returns the SHA-256 digest in lower-case hexadecimal. For a pattern, this computes all
    /// bytes.
    pub fn sha256(&self) -> String {
        const CHUNK_SIZE: u64 = 256 * 1024;
        let mut digest = Sha256::new();
        let mut position = 0;
        while position < self.length() {
            let chunk = self.slice(position..position.saturating_add(CHUNK_SIZE));
            if chunk.is_empty() {
                break;
            }
            digest.update(&chunk);
            position += chunk.len() as u64;
        }
        to_hexadecimal(&digest.finalize())
    }

    /// Returns a strong entity tag (HTTP `ETag`). Different content has different tags.
    pub(super) fn etag(&self) -> String {
        match self {
            Self::Stored(bytes) => {
                format!("\"{:016x}-{:x}\"", xxhash_rust::xxh3::xxh3_64(bytes), bytes.len())
            }
            Self::Pattern { seed, length } => format!("\"p{seed:016x}-{length:x}\""),
            Self::Sparse { parts, length } => {
                let mut hasher = Xxh3::new();
                for (offset, part) in parts.iter() {
                    hasher.update(&offset.to_be_bytes());
                    hasher.update(part);
                }
                format!("\"s{:016x}-{length:x}\"", hasher.digest())
            }
            Self::External { path, length, .. } => {
                format!("\"e{:016x}-{length:x}\"", xxhash_rust::xxh3::xxh3_64(path.as_bytes()))
            }
        }
    }
}

pub(super) fn to_hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Archive {
    /// E-mail address of the owner, the host of all generated meetings.
    pub const OWNER_EMAIL: &'static str = "owner@example.org";

    /// Creates an archive with one user and no meetings.
    pub fn empty() -> Self {
        Self {
            users: vec![User::new_active("hostOwner", Self::OWNER_EMAIL, "Demo", "Owner")],
            meetings: Vec::new(),
        }
    }

    /// Creates an archive with `meetings` meetings in the last `days` days, each with a transcript
    /// and a chat.
    pub fn with_meetings(meetings: usize, days: u32) -> Self {
        let today = today();
        let mut archive = Self::empty();
        archive.meetings = (0..meetings)
            .map(|index| {
                let days_before = index as u64 * u64::from(days.max(1)) / meetings.max(1) as u64;
                let minute = index % (9 * 60);
                let start = utc_time(
                    today,
                    1 + days_before as i64,
                    8 + (minute / 60) as i8,
                    (minute % 60) as i8,
                );
                let uuid = format!("{}==", uuid_like(index as u64));
                Meeting::new(&uuid, &format!("Meeting {index}"), start)
                    .with_file(MeetingFile::new(
                        "TRANSCRIPT",
                        text_content("WEBVTT\n\n", index, 40),
                    ))
                    .with_file(MeetingFile::new("CHAT", text_content("", index, 5)))
            })
            .collect();
        archive
    }

    /// Creates an archive with one meeting for each name and length in `files`. The meetings are
    /// yesterday from 09:00 UTC on, and their topics are the names. Each meeting has one MP4 of the
    /// given length with the bytes of [`pattern_bytes`] for the seed [`pattern_seed`] of the name.
    pub fn with_pattern_files(files: &[(&str, u64)]) -> Self {
        let today = today();
        let mut archive = Self::empty();
        archive.meetings = files
            .iter()
            .enumerate()
            .map(|(index, &(name, length))| {
                let start = utc_time(today, 1, 9, 0) + SignedDuration::from_mins(index as i64);
                let content = Content::Pattern { seed: pattern_seed(name), length };
                Meeting::new(&format!("{}==", uuid_like(index as u64)), name, start)
                    .with_file(MeetingFile::new("MP4", content))
            })
            .collect();
        archive
    }
}

impl User {
    pub fn new_active(id: &str, email: &str, first_name: &str, last_name: &str) -> Self {
        Self {
            id: id.into(),
            email: email.into(),
            name: Some((first_name.into(), last_name.into())),
            status: "active",
        }
    }
}

impl Meeting {
    /// Creates a 40-minute meeting of the owner, without files. The meeting number derives from the
    /// UUID.
    pub fn new(uuid: &str, topic: &str, start: Timestamp) -> Self {
        Self {
            uuid: uuid.into(),
            number: 80_000_000_000 + pattern_seed(uuid) % 9_999_999_999,
            host_email: Archive::OWNER_EMAIL.into(),
            topic: topic.into(),
            start,
            duration_minutes: 40,
            files: Vec::new(),
            participant_audio: Vec::new(),
            empty_file_list: EmptyFileList::Empty,
            numbers_as_strings: false,
            is_too_old_for_details: false,
            auto_delete_date: None,
            deletion_time: None,
            participants: vec![
                Participant { name: "Demo Owner".into(), email: Archive::OWNER_EMAIL.into() },
                Participant { name: "A guest".into(), email: String::new() },
            ],
        }
    }

    /// Adds a file. If the file has no times, it gets those of the meeting. If it has no id and its
    /// type has ids, it gets an id.
    pub fn with_file(mut self, mut file: MeetingFile) -> Self {
        if file.recording_start == Timestamp::UNIX_EPOCH {
            file.recording_start = self.start + SignedDuration::from_secs(11);
            file.recording_end = file.recording_start
                + SignedDuration::from_mins(i64::from(self.duration_minutes.max(1)));
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
    /// Creates a processed file with the usual metadata of its type, but without id and times.
    pub fn new(file_type: &str, content: Content) -> Self {
        let (extension, recording_type) = usual_metadata(file_type);
        let has_few_fields = matches!(file_type, "CC" | "TIMELINE");
        Self {
            id: None,
            file_type: file_type.into(),
            file_extension: extension.map(Into::into),
            recording_type: if has_few_fields { None } else { recording_type.map(Into::into) },
            recording_start: Timestamp::UNIX_EPOCH,
            recording_end: Timestamp::UNIX_EPOCH,
            revision: 0,
            status: if has_few_fields { FileStatus::Absent } else { FileStatus::Completed },
            listed_size: if has_few_fields { ListedSize::Absent } else { ListedSize::True },
            location: if file_type == "CC" {
                FileLocation::DownloadUrlWithQuery
            } else {
                FileLocation::DownloadUrl
            },
            content,
        }
    }

    pub fn with_view(mut self, recording_type: &str) -> Self {
        self.recording_type = Some(recording_type.into());
        self
    }

    pub fn with_status_processing(mut self) -> Self {
        self.status = FileStatus::Processing;
        self
    }

    pub fn with_listed_size(mut self, size: ListedSize) -> Self {
        self.listed_size = size;
        self
    }

    pub fn with_location(mut self, location: FileLocation) -> Self {
        self.location = location;
        self
    }

    pub fn with_times(mut self, start: Timestamp, end: Timestamp) -> Self {
        self.recording_start = start;
        self.recording_end = end;
        self
    }

    /// Returns the extension that fits the content, even if the listing states another one.
    pub(super) fn true_extension(&self) -> &str {
        usual_metadata(&self.file_type).0.unwrap_or("BIN")
    }

    /// Returns the `Content-Type` that the media host sends.
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

    /// Whether Zoom serves the file.
    pub(super) fn is_downloadable(&self) -> bool {
        self.status != FileStatus::Processing
            && !matches!(self.location, FileLocation::OnPremise(_))
    }
}

/// Returns the usual extension and `recording_type` of a `file_type`.
fn usual_metadata(file_type: &str) -> (Option<&'static str>, Option<&'static str>) {
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

/// Appends a name to an MP4 or M4A of `assets/`, so no two recordings have the same bytes. The name
/// is in a trailing `free` box, because players skip such boxes (ISO/IEC 14496-12, 8.1.2).
pub(super) fn with_appended_name(media: &'static [u8], name: &str) -> Content {
    let length = u32::try_from(8 + name.len()).unwrap_or(u32::MAX);
    Content::Stored([media, &length.to_be_bytes(), b"free", name.as_bytes()].concat().into())
}

pub(super) fn today() -> Date {
    Offset::UTC.to_datetime(Timestamp::now()).date()
}

/// Returns the time `hour`:`minute` in UTC, `days_before` days before `day`.
pub(super) fn utc_time(day: Date, days_before: i64, hour: i8, minute: i8) -> Timestamp {
    // The calculation fails only near the limits of the calendar.
    day.checked_sub(days_before.days())
        .ok()
        .map(|day| day.at(hour, minute, 0, 0))
        .and_then(|time| Offset::UTC.to_timestamp(time).ok())
        .unwrap_or(Timestamp::UNIX_EPOCH)
}

/// Returns text in base64 that looks like a UUID and differs for each index.
fn uuid_like(index: u64) -> String {
    use base64::Engine;
    let mixed_index = index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    base64::engine::general_purpose::STANDARD_NO_PAD.encode(mixed_index.to_be_bytes())
}

fn text_content(head: &str, index: usize, lines: usize) -> Content {
    let mut text = String::from(head);
    for line in 0..lines {
        text.push_str(&format!("Meeting {index}, line {line}: nothing was decided.\n"));
    }
    Content::Stored(text.into())
}

//! What the cloud holds: hosts, their meetings, and the files with their content.

use std::fmt;
use std::ops::Range;

use bytes::Bytes;
use jiff::civil::Date;
use jiff::tz::Offset;
use jiff::{SignedDuration, Timestamp, ToSpan};
use sha2::{Digest, Sha256};

use super::pattern::{pattern_bytes, pattern_seed};

/// The content of a file in `assets/`, whose README says what is in each; with a name, an MP4 or M4A that has it in it.
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

/// Everything one account has. The first host owns the app: `me` is that one.
#[derive(Clone, Debug, Default)]
pub struct Archive {
    /// The account's users. A host whom a meeting names and who is not here owns recordings but is no user.
    pub hosts: Vec<Host>,
    /// The meetings, in no particular order.
    pub meetings: Vec<Meeting>,
}

/// A user of the account.
#[derive(Clone, Debug)]
pub struct Host {
    /// The user id.
    pub id: String,
    /// The e-mail address, the other name a listing takes.
    pub email: String,
    /// First and last name; users who were deactivated may have none.
    pub name: Option<(String, String)>,
    /// `active`, `inactive` or `pending`.
    pub status: &'static str,
}

/// One held meeting.
#[derive(Clone, Debug)]
pub struct Meeting {
    /// The instance's UUID.
    pub uuid: String,
    /// The meeting number; the instances of a recurring meeting share it.
    pub number: u64,
    /// E-mail address of the host.
    pub host_email: String,
    /// The topic; anything at all.
    pub topic: String,
    /// When it began.
    pub start: Timestamp,
    /// Minutes it took, as listed. Zero for a meeting under a minute.
    pub minutes: u32,
    /// Its recording files.
    pub files: Vec<MeetingFile>,
    /// The participants' own audio, which only the meeting's own page shows; the view of each is its `file_name`.
    pub participant_audio: Vec<MeetingFile>,
    /// How the listing writes an empty list of files.
    pub without_files: WithoutFiles,
    /// Whether `id`, `type`, `recording_count` and the sizes are written as strings.
    pub numbers_as_strings: bool,
    /// Whether asking for the past meeting answers that it is more than a year old.
    pub details_too_old: bool,
    /// The day on which the account's rule deletes it.
    pub auto_delete: Option<Date>,
    /// When it was moved to the trash, where it lies from the start; `None` of one that is not deleted.
    pub deleted: Option<Timestamp>,
    /// Those who were there.
    pub participants: Vec<Participant>,
}

/// Somebody who was in a meeting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Participant {
    /// The name they gave: anything at all.
    pub name: String,
    /// Their e-mail address; empty of a guest who did not sign in.
    pub email: String,
}

/// How an entry without files is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WithoutFiles {
    /// `"recording_files": []`.
    Empty,
    /// `"recording_files": null`.
    Null,
    /// No such key.
    Absent,
}

/// One recording file.
#[derive(Clone, Debug)]
pub struct MeetingFile {
    /// The file id; captions and timelines have none.
    pub id: Option<String>,
    /// `MP4`, `TRANSCRIPT`, …; what it is once processing has finished.
    pub file_type: String,
    /// The extension as listed, where it is.
    pub file_extension: Option<String>,
    /// The view, where one is listed.
    pub recording_type: Option<String>,
    /// When this part began.
    pub recording_start: Timestamp,
    /// When it ended.
    pub recording_end: Timestamp,
    /// Whether it is done.
    pub status: FileStatus,
    /// What the listing says of its length.
    pub listed_size: ListedSize,
    /// How it is reached.
    pub place: Place,
    /// Its bytes.
    pub content: Content,
}

/// What the listing says in `status`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileStatus {
    /// `completed`.
    Completed,
    /// `processing`: type, extension, size and end are not known yet.
    Processing,
    /// An empty string.
    Empty,
    /// No such key.
    Absent,
}

/// What the listing says in `file_size`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListedSize {
    /// The true length.
    True,
    /// The true length and this many bytes more or less.
    Wrong(i64),
    /// No such key.
    Absent,
}

/// How a file is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A download link.
    Link,
    /// A download link that has a query already.
    LinkWithQuery,
    /// A path on the customer's own storage and no link.
    OnPremise(String),
}

/// The bytes of a file.
#[derive(Clone)]
pub enum Content {
    /// Held in memory.
    Stored(Bytes),
    /// Made when asked for: see [`pattern_bytes`].
    Pattern {
        /// The file's seed.
        seed: u64,
        /// Its length in bytes.
        length: u64,
    },
    /// On a server outside the cloud, whose bytes the cloud never sees: the download link leads there.
    Elsewhere {
        /// Scheme, host and port of that server.
        origin: String,
        /// The path there.
        path: String,
        /// Its length in bytes.
        length: u64,
    },
}

impl fmt::Debug for Content {
    /// Length and validator: a failed assertion must not print a video.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Content({} bytes, {})", self.length(), self.etag())
    }
}

impl Content {
    /// The length in bytes.
    pub fn length(&self) -> u64 {
        match self {
            Self::Stored(bytes) => bytes.len() as u64,
            Self::Pattern { length, .. } | Self::Elsewhere { length, .. } => *length,
        }
    }

    /// The bytes of `span`, less what lies past the end; none of a content that is elsewhere.
    pub fn slice(&self, span: Range<u64>) -> Bytes {
        let end = span.end.min(self.length());
        let start = span.start.min(end);
        match self {
            // Both ends lie within the bytes, so they fit a usize.
            Self::Stored(bytes) => bytes.slice(start as usize..end as usize),
            Self::Pattern { seed, .. } => {
                let mut out = vec![0; (end - start) as usize];
                pattern_bytes(*seed, start, &mut out);
                out.into()
            }
            Self::Elsewhere { .. } => Bytes::new(),
        }
    }

    /// The SHA-256 of the bytes held here, in lower-case hexadecimal. A pattern is made once for it from end to end.
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

    /// Tells two contents apart without reading a pattern through: the strong validator of HTTP.
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

/// Lower-case hexadecimal digits.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Archive {
    /// E-mail address of the host whom the made archives belong to.
    pub const OWNER: &'static str = "owner@example.org";

    /// A host and no meeting.
    pub fn empty() -> Self {
        Self {
            hosts: vec![Host::active("hostOwner", Self::OWNER, "Demo", "Owner")],
            meetings: Vec::new(),
        }
    }

    /// That many meetings spread over the `days` days before today, each with a transcript and a chat.
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

    /// A meeting for every name, with that topic and one MP4 of that many bytes, yesterday from 09:00 UTC on.
    ///
    /// The content is [`pattern_bytes`] with the seed [`pattern_seed`] gives for the name.
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
    /// An active user.
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
    /// A meeting of 40 minutes, held by the owner, without files. Its number derives from the UUID.
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
            without_files: WithoutFiles::Empty,
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

    /// The same meeting with one file more.
    ///
    /// Where the file's times are not set (see [`MeetingFile::new`]) they become the meeting's, and a file of a
    /// kind that has an id gets one.
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
    /// A finished file of this kind as the listing usually writes it, with neither id nor times yet.
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
            status: if terse { FileStatus::Absent } else { FileStatus::Completed },
            listed_size: if terse { ListedSize::Absent } else { ListedSize::True },
            place: if file_type == "CC" { Place::LinkWithQuery } else { Place::Link },
            content,
        }
    }

    /// The same file of another view.
    pub fn view(mut self, recording_type: &str) -> Self {
        self.recording_type = Some(recording_type.into());
        self
    }

    /// The same file, still processing.
    pub fn processing(mut self) -> Self {
        self.status = FileStatus::Processing;
        self
    }

    /// The same file with another statement of its length.
    pub fn listed(mut self, size: ListedSize) -> Self {
        self.listed_size = size;
        self
    }

    /// The same file at another place.
    pub fn at(mut self, place: Place) -> Self {
        self.place = place;
        self
    }

    /// The same file between these times.
    pub fn between(mut self, start: Timestamp, end: Timestamp) -> Self {
        self.recording_start = start;
        self.recording_end = end;
        self
    }

    /// The extension its bytes have, whatever the listing says.
    pub(super) fn true_extension(&self) -> &str {
        usual(&self.file_type).0.unwrap_or("BIN")
    }

    /// The type the media host states for it.
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

/// Extension and `recording_type` that go with a `file_type`.
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

/// An MP4 or M4A of `assets/` that has its name in it, so that no two recordings are the same bytes: in a box behind the
/// others that players pass over (`free`, ISO/IEC 14496-12, 8.1.2).
pub(super) fn named(media: &'static [u8], name: &str) -> Content {
    let length = u32::try_from(8 + name.len()).unwrap_or(u32::MAX);
    Content::Stored([media, &length.to_be_bytes(), b"free", name.as_bytes()].concat().into())
}

/// The current UTC day.
pub(super) fn today() -> Date {
    Offset::UTC.to_datetime(Timestamp::now()).date()
}

/// A time of day that many days before `day`, in UTC.
pub(super) fn moment(day: Date, days_before: i64, hour: i8, minute: i8) -> Timestamp {
    // Only a date near the ends of the calendar has no such moment.
    day.checked_sub(days_before.days())
        .ok()
        .map(|day| day.at(hour, minute, 0, 0))
        .and_then(|time| Offset::UTC.to_timestamp(time).ok())
        .unwrap_or(Timestamp::UNIX_EPOCH)
}

/// A UUID's look: letters of the base64 alphabet, one-to-one from the number.
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

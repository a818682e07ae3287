//! The words every room shares: a source, its meetings, their recording files, and the lease under which a
//! file's bytes are read.
//!
//! Nothing here does anything but [`Document`], which writes down what it is made of. Providers make these values, the
//! catalog keeps them, the tree names them and the read path fetches them; each room knows only this vocabulary of the
//! others.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use jiff::civil::Date;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::Url;

mod diagnostic;
mod document;
mod facts;
mod word;

pub use diagnostic::{Diagnostic, ErrorKind, line_with_hint, one_line};
pub use document::Document;
pub use facts::MeetingMetadata;
pub use word::InternedStr;

macro_rules! text_newtype {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The text as it was given.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({:?})", stringify!($name), &*self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }
    };
}

text_newtype! {
    /// Name of one configured source: the directory below the mountpoint and the key in the configuration.
    ///
    /// One to 64 of `A-Z a-z 0-9 . _ -`, not beginning with a dot.
    SourceName
}

impl SourceName {
    /// The name, if it is a legal one.
    pub fn new(name: &str) -> Option<Self> {
        let legal = (1..=64).contains(&name.len())
            && !name.starts_with('.')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        legal.then(|| Self(name.into()))
    }
}

impl<'de> Deserialize<'de> for SourceName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        Self::new(&name).ok_or_else(|| serde::de::Error::custom("not the name of a source"))
    }
}

text_newtype! {
    /// The provider's own id of one held meeting (Zoom: the UUID of the instance). Unique within a source.
    MeetingId
}

impl From<&str> for MeetingId {
    fn from(id: &str) -> Self {
        Self(id.into())
    }
}

impl MeetingId {
    /// Before the id of a meeting that lies in its provider's recycle bin. No provider has a unit separator in its ids.
    const TRASHED: &str = "trash\u{1f}";

    /// The same meeting as it lies in the recycle bin: another identity, so that nothing that is known or kept of the
    /// one, be it a number or a block, is ever taken for the other's.
    pub fn in_trash(&self) -> Self {
        if self.is_in_trash() {
            self.clone()
        } else {
            Self(format!("{}{}", Self::TRASHED, self.0).into())
        }
    }

    /// Whether it is of a meeting in the recycle bin.
    pub fn is_in_trash(&self) -> bool {
        self.0.starts_with(Self::TRASHED)
    }

    /// As the provider has it, wherever the meeting lies.
    pub fn of_provider(&self) -> &str {
        self.0.strip_prefix(Self::TRASHED).unwrap_or(&self.0)
    }
}

impl<'de> Deserialize<'de> for MeetingId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|id| Self(id.into()))
    }
}

text_newtype! {
    /// What tells a recording file from the others of its meeting, on every listing the same.
    FileKey
}

impl From<&str> for FileKey {
    fn from(key: &str) -> Self {
        Self(key.into())
    }
}

impl<'de> Deserialize<'de> for FileKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|key| Self(key.into()))
    }
}

/// Names one recording file among all sources. It says nothing of the content: see [`Version`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FileId {
    /// The source that lists it.
    pub source: SourceName,
    /// The meeting it belongs to.
    pub meeting: MeetingId,
    /// The file within the meeting.
    pub key: FileKey,
}

/// Tells two contents of one recording file apart (a trimmed video is a new version).
///
/// It derives from what the provider's listing says of the file, so it is the same after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Version(pub u64);

/// What a recording file is to its meeting; decides how it is named and what stands beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Role {
    /// A video of one view.
    View,
    /// Sound alone.
    Audio,
    /// What one participant's microphone heard; no transcript belongs to it.
    Participant,
    /// The spoken words with their times; named after the view it belongs to.
    Transcript,
    /// Closed captions; take the transcript's place where there is none.
    Captions,
    /// Chat, timeline, poll, and whatever kinds are still to come.
    Other,
}

/// What a body of the file must look like, so that an error page is never taken for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum BodyKind {
    /// MP4 or M4A: `ftyp` at byte 4 (ISO/IEC 14496-12, 4.3).
    IsoMedia,
    /// `WEBVTT`, after an optional byte order mark (W3C WebVTT, section 4.1).
    WebVtt,
    /// JSON; the only kind that may arrive as `application/json`.
    Json,
    /// Anything else: no first bytes to expect.
    Opaque,
}

/// Whether a recording file can be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Availability {
    /// It can be read now.
    Ready,
    /// The provider is still making it; hidden until it is done.
    Processing,
    /// It is listed but cannot be downloaded; the text says why, for a person.
    Unavailable(String),
}

/// One file of a meeting as its provider lists it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordingFile {
    /// Its identity.
    pub id: FileId,
    /// Which content of it.
    pub version: Version,
    /// What it is to the meeting.
    pub role: Role,
    /// The name it should have, without extension, as the provider has it: not yet a legal file name.
    pub stem: InternedStr,
    /// Its extension without the dot, not yet checked either.
    pub extension: InternedStr,
    /// What its bytes must look like.
    pub body: BodyKind,
    /// Its length in bytes as listed; `None` where the listing does not say.
    pub declared_size: Option<u64>,
    /// When this part of the recording began. Files of one stopped and restarted recording differ in it.
    pub recording_start: Option<Timestamp>,
    /// When it ended; the file's modification time.
    pub recording_end: Option<Timestamp>,
    /// Whether it can be read.
    pub availability: Availability,
}

/// One held meeting with its files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Meeting {
    /// The source that lists it.
    pub source: SourceName,
    /// Its identity within the source.
    pub id: MeetingId,
    /// The topic as the provider has it; may be empty or hold anything.
    pub topic: String,
    /// When it began.
    pub start: Timestamp,
    /// When it ended, never before `start`.
    pub end: Timestamp,
    /// When its provider will delete it, where that is known.
    #[serde(default)]
    pub expires: Option<Timestamp>,
    /// Its files, in no particular order.
    pub files: Vec<RecordingFile>,
    /// What `meeting.json` says of it besides what `details` adds; never a download address or a token.
    #[serde(rename = "facts")]
    pub metadata: MeetingMetadata,
}

/// What a provider says of a meeting when it is asked for that one alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Details {
    /// What it adds to `meeting.json`; never a download address or a token.
    #[serde(rename = "facts")]
    pub metadata: MeetingMetadata,
    /// Files that the listing could not show. One with the key of a listed file takes its place.
    #[serde(default)]
    pub files: Vec<RecordingFile>,
    /// The listed file that these are made of, where there is one: they change when it does, so its version and times are
    /// theirs, though nobody asks for details again.
    #[serde(default, rename = "made_of")]
    pub derived_from: Option<FileKey>,
    /// Which files were listed when this was asked for, as the catalog tells them from others. Files that are made of none
    /// of them are asked for again when others are.
    #[serde(default, rename = "listed")]
    pub listing_hash: Option<u64>,
    /// Who was there, as a CSV table with a header.
    #[serde(default)]
    pub participants: Option<SharedText>,
    /// What was kept back and may be had later, in the provider's own words.
    #[serde(default, rename = "lacks")]
    pub missing: Vec<String>,
}

/// A text that several rooms hold and nobody changes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct SharedText(Bytes);

impl SharedText {
    /// Its bytes, which are UTF-8.
    pub fn bytes(&self) -> Bytes {
        self.0.clone()
    }
}

impl From<String> for SharedText {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<SharedText> for String {
    fn from(text: SharedText) -> Self {
        String::from_utf8_lossy(&text.0).into_owned()
    }
}

impl fmt::Debug for SharedText {
    /// Its length: a line of the log is no place for everybody who was in a meeting.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SharedText({} bytes)", self.0.len())
    }
}

/// What the tree is told of one source.
#[derive(Clone, Debug)]
pub struct SourceContents {
    /// The configured name.
    pub name: SourceName,
    /// Its meetings, in no particular order.
    pub meetings: Vec<MeetingContents>,
    /// Those that lie in its provider's recycle bin.
    pub trash: Vec<MeetingContents>,
}

/// What the tree is told of one meeting.
#[derive(Clone, Debug)]
pub struct MeetingContents {
    /// As listed.
    pub meeting: Arc<Meeting>,
    /// True lengths in bytes that were found out, by file: they beat the listed ones.
    pub sizes: HashMap<FileKey, u64>,
    /// What is in `meeting.json`; `None` while not everything that belongs in it is known.
    pub document: Option<Arc<Document>>,
}

/// Whole UTC days, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DaySpan {
    /// First day.
    pub from: Date,
    /// Last day, not before `from`.
    pub to: Date,
}

impl DaySpan {
    /// Whether `day` lies in the span.
    pub fn contains(&self, day: Date) -> bool {
        self.from <= day && day <= self.to
    }
}

/// An address whose path or query may be a credential: only its origin is ever printed.
#[derive(Clone)]
pub struct SecretUrl(Url);

impl SecretUrl {
    /// Wraps an address from the moment it is read.
    pub fn new(url: Url) -> Self {
        Self(url)
    }

    /// The whole address, for a request and nothing else.
    pub fn expose(&self) -> &Url {
        &self.0
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretUrl({self})")
    }
}

impl fmt::Display for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}/…", self.0.scheme(), self.0.host_str().unwrap_or("?"))
    }
}

/// A download address with its headers and its end of life.
///
/// It is never logged, stored or used as a key.
#[derive(Clone, Debug)]
pub struct Lease {
    /// Where the bytes are; asked with `Range` and followed no further.
    pub url: SecretUrl,
    /// The whole `Authorization` header value, where the address alone does not suffice.
    pub authorization: Option<SecretString>,
    /// When it stops working, if the provider says so.
    pub expires: Option<Timestamp>,
}

impl Lease {
    /// Whether the lease is over at `now`, or so near its end that a request might outlive it.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        /// A request that is started in a link's last seconds can reach the server after its end, when clocks
        /// differ a little; asking for a new link five seconds early costs one request in hours.
        const MARGIN_SECONDS: i64 = 5;
        self.expires.is_some_and(|expires| expires.as_second() - now.as_second() < MARGIN_SECONDS)
    }

    /// The `Authorization` value, exposed for the one request it belongs to.
    pub fn authorization(&self) -> Option<&str> {
        self.authorization.as_ref().map(|value| value.expose_secret())
    }
}

//! Zoom's replies. Every field but the UUID of a meeting may be missing or have another type.

use jiff::Timestamp;
use jiff::civil::Date;
use secrecy::SecretString;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::model::{DaySpan, SecretUrl};
use crate::providers::toolkit::serde_lenient;

/// One page of a listing.
pub(crate) struct Page {
    /// First day that the list covers, if the reply says so.
    pub(crate) from: Option<Date>,
    /// Last day that the list covers, if the reply says so.
    pub(crate) to: Option<Date>,
    /// The readable entries.
    pub(crate) meetings: Vec<Meeting>,
    /// Number of entries that are not readable.
    pub(crate) unreadable: usize,
}

impl Page {
    /// Reads a page; `None` if it has no `meetings`, as in an error reply.
    pub(crate) fn read(mut reply: Map<String, Value>) -> Option<Self> {
        let entries = match reply.remove("meetings")? {
            Value::Array(entries) => entries,
            Value::Null => Vec::new(),
            _ => return None,
        };
        let listed = entries.len();
        let meetings: Vec<_> = entries.into_iter().filter_map(Meeting::read).collect();
        Some(Self {
            from: day(&reply, "from"),
            to: day(&reply, "to"),
            unreadable: listed - meetings.len(),
            meetings,
        })
    }

    /// Returns the covered days; those that were requested if the reply does not say.
    pub(crate) fn covers(&self, requested: DaySpan) -> DaySpan {
        DaySpan { from: self.from.unwrap_or(requested.from), to: self.to.unwrap_or(requested.to) }
    }
}

/// A user. A pending user has no id, and an inactive one may have no name.
#[derive(Deserialize)]
pub(crate) struct User {
    #[serde(default, deserialize_with = "serde_lenient::text")]
    pub(crate) id: Option<String>,
    #[serde(default, deserialize_with = "serde_lenient::text")]
    pub(crate) email: Option<String>,
}

/// Returns the readable users of a page. A reply without users is an empty page.
pub(crate) fn users(reply: Map<String, Value>) -> Vec<User> {
    let entries = entries(reply, "users").into_iter();
    entries.filter_map(|entry| serde_json::from_value(entry).ok()).collect()
}

/// Returns the participants of a page. A reply without participants is an empty page.
pub(crate) fn participants(reply: Map<String, Value>) -> Vec<Value> {
    entries(reply, "participants")
}

fn entries(mut reply: Map<String, Value>, name: &str) -> Vec<Value> {
    match reply.remove(name) {
        Some(Value::Array(entries)) => entries,
        _ => Vec::new(),
    }
}

/// Parses a date. A time after the date is ignored.
fn day(reply: &Map<String, Value>, name: &str) -> Option<Date> {
    serde_lenient::first_text(reply, &[name])?.get(..10)?.parse().ok()
}

/// A meeting of a list, or the reply about the recordings of one meeting.
#[derive(Deserialize)]
pub(crate) struct Meeting {
    #[serde(default, deserialize_with = "serde_lenient::text")]
    uuid: Option<String>,
    #[serde(default, deserialize_with = "serde_lenient::text")]
    pub(crate) id: Option<String>,
    #[serde(default, deserialize_with = "serde_lenient::text")]
    pub(crate) topic: Option<String>,
    #[serde(default, rename = "type", deserialize_with = "serde_lenient::integer")]
    pub(crate) kind: Option<i64>,
    #[serde(default, deserialize_with = "serde_lenient::text")]
    pub(crate) host_id: Option<String>,
    #[serde(default, deserialize_with = "serde_lenient::text")]
    pub(crate) host_email: Option<String>,
    #[serde(default, deserialize_with = "serde_lenient::time")]
    pub(crate) start_time: Option<Timestamp>,
    #[serde(default, deserialize_with = "serde_lenient::text")]
    pub(crate) timezone: Option<String>,
    /// Minutes.
    #[serde(default, deserialize_with = "serde_lenient::integer")]
    pub(crate) duration: Option<i64>,
    #[serde(default, deserialize_with = "serde_lenient::text")]
    pub(crate) share_url: Option<String>,
    #[serde(default, deserialize_with = "files")]
    pub(crate) recording_files: Vec<File>,
    /// The audio of single participants; only in a reply about one meeting.
    #[serde(default, deserialize_with = "files")]
    pub(crate) participant_audio_files: Vec<File>,
    /// All other fields, passcodes included.
    #[serde(flatten)]
    pub(crate) other: Map<String, Value>,
}

impl Meeting {
    /// Reads a meeting, if it is an object with a UUID and its files are a list or missing.
    pub(crate) fn read(entry: Value) -> Option<Self> {
        // A meeting with an unreadable list of files is not one without files.
        let files = entry.get("recording_files");
        if files.is_some_and(|files| !files.is_array() && !files.is_null()) {
            return None;
        }
        serde_json::from_value::<Self>(entry).ok().filter(|meeting| meeting.uuid.is_some())
    }

    /// Returns the UUID of the held instance; never empty.
    pub(crate) fn uuid(&self) -> &str {
        self.uuid.as_deref().unwrap_or_default()
    }
}

/// One file of a meeting. CC and TIMELINE entries lack about half of the fields ("List all
/// recordings" in Zoom's API reference).
#[derive(Deserialize)]
pub(crate) struct File {
    #[serde(default, deserialize_with = "serde_lenient::text")]
    pub(crate) id: Option<String>,
    /// Name of the participant, if it is the audio of one.
    #[serde(default, deserialize_with = "serde_lenient::text")]
    pub(crate) file_name: Option<String>,
    #[serde(default, deserialize_with = "serde_lenient::text")]
    pub(crate) file_type: Option<String>,
    #[serde(default, deserialize_with = "serde_lenient::text")]
    pub(crate) file_extension: Option<String>,
    /// Bytes.
    #[serde(default, deserialize_with = "serde_lenient::integer")]
    pub(crate) file_size: Option<i64>,
    #[serde(default, deserialize_with = "serde_lenient::text")]
    pub(crate) status: Option<String>,
    #[serde(default, deserialize_with = "serde_lenient::text")]
    pub(crate) recording_type: Option<String>,
    #[serde(default, deserialize_with = "serde_lenient::time")]
    pub(crate) recording_start: Option<Timestamp>,
    #[serde(default, deserialize_with = "serde_lenient::time")]
    pub(crate) recording_end: Option<Timestamp>,
    #[serde(default, deserialize_with = "serde_lenient::text")]
    pub(crate) play_url: Option<String>,
    #[serde(default, deserialize_with = "serde_lenient::url")]
    pub(crate) download_url: Option<SecretUrl>,
    /// Path on an on-premise Meeting Connector.
    #[serde(default, deserialize_with = "serde_lenient::text")]
    pub(crate) file_path: Option<String>,
    /// Time of deletion; only in the trash.
    #[serde(default, deserialize_with = "serde_lenient::time")]
    pub(crate) deleted_time: Option<Timestamp>,
}

/// Reads the file entries that are objects.
fn files<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<File>, D::Error> {
    let Value::Array(entries) = Value::deserialize(deserializer)? else { return Ok(Vec::new()) };
    Ok(entries.into_iter().filter_map(|entry| serde_json::from_value(entry).ok()).collect())
}

/// The recordings of one meeting, with a token for them.
pub(crate) struct Detail {
    pub(crate) files: Vec<File>,
    /// The audio of single participants.
    pub(crate) participants: Vec<File>,
    /// Valid for these files alone.
    pub(crate) token: Option<SecretString>,
}

impl Detail {
    /// Reads the reply; it may have no files.
    pub(crate) fn read(mut reply: Map<String, Value>) -> Self {
        let token = reply.remove("download_access_token").as_ref().and_then(serde_lenient::as_text);
        let (files, participants) = serde_json::from_value::<Meeting>(Value::Object(reply))
            .map(|meeting| (meeting.recording_files, meeting.participant_audio_files))
            .unwrap_or_default();
        Self { files, participants, token: token.map(SecretString::from) }
    }
}

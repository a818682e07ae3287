//! Zoom's replies. Every field except the UUID of a meeting may be missing or have an unexpected
//! type.

use jiff::Timestamp;
use jiff::civil::Date;
use secrecy::SecretString;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::model::{DaySpan, SecretUrl};
use crate::providers::toolkit::serde_lenient;
use crate::providers::toolkit::token::bearer_token;

/// One page of a listing.
pub(crate) struct Page {
    /// First day that the list covers, if the reply states it.
    pub(crate) first_day: Option<Date>,
    /// Last day that the list covers, if the reply states it.
    pub(crate) last_day: Option<Date>,
    /// The entries that could be parsed.
    pub(crate) meetings: Vec<Meeting>,
    /// Number of entries that could not be parsed.
    pub(crate) unreadable_count: usize,
}

impl Page {
    /// Parses a page. Returns `None` if the reply has no field `meetings`, as in an error reply.
    pub(crate) fn parse(mut reply: Map<String, Value>) -> Option<Self> {
        let entries = match reply.remove("meetings")? {
            Value::Array(entries) => entries,
            Value::Null => Vec::new(),
            _ => return None,
        };
        let listed = entries.len();
        let meetings: Vec<_> = entries.into_iter().filter_map(Meeting::parse).collect();
        Some(Self {
            first_day: parse_date(&reply, "from"),
            last_day: parse_date(&reply, "to"),
            unreadable_count: listed - meetings.len(),
            meetings,
        })
    }

    /// Returns the days that the list covers. If the reply does not state them, returns the
    /// requested days.
    pub(crate) fn covered_days(&self, requested: DaySpan) -> DaySpan {
        DaySpan {
            from: self.first_day.unwrap_or(requested.from),
            to: self.last_day.unwrap_or(requested.to),
        }
    }
}

/// A user. A pending user has no id, and an inactive user may have no name.
#[derive(Deserialize)]
pub(crate) struct User {
    #[serde(default, deserialize_with = "serde_lenient::text")]
    pub(crate) id: Option<String>,
    #[serde(default, deserialize_with = "serde_lenient::text")]
    pub(crate) email: Option<String>,
}

/// Returns the readable users of a page. A reply without users is an empty page.
pub(crate) fn parse_users(reply: Map<String, Value>) -> Vec<User> {
    let entries = take_entries(reply, "users").into_iter();
    entries.filter_map(|entry| serde_json::from_value(entry).ok()).collect()
}

/// Returns the participants of a page. A reply without participants is an empty page.
pub(crate) fn parse_participants(reply: Map<String, Value>) -> Vec<Value> {
    take_entries(reply, "participants")
}

fn take_entries(mut reply: Map<String, Value>, name: &str) -> Vec<Value> {
    match reply.remove(name) {
        Some(Value::Array(entries)) => entries,
        _ => Vec::new(),
    }
}

/// Parses the date in a field. Ignores a time after the date.
fn parse_date(reply: &Map<String, Value>, name: &str) -> Option<Date> {
    serde_lenient::first_text(reply, &[name])?.get(..10)?.parse().ok()
}

/// A meeting in a list, or the reply about the recordings of one meeting.
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
    /// Duration in minutes.
    #[serde(default, deserialize_with = "serde_lenient::integer")]
    pub(crate) duration: Option<i64>,
    #[serde(default, deserialize_with = "serde_lenient::text")]
    pub(crate) share_url: Option<String>,
    #[serde(default, deserialize_with = "deserialize_files")]
    pub(crate) recording_files: Vec<File>,
    /// The audio files of individual participants. Only a reply about one meeting contains them.
    #[serde(default, deserialize_with = "deserialize_files")]
    pub(crate) participant_audio_files: Vec<File>,
    /// All other fields, including passcodes.
    #[serde(flatten)]
    pub(crate) other_fields: Map<String, Value>,
}

impl Meeting {
    /// Parses a meeting. Returns `None` unless the entry is an object with a UUID, and its files
    /// are a list or missing.
    pub(crate) fn parse(entry: Value) -> Option<Self> {
        // A meeting whose list of files is unreadable must not appear as a meeting without files.
        let files = entry.get("recording_files");
        if files.is_some_and(|files| !files.is_array() && !files.is_null()) {
            return None;
        }
        serde_json::from_value::<Self>(entry).ok().filter(|meeting| meeting.uuid.is_some())
    }

    /// Returns the UUID of this instance of the meeting. It is never empty.
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
    /// File name of the audio of a participant, as in "Audio only - Ana".
    #[serde(default, deserialize_with = "serde_lenient::text")]
    pub(crate) file_name: Option<String>,
    #[serde(default, deserialize_with = "serde_lenient::text")]
    pub(crate) file_type: Option<String>,
    #[serde(default, deserialize_with = "serde_lenient::text")]
    pub(crate) file_extension: Option<String>,
    /// Size in bytes.
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
    /// Path of the file on an on-premise Meeting Connector.
    #[serde(default, deserialize_with = "serde_lenient::text")]
    pub(crate) file_path: Option<String>,
    /// Time of deletion. Only files in the trash have one.
    #[serde(default, deserialize_with = "serde_lenient::time")]
    pub(crate) deleted_time: Option<Timestamp>,
}

/// Deserializes the file entries and skips those that are not objects.
fn deserialize_files<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<File>, D::Error> {
    let Value::Array(entries) = Value::deserialize(deserializer)? else { return Ok(Vec::new()) };
    Ok(entries.into_iter().filter_map(|entry| serde_json::from_value(entry).ok()).collect())
}

/// The recordings of one meeting, and the token that downloads them.
pub(crate) struct MeetingRecordings {
    pub(crate) files: Vec<File>,
    /// The audio files of individual participants.
    pub(crate) participant_files: Vec<File>,
    /// The download token, which is valid only for these files.
    pub(crate) token: Option<SecretString>,
}

impl MeetingRecordings {
    /// Parses a reply, which need not contain files.
    pub(crate) fn parse(mut reply: Map<String, Value>) -> Self {
        let token = reply.remove("download_access_token").as_ref().and_then(serde_lenient::as_text);
        let (files, participant_files) = serde_json::from_value::<Meeting>(Value::Object(reply))
            .map(|meeting| (meeting.recording_files, meeting.participant_audio_files))
            .unwrap_or_default();
        Self { files, participant_files, token: token.and_then(bearer_token) }
    }
}

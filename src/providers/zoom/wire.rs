//! Zoom's replies as they come. Everything but a meeting's UUID may be missing or of another type.

use jiff::Timestamp;
use jiff::civil::Date;
use secrecy::SecretString;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::model::{DaySpan, SecretUrl};
use crate::providers::toolkit::serde_lenient;

/// One page of a listing.
pub(crate) struct Page {
    /// The days it says that the listing covers, where it says so.
    pub(crate) from: Option<Date>,
    /// The last of these days.
    pub(crate) to: Option<Date>,
    /// Asks for the page after this one; `None` on the last.
    pub(crate) next: Option<String>,
    /// The entries that could be read.
    pub(crate) meetings: Vec<Meeting>,
    /// How many could not.
    pub(crate) unreadable: usize,
}

impl Page {
    /// The page, if the reply is one: replies that report an error have no `meetings`.
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
            next: serde_lenient::first_text(&reply, &["next_page_token"]),
            unreadable: listed - meetings.len(),
            meetings,
        })
    }

    /// The days covered; where the reply is silent, those that were asked for.
    pub(crate) fn covers(&self, asked: DaySpan) -> DaySpan {
        DaySpan { from: self.from.unwrap_or(asked.from), to: self.to.unwrap_or(asked.to) }
    }
}

/// One page of an account's users.
#[derive(Default)]
pub(crate) struct Users {
    /// The entries that could be read.
    pub(crate) users: Vec<User>,
    /// Asks for the page after this one; `None` on the last.
    pub(crate) next: Option<String>,
}

/// A user. Who has not come yet has no id, and who has left may have no name.
#[derive(Deserialize)]
pub(crate) struct User {
    #[serde(default, deserialize_with = "serde_lenient::text")]
    pub(crate) id: Option<String>,
    #[serde(default, deserialize_with = "serde_lenient::text")]
    pub(crate) email: Option<String>,
}

impl Users {
    /// The page; a reply without users is an empty one.
    pub(crate) fn read(mut reply: Map<String, Value>) -> Self {
        let entries = match reply.remove("users") {
            Some(Value::Array(entries)) => entries,
            _ => Vec::new(),
        };
        let users =
            entries.into_iter().filter_map(|entry| serde_json::from_value(entry).ok()).collect();
        Self { users, next: serde_lenient::first_text(&reply, &["next_page_token"]) }
    }
}

/// One page of those who were in a meeting.
pub(crate) struct People {
    /// The entries as they came.
    pub(crate) people: Vec<Value>,
    /// Asks for the page after this one; `None` on the last.
    pub(crate) next: Option<String>,
}

impl People {
    /// The page; a reply without people is an empty one.
    pub(crate) fn read(mut reply: Map<String, Value>) -> Self {
        let people = match reply.remove("participants") {
            Some(Value::Array(people)) => people,
            _ => Vec::new(),
        };
        Self { people, next: serde_lenient::first_text(&reply, &["next_page_token"]) }
    }
}

/// A day, perhaps with a time behind it.
fn day(reply: &Map<String, Value>, name: &str) -> Option<Date> {
    serde_lenient::first_text(reply, &[name])?.get(..10)?.parse().ok()
}

/// A meeting of a listing, or the reply that describes one meeting's recordings.
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
    /// What single participants were recorded as; only where one meeting is asked for.
    #[serde(default, deserialize_with = "files")]
    pub(crate) participant_audio_files: Vec<File>,
    /// Whatever else the entry holds, passcodes included.
    #[serde(flatten)]
    pub(crate) other: Map<String, Value>,
}

impl Meeting {
    /// The meeting, if the entry is an object with a UUID and its files are a list or none.
    pub(crate) fn read(entry: Value) -> Option<Self> {
        // A meeting whose files cannot be told is not one without files.
        let files = entry.get("recording_files");
        if files.is_some_and(|files| !files.is_array() && !files.is_null()) {
            return None;
        }
        serde_json::from_value::<Self>(entry).ok().filter(|meeting| meeting.uuid.is_some())
    }

    /// The UUID of the held instance; never empty.
    pub(crate) fn uuid(&self) -> &str {
        self.uuid.as_deref().unwrap_or_default()
    }
}

/// One file of a meeting. CC and TIMELINE entries have but half of these (providers' own words).
#[derive(Deserialize)]
pub(crate) struct File {
    #[serde(default, deserialize_with = "serde_lenient::text")]
    pub(crate) id: Option<String>,
    /// Of a participant's own audio: who it is.
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
    #[serde(default, deserialize_with = "serde_lenient::address")]
    pub(crate) download_url: Option<SecretUrl>,
    /// Where an on-premise Meeting Connector has it.
    #[serde(default, deserialize_with = "serde_lenient::text")]
    pub(crate) file_path: Option<String>,
    /// When it was put into the trash; there alone.
    #[serde(default, deserialize_with = "serde_lenient::time")]
    pub(crate) deleted_time: Option<Timestamp>,
}

/// The file entries that are objects at all.
fn files<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<File>, D::Error> {
    let Value::Array(entries) = Value::deserialize(deserializer)? else { return Ok(Vec::new()) };
    Ok(entries.into_iter().filter_map(|entry| serde_json::from_value(entry).ok()).collect())
}

/// One meeting's recordings with the token that is made for them.
pub(crate) struct Detail {
    /// The files, listed anew.
    pub(crate) files: Vec<File>,
    /// Participants' own audio.
    pub(crate) participants: Vec<File>,
    /// Good for these files alone.
    pub(crate) token: Option<SecretString>,
}

impl Detail {
    /// Reads the reply; one without files has none.
    pub(crate) fn read(mut reply: Map<String, Value>) -> Self {
        let token = reply.remove("download_access_token").as_ref().and_then(serde_lenient::as_text);
        let (files, participants) = serde_json::from_value::<Meeting>(Value::Object(reply))
            .map(|meeting| (meeting.recording_files, meeting.participant_audio_files))
            .unwrap_or_default();
        Self { files, participants, token: token.map(SecretString::from) }
    }
}

/// A reply of the token endpoint.
#[derive(Deserialize)]
pub(crate) struct Grant {
    #[serde(default, deserialize_with = "serde_lenient::text")]
    pub(crate) access_token: Option<String>,
    /// Seconds.
    #[serde(default, deserialize_with = "serde_lenient::integer")]
    pub(crate) expires_in: Option<i64>,
    #[serde(default, deserialize_with = "serde_lenient::text")]
    pub(crate) api_url: Option<String>,
    /// Only where a user signed in.
    #[serde(default, deserialize_with = "serde_lenient::text")]
    pub(crate) refresh_token: Option<String>,
    /// With spaces between them.
    #[serde(default, deserialize_with = "serde_lenient::text")]
    pub(crate) scope: Option<String>,
}

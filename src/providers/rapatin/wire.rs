//! Rapatin's replies. Every field but the UUID of a session may be missing or of another type.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::model::SecretUrl;
use crate::providers::toolkit::serde_lenient;

/// The recorded sessions of one meeting.
#[derive(Default)]
pub(crate) struct Sessions {
    /// The readable sessions.
    pub(crate) sessions: Vec<Session>,
    /// Number of the other entries.
    pub(crate) unreadable: usize,
}

impl Sessions {
    /// Reads a reply, whose `data` is one session or a list of them. Returns `None` if it is
    /// neither.
    pub(crate) fn read(mut reply: Map<String, Value>) -> Option<Self> {
        let entries = match reply.remove("data")? {
            Value::Array(entries) => entries,
            Value::Null => Vec::new(),
            entry @ Value::Object(_) => vec![entry],
            _ => return None,
        };
        let listed = entries.len();
        let sessions: Vec<_> = entries.into_iter().filter_map(Session::read).collect();
        Some(Self { unreadable: listed - sessions.len(), sessions })
    }
}

/// One recorded session.
#[derive(Deserialize)]
pub(crate) struct Session {
    #[serde(default, deserialize_with = "serde_lenient::text")]
    uuid: Option<String>,
    #[serde(default, deserialize_with = "serde_lenient::text")]
    pub(crate) meeting_id: Option<String>,
    #[serde(default, deserialize_with = "serde_lenient::text")]
    status: Option<String>,
    #[serde(default, deserialize_with = "serde_lenient::text")]
    pub(crate) topic: Option<String>,
    /// The day of the recording.
    #[serde(default, deserialize_with = "day")]
    pub(crate) recorded_on: Option<Date>,
    /// The day of the deletion.
    #[serde(default, deserialize_with = "serde_lenient::text")]
    pub(crate) delete_on: Option<String>,
    /// Null unless the session is ready.
    #[serde(default, deserialize_with = "files")]
    pub(crate) files: Vec<File>,
    /// All other fields, URLs included.
    #[serde(flatten)]
    pub(crate) other: Map<String, Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Ready,
    Processing,
    Deleted,
}

impl Session {
    /// Returns `None` unless the entry is an object with a UUID.
    fn read(entry: Value) -> Option<Self> {
        serde_json::from_value::<Self>(entry).ok().filter(|session| session.uuid.is_some())
    }

    /// Returns the UUID, which is never empty.
    pub(crate) fn uuid(&self) -> &str {
        self.uuid.as_deref().unwrap_or_default()
    }

    /// An unknown status counts as processing: a session that is shown too early is read
    /// incomplete, and one that is shown late is only late.
    pub(crate) fn state(&self) -> State {
        match self.status.as_deref().unwrap_or_default().to_ascii_lowercase().as_str() {
            "ready" | "completed" | "" => State::Ready,
            "deleted" => State::Deleted,
            _ => State::Processing,
        }
    }
}

/// One file of a session. It has no id, extension or time.
#[derive(Deserialize)]
pub(crate) struct File {
    #[serde(default, deserialize_with = "serde_lenient::text")]
    pub(crate) recording_type: Option<String>,
    #[serde(default, deserialize_with = "serde_lenient::text")]
    pub(crate) file_type: Option<String>,
    /// Length in bytes; sent as a string.
    #[serde(default, deserialize_with = "serde_lenient::integer")]
    pub(crate) file_size: Option<i64>,
    #[serde(default, deserialize_with = "serde_lenient::url")]
    pub(crate) download_url: Option<SecretUrl>,
}

/// One page of a schedule.
pub(crate) struct Page {
    /// The entries that name a meeting.
    pub(crate) entries: Vec<Entry>,
    /// The number of this page, if the reply has it.
    pub(crate) number: Option<i64>,
    /// The number of pages, if the reply has it.
    pub(crate) pages: Option<i64>,
}

impl Page {
    /// Returns `None` if the reply is not a page.
    pub(crate) fn read(mut reply: Map<String, Value>) -> Option<Self> {
        let number = paging(&reply, &["current_page"]);
        let pages = paging(&reply, &["last_page", "total_pages"]);
        let items = match reply.remove("data")? {
            Value::Array(items) => items,
            Value::Object(mut data) => {
                match data.remove("items").or_else(|| data.remove("data"))? {
                    Value::Array(items) => items,
                    Value::Null => Vec::new(),
                    _ => return None,
                }
            }
            Value::Null => Vec::new(),
            _ => return None,
        };
        Some(Self { entries: items.into_iter().flat_map(entries).collect(), number, pages })
    }
}

/// Returns the first number among the fields `names`. Paging is not documented. Similar APIs have
/// `current_page` and `last_page` or `total_pages`, at the top or below `meta` or `pagination`.
fn paging(reply: &Map<String, Value>, names: &[&str]) -> Option<i64> {
    fn below<'a>(
        object: Option<&'a Map<String, Value>>,
        name: &str,
    ) -> Option<&'a Map<String, Value>> {
        object?.get(name)?.as_object()
    }
    let (reply, data) = (Some(reply), below(Some(reply), "data"));
    let places =
        [reply, data].map(|object| [object, below(object, "meta"), below(object, "pagination")]);
    places.into_iter().flatten().flatten().find_map(|place| {
        names.iter().find_map(|name| place.get(*name).and_then(serde_lenient::as_integer))
    })
}

/// A meeting of a schedule on one day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The id of the meeting without spaces and hyphens.
    pub(crate) meeting: String,
    pub(crate) date: Option<Date>,
    /// The scheduled start, if it is reliable.
    pub(crate) start: Option<Timestamp>,
}

/// The fields of an entry: those of the documentation, and those of Zoom's own schedule.
#[derive(Default, Deserialize)]
struct Item {
    #[serde(default, deserialize_with = "serde_lenient::text")]
    meeting_id: Option<String>,
    #[serde(default, deserialize_with = "day")]
    start_date: Option<Date>,
    #[serde(default, deserialize_with = "serde_lenient::text")]
    start_time: Option<String>,
    #[serde(default, deserialize_with = "serde_lenient::text")]
    timezone: Option<String>,
    #[serde(default)]
    recurring: Value,
    /// Rapatin spells it so.
    #[serde(default, alias = "occurrence_id", deserialize_with = "serde_lenient::text")]
    occurence_id: Option<String>,
    #[serde(default, alias = "occurences")]
    occurrences: Value,
}

/// Returns the entries of an item: its own, and those of its occurrences.
fn entries(item: Value) -> Vec<Entry> {
    let Some(mut item) = serde_json::from_value::<Item>(item).ok() else { return Vec::new() };
    let Some(meeting) = item.meeting_id.take().and_then(|id| meeting_id(&id)) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    if let Value::Array(occurrences) = item.occurrences.take() {
        for occurrence in
            occurrences.into_iter().filter_map(|one| serde_json::from_value::<Item>(one).ok())
        {
            let start = occurrence.start(item.timezone.as_deref());
            found.push(Entry { meeting: meeting.clone(), date: occurrence.start_date, start });
        }
    }
    // The entry of a series moves to its next date, so its time belongs to no session.
    let is_series = is_true(&item.recurring) && item.occurence_id.is_none();
    let start = item.start(None).filter(|_| !is_series);
    found.push(Entry { meeting, date: item.start_date, start });
    found
}

impl Item {
    /// Returns the start in its time zone, or in that of its series. Without either, it is not
    /// documented which one applies, and UTC at least is the same everywhere.
    fn start(&self, series_timezone: Option<&str>) -> Option<Timestamp> {
        let time = self.start_time.as_deref().and_then(time_of_day)?;
        let zone =
            self.timezone.as_deref().or(series_timezone).and_then(|name| TimeZone::get(name).ok());
        zone.unwrap_or(TimeZone::UTC).to_timestamp(self.start_date?.to_datetime(time)).ok()
    }
}

/// Returns an id for paths and keys, or `None` if it has other characters than letters and digits.
fn meeting_id(text: &str) -> Option<String> {
    /// Zoom's ids have eleven digits. Each occurrence of a series gets a copy of the id: a long id
    /// with many occurrences would take gigabytes.
    const MAX_LENGTH: usize = 64;
    let plain = text.chars().filter(|c| !c.is_whitespace() && *c != '-');
    let id: String = plain.take(MAX_LENGTH + 1).collect();
    let is_word = id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (is_word && (1..=MAX_LENGTH).contains(&id.len())).then_some(id)
}

fn time_of_day(text: &str) -> Option<Time> {
    text.parse::<Time>().or_else(|_| text.parse::<DateTime>().map(|moment| moment.time())).ok()
}

fn is_true(value: &Value) -> bool {
    match value {
        Value::Bool(is) => *is,
        other => serde_lenient::as_integer(other).is_some_and(|number| number != 0),
    }
}

/// Reads a day, with or without a time.
fn day<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Date>, D::Error> {
    let text = serde_lenient::text(deserializer)?;
    Ok(text.and_then(|text| text.get(..10)?.parse().ok()))
}

/// Reads the file entries that are objects.
fn files<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<File>, D::Error> {
    let Value::Array(entries) = Value::deserialize(deserializer)? else { return Ok(Vec::new()) };
    Ok(entries.into_iter().filter_map(|entry| serde_json::from_value(entry).ok()).collect())
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        let Value::Object(object) = value else { panic!("{value}") };
        object
    }

    fn sessions(data: Value) -> Option<(usize, usize)> {
        let read = Sessions::read(object(json!({"response": {"status_code": 200}, "data": data})))?;
        Some((read.sessions.len(), read.unreadable))
    }

    #[test]
    fn data_is_one_session_or_a_list() {
        let session = json!({"uuid": "WuPF5b6W==", "files": null});
        assert_eq!(sessions(session.clone()), Some((1, 0)));
        assert_eq!(sessions(json!([session, session])), Some((2, 0)));
        assert_eq!(sessions(json!([])), Some((0, 0)));
        assert_eq!(sessions(json!(null)), Some((0, 0)));
        assert_eq!(
            sessions(json!([session, 3, null, {"uuid": ""}, {"topic": "lost"}])),
            Some((1, 4))
        );
        for nonsense in [json!("x"), json!(3), json!(true)] {
            assert_eq!(sessions(nonsense.clone()), None, "{nonsense}");
        }
        assert!(Sessions::read(object(json!({"uuid": "a"}))).is_none());
    }

    #[test]
    fn bad_field_hides_no_other() {
        let entry = json!({"uuid": 7, "meeting_id": 85095598095_u64, "status": [], "topic": {}, "recorded_on": 5,
            "delete_on": "2026-09-28", "files": [null, 3, {"file_size": "12", "file_type": 1, "download_url": 4}]});
        let read = Sessions::read(object(json!({"data": entry}))).unwrap();
        let [session] = read.sessions.as_slice() else { panic!() };
        assert_eq!((session.uuid(), session.meeting_id.as_deref()), ("7", Some("85095598095")));
        assert_eq!((session.recorded_on, session.delete_on.as_deref()), (None, Some("2026-09-28")));
        let [file] = session.files.as_slice() else { panic!() };
        assert_eq!(
            (file.file_size, file.file_type.as_deref(), file.download_url.is_none()),
            (Some(12), Some("1"), true)
        );
    }

    #[test]
    fn unknown_status_is_processing() {
        for (status, state) in [
            (json!("ready"), State::Ready),
            (json!("READY"), State::Ready),
            (json!(null), State::Ready),
            (json!("processing"), State::Processing),
            (json!("reticulating"), State::Processing),
            (json!("deleted"), State::Deleted),
        ] {
            let session = Session::read(json!({"uuid": "a", "status": status})).unwrap();
            assert_eq!(session.state(), state, "{status}");
        }
    }

    fn page(reply: Value) -> Option<Page> {
        Page::read(object(reply))
    }

    #[test]
    fn schedule_is_read_in_every_form() {
        let item = json!({"id": 1, "topic": "Demo", "meeting_id": "850 9559 8095", "start_date": "2026-09-24",
            "start_time": "09:30", "recurring": false, "occurence_id": null});
        let expected = Entry {
            meeting: "85095598095".into(),
            date: Some(date(2026, 9, 24)),
            start: "2026-09-24T09:30:00Z".parse().ok(),
        };
        for (reply, pages) in [
            (json!({"data": {"items": [item]}}), None),
            (json!({"data": [item]}), None),
            (json!({"data": {"data": [item], "last_page": 3}}), Some(3)),
            (json!({"data": {"items": [item], "meta": {"last_page": "2"}}}), Some(2)),
            (json!({"data": [item], "meta": {"total_pages": 4}}), Some(4)),
        ] {
            let page = page(reply.clone()).unwrap();
            assert_eq!((page.entries, page.pages), (vec![expected.clone()], pages), "{reply}");
        }
        for empty in [json!({"data": null}), json!({"data": []}), json!({"data": {"items": null}})]
        {
            assert!(page(empty.clone()).unwrap().entries.is_empty(), "{empty}");
        }
        for nonsense in [json!({}), json!({"data": 3}), json!({"data": {"user": {}}})] {
            assert!(page(nonsense.clone()).is_none(), "{nonsense}");
        }
    }

    #[test]
    fn series_has_no_time_of_its_own() {
        let starts = |item: Value| -> Vec<_> {
            entries(item).into_iter().map(|entry| entry.start).collect()
        };
        let item = |recurring: Value, occurrence: Value| {
            json!({"meeting_id": "1", "start_date": "2026-09-24", "start_time": "09:00:00",
                "timezone": "Asia/Jakarta", "recurring": recurring, "occurence_id": occurrence})
        };
        let at: Timestamp = "2026-09-24T02:00:00Z".parse().unwrap();
        assert_eq!(starts(item(json!(false), json!(null))), [Some(at)]);
        assert_eq!(starts(item(json!(1), json!(null))), [None]);
        assert_eq!(starts(item(json!(true), json!("17"))), [Some(at)]);
        let mut series = item(json!(true), json!(null));
        series["occurrences"] = json!([{"start_date": "2026-09-24", "start_time": "09:00"}, 3]);
        assert_eq!(starts(series), [Some(at), None]);
        let odd = json!({"meeting_id": 1, "start_date": "24/09/2026", "start_time": "soon", "timezone": "Mars"});
        assert_eq!(starts(odd), [None]);
        let long = "8".repeat(65);
        for no_id in [" - ", "..", "8|5", "a/b", &long] {
            assert!(starts(json!({"meeting_id": no_id})).is_empty(), "{no_id}");
        }
    }
}

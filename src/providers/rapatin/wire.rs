//! Parses Rapatin's replies. Any field except the UUID of a session may be missing or have an
//! unexpected type.

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
    /// The sessions that could be parsed.
    pub(crate) sessions: Vec<Session>,
    /// Number of entries that could not be parsed.
    pub(crate) unreadable_count: usize,
}

impl Sessions {
    /// Parses a reply. Its `data` is one session, a list of sessions or `null`. Returns `None` for
    /// anything else.
    pub(crate) fn parse(mut reply: Map<String, Value>) -> Option<Self> {
        let entries = match reply.remove("data")? {
            Value::Array(entries) => entries,
            Value::Null => Vec::new(),
            entry @ Value::Object(_) => vec![entry],
            _ => return None,
        };
        let entry_count = entries.len();
        let sessions: Vec<_> = entries.into_iter().filter_map(Session::parse).collect();
        Some(Self { unreadable_count: entry_count - sessions.len(), sessions })
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
    /// The day on which the session was recorded.
    #[serde(default, deserialize_with = "deserialize_day")]
    pub(crate) recorded_on: Option<Date>,
    /// The day on which Rapatin deletes the session.
    #[serde(default, deserialize_with = "serde_lenient::text")]
    pub(crate) delete_on: Option<String>,
    /// The files of the session. Rapatin sends `null` until the session is ready.
    #[serde(default, deserialize_with = "deserialize_files")]
    pub(crate) files: Vec<File>,
    /// All other fields, including URLs.
    #[serde(flatten)]
    pub(crate) other_fields: Map<String, Value>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Ready,
    Processing,
    Deleted,
}

impl Session {
    /// Parses an entry. Returns `None` unless it is an object with a UUID.
    fn parse(entry: Value) -> Option<Self> {
        serde_json::from_value::<Self>(entry).ok().filter(|session| session.uuid.is_some())
    }

    /// Returns the UUID. It is never empty.
    pub(crate) fn uuid(&self) -> &str {
        self.uuid.as_deref().unwrap_or_default()
    }

    /// Returns the state of the session. An unknown status counts as processing, because a session
    /// that is shown too early would be read incompletely.
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
    /// Length in bytes, which Rapatin sends as a string.
    #[serde(default, deserialize_with = "serde_lenient::integer")]
    pub(crate) file_size: Option<i64>,
    #[serde(default, deserialize_with = "serde_lenient::url")]
    pub(crate) download_url: Option<SecretUrl>,
}

/// One page of a schedule.
pub(crate) struct Page {
    /// The entries that have a meeting id.
    pub(crate) entries: Vec<ScheduleEntry>,
    /// The number of this page, if the reply contains it.
    pub(crate) page_number: Option<i64>,
    /// The number of pages, if the reply contains it.
    pub(crate) page_count: Option<i64>,
}

impl Page {
    /// Parses a page. Returns `None` if the reply is not a page.
    pub(crate) fn parse(mut reply: Map<String, Value>) -> Option<Self> {
        let page_number = number_in(&reply, &["current_page"]);
        let page_count = number_in(&reply, &["last_page", "total_pages"]);
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
        Some(Self {
            entries: items.into_iter().flat_map(item_entries).collect(),
            page_number,
            page_count,
        })
    }
}

/// Returns the value of the first field in `names` that is a number. Rapatin does not document the
/// fields of paging. Similar APIs have `current_page` and `last_page` or `total_pages`, at the top
/// level or in `meta` or `pagination`.
fn number_in(reply: &Map<String, Value>, names: &[&str]) -> Option<i64> {
    fn child_object<'a>(
        object: Option<&'a Map<String, Value>>,
        name: &str,
    ) -> Option<&'a Map<String, Value>> {
        object?.get(name)?.as_object()
    }
    let (reply, data) = (Some(reply), child_object(Some(reply), "data"));
    let objects = [reply, data]
        .map(|object| [object, child_object(object, "meta"), child_object(object, "pagination")]);
    objects.into_iter().flatten().flatten().find_map(|object| {
        names.iter().find_map(|name| object.get(*name).and_then(serde_lenient::as_integer))
    })
}

/// A meeting of a schedule on one day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ScheduleEntry {
    /// The id of the meeting without spaces and hyphens.
    pub(crate) meeting: String,
    pub(crate) date: Option<Date>,
    /// The scheduled start. It is `None` for a series and for an entry without a time of day.
    pub(crate) start: Option<Timestamp>,
}

/// The fields of a schedule item, with the names of Rapatin's documentation or of Zoom's own
/// schedule.
#[derive(Default, Deserialize)]
struct ScheduleItem {
    #[serde(default, deserialize_with = "serde_lenient::text")]
    meeting_id: Option<String>,
    #[serde(default, deserialize_with = "deserialize_day")]
    start_date: Option<Date>,
    #[serde(default, deserialize_with = "serde_lenient::text")]
    start_time: Option<String>,
    #[serde(default, deserialize_with = "serde_lenient::text")]
    timezone: Option<String>,
    #[serde(default)]
    recurring: Value,
    /// Rapatin spells this name with a single `r`.
    #[serde(default, alias = "occurrence_id", deserialize_with = "serde_lenient::text")]
    occurence_id: Option<String>,
    #[serde(default, alias = "occurences")]
    occurrences: Value,
}

/// Returns the entry of an item and the entries of its occurrences.
fn item_entries(item: Value) -> Vec<ScheduleEntry> {
    let Some(mut item) = serde_json::from_value::<ScheduleItem>(item).ok() else {
        return Vec::new();
    };
    let Some(meeting) = item.meeting_id.take().and_then(|id| normalize_meeting_id(&id)) else {
        return Vec::new();
    };
    let mut entries = Vec::new();
    if let Value::Array(occurrences) = item.occurrences.take() {
        for occurrence in occurrences
            .into_iter()
            .filter_map(|value| serde_json::from_value::<ScheduleItem>(value).ok())
        {
            let start = occurrence.start(item.timezone.as_deref());
            entries.push(ScheduleEntry {
                meeting: meeting.clone(),
                date: occurrence.start_date,
                start,
            });
        }
    }
    // Rapatin moves the entry of a series to its next date, so its time belongs to no recorded
    // session.
    let is_series = is_true(&item.recurring) && item.occurence_id.is_none();
    let start = item.start(None).filter(|_| !is_series);
    entries.push(ScheduleEntry { meeting, date: item.start_date, start });
    entries
}

impl ScheduleItem {
    /// Returns the start in the time zone of the item, else of its series, else in UTC. Rapatin
    /// does not document which time zone applies if both are missing.
    fn start(&self, series_timezone: Option<&str>) -> Option<Timestamp> {
        let time = self.start_time.as_deref().and_then(time_of_day)?;
        let zone =
            self.timezone.as_deref().or(series_timezone).and_then(|name| TimeZone::get(name).ok());
        zone.unwrap_or(TimeZone::UTC).to_timestamp(self.start_date?.to_datetime(time)).ok()
    }
}

/// Returns the id without spaces and hyphens, so it can be part of paths and keys. Returns `None`
/// if it contains anything other than letters and digits.
fn normalize_meeting_id(text: &str) -> Option<String> {
    /// Maximum length of an id. Zoom's ids have eleven digits. Each occurrence of a series gets a
    /// copy of the id, so a long id with many occurrences would take gigabytes.
    const MAX_LENGTH: usize = 64;
    let characters = text.chars().filter(|c| !c.is_whitespace() && *c != '-');
    let id: String = characters.take(MAX_LENGTH + 1).collect();
    let is_alphanumeric = id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (is_alphanumeric && (1..=MAX_LENGTH).contains(&id.len())).then_some(id)
}

fn time_of_day(text: &str) -> Option<Time> {
    text.parse::<Time>().or_else(|_| text.parse::<DateTime>().map(|moment| moment.time())).ok()
}

fn is_true(value: &Value) -> bool {
    match value {
        Value::Bool(value) => *value,
        other => serde_lenient::as_integer(other).is_some_and(|number| number != 0),
    }
}

/// Deserializes a date, with or without a time of day.
fn deserialize_day<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Date>, D::Error> {
    let text = serde_lenient::text(deserializer)?;
    Ok(text.and_then(|text| text.get(..10)?.parse().ok()))
}

/// Deserializes the file entries and skips those that are not objects.
fn deserialize_files<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<File>, D::Error> {
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

    fn session_counts(data: Value) -> Option<(usize, usize)> {
        let reply =
            Sessions::parse(object(json!({"response": {"status_code": 200}, "data": data})))?;
        Some((reply.sessions.len(), reply.unreadable_count))
    }

    #[test]
    fn data_is_one_session_or_a_list() {
        let session = json!({"uuid": "WuPF5b6W==", "files": null});
        assert_eq!(session_counts(session.clone()), Some((1, 0)));
        assert_eq!(session_counts(json!([session, session])), Some((2, 0)));
        assert_eq!(session_counts(json!([])), Some((0, 0)));
        assert_eq!(session_counts(json!(null)), Some((0, 0)));
        assert_eq!(
            session_counts(json!([session, 3, null, {"uuid": ""}, {"topic": "lost"}])),
            Some((1, 4))
        );
        for nonsense in [json!("x"), json!(3), json!(true)] {
            assert_eq!(session_counts(nonsense.clone()), None, "{nonsense}");
        }
        assert!(Sessions::parse(object(json!({"uuid": "a"}))).is_none());
    }

    #[test]
    fn invalid_field_does_not_hide_others() {
        let entry = json!({"uuid": 7, "meeting_id": 85095598095_u64, "status": [], "topic": {}, "recorded_on": 5,
            "delete_on": "2026-09-28", "files": [null, 3, {"file_size": "12", "file_type": 1, "download_url": 4}]});
        let reply = Sessions::parse(object(json!({"data": entry}))).unwrap();
        let [session] = reply.sessions.as_slice() else { panic!() };
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
            let session = Session::parse(json!({"uuid": "a", "status": status})).unwrap();
            assert_eq!(session.state(), state, "{status}");
        }
    }

    fn page(reply: Value) -> Option<Page> {
        Page::parse(object(reply))
    }

    #[test]
    fn schedule_is_parsed_in_every_known_form() {
        let item = json!({"id": 1, "topic": "Demo", "meeting_id": "850 9559 8095", "start_date": "2026-09-24",
            "start_time": "09:30", "recurring": false, "occurence_id": null});
        let expected = ScheduleEntry {
            meeting: "85095598095".into(),
            date: Some(date(2026, 9, 24)),
            start: "2026-09-24T09:30:00Z".parse().ok(),
        };
        for (reply, page_count) in [
            (json!({"data": {"items": [item]}}), None),
            (json!({"data": [item]}), None),
            (json!({"data": {"data": [item], "last_page": 3}}), Some(3)),
            (json!({"data": {"items": [item], "meta": {"last_page": "2"}}}), Some(2)),
            (json!({"data": [item], "meta": {"total_pages": 4}}), Some(4)),
        ] {
            let page = page(reply.clone()).unwrap();
            assert_eq!(
                (page.entries, page.page_count),
                (vec![expected.clone()], page_count),
                "{reply}"
            );
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
    fn entry_of_a_series_has_no_start() {
        let starts = |item: Value| -> Vec<_> {
            item_entries(item).into_iter().map(|entry| entry.start).collect()
        };
        let item = |recurring: Value, occurrence: Value| {
            json!({"meeting_id": "1", "start_date": "2026-09-24", "start_time": "09:00:00",
                "timezone": "Asia/Jakarta", "recurring": recurring, "occurence_id": occurrence})
        };
        let start: Timestamp = "2026-09-24T02:00:00Z".parse().unwrap();
        assert_eq!(starts(item(json!(false), json!(null))), [Some(start)]);
        assert_eq!(starts(item(json!(1), json!(null))), [None]);
        assert_eq!(starts(item(json!(true), json!("17"))), [Some(start)]);
        let mut series = item(json!(true), json!(null));
        series["occurrences"] = json!([{"start_date": "2026-09-24", "start_time": "09:00"}, 3]);
        assert_eq!(starts(series), [Some(start), None]);
        let malformed_item = json!({"meeting_id": 1, "start_date": "24/09/2026", "start_time": "soon", "timezone": "Mars"});
        assert_eq!(starts(malformed_item), [None]);
        let long_id = "8".repeat(65);
        for invalid_id in [" - ", "..", "8|5", "a/b", &long_id] {
            assert!(starts(json!({"meeting_id": invalid_id})).is_empty(), "{invalid_id}");
        }
    }
}

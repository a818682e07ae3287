//! Rapatin's REST API: login, schedule, and the recordings of one meeting.
//!
//! The quirks follow help.rapatin.id: sizes are strings, `data` is either one session or a list,
//! `files` is null unless the session is ready, and the field `occurence_id` is misspelled.

use jiff::Timestamp;
use jiff::ToSpan;
use jiff::civil::Date;
use jiff::tz::Offset;
use serde_json::{Map, Value, json};

use super::archive::{ListedSize, MeetingFile};
use super::pattern::pattern_seed;
use super::rapatin::{LOGIN, Rapatin};
use super::rapatin_archive::{RapatinSession, RapatinStatus};
use super::reply::Reply;
use super::request_head::RequestHead;

/// Number of entries per page of the schedule. The documentation does not describe paging.
const PAGE_SIZE: usize = 50;

/// Days until a session is deleted, as in the example of the documentation.
const RETENTION_DAYS: i64 = 4;

/// Answers a request to the API. `web_origin` is the scheme, host and port of the download URLs in
/// the reply.
pub(super) fn answer(
    rapatin: &Rapatin,
    request: &RequestHead,
    body: &[u8],
    web_origin: &str,
) -> Reply {
    let segments: Vec<&str> = request.path.trim_matches('/').split('/').collect();
    if segments == ["auth", "login"] {
        return log_in(rapatin, request, body);
    }
    if !request.bearer_token().is_some_and(|token| rapatin.is_valid(token)) {
        return unauthenticated_reply();
    }
    match (request.method.as_str(), segments.as_slice()) {
        ("GET", ["schedules"]) => list_schedule(rapatin, request),
        ("GET", ["recordings", meeting]) => list_recordings(rapatin, meeting, web_origin),
        ("GET", _) => error_reply(404, "The requested resource could not be found."),
        _ => error_reply(405, "The method is not supported for this route."),
    }
}

/// Returns the reply to an unknown or expired token.
pub(super) fn unauthenticated_reply() -> Reply {
    error_reply(401, "Unauthenticated.")
}

fn error_reply(status: u16, message: &str) -> Reply {
    let response = json!({"status": "error", "status_code": status, "message": message});
    Reply::json(status, &json!({"response": response, "data": null}))
}

fn success_reply(data: &Value) -> Reply {
    let response = json!({"status": "success", "status_code": 200, "message": "ok"});
    Reply::json(200, &json!({"response": response, "data": data}))
}

fn log_in(rapatin: &Rapatin, request: &RequestHead, body: &[u8]) -> Reply {
    if request.method != "POST" {
        return error_reply(405, "The method is not supported for this route.");
    }
    let is_json =
        request.header("content-type").is_some_and(|kind| kind.starts_with("application/json"));
    let fields: Value = serde_json::from_slice(body).ok().filter(|_| is_json).unwrap_or_default();
    let field = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or("");
    if field("device").is_empty() {
        return error_reply(422, "The device field is required.");
    }
    if (field("email"), field("password")) != LOGIN {
        return error_reply(422, "The provided credentials are incorrect.");
    }
    success_reply(
        &json!({"token": rapatin.issue_token(), "user": {"name": "Ana", "email": LOGIN.0}}),
    )
}

fn list_schedule(rapatin: &Rapatin, request: &RequestHead) -> Reply {
    let day = |name: &str, default: Date| {
        request.parameter(name).map_or(Some(default), |text| text.parse::<Date>().ok())
    };
    let (Some(from), Some(to)) = (day("from", Date::MIN), day("to", Date::MAX)) else {
        return error_reply(422, "The from field must be a valid date.");
    };
    let now = Timestamp::now();
    let tab = request.parameter("tab").unwrap_or_else(|| "upcoming".into());
    let mut sessions = rapatin.sessions();
    sessions.retain(|session| {
        let is_past = session.start < now;
        let is_in_tab = match tab.as_str() {
            "previous" => is_past,
            "all" => true,
            _ => !is_past,
        };
        let day = Offset::UTC.to_datetime(session.start).date();
        session.is_scheduled && is_in_tab && from <= day && day <= to
    });
    sessions.sort_by(|a, b| b.start.cmp(&a.start).then_with(|| a.uuid.cmp(&b.uuid)));
    let page_count = sessions.len().div_ceil(PAGE_SIZE).max(1);
    let page =
        request.parameter("page").and_then(|page| page.parse::<usize>().ok()).unwrap_or(1).max(1);
    let start = (page - 1).saturating_mul(PAGE_SIZE);
    let items: Vec<Value> =
        sessions.iter().skip(start).take(PAGE_SIZE).map(schedule_json).collect();
    let mut data = Map::from_iter([("items".to_owned(), Value::Array(items))]);
    if page_count > 1 {
        data.insert("current_page".into(), json!(page));
        data.insert("last_page".into(), json!(page_count));
    }
    success_reply(&Value::Object(data))
}

fn schedule_json(session: &RapatinSession) -> Value {
    let start = Offset::UTC.to_datetime(session.start);
    let occurrence = session.is_recurring.then(|| session.start.as_millisecond().to_string());
    json!({"id": pattern_seed(&session.uuid) % 1_000_000, "topic": session.topic, "meeting_id": session.meeting_id,
           "start_date": start.date().to_string(), "start_time": start.strftime("%H:%M:%S").to_string(),
           "recurring": session.is_recurring, "occurence_id": occurrence})
}

fn list_recordings(rapatin: &Rapatin, meeting: &str, web_origin: &str) -> Reply {
    let mut sessions = rapatin.sessions();
    sessions.retain(|session| session.meeting_id == meeting);
    let mut entries: Vec<Value> =
        sessions.iter().map(|session| session_json(rapatin, session, web_origin)).collect();
    match (entries.pop(), entries.is_empty()) {
        (None, _) => error_reply(404, "Recording not found."),
        (Some(single), true) => success_reply(&single),
        (Some(last), false) => {
            entries.push(last);
            success_reply(&Value::Array(entries))
        }
    }
}

fn session_json(rapatin: &Rapatin, session: &RapatinSession, web_origin: &str) -> Value {
    let day = Offset::UTC.to_datetime(session.start).date();
    let status = match session.status {
        RapatinStatus::Ready => "ready",
        RapatinStatus::Processing => "processing",
        RapatinStatus::Deleted => "deleted",
    };
    let is_ready = session.status == RapatinStatus::Ready;
    let files = session.files.iter().enumerate();
    let files: Vec<Value> = files
        .map(|(index, file)| {
            file_json(file, &rapatin.download_url(session, index, file, web_origin), web_origin)
        })
        .collect();
    json!({"uuid": session.uuid, "meeting_id": session.meeting_id, "status": status, "topic": session.topic,
           "recorded_on": day.to_string(), "delete_on": day.saturating_add(RETENTION_DAYS.days()).to_string(),
           "share_url": is_ready.then(|| format!("{web_origin}/rec/share/demo")),
           "files": is_ready.then_some(files)})
}

fn file_json(file: &MeetingFile, download_url: &str, web_origin: &str) -> Value {
    let length = file.content.length();
    let size = match file.listed_size {
        ListedSize::True => Some(length),
        ListedSize::Wrong(difference) => Some(length.saturating_add_signed(difference)),
        ListedSize::Absent => None,
    };
    let is_playable = matches!(file.file_type.as_str(), "MP4" | "M4A");
    let play_url = if is_playable { format!("{web_origin}/rec/play/demo") } else { String::new() };
    json!({"recording_type": file.recording_type, "file_type": file.file_type,
           "file_size": size.map(|size| size.to_string()), "download_url": download_url, "play_url": play_url})
}

//! Zoom's REST API: listings, single meetings, past meetings, users.
//!
//! The quirks are deliberate. Each one states its source.

use std::time::Duration;

use jiff::ToSpan;
use jiff::civil::Date;
use jiff::tz::Offset;
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

use super::archive::{Meeting, User, today};
use super::oauth::{Grant, TokenState, Tokens};
use super::page_tokens::{PageTokens, Query};
use super::reply::Reply;
use super::request_head::RequestHead;
use super::store::Store;
use super::zoom_json::{meeting_json, participant_json, user_json};
use super::zoom_trash::TrashedMeeting;

/// Default page size (Zoom's documentation, "List all recordings").
const DEFAULT_PAGE_SIZE: u32 = 30;

/// The state that a reply depends on.
pub(super) struct Api<'a> {
    pub(super) store: &'a Store,
    pub(super) tokens: &'a Tokens,
    pub(super) page_tokens: &'a PageTokens,
    pub(super) max_page_size: u32,
    pub(super) web_origin: &'a str,
}

type ReplyResult = Result<Value, Reply>;

impl Api<'_> {
    /// Answers a request whose path begins with `/v2`.
    pub(super) fn answer(&self, request: &RequestHead) -> Reply {
        self.route(request).map_or_else(|refusal| refusal, |value| Reply::json(200, &value))
    }

    fn route(&self, request: &RequestHead) -> ReplyResult {
        match request.bearer_token().map(|token| self.tokens.state_of(token)) {
            Some(TokenState::Valid(Grant::Account)) => {}
            Some(TokenState::Expired) => return Err(Reply::expired_token()),
            _ => return Err(Reply::error(401, 124, "Invalid access token.")),
        }
        if request.method != "GET" {
            return Err(Reply::error(405, 405, "Request method is not supported."));
        }
        let path = request.path.strip_prefix("/v2/").unwrap_or("");
        // Segments stay encoded: an encoded slash is part of a segment.
        let segments: Vec<&str> = path.split('/').collect();
        self.check_scope(&segments)?;
        match segments.as_slice() {
            ["users"] => self.list_users(request),
            ["users", user] => self.find_user(user).map(user_json),
            ["users", user, "recordings"] => {
                let user = self.find_user(user)?;
                self.list_recordings(request, Some(user))
            }
            ["accounts", _, "recordings"] => self.list_recordings(request, None),
            ["meetings", meeting, "recordings"] => self.meeting_recordings_reply(request, meeting),
            ["past_meetings", meeting] => self.past_meeting_reply(meeting),
            ["past_meetings", number, "instances"] => self.list_instances(number),
            ["past_meetings", meeting, "participants"] => self.list_participants(request, meeting),
            _ => Err(Reply::error(404, 2300, "This API endpoint is not recognized.")),
        }
    }

    /// Rejects a request if the token lacks the required scope. The message is Zoom's ("Invalid
    /// access token, does not contain scopes").
    fn check_scope(&self, segments: &[&str]) -> Result<(), Reply> {
        let scope = match segments {
            ["users", ..] if segments.len() < 3 => "user:read:list_users",
            ["users", ..] => "cloud_recording:read:list_user_recordings",
            ["accounts", ..] => "cloud_recording:read:list_account_recordings",
            ["meetings", ..] => "cloud_recording:read:list_recording_files",
            ["past_meetings", _, "participants"] => "meeting:read:list_past_participants",
            ["past_meetings", ..] => "meeting:read:past_meeting",
            _ => return Ok(()),
        };
        if self.tokens.has_scope(scope) {
            return Ok(());
        }
        let message =
            format!("Invalid access token, does not contain scopes:[{scope}, {scope}:admin].");
        Err(Reply::error(400, 4711, &message))
    }

    fn find_user(&self, segment: &str) -> Result<&User, Reply> {
        let name = percent_decode(segment);
        let users = self.store.users();
        let user = if name == "me" {
            users.first()
        } else {
            users.iter().find(|user| user.id == name || user.email.eq_ignore_ascii_case(&name))
        };
        user.ok_or_else(|| Reply::error(404, 1001, &format!("User does not exist: {name}.")))
    }

    fn list_users(&self, request: &RequestHead) -> ReplyResult {
        let status = request.parameter("status").unwrap_or_else(|| "active".into());
        let matching_users: Vec<&User> =
            self.store.users().iter().filter(|user| user.status == status).collect();
        let query = Query { list_name: format!("users {status}"), first_day: None, last_day: None };
        let page = self.select_page(request, query, matching_users.len())?;
        let users: Vec<Value> = matching_users
            .iter()
            .skip(page.start)
            .take(page.size)
            .map(|user| user_json(user))
            .collect();
        Ok(json!({"page_count": page.count, "page_number": 1, "page_size": page.size,
                  "total_records": matching_users.len(), "next_page_token": page.next_token, "users": users}))
    }

    fn list_recordings(&self, request: &RequestHead, user: Option<&User>) -> ReplyResult {
        let is_trash_request = request.parameter("trash").is_some_and(|value| value == "true");
        if let (true, Some(user)) = (is_trash_request, user) {
            return self.list_trash(request, user);
        }
        let (from, to) = requested_days(request)?;
        let entries: Vec<&Meeting> = self
            .store
            .meetings()
            .iter()
            .filter(|meeting| user.is_none_or(|user| user.email == meeting.host_email))
            .filter(|meeting| {
                let day = Offset::UTC.to_datetime(meeting.start).date();
                from <= day && day <= to
            })
            .collect();
        let list_name = format!("recordings {}", user.map_or("", |user| user.id.as_str()));
        let page = self.select_page(
            request,
            Query { list_name, first_day: Some(from), last_day: Some(to) },
            entries.len(),
        )?;
        let meetings: Vec<Value> = entries
            .iter()
            .skip(page.start)
            .take(page.size)
            .map(|meeting| {
                Value::Object(meeting_json(meeting, self.host_id(meeting), self.web_origin))
            })
            .collect();
        Ok(json!({"from": from.to_string(), "to": to.to_string(), "page_count": page.count,
                  "page_size": page.size, "total_records": entries.len(), "next_page_token": page.next_token,
                  "meetings": meetings}))
    }

    /// Lists the trash of one user and ignores the requested days. Zoom cannot list the trash of a
    /// whole account: a request for it returns the meetings that are not trashed.
    fn list_trash(&self, request: &RequestHead, user: &User) -> ReplyResult {
        let trash_type =
            request.parameter("trash_type").unwrap_or_else(|| "meeting_recordings".into());
        let is_whole_meeting = match trash_type.as_str() {
            "meeting_recordings" => true,
            "recording_file" => false,
            _ => return Err(Reply::error(400, 300, "Invalid field: trash_type.")),
        };
        let belongs_to_user = |trashed: &&TrashedMeeting| trashed.meeting.host_email == user.email;
        let entries: Vec<_> = self
            .store
            .trash()
            .iter()
            .filter(belongs_to_user)
            .filter(|trashed| trashed.is_whole_meeting == is_whole_meeting)
            .collect();
        let list_name = format!("trash {trash_type} {}", user.id);
        let page = self.select_page(
            request,
            Query { list_name, first_day: None, last_day: None },
            entries.len(),
        )?;
        let page_entries = entries.iter().skip(page.start).take(page.size);
        let meetings: Vec<_> =
            page_entries.map(|trashed| trashed.json(&user.id, self.web_origin)).collect();
        Ok(json!({"from": today().to_string(), "to": today().to_string(), "page_count": page.count,
                  "page_size": page.size, "total_records": entries.len(), "next_page_token": page.next_token,
                  "meetings": meetings}))
    }

    fn meeting_recordings_reply(&self, request: &RequestHead, segment: &str) -> ReplyResult {
        let meeting = self.find_meeting(segment)?;
        let is_listed = self.store.find_meeting(&meeting.uuid).is_some();
        if meeting.files.is_empty() || !is_listed {
            return Err(Reply::error(404, 3301, "This recording does not exist."));
        }
        let mut entry = meeting_json(meeting, self.host_id(meeting), self.web_origin);
        entry.insert("password".into(), json!("demo"));
        entry.insert("recording_play_passcode".into(), json!("demo-play"));
        let audio: Vec<Value> = meeting
            .participant_audio
            .iter()
            .map(|file| super::zoom_json::participant_audio_json(meeting, file, self.web_origin))
            .collect();
        entry.insert("participant_audio_files".into(), Value::Array(audio));
        let fields = request.parameter("include_fields").unwrap_or_default();
        if fields.split(',').any(|field| field == "download_access_token") {
            let seconds = request.parameter("ttl").and_then(|ttl| ttl.parse().ok()).unwrap_or(0);
            let ttl = (seconds > 0).then(|| Duration::from_secs(u64::min(seconds, 604_800)));
            let token = self.tokens.issue(Grant::Meeting(meeting.uuid.clone()), ttl);
            entry.insert("download_access_token".into(), token.into());
        }
        Ok(Value::Object(entry))
    }

    fn past_meeting_reply(&self, segment: &str) -> ReplyResult {
        let meeting = self.find_meeting(segment)?;
        if meeting.is_too_old_for_details {
            let message = "Can not access a meeting a year ago.";
            return Err(Reply::error(400, 12702, message));
        }
        let host = self.store.users().iter().find(|host| host.email == meeting.host_email);
        let name = host.and_then(|host| host.name.as_ref());
        let minutes = i64::from(meeting.duration_minutes);
        let end = meeting.start + jiff::SignedDuration::from_mins(minutes);
        Ok(
            json!({"uuid": meeting.uuid, "id": meeting.number, "host_id": self.host_id(meeting), "type": 2,
                  "topic": meeting.topic, "user_name": name.map(|(first, last)| format!("{first} {last}")),
                  "user_email": meeting.host_email, "start_time": meeting.start.to_string(),
                  "end_time": end.to_string(), "duration": minutes,
                  "total_minutes": minutes * meeting.participants.len() as i64,
                  "participants_count": meeting.participants.len(), "dept": "", "source": "Zoom"}),
        )
    }

    fn list_instances(&self, segment: &str) -> ReplyResult {
        let number = percent_decode(segment);
        let instances: Vec<Value> = self
            .store
            .meetings()
            .iter()
            .filter(|meeting| meeting.number.to_string() == number)
            .map(|meeting| json!({"uuid": meeting.uuid, "start_time": meeting.start.to_string()}))
            .collect();
        Ok(Map::from_iter([("meetings".to_owned(), Value::Array(instances))]).into())
    }

    fn list_participants(&self, request: &RequestHead, segment: &str) -> ReplyResult {
        let meeting = self.find_meeting(segment)?;
        if meeting.is_too_old_for_details {
            return Err(Reply::error(400, 12702, "Can not access a meeting a year ago."));
        }
        let participants = &meeting.participants;
        let query = Query {
            list_name: format!("participants {}", meeting.uuid),
            first_day: None,
            last_day: None,
        };
        let page = self.select_page(request, query, participants.len())?;
        let page_entries = participants.iter().enumerate().skip(page.start).take(page.size);
        let participants: Vec<Value> = page_entries
            .map(|(index, participant)| participant_json(meeting, index, participant))
            .collect();
        Ok(
            json!({"page_count": page.count, "page_size": page.size, "total_records": participants.len(),
                  "next_page_token": page.next_token, "participants": participants}),
        )
    }

    /// Returns the meeting of a path segment, which is a UUID or a number. A number selects the
    /// latest instance.
    ///
    /// A UUID that begins with a slash or contains two consecutive slashes must be encoded twice.
    /// Any other UUID may be encoded twice.
    fn find_meeting(&self, segment: &str) -> Result<&Meeting, Reply> {
        let not_found_reply =
            |name: &str| Reply::error(404, 3001, &format!("Meeting does not exist: {name}."));
        let name = percent_decode(segment);
        if name.starts_with('/') || name.contains("//") {
            return Err(not_found_reply(&name));
        }
        if let Ok(number) = name.parse::<u64>() {
            let latest_instance =
                self.store.meetings().iter().find(|meeting| meeting.number == number);
            return latest_instance.ok_or_else(|| not_found_reply(&name));
        }
        // A meeting whose recordings were deleted is also found, because it took place.
        let find_by_uuid = |uuid: &str| {
            let trash = || self.store.trash().iter().map(|trashed| &trashed.meeting);
            self.store.find_meeting(uuid).or_else(|| trash().find(|meeting| meeting.uuid == uuid))
        };
        let meeting = find_by_uuid(&name).or_else(|| find_by_uuid(&percent_decode(&name)));
        meeting.ok_or_else(|| not_found_reply(&name))
    }

    fn host_id(&self, meeting: &Meeting) -> &str {
        let host = self.store.users().iter().find(|host| host.email == meeting.host_email);
        host.map_or("", |host| host.id.as_str())
    }

    fn select_page(
        &self,
        request: &RequestHead,
        query: Query,
        total: usize,
    ) -> Result<Page, Reply> {
        let size = match request.parameter("page_size").map(|size| size.parse::<u32>()) {
            None => DEFAULT_PAGE_SIZE,
            Some(Ok(size)) if size > 0 => size,
            Some(_) => return Err(Reply::error(400, 300, "The page size is invalid.")),
        };
        let size = size.min(self.max_page_size.clamp(1, 300)) as usize;
        let start = match request.parameter("next_page_token").filter(|token| !token.is_empty()) {
            None => 0,
            Some(token) => self
                .page_tokens
                .redeem(&token, &query, size)
                .ok_or_else(Reply::invalid_page_token)?,
        };
        let end = start.saturating_add(size);
        let next_token =
            if end < total { self.page_tokens.issue(query, size, end) } else { String::new() };
        Ok(Page { start, size, count: total.div_ceil(size), next_token })
    }
}

struct Page {
    start: usize,
    size: usize,
    count: usize,
    next_token: String,
}

/// Returns the first and the last requested day. If they are more than a month apart, only the last
/// month is returned. The reply then states the shorter range and is not an error (zoom/api, issue
/// 36).
fn requested_days(request: &RequestHead) -> Result<(Date, Date), Reply> {
    let day =
        |name: &str, default: Date| match request.parameter(name).filter(|value| !value.is_empty())
        {
            None => Ok(default),
            Some(text) => {
                text.parse().map_err(|_| Reply::error(400, 300, &format!("Invalid field: {name}.")))
            }
        };
    let tomorrow = today().saturating_add(1.day());
    let from = day("from", today())?;
    let to = day("to", tomorrow)?;
    if from > to {
        return Err(Reply::error(400, 300, "The start date cannot be after the end date."));
    }
    Ok((from.max(to.saturating_sub(1.month())), to))
}

fn percent_decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

//! JSON entries of Zoom's replies. Fields that Zoom omits are missing here too.

use jiff::SignedDuration;
use serde_json::{Map, Value, json};

use super::archive::{
    EmptyFileList, FileLocation, FileStatus, ListedSize, Meeting, MeetingFile, Participant, User,
};
use super::file_paths::web_path;
use super::oauth::Credentials;

/// Returns a meeting as a listing contains it.
pub(super) fn meeting_json(
    meeting: &Meeting,
    host_id: &str,
    web_origin: &str,
) -> Map<String, Value> {
    let number = |value: u64| number_json(meeting, value);
    let files: Vec<Value> = meeting
        .files
        .iter()
        .map(|file| Value::Object(file_json(meeting, file, web_origin)))
        .collect();
    // The total size and the count include participant audio, so they do not match the listed
    // files.
    let all_files = meeting.files.iter().chain(&meeting.participant_audio);
    let total_size: u64 = all_files.map(|file| file.content.length()).sum();
    let file_count = meeting.files.len() + meeting.participant_audio.len();
    let mut entry = Map::new();
    let mut put = |key: &str, value: Value| entry.insert(key.into(), value);
    put("uuid", json!(meeting.uuid));
    put("id", number(meeting.number));
    put("account_id", json!(Credentials::demo().account_id));
    put("host_id", json!(host_id));
    put("host_email", json!(meeting.host_email));
    put("topic", json!(meeting.topic));
    put("type", number(2));
    put("start_time", json!(meeting.start.to_string()));
    put("timezone", json!(""));
    put("duration", json!(meeting.duration_minutes));
    put("total_size", number(total_size));
    put("recording_count", number(file_count as u64));
    put("share_url", json!(format!("{web_origin}/rec/share/demo")));
    put("recording_play_passcode", json!("demo-play"));
    if let Some(day) = meeting.auto_delete_date {
        put("auto_delete", json!(true));
        put("auto_delete_date", json!(day.to_string()));
    }
    match (files.is_empty(), meeting.empty_file_list) {
        (true, EmptyFileList::Absent) => {}
        (true, EmptyFileList::Null) => {
            put("recording_files", Value::Null);
        }
        _ => {
            put("recording_files", Value::Array(files));
        }
    }
    entry
}

fn file_json(meeting: &Meeting, file: &MeetingFile, web_origin: &str) -> Map<String, Value> {
    let is_processing = file.status == FileStatus::Processing;
    let empty_if_processing = |value: &str| json!(if is_processing { "" } else { value });
    let mut entry = Map::new();
    let mut put = |key: &str, value: Value| entry.insert(key.into(), value);
    if let Some(id) = &file.id {
        put("id", json!(id));
    }
    put("meeting_id", json!(meeting.uuid));
    put("recording_start", json!(file.recording_start.to_string()));
    put("recording_end", empty_if_processing(&file.recording_end.to_string()));
    put("file_type", empty_if_processing(&file.file_type));
    if let Some(extension) = &file.file_extension {
        put("file_extension", empty_if_processing(extension));
    }
    let length = file.content.length();
    let size = match file.listed_size {
        _ if is_processing => Some(0),
        ListedSize::True => Some(length),
        ListedSize::Wrong(difference) => Some(length.saturating_add_signed(difference)),
        ListedSize::Absent => None,
    };
    if let Some(size) = size {
        put("file_size", number_json(meeting, size));
    }
    let status = match file.status {
        FileStatus::Completed => Some("completed"),
        FileStatus::Processing => Some("processing"),
        FileStatus::Empty => Some(""),
        FileStatus::Absent => None,
    };
    if let Some(status) = status {
        put("status", json!(status));
    }
    if let (Some(view), false) = (&file.recording_type, is_processing) {
        put("recording_type", json!(view));
    }
    match &file.location {
        FileLocation::OnPremise(path) => {
            put("file_path", json!(path));
        }
        FileLocation::DownloadUrl | FileLocation::DownloadUrlWithQuery => {
            if file.id.is_some() && matches!(file.file_type.as_str(), "MP4" | "M4A") {
                put("play_url", json!(format!("{web_origin}/rec/play/demo")));
            }
            put("download_url", json!(download_url(meeting, file, web_origin)));
        }
    }
    entry
}

/// Returns an audio file of one participant, as listed with a single meeting.
pub(super) fn participant_audio_json(
    meeting: &Meeting,
    file: &MeetingFile,
    web_origin: &str,
) -> Value {
    json!({"id": file.id, "file_name": file.recording_type, "file_type": file.file_type,
           "file_extension": file.file_extension, "file_size": file.content.length(),
           "recording_start": file.recording_start.to_string(), "recording_end": file.recording_end.to_string(),
           "download_url": download_url(meeting, file, web_origin),
           "play_url": format!("{web_origin}/rec/play/demo"), "status": "completed"})
}

/// Returns a participant as in `GET /past_meetings/{id}/participants`. Each participant joins one
/// second after the previous one.
pub(super) fn participant_json(
    meeting: &Meeting,
    index: usize,
    participant: &Participant,
) -> Value {
    let join_time = meeting.start + SignedDuration::from_secs(index as i64);
    // Even in a very short meeting, a participant does not leave before joining.
    let leave_time = join_time
        .max(meeting.start + SignedDuration::from_mins(i64::from(meeting.duration_minutes)));
    json!({"id": "", "user_id": (16_778_240 + index).to_string(), "name": participant.name,
           "user_email": participant.email, "join_time": join_time.to_string(), "leave_time": leave_time.to_string(),
           "duration": leave_time.duration_since(join_time).as_secs(), "registrant_id": "", "failover": false,
           "status": "in_meeting", "internal_user": participant.email == meeting.host_email})
}

/// Returns a user as in `GET /users`. Some deactivated users have no name.
pub(super) fn user_json(user: &User) -> Value {
    let mut entry = Map::new();
    entry.insert("id".into(), json!(user.id));
    entry.insert("email".into(), json!(user.email));
    if let Some((first, last)) = &user.name {
        entry.insert("first_name".into(), json!(first));
        entry.insert("last_name".into(), json!(last));
    }
    entry.insert("type".into(), json!(2));
    entry.insert("status".into(), json!(user.status));
    entry.insert("timezone".into(), json!("Europe/Lisbon"));
    entry.insert("account_id".into(), json!(Credentials::demo().account_id));
    Value::Object(entry)
}

fn download_url(meeting: &Meeting, file: &MeetingFile, web_origin: &str) -> String {
    let query = if file.location == FileLocation::DownloadUrlWithQuery { "?type=cc" } else { "" };
    format!("{web_origin}{}{query}", web_path(meeting, file))
}

fn number_json(meeting: &Meeting, value: u64) -> Value {
    if meeting.numbers_as_strings { json!(value.to_string()) } else { json!(value) }
}

//! Builds the contents of `meeting.json`, which are the same after every listing.
//!
//! The file contains the URLs and passcodes that play a recording in a browser, because only the
//! owner of the mount can read it. It contains no URL and no token that can download a file.

use serde_json::{Map, Value};

use super::file_status::{declared_size, is_processing};
use super::wire;
use crate::model::{FileKey, SHARE_URL_FIELD};
use crate::providers::toolkit::document::{is_harmless, put};
use crate::providers::toolkit::serde_lenient;

/// The metadata field that contains the e-mail address of the meeting host.
pub(crate) const MEETING_HOST_FIELD: &str = "host_email";

/// The fields with the passcodes that open a recording in a browser.
const PASSCODES: [&str; 2] = ["password", "recording_play_passcode"];

/// Returns the metadata of a listed meeting and of its files. Omits files that Zoom is still
/// processing.
pub(crate) fn from_meeting(
    meeting: &wire::Meeting,
    files: &[(FileKey, wire::File)],
) -> Map<String, Value> {
    let mut fields = Map::new();
    put(&mut fields, "uuid", Some(meeting.uuid()));
    put(&mut fields, "id", meeting.id.as_deref().map(number_or_text));
    put(&mut fields, "topic", meeting.topic.as_deref());
    put(&mut fields, "type", meeting.kind);
    put(&mut fields, "host_id", meeting.host_id.as_deref());
    put(&mut fields, "host_email", meeting.host_email.as_deref());
    put(&mut fields, "start_time", meeting.start_time.map(|time| time.to_string()));
    put(&mut fields, "timezone", meeting.timezone.as_deref());
    put(&mut fields, "duration", meeting.duration);
    put(&mut fields, SHARE_URL_FIELD, meeting.share_url.as_deref());
    for passcode in PASSCODES {
        put(&mut fields, passcode, serde_lenient::first_text(&meeting.other_fields, &[passcode]));
    }
    let mut other_fields: Vec<_> =
        meeting.other_fields.iter().filter(|(name, value)| is_harmless(name, value)).collect();
    other_fields.sort_by_key(|(name, _)| *name);
    for (name, value) in other_fields {
        put(&mut fields, name, Some(value.clone()));
    }
    put(&mut fields, "recording_files", Some(file_values(files.iter().map(|(_, file)| file))));
    fields
}

/// Returns the additional metadata in a reply about the recordings of one meeting.
pub(crate) fn from_recordings(recordings: &wire::Meeting) -> Map<String, Value> {
    let mut fields = Map::new();
    for passcode in PASSCODES {
        put(
            &mut fields,
            passcode,
            serde_lenient::first_text(&recordings.other_fields, &[passcode]),
        );
    }
    let participant_files = file_values(&recordings.participant_audio_files);
    put(
        &mut fields,
        "participant_audio_files",
        Some(participant_files).filter(|files| !files.is_empty()),
    );
    fields
}

/// Returns the additional metadata in a reply about a past meeting, with Zoom's keys.
pub(crate) fn from_past_meeting(reply: &Map<String, Value>) -> Map<String, Value> {
    /// The documented fields that are copied from the reply.
    const DOCUMENTED_FIELDS: [&str; 11] = [
        "user_name",
        "user_email",
        "host_id",
        "type",
        "start_time",
        "end_time",
        "duration",
        "total_minutes",
        "participants_count",
        "dept",
        "source",
    ];
    let mut fields = Map::new();
    for name in DOCUMENTED_FIELDS {
        let value = reply
            .get(name)
            .filter(|value| value.is_number() || serde_lenient::as_text(value).is_some());
        put(&mut fields, name, value.cloned());
    }
    fields
}

fn file_values<'f>(files: impl IntoIterator<Item = &'f wire::File>) -> Vec<Value> {
    files.into_iter().filter(|file| !is_processing(file)).map(file_value).collect()
}

fn file_value(file: &wire::File) -> Value {
    let mut fields = Map::new();
    put(&mut fields, "id", file.id.as_deref());
    put(&mut fields, "file_name", file.file_name.as_deref());
    put(&mut fields, "file_type", file.file_type.as_deref());
    put(&mut fields, "file_extension", file.file_extension.as_deref());
    put(&mut fields, "recording_type", file.recording_type.as_deref());
    put(&mut fields, "file_size", declared_size(file));
    put(&mut fields, "recording_start", file.recording_start.map(|time| time.to_string()));
    put(&mut fields, "recording_end", file.recording_end.map(|time| time.to_string()));
    put(&mut fields, "play_url", file.play_url.as_deref());
    Value::Object(fields)
}

/// Returns a meeting id as a number, if it is one. Users see meeting ids as numbers, but Zoom may
/// send strings.
fn number_or_text(id: &str) -> Value {
    id.parse::<u64>().map_or_else(|_| Value::from(id), Value::from)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::{MeetingMetadata, SourceName};
    use crate::providers::zoom::mapping;

    fn metadata_of(entry: Value) -> MeetingMetadata {
        let meeting = wire::Meeting::parse(entry).unwrap();
        mapping::map_meeting(&SourceName::new("acme").unwrap(), meeting).meeting.metadata
    }

    #[test]
    fn metadata_is_ordered_and_has_no_download_url() {
        let entry = json!({
            "zebra": 1, "account_id": "acc", "uuid": "u==", "id": "98765432101", "topic": "Plan",
            "recording_play_passcode": "p4ss", "password": "p4ss", "recording_count": 3, "total_size": 77,
            "share_url": "https://us06web.zoom.us/rec/share/x", "odd_address": "https://zoom.us/s3cret",
            "participant_audio_files": [{"download_url": "https://zoom.us/s3cret"}],
            "recording_files": [
                {"id": "b", "file_type": "MP4", "file_size": 5, "recording_start": "2026-10-06T08:00:00Z",
                 "download_url": "https://zoom.us/s3cret", "play_url": "https://zoom.us/play"},
                {"id": "a", "file_type": "M4A", "recording_start": "2026-10-06T07:00:00Z"},
                {"id": "c", "file_type": "", "status": "processing"},
            ],
        });
        let text = serde_json::to_string(&metadata_of(entry)).unwrap();
        assert_eq!(
            text,
            concat!(
                r#"{"uuid":"u==","id":98765432101,"topic":"Plan","share_url":"https://us06web.zoom.us/rec/share/x","#,
                r#""password":"p4ss","recording_play_passcode":"p4ss","#,
                r#""account_id":"acc","zebra":1,"recording_files":["#,
                r#"{"id":"a","file_type":"M4A","recording_start":"2026-10-06T07:00:00Z"},"#,
                r#"{"id":"b","file_type":"MP4","file_size":5,"recording_start":"2026-10-06T08:00:00Z","#,
                r#""play_url":"https://zoom.us/play"}]}"#
            )
        );
    }

    #[test]
    fn details_keep_documented_fields() {
        let reply = json!({"user_name": "Ana", "dept": "", "total_minutes": 3, "id": 1, "token": "s3cret",
            "participants_count": "2", "source": null});
        let text = serde_json::to_string(&from_past_meeting(reply.as_object().unwrap())).unwrap();
        assert_eq!(text, r#"{"user_name":"Ana","total_minutes":3,"participants_count":"2"}"#);
    }
}

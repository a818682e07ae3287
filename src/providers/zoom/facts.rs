//! What `meeting.json` says of a meeting: the same on every listing. What lets a person play a recording in a browser is
//! in it, for `meeting.json` is its owner's alone; what downloads a file is not.

use serde_json::{Map, Value};

use super::mapping::{declared_size, is_processing};
use super::wire;
use crate::model::FileKey;
use crate::providers::toolkit::document::{is_harmless, put};
use crate::providers::toolkit::serde_lenient;

/// What lets a person play a recording in a browser.
const PASSCODES: [&str; 2] = ["password", "recording_play_passcode"];

/// The facts of a listed meeting with its finished files.
pub(crate) fn of_meeting(
    meeting: &wire::Meeting,
    files: &[(FileKey, wire::File)],
) -> Map<String, Value> {
    let mut facts = Map::new();
    put(&mut facts, "uuid", Some(meeting.uuid()));
    put(&mut facts, "id", meeting.id.as_deref().map(number_or_text));
    put(&mut facts, "topic", meeting.topic.as_deref());
    put(&mut facts, "type", meeting.kind);
    put(&mut facts, "host_id", meeting.host_id.as_deref());
    put(&mut facts, "host_email", meeting.host_email.as_deref());
    put(&mut facts, "start_time", meeting.start_time.map(|time| time.to_string()));
    put(&mut facts, "timezone", meeting.timezone.as_deref());
    put(&mut facts, "duration", meeting.duration);
    put(&mut facts, "share_url", meeting.share_url.as_deref());
    for passcode in PASSCODES {
        put(&mut facts, passcode, serde_lenient::first_text(&meeting.other, &[passcode]));
    }
    let mut other: Vec<_> =
        meeting.other.iter().filter(|(name, value)| is_harmless(name, value)).collect();
    other.sort_by_key(|(name, _)| *name);
    for (name, value) in other {
        put(&mut facts, name, Some(value.clone()));
    }
    put(&mut facts, "recording_files", Some(of_files(files.iter().map(|(_, file)| file))));
    facts
}

/// What the reply that describes one meeting's recordings adds.
pub(crate) fn of_recordings(described: &wire::Meeting) -> Map<String, Value> {
    let mut facts = Map::new();
    for passcode in PASSCODES {
        put(&mut facts, passcode, serde_lenient::first_text(&described.other, &[passcode]));
    }
    let participants = of_files(&described.participant_audio_files);
    put(
        &mut facts,
        "participant_audio_files",
        Some(participants).filter(|files| !files.is_empty()),
    );
    facts
}

/// What the details of a past meeting add; its keys are Zoom's own.
pub(crate) fn of_details(reply: &Map<String, Value>) -> Map<String, Value> {
    /// All that is documented besides what the listing has said already.
    const KNOWN: [&str; 11] = [
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
    let mut facts = Map::new();
    for name in KNOWN {
        let value = reply
            .get(name)
            .filter(|value| value.is_number() || serde_lenient::as_text(value).is_some());
        put(&mut facts, name, value.cloned());
    }
    facts
}

fn of_files<'f>(files: impl IntoIterator<Item = &'f wire::File>) -> Vec<Value> {
    files.into_iter().filter(|file| !is_processing(file)).map(of_file).collect()
}

fn of_file(file: &wire::File) -> Value {
    let mut facts = Map::new();
    put(&mut facts, "id", file.id.as_deref());
    put(&mut facts, "file_name", file.file_name.as_deref());
    put(&mut facts, "file_type", file.file_type.as_deref());
    put(&mut facts, "file_extension", file.file_extension.as_deref());
    put(&mut facts, "recording_type", file.recording_type.as_deref());
    put(&mut facts, "file_size", declared_size(file));
    put(&mut facts, "recording_start", file.recording_start.map(|time| time.to_string()));
    put(&mut facts, "recording_end", file.recording_end.map(|time| time.to_string()));
    put(&mut facts, "play_url", file.play_url.as_deref());
    Value::Object(facts)
}

/// Ids are numbers to people, whichever way they were sent.
fn number_or_text(id: &str) -> Value {
    id.parse::<u64>().map_or_else(|_| Value::from(id), Value::from)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::{MeetingMetadata, SourceName};
    use crate::providers::zoom::mapping;

    fn facts(entry: Value) -> MeetingMetadata {
        let meeting = wire::Meeting::read(entry).unwrap();
        mapping::meeting(&SourceName::new("acme").unwrap(), meeting).meeting.metadata
    }

    #[test]
    fn facts_are_stable_ordered_and_without_what_downloads() {
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
        let text = serde_json::to_string(&facts(entry)).unwrap();
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
    fn details_keep_what_is_documented_and_said() {
        let reply = json!({"user_name": "Ana", "dept": "", "total_minutes": 3, "id": 1, "token": "s3cret",
            "participants_count": "2", "source": null});
        let text = serde_json::to_string(&of_details(reply.as_object().unwrap())).unwrap();
        assert_eq!(text, r#"{"user_name":"Ana","total_minutes":3,"participants_count":"2"}"#);
    }
}

//! The metadata of a session in `meeting.json`. It is the same in every listing and contains no
//! credentials.

use serde_json::{Map, Value};

use super::wire;
use crate::providers::toolkit::document::{is_harmless, put};
use crate::providers::zoom_share::file_kinds::declared_size;

/// Returns the metadata of a session of the meeting `meeting`. It contains no URL: Rapatin's
/// download URLs are credentials, and `share_url` may be one.
pub(crate) fn session_metadata(
    meeting: &str,
    session: &wire::Session,
    files: &[&wire::File],
) -> Map<String, Value> {
    let mut fields = Map::new();
    put(&mut fields, "uuid", Some(session.uuid()));
    put(&mut fields, "meeting_id", session.meeting_id.as_deref().or(Some(meeting)));
    put(&mut fields, "topic", session.topic.as_deref());
    put(&mut fields, "recorded_on", session.recorded_on.map(|day| day.to_string()));
    put(&mut fields, "delete_on", session.delete_on.as_deref());
    let mut other_fields: Vec<_> =
        session.other_fields.iter().filter(|(name, value)| is_harmless(name, value)).collect();
    other_fields.sort_by_key(|(name, _)| *name);
    for (name, value) in other_fields {
        put(&mut fields, name, Some(value.clone()));
    }
    put(
        &mut fields,
        "files",
        Some(files.iter().map(|file| file_metadata(file)).collect::<Vec<_>>()),
    );
    fields
}

fn file_metadata(file: &wire::File) -> Value {
    let mut fields = Map::new();
    put(&mut fields, "recording_type", file.recording_type.as_deref());
    put(&mut fields, "file_type", file.file_type.as_deref());
    put(&mut fields, "file_size", declared_size(file.file_size));
    Value::Object(fields)
}

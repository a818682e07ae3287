//! The metadata of a recording in `meeting.json`. It is the same in every listing and contains no
//! credentials.

use serde_json::{Map, Value};

use super::wire;
use crate::providers::toolkit::document::{is_harmless, put};
use crate::providers::toolkit::serde_lenient;

/// The metadata field that contains the e-mail address of the meeting host.
pub(crate) const MEETING_HOST_FIELD: &str = "hostEmail";

/// Returns the metadata of a recording from a listing or from its details. The field names are
/// Webex's.
pub(crate) fn recording_metadata(recording: &wire::Recording) -> Map<String, Value> {
    /// Documented text fields that contain no credentials.
    const PLAIN_FIELDS: [&str; 4] =
        ["scheduledMeetingId", "meetingSeriesId", "siteUrl", "serviceType"];
    let mut fields = Map::new();
    put(&mut fields, "id", Some(recording.id()));
    put(&mut fields, "meetingId", recording.meeting_id.as_deref());
    put(&mut fields, "topic", recording.topic.as_deref());
    put(&mut fields, "hostEmail", recording.host_email.as_deref());
    put(&mut fields, "createTime", recording.create_time.map(|time| time.to_string()));
    put(&mut fields, "timeRecorded", recording.time_recorded.map(|time| time.to_string()));
    put(&mut fields, "durationSeconds", recording.duration_seconds);
    put(&mut fields, "format", recording.format.as_deref());
    put(&mut fields, "sizeBytes", recording.declared_size());
    for name in PLAIN_FIELDS {
        put(
            &mut fields,
            name,
            serde_lenient::first_text(&recording.other_fields, &[name])
                .filter(|text| !text.contains("://")),
        );
    }
    let mut other_fields: Vec<_> = recording
        .other_fields
        .iter()
        .filter(|(name, value)| is_harmless(name, value) || is_tag_list(name, value))
        .collect();
    other_fields.sort_by_key(|(name, _)| *name);
    for (name, value) in other_fields {
        if !fields.contains_key(name) {
            put(&mut fields, name, Some(value.clone()));
        }
    }
    fields
}

/// Whether the field contains the tags that an integration attached to the recording.
fn is_tag_list(name: &str, value: &Value) -> bool {
    let is_not_url = |tag: &Value| tag.as_str().is_some_and(|tag| !tag.contains("://"));
    name == "integrationTags"
        && value.as_array().is_some_and(|tags| !tags.is_empty() && tags.iter().all(is_not_url))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn metadata_is_ordered_and_has_no_credentials() {
        let recording = wire::Recording::parse(json!({
            "zebra": 1, "id": "4f91", "meetingId": "f91b_I_1666", "scheduledMeetingId": "f91b_20260713T121500Z",
            "meetingSeriesId": "f91b", "topic": "Weekly: sales", "createTime": "2026-07-13T17:11:35Z",
            "timeRecorded": "2026-07-13T17:05:35Z", "siteUrl": "example.webex.com", "hostEmail": "ana@example.org",
            "downloadUrl": "https://example.webex.com/s3cret", "playbackUrl": "https://example.webex.com/s3cret",
            "password": "s3cret", "format": "MP4", "serviceType": "MeetingCenter", "durationSeconds": "1841",
            "sizeBytes": 16810345, "shareToMe": false, "integrationTags": ["crm"], "status": "available",
            "viewCount": 3, "odd": "https://example.webex.com/s3cret",
            "temporaryDirectDownloadLinks": {"recordingDownloadLink": "https://nsj1wss.webex.com/nbr?ticket=s3cret"},
        }));
        let text = serde_json::to_string(&recording_metadata(&recording.unwrap())).unwrap();
        assert_eq!(
            text,
            concat!(
                r#"{"id":"4f91","meetingId":"f91b_I_1666","topic":"Weekly: sales","hostEmail":"ana@example.org","#,
                r#""createTime":"2026-07-13T17:11:35Z","timeRecorded":"2026-07-13T17:05:35Z","durationSeconds":1841,"#,
                r#""format":"MP4","sizeBytes":16810345,"scheduledMeetingId":"f91b_20260713T121500Z","#,
                r#""meetingSeriesId":"f91b","siteUrl":"example.webex.com","serviceType":"MeetingCenter","#,
                r#""integrationTags":["crm"],"shareToMe":false,"zebra":1}"#
            )
        );
    }
}

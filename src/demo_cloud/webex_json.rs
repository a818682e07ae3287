//! JSON entries of Webex's replies. Fields that Webex omits are missing here too.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::archive::ListedSize;
use super::webex_archive::{WebexFile, WebexRecording};
use super::webex_tickets::Tickets;

/// The `siteUrl` of the only Webex site.
pub(super) const SITE: &str = "example.webex.com";

/// Returns a recording as a listing contains it. With `includes_host`, the result has the e-mail
/// address of the meeting host.
pub(super) fn listed_json(recording: &WebexRecording, includes_host: bool) -> Map<String, Value> {
    let number = |value: u64| {
        if recording.numbers_as_strings { json!(value.to_string()) } else { json!(value) }
    };
    let length = recording.video.length();
    let size = match recording.listed_size {
        ListedSize::True => Some(length),
        ListedSize::Wrong(difference) => Some(length.saturating_add_signed(difference)),
        ListedSize::Absent => None,
    };
    let mut entry = Map::new();
    let mut put = |key: &str, value: Value| entry.insert(key.into(), value);
    put("id", json!(recording.id));
    put("meetingId", json!(recording.meeting_id));
    put("scheduledMeetingId", json!(scheduled_meeting_id(recording)));
    put("meetingSeriesId", json!(series_id(recording)));
    put("topic", json!(recording.topic));
    put("createTime", json!(recording.create_time.to_string()));
    put("timeRecorded", json!(recording.time_recorded.to_string()));
    put("siteUrl", json!(SITE));
    if !recording.prevents_downloads {
        put(
            "downloadUrl",
            json!("https://example.webex.com/example/lsr.php?RCID=demo-download-page"),
        );
    }
    put("playbackUrl", json!("https://example.webex.com/example/ldr.php?RCID=demo-playback-page"));
    put("password", json!("demo-play"));
    if includes_host {
        put("hostEmail", json!(recording.host_email));
    }
    put("format", json!(recording.format));
    put("serviceType", json!("MeetingCenter"));
    put("durationSeconds", number(u64::from(recording.duration_seconds)));
    if let Some(size) = size {
        put("sizeBytes", number(size));
    }
    put("shareToMe", json!(false));
    put("integrationTags", json!([]));
    put("status", json!(recording.status));
    entry
}

/// Returns the details of a recording, with temporary download URLs.
pub(super) fn detail_json(
    recording: &WebexRecording,
    tickets: &Tickets,
    media_origin: &str,
    now: Timestamp,
    is_trash_served: bool,
) -> Value {
    let mut entry = listed_json(recording, true);
    if recording.is_served(is_trash_served) && !recording.prevents_downloads {
        let url = |file| json!(tickets.download_url(media_origin, recording, file, now));
        let mut download_urls = Map::new();
        download_urls.insert("recordingDownloadLink".into(), url(WebexFile::Video));
        if recording.audio.is_some() {
            download_urls.insert("audioDownloadLink".into(), url(WebexFile::Audio));
        }
        if recording.transcript.is_some() {
            download_urls.insert("transcriptDownloadLink".into(), url(WebexFile::Transcript));
        }
        download_urls.insert("expiration".into(), json!(tickets.expiry(now).to_string()));
        entry.insert("temporaryDirectDownloadLinks".into(), download_urls.into());
    }
    entry.into()
}

/// Returns a transcript as `/meetingTranscripts` lists it.
pub(super) fn transcript_json(recording: &WebexRecording, origin: &str) -> Value {
    let id = recording.stored_transcript_id();
    let download_url =
        |format: &str| format!("{origin}/v1/meetingTranscripts/{id}/download?format={format}");
    json!({"id": id, "meetingId": recording.meeting_id, "scheduledMeetingId": scheduled_meeting_id(recording),
           "meetingSeriesId": series_id(recording), "hostUserId": "demo-user", "meetingTopic": recording.topic,
           "startTime": recording.time_recorded.to_string(), "siteUrl": SITE,
           "vttDownloadLink": download_url("vtt"), "txtDownloadLink": download_url("txt"), "status": "available"})
}

fn series_id(recording: &WebexRecording) -> &str {
    recording.meeting_id.split('_').next().unwrap_or_default()
}

/// Returns the series id followed by the planned start, as in the example of the API reference.
fn scheduled_meeting_id(recording: &WebexRecording) -> String {
    format!("{}_{}", series_id(recording), recording.time_recorded.strftime("%Y%m%dT%H%M%SZ"))
}

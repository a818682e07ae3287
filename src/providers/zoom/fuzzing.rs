//! Functions for the fuzz targets. They parse Zoom's replies and map them to the model.

use std::collections::HashMap;
use std::time::Duration;

use jiff::civil::Date;
use secrecy::SecretString;
use serde_json::{Map, Value};
use url::Url;

use super::refusal::Refusal;
use super::{auth, mapping, metadata, participants, token_refusal, trash, wire};
use crate::http::ApiReply;
use crate::model::{DaySpan, Details, Meeting, SharedText, SourceName};
use crate::providers::oauth;
use crate::providers::toolkit::json_repair;
use crate::providers::toolkit::windowed_listing::uncovered_ranges;
use crate::providers::{ProviderError, TrashEntry};

/// Returns the meetings on a page.
pub fn read_listing(source: &SourceName, body: &[u8]) -> Vec<Meeting> {
    let page = json_repair::parse_object(body).and_then(wire::Page::parse);
    let meetings = page.into_iter().flat_map(|page| page.meetings);
    meetings.map(|entry| mapping::map_meeting(source, entry).meeting).collect()
}

/// Returns the contents of the trash. `meetings` is a page of trashed meetings, and `files` is a
/// page of trashed files.
pub fn read_trash(source: &SourceName, meetings: &[u8], files: &[u8]) -> Vec<TrashEntry> {
    let mut entries = HashMap::new();
    for body in [meetings, files] {
        let page = json_repair::parse_object(body).and_then(wire::Page::parse);
        for entry in page.into_iter().flat_map(|page| page.meetings) {
            let (trashed, urls) = trash::map_trash_entry(source, entry);
            trash::merge_entry(&mut entries, trashed, urls);
        }
    }
    entries.into_values().map(|(trashed, _)| trashed).collect()
}

/// Returns the days of `requested` that a page does not cover.
pub fn uncovered_days(requested: DaySpan, today: Date, body: &[u8]) -> Vec<DaySpan> {
    let page = json_repair::parse_object(body).and_then(wire::Page::parse);
    page.and_then(|page| uncovered_ranges(requested, page.covered_days(requested), today))
        .unwrap_or_default()
}

/// Returns the number of users on a page.
pub fn count_users(body: &[u8]) -> usize {
    json_repair::parse_object(body).map_or(0, |reply| wire::parse_users(reply).len())
}

/// Returns the keys of the files that have a download URL in a reply about one meeting.
pub fn downloadable_keys(body: &[u8]) -> Vec<String> {
    let recordings = json_repair::parse_object(body).map(wire::MeetingRecordings::parse);
    let urls = recordings
        .map(|reply| mapping::download_urls(reply.files, reply.participant_files))
        .unwrap_or_default();
    urls.into_iter().map(|listed| listed.url.key.to_string()).collect()
}

/// Returns the metadata in a reply about a past meeting.
pub fn read_past_meeting(body: &[u8]) -> Map<String, Value> {
    json_repair::parse_object(body)
        .map(|reply| metadata::from_past_meeting(&reply))
        .unwrap_or_default()
}

/// Returns the error of a reply that refuses an API call.
pub fn api_error(status: u16, body: &[u8], secret: &SecretString) -> Option<ProviderError> {
    let reply = json_repair::parse_object(body);
    Refusal::parse(status, reply.as_ref(), secret)
        .map(|refusal| refusal.to_provider_error("the recordings of user me"))
}

/// Returns the lifetime of the token in a reply, the base URL if the reply contains a trusted one,
/// and the sign-in file if the token can be renewed.
pub fn read_grant(base: &Url, body: &[u8]) -> Option<(Duration, Option<Url>, Option<Vec<u8>>)> {
    let grant = auth::parse_grant(serde_json::from_slice(body).ok()?, Some(base))?;
    let sign_in_file = oauth::fuzzing::file_content_for(&grant);
    Some((grant.lifetime, grant.api_url, sign_in_file))
}

/// Returns the error of a reply that refuses an authorization code or a refresh token.
pub fn sign_in_error(
    source: &SourceName,
    status: u16,
    is_code_exchange: bool,
    body: &[u8],
    secrets: [&SecretString; 2],
) -> ProviderError {
    let reply = ApiReply { status, headers: Default::default(), body: Vec::new() };
    let body = serde_json::from_slice::<Value>(body).unwrap_or_default();
    token_refusal::user_refusal(source, is_code_exchange, &reply, body.as_object(), secrets)
}

/// Returns the error of a reply that refuses a token to a Server-to-Server app.
pub fn token_error(status: u16, body: &[u8], secret: &SecretString) -> ProviderError {
    let reply = ApiReply { status, headers: Default::default(), body: Vec::new() };
    let body = serde_json::from_slice::<Value>(body).unwrap_or_default();
    token_refusal::app_refusal(&reply, body.as_object(), secret)
}

/// Returns the details in a reply about the recordings of one meeting: its metadata and the audio
/// files of participants.
pub fn read_recordings(source: &SourceName, body: &[u8]) -> Option<Details> {
    let reply = json_repair::parse_object(body)?;
    let recordings: wire::Meeting = serde_json::from_value(Value::Object(reply)).ok()?;
    let metadata = metadata::from_recordings(&recordings).into();
    let files = mapping::participant_files(
        source,
        &recordings.uuid().into(),
        recordings.participant_audio_files,
    );
    Some(Details { metadata, files, ..Details::default() })
}

/// Returns the contents of `participants.csv`.
pub fn participants_table(body: &[u8]) -> Option<SharedText> {
    participants::to_csv(&wire::parse_participants(json_repair::parse_object(body)?))
}

//! Functions for the fuzz targets: Zoom's replies, read and mapped.

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
use crate::providers::toolkit::windowed_listing::uncovered;
use crate::providers::{ProviderError, TrashEntry};

/// Returns the meetings of a page.
pub fn read_listing(source: &SourceName, body: &[u8]) -> Vec<Meeting> {
    let page = json_repair::object(body).and_then(wire::Page::read);
    let meetings = page.into_iter().flat_map(|page| page.meetings);
    meetings.map(|entry| mapping::meeting(source, entry).meeting).collect()
}

/// Returns the contents of the trash from a page of meetings and one of single files.
pub fn read_trash(source: &SourceName, meetings: &[u8], files: &[u8]) -> Vec<TrashEntry> {
    let mut found = HashMap::new();
    for body in [meetings, files] {
        let page = json_repair::object(body).and_then(wire::Page::read);
        for entry in page.into_iter().flat_map(|page| page.meetings) {
            let (trashed, links) = trash::trash_entry(source, entry);
            trash::add(&mut found, trashed, links);
        }
    }
    found.into_values().map(|(trashed, _)| trashed).collect()
}

/// Returns the days of `requested` that a page does not cover.
pub fn uncovered_days(requested: DaySpan, today: Date, body: &[u8]) -> Vec<DaySpan> {
    let page = json_repair::object(body).and_then(wire::Page::read);
    page.and_then(|page| uncovered(requested, page.covers(requested), today)).unwrap_or_default()
}

/// Returns the number of users of a page.
pub fn count_users(body: &[u8]) -> usize {
    json_repair::object(body).map_or(0, |reply| wire::users(reply).len())
}

/// Returns the keys of the files with a download URL in a reply about one meeting.
pub fn downloadable_keys(body: &[u8]) -> Vec<String> {
    let detail = json_repair::object(body).map(wire::Detail::read);
    let links = detail
        .map(|detail| mapping::download_urls(detail.files, detail.participants))
        .unwrap_or_default();
    links.into_iter().map(|link| link.url.key.to_string()).collect()
}

/// Returns the metadata of a past meeting.
pub fn read_past_meeting(body: &[u8]) -> Map<String, Value> {
    json_repair::object(body).map(|reply| metadata::of_details(&reply)).unwrap_or_default()
}

/// Returns the refusal of a call.
pub fn api_error(status: u16, body: &[u8], secret: &SecretString) -> Option<ProviderError> {
    let reply = json_repair::object(body);
    Refusal::of(status, reply.as_ref(), secret).map(|refusal| refusal.to_provider_error("user me"))
}

/// Returns the lifetime of a granted token, the base URL that the reply names if it is trusted, and
/// the file of the sign-in if the token can be renewed.
pub fn read_grant(base: &Url, body: &[u8]) -> Option<(Duration, Option<Url>, Option<Vec<u8>>)> {
    let granted = auth::grant(serde_json::from_slice(body).ok()?, Some(base))?;
    let kept = oauth::fuzzing::file_content_for(&granted);
    Some((granted.lifetime, granted.api_url, kept))
}

/// Returns the refusal of a code or a refresh token.
pub fn sign_in_error(
    source: &SourceName,
    status: u16,
    is_code: bool,
    body: &[u8],
    secrets: [&SecretString; 2],
) -> ProviderError {
    let reply = ApiReply { status, headers: Default::default(), body: Vec::new() };
    let body = serde_json::from_slice::<Value>(body).unwrap_or_default();
    token_refusal::user_refusal(source, is_code, &reply, body.as_object(), secrets)
}

/// Returns the refusal of a token request.
pub fn token_error(status: u16, body: &[u8], secret: &SecretString) -> ProviderError {
    let reply = ApiReply { status, headers: Default::default(), body: Vec::new() };
    let body = serde_json::from_slice::<Value>(body).unwrap_or_default();
    token_refusal::app_refusal(&reply, body.as_object(), secret)
}

/// Returns what a reply about one meeting adds: metadata, and the audio of participants.
pub fn read_recordings(source: &SourceName, body: &[u8]) -> Option<Details> {
    let reply = json_repair::object(body)?;
    let described: wire::Meeting = serde_json::from_value(Value::Object(reply)).ok()?;
    let metadata = metadata::of_recordings(&described).into();
    let files =
        mapping::participants(source, &described.uuid().into(), described.participant_audio_files);
    Some(Details { metadata, files, ..Details::default() })
}

/// Returns the table of participants.
pub fn participants_table(body: &[u8]) -> Option<SharedText> {
    participants::table(&wire::participants(json_repair::object(body)?))
}

//! What the fuzz targets reach of this room: Zoom's replies, read and mapped.

use std::collections::HashMap;
use std::time::Duration;

use jiff::civil::Date;
use secrecy::SecretString;
use serde_json::{Map, Value};
use url::Url;

use super::refusal::Refusal;
use super::{auth, facts, mapping, participants, token_refusal, trash, wire};
use crate::http::ApiReply;
use crate::model::{DaySpan, Details, Meeting, SharedText, SourceName};
use crate::providers::oauth;
use crate::providers::toolkit::json_repair;
use crate::providers::toolkit::windowed_listing::uncovered;
use crate::providers::{ProviderError, TrashEntry};

/// The meetings of a page of a listing.
pub fn listed(source: &SourceName, body: &[u8]) -> Vec<Meeting> {
    let page = json_repair::object(body).and_then(wire::Page::read);
    let meetings = page.into_iter().flat_map(|page| page.meetings);
    meetings.map(|entry| mapping::meeting(source, entry).meeting).collect()
}

/// What lies in the trash by a page of meetings and one of single files.
pub fn trashed(source: &SourceName, meetings: &[u8], files: &[u8]) -> Vec<TrashEntry> {
    let mut found = HashMap::new();
    for body in [meetings, files] {
        let page = json_repair::object(body).and_then(wire::Page::read);
        for entry in page.into_iter().flat_map(|page| page.meetings) {
            let (trashed, links) = trash::trashed(source, entry);
            trash::add(&mut found, trashed, links);
        }
    }
    found.into_values().map(|(trashed, _)| trashed).collect()
}

/// What of `asked` a page leaves to be asked for.
pub fn left(asked: DaySpan, today: Date, body: &[u8]) -> Vec<DaySpan> {
    let page = json_repair::object(body).and_then(wire::Page::read);
    page.and_then(|page| uncovered(asked, page.covers(asked), today)).unwrap_or_default()
}

/// How many users a page of users has.
pub fn users(body: &[u8]) -> usize {
    json_repair::object(body).map_or(0, |reply| wire::Users::read(reply).users.len())
}

/// The keys of the files that one meeting's recordings have links of.
pub fn linked(body: &[u8]) -> Vec<String> {
    let detail = json_repair::object(body).map(wire::Detail::read);
    let links =
        detail.map(|detail| mapping::links(detail.files, detail.participants)).unwrap_or_default();
    links.into_iter().map(|link| link.key.to_string()).collect()
}

/// What is told of a past meeting.
pub fn details(body: &[u8]) -> Map<String, Value> {
    json_repair::object(body).map(|reply| facts::of_details(&reply)).unwrap_or_default()
}

/// The refusal of a call.
pub fn refused(status: u16, body: &[u8], secret: &SecretString) -> Option<ProviderError> {
    let reply = json_repair::object(body);
    Refusal::of(status, reply.as_ref(), secret).map(|refusal| refusal.about("user me"))
}

/// What a token's reply brings: how long it lives, the base address that it names if that may be believed, and the
/// file in which it is kept, where it can be renewed.
pub fn granted(base: &Url, body: &[u8]) -> Option<(Duration, Option<Url>, Option<Vec<u8>>)> {
    let granted = auth::parse_grant(serde_json::from_slice(body).ok()?, Some(base))?;
    let kept = oauth::fuzzing::stored(&granted);
    Some((granted.lifetime, granted.api_url, kept))
}

/// The refusal of a code or a refresh token.
pub fn not_signed_in(
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

/// The refusal of a token.
pub fn not_granted(status: u16, body: &[u8], secret: &SecretString) -> ProviderError {
    let reply = ApiReply { status, headers: Default::default(), body: Vec::new() };
    let body = serde_json::from_slice::<Value>(body).unwrap_or_default();
    token_refusal::app_refusal(&reply, body.as_object(), secret)
}

/// What one meeting's recordings add to a listing: facts, and participants' own audio.
pub fn described(source: &SourceName, body: &[u8]) -> Option<Details> {
    let reply = json_repair::object(body)?;
    let described: wire::Meeting = serde_json::from_value(Value::Object(reply)).ok()?;
    let facts = facts::of_recordings(&described).into();
    let files =
        mapping::participants(source, &described.uuid().into(), described.participant_audio_files);
    Some(Details { metadata: facts, files, ..Details::default() })
}

/// The table of those who were there.
pub fn participants(body: &[u8]) -> Option<SharedText> {
    participants::table(&wire::People::read(json_repair::object(body)?).people)
}

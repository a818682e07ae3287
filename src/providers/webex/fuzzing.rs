//! Entry points for the fuzz targets. They parse Webex's replies and map them to the model.

use std::time::Duration;

use secrecy::SecretString;
use serde_json::Value;
use url::Url;

use super::refusal::{Refusal, recordings_scope};
use super::{api, auth, mapping, metadata, paging, wire};
use crate::http::ApiReply;
use crate::model::{Details, Meeting, SecretUrl, SourceName};
use crate::providers::oauth;
use crate::providers::toolkit::json_repair;
use crate::providers::{ProviderError, TrashEntry};

/// Parses a page of a listing and returns its recordings.
pub fn read_listing(source: &SourceName, body: &[u8]) -> Vec<Meeting> {
    let page = json_repair::parse_object(body).and_then(wire::Page::parse);
    let recordings = page.into_iter().flat_map(|page| page.recordings);
    recordings.map(|recording| mapping::map_recording(source, &recording)).collect()
}

/// Parses a page of the recycle bin and returns its recordings.
pub fn read_trash(source: &SourceName, body: &[u8]) -> Vec<TrashEntry> {
    read_listing(source, body).into_iter().map(|meeting| TrashEntry::new(meeting, None)).collect()
}

/// Parses a reply with the details of a recording. Returns the meeting as a listing would contain
/// it, and its details.
pub fn read_details(
    source: &SourceName,
    body: &[u8],
    transcripts: &[u8],
) -> Option<(Meeting, Details)> {
    let recording = wire::Recording::parse(Value::Object(json_repair::parse_object(body)?))?;
    let transcripts = json_repair::parse_object(transcripts)
        .and_then(wire::parse_transcripts)
        .unwrap_or_default();
    let meeting = mapping::map_recording(source, &recording);
    let files = mapping::files_of_details(source, &meeting.id, &recording, &transcripts);
    Some((
        meeting,
        Details {
            metadata: metadata::recording_metadata(&recording).into(),
            files,
            ..Details::default()
        },
    ))
}

/// Parses an error reply and returns the error of the call.
pub fn api_error(status: u16, body: &[u8], secret: &SecretString) -> Option<ProviderError> {
    let reply = json_repair::parse_object(body);
    let refusal = Refusal::parse(status, reply.as_ref(), None, secret);
    refusal.map(|refusal| refusal.to_provider_error("this recording", recordings_scope(false)))
}

/// Parses the reply to a token request. Returns the lifetime of the access token and the content of
/// the sign-in file, if there is a refresh token.
pub fn read_grant(body: &[u8]) -> Option<(Duration, Option<Vec<u8>>)> {
    let grant = auth::parse_grant(serde_json::from_slice(body).ok()?)?;
    Some((grant.lifetime, oauth::fuzzing::file_content_for(&grant)))
}

/// Returns the error of a refused token request.
pub fn sign_in_error(status: u16, body: &[u8], secrets: [&SecretString; 2]) -> ProviderError {
    let reply = ApiReply { status, headers: Default::default(), body: Vec::new() };
    let body = serde_json::from_slice::<Value>(body).unwrap_or_default();
    auth::refusal_error("Sign in again.", &reply, body.as_object(), secrets)
}

/// Parses a `Link` header. Returns the URL of the next page if there is one and it belongs to the
/// API.
pub fn read_next_page(base: &Url, header: &str) -> Option<SecretUrl> {
    let next_url = paging::next_url(header).ok()??;
    let page = api::resolve_next_url(base, &next_url).ok()?;
    Some(paging::with_valid_page_size(&page, paging::MAX_PAGE_SIZE))
}

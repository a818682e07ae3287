//! Entry points for the fuzz targets: Webex's replies, read and mapped.

use std::time::Duration;

use secrecy::SecretString;
use serde_json::Value;
use url::Url;

use super::refusal::{Refusal, scope};
use super::{api, auth, mapping, metadata, paging, wire};
use crate::http::ApiReply;
use crate::model::{Details, Meeting, SecretUrl, SourceName};
use crate::providers::oauth;
use crate::providers::toolkit::json_repair;
use crate::providers::{ProviderError, TrashEntry};

/// Returns the recordings of a page of a listing.
pub fn listed(source: &SourceName, body: &[u8]) -> Vec<Meeting> {
    let page = json_repair::object(body).and_then(wire::Page::read);
    let recordings = page.into_iter().flat_map(|page| page.recordings);
    recordings.map(|recording| mapping::meeting(source, &recording)).collect()
}

/// Returns the recordings of a page of the recycle bin.
pub fn trashed(source: &SourceName, body: &[u8]) -> Vec<TrashEntry> {
    listed(source, body).into_iter().map(|meeting| TrashEntry::new(meeting, None)).collect()
}

/// Parses the details of a recording. Returns the meeting as in a listing, and its details.
pub fn described(
    source: &SourceName,
    body: &[u8],
    transcripts: &[u8],
) -> Option<(Meeting, Details)> {
    let recording = wire::Recording::read(Value::Object(json_repair::object(body)?))?;
    let transcripts =
        json_repair::object(transcripts).and_then(wire::transcripts).unwrap_or_default();
    let meeting = mapping::meeting(source, &recording);
    let files = mapping::files_of_details(source, &meeting.id, &recording, &transcripts);
    Some((
        meeting,
        Details {
            metadata: metadata::of_recording(&recording).into(),
            files,
            ..Details::default()
        },
    ))
}

/// Returns the error of a refused call.
pub fn refused(status: u16, body: &[u8], secret: &SecretString) -> Option<ProviderError> {
    let reply = json_repair::object(body);
    let refusal = Refusal::of(status, reply.as_ref(), None, secret);
    refusal.map(|refusal| refusal.to_provider_error("this recording", scope(false)))
}

/// How long the token lives that a reply holds, and the file in which it is kept, where it can be
/// renewed.
pub fn granted(body: &[u8]) -> Option<(Duration, Option<Vec<u8>>)> {
    let granted = auth::grant(serde_json::from_slice(body).ok()?)?;
    Some((granted.lifetime, oauth::fuzzing::file_content_for(&granted)))
}

/// The refusal of a token.
pub fn not_granted(status: u16, body: &[u8], secrets: [&SecretString; 2]) -> ProviderError {
    let reply = ApiReply { status, headers: Default::default(), body: Vec::new() };
    let body = serde_json::from_slice::<Value>(body).unwrap_or_default();
    auth::refused("Sign in again.", &reply, body.as_object(), secrets)
}

/// Returns the URL of the next page if a `Link` header names one on the API.
pub fn next_page(base: &Url, header: &str) -> Option<SecretUrl> {
    let named = paging::next(header).ok()??;
    api::next_page(base, &named).ok().map(|page| paging::repaired(&page, paging::MAX_PAGE))
}

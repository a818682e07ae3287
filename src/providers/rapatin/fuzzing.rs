//! Entry points for the fuzz targets. They parse Rapatin's replies and map them to the model.

use jiff::Timestamp;
use secrecy::SecretString;

use super::refusal::Refusal;
use super::{login, mapping, wire};
use crate::model::{Meeting, SourceName};
use crate::providers::ProviderError;
use crate::providers::toolkit::json_repair;

/// Parses a reply with the recordings of `meeting` and returns its sessions.
pub fn read_sessions(source: &SourceName, meeting: &str, body: &[u8]) -> Vec<Meeting> {
    let reply = json_repair::parse_object(body).and_then(wire::Sessions::parse).unwrap_or_default();
    let map_session =
        |session| mapping::map_session(source, meeting, session, Timestamp::UNIX_EPOCH).meeting;
    reply.sessions.into_iter().map(map_session).collect()
}

/// Parses a page of the schedule and returns the meeting id of each entry.
pub fn read_scheduled_ids(body: &[u8]) -> Vec<String> {
    let page = json_repair::parse_object(body).and_then(wire::Page::parse);
    page.into_iter().flat_map(|page| page.entries).map(|entry| entry.meeting).collect()
}

/// Whether the reply to a login contains a token.
pub fn has_token(body: &[u8]) -> bool {
    json_repair::parse_object(body).as_ref().and_then(login::token_in_reply).is_some()
}

/// Parses an error reply and returns the errors of a refused call and of a refused login.
pub fn api_and_login_errors(
    status: u16,
    body: &[u8],
    secret: &SecretString,
) -> Option<[ProviderError; 2]> {
    let reply = json_repair::parse_object(body);
    let refusal = Refusal::parse(status, reply.as_ref(), secret)?;
    Some([refusal.to_provider_error("the schedule"), refusal.to_login_error()])
}

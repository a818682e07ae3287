//! Entry points for the fuzz targets: Rapatin's replies, read and mapped.

use jiff::Timestamp;
use secrecy::SecretString;

use super::refusal::Refusal;
use super::{login, mapping, wire};
use crate::model::{Meeting, SourceName};
use crate::providers::ProviderError;
use crate::providers::toolkit::json_repair;

/// Returns the sessions of a meeting.
pub fn sessions(source: &SourceName, meeting: &str, body: &[u8]) -> Vec<Meeting> {
    let read = json_repair::object(body).and_then(wire::Sessions::read).unwrap_or_default();
    let mapped =
        |session| mapping::session(source, meeting, session, Timestamp::UNIX_EPOCH).meeting;
    read.sessions.into_iter().map(mapped).collect()
}

/// Returns the ids of the meetings of a schedule, one per entry.
pub fn scheduled(body: &[u8]) -> Vec<String> {
    let page = json_repair::object(body).and_then(wire::Page::read);
    page.into_iter().flat_map(|page| page.entries).map(|entry| entry.meeting).collect()
}

/// Whether the reply to a login holds a token.
pub fn signed_in(body: &[u8]) -> bool {
    json_repair::object(body).as_ref().and_then(login::token_of).is_some()
}

/// Returns the errors of a refused call and of a refused login.
pub fn refused(status: u16, body: &[u8], secret: &SecretString) -> Option<[ProviderError; 2]> {
    let reply = json_repair::object(body);
    let refusal = Refusal::of(status, reply.as_ref(), secret)?;
    Some([refusal.to_provider_error("the schedule"), refusal.to_login_error()])
}

//! The host of the download URLs: verifies the credential and redirects to a signed URL.

use super::archive::Content;
use super::file_paths::media_path;
use super::oauth::{Grant, TokenState, Tokens};
use super::reply::Reply;
use super::request_head::RequestHead;
use super::signed_urls::SignedUrls;
use super::store::Store;

/// Credentials that download URLs accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DownloadHeader {
    /// `Authorization: Bearer` with the OAuth token.
    pub bearer_oauth: bool,
    /// `Authorization: Bearer` with the meeting's `download_access_token`.
    pub bearer_download_token: bool,
    /// Either token as `?access_token=`.
    pub query: bool,
}

impl Default for DownloadHeader {
    fn default() -> Self {
        Self { bearer_oauth: true, bearer_download_token: true, query: true }
    }
}

enum CredentialState {
    Nothing,
    Expired,
    Grant(Grant),
}

/// Answers `/rec/download/OPAQUE`. Ranges are ignored, and HEAD is answered like GET.
pub(super) fn answer(
    store: &Store,
    tokens: &Tokens,
    links: &SignedUrls,
    accepted: DownloadHeader,
    media_origin: &str,
    request: &RequestHead,
) -> Reply {
    let Some(opaque) = request.path.strip_prefix("/rec/download/") else {
        return Reply::new(
            404,
            "text/html;charset=UTF-8",
            "<html><title>Not found - Zoom</title></html>\n",
        );
    };
    let grant = match shown(tokens, accepted, request) {
        CredentialState::Grant(grant) => grant,
        CredentialState::Expired => return Reply::forbidden_json(),
        CredentialState::Nothing => return Reply::password_page(),
    };
    let Some((meeting, file)) = store.by_link(opaque) else { return Reply::password_page() };
    if matches!(grant, Grant::Meeting(uuid) if uuid != meeting.uuid) {
        return Reply::password_page();
    }
    let (origin, path) = match &file.content {
        Content::Elsewhere { origin, path, .. } => (origin.as_str(), path.clone()),
        Content::Stored(_) | Content::Pattern { .. } => (media_origin, media_path(meeting, file)),
    };
    let address = links.signed(origin, &path, file.content_type());
    Reply::new(302, "text/html;charset=UTF-8", "")
        .with("location", address)
        .with("cache-control", "no-store")
}

fn shown(tokens: &Tokens, accepted: DownloadHeader, request: &RequestHead) -> CredentialState {
    let in_header = request.bearer().map(|token| (token.to_owned(), false));
    let in_query = request.parameter("access_token").map(|token| (token, true));
    let mut expired = false;
    for (token, from_query) in in_header.into_iter().chain(in_query) {
        match tokens.state_of(&token) {
            TokenState::Valid(grant) => {
                let taken = match (from_query, &grant) {
                    (true, _) => accepted.query,
                    (false, Grant::Account) => accepted.bearer_oauth,
                    (false, Grant::Meeting(_)) => accepted.bearer_download_token,
                };
                if taken {
                    return CredentialState::Grant(grant);
                }
            }
            TokenState::Expired => expired = true,
            TokenState::Unknown => {}
        }
    }
    if expired { CredentialState::Expired } else { CredentialState::Nothing }
}

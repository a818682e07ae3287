//! The host of the download URLs. It verifies the credential and redirects to a signed URL.

use super::archive::Content;
use super::file_paths::media_path;
use super::oauth::{Grant, TokenState, Tokens};
use super::reply::Reply;
use super::request_head::RequestHead;
use super::signed_urls::SignedUrls;
use super::store::Store;

/// The credentials that download URLs accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AcceptedCredentials {
    /// Whether `Authorization: Bearer` with the OAuth token is accepted.
    pub accepts_oauth_bearer: bool,
    /// Whether `Authorization: Bearer` with the meeting's `download_access_token` is accepted.
    pub accepts_download_token_bearer: bool,
    /// Whether the OAuth token and the `download_access_token` are accepted as the query parameter
    /// `access_token`.
    pub accepts_query_token: bool,
}

impl Default for AcceptedCredentials {
    fn default() -> Self {
        Self {
            accepts_oauth_bearer: true,
            accepts_download_token_bearer: true,
            accepts_query_token: true,
        }
    }
}

enum CredentialState {
    Invalid,
    Expired,
    Grant(Grant),
}

/// Answers a request for `/rec/download/OPAQUE_ID`. Ranges are ignored, and HEAD is answered like
/// GET.
pub(super) fn answer(
    store: &Store,
    tokens: &Tokens,
    signed_urls: &SignedUrls,
    accepted_credentials: AcceptedCredentials,
    media_origin: &str,
    request: &RequestHead,
) -> Reply {
    let Some(opaque_id) = request.path.strip_prefix("/rec/download/") else {
        return Reply::new(
            404,
            "text/html;charset=UTF-8",
            "<html><title>Not found - Zoom</title></html>\n",
        );
    };
    let grant = match check_credentials(tokens, accepted_credentials, request) {
        CredentialState::Grant(grant) => grant,
        CredentialState::Expired => return Reply::forbidden_json(),
        CredentialState::Invalid => return Reply::password_page(),
    };
    let Some((meeting, file)) = store.find_file(opaque_id) else { return Reply::password_page() };
    if matches!(grant, Grant::Meeting(uuid) if uuid != meeting.uuid) {
        return Reply::password_page();
    }
    let (origin, path) = match &file.content {
        Content::External { origin, path, .. } => (origin.as_str(), path.clone()),
        Content::Stored(_) | Content::Pattern { .. } | Content::Sparse { .. } => {
            (media_origin, media_path(meeting, file))
        }
    };
    let signed_url = signed_urls.sign(origin, &path, file.content_type());
    Reply::new(302, "text/html;charset=UTF-8", "")
        .with_header("location", signed_url)
        .with_header("cache-control", "no-store")
}

fn check_credentials(
    tokens: &Tokens,
    accepted_credentials: AcceptedCredentials,
    request: &RequestHead,
) -> CredentialState {
    let header_token = request.bearer_token().map(|token| (token.to_owned(), false));
    let query_token = request.parameter("access_token").map(|token| (token, true));
    let mut is_expired = false;
    for (token, is_in_query) in header_token.into_iter().chain(query_token) {
        match tokens.state_of(&token) {
            TokenState::Valid(grant) => {
                let is_accepted = match (is_in_query, &grant) {
                    (true, _) => accepted_credentials.accepts_query_token,
                    (false, Grant::Account) => accepted_credentials.accepts_oauth_bearer,
                    (false, Grant::Meeting(_)) => {
                        accepted_credentials.accepts_download_token_bearer
                    }
                };
                if is_accepted {
                    return CredentialState::Grant(grant);
                }
            }
            TokenState::Expired => is_expired = true,
            TokenState::Unknown => {}
        }
    }
    if is_expired { CredentialState::Expired } else { CredentialState::Invalid }
}

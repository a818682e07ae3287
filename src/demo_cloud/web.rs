//! The host of the download links: checks who asks and sends them on to a signed link.

use super::archive::Content;
use super::asked::Asked;
use super::links::Links;
use super::oauth::{Grant, Standing, Tokens};
use super::reply::Reply;
use super::store::{Store, media_path};

/// Which credentials a download link takes.
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

/// What was shown, judged.
enum Shown {
    Nothing,
    Expired,
    Grant(Grant),
}

/// Answers `/rec/download/OPAQUE`. No range is honoured here, and HEAD is answered like GET.
pub(super) fn answer(
    store: &Store,
    tokens: &Tokens,
    links: &Links,
    accepted: DownloadHeader,
    media_origin: &str,
    asked: &Asked,
) -> Reply {
    let Some(opaque) = asked.path.strip_prefix("/rec/download/") else {
        return Reply::new(
            404,
            "text/html;charset=UTF-8",
            "<html><title>Not found - Zoom</title></html>\n",
        );
    };
    let grant = match shown(tokens, accepted, asked) {
        Shown::Grant(grant) => grant,
        Shown::Expired => return Reply::forbidden_json(),
        Shown::Nothing => return Reply::password_page(),
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

fn shown(tokens: &Tokens, accepted: DownloadHeader, asked: &Asked) -> Shown {
    let in_header = asked.bearer().map(|token| (token.to_owned(), false));
    let in_query = asked.parameter("access_token").map(|token| (token, true));
    let mut expired = false;
    for (token, from_query) in in_header.into_iter().chain(in_query) {
        match tokens.standing(&token) {
            Standing::Valid(grant) => {
                let taken = match (from_query, &grant) {
                    (true, _) => accepted.query,
                    (false, Grant::Account) => accepted.bearer_oauth,
                    (false, Grant::Meeting(_)) => accepted.bearer_download_token,
                };
                if taken {
                    return Shown::Grant(grant);
                }
            }
            Standing::Expired => expired = true,
            Standing::Unknown => {}
        }
    }
    if expired { Shown::Expired } else { Shown::Nothing }
}

//! Walks through the pages of one list, by page tokens.

use std::time::Duration;

use serde_json::{Map, Value};

use super::api::{Api, ApiError, RateLimitLabel, unexpected};
use crate::http::Priority;
use crate::providers::ProviderError;
use crate::providers::toolkit::page_guard::{EndlessList, PageGuard, PageLimits};
use crate::providers::toolkit::serde_lenient;

/// The maximum of Zoom.
const PAGE_SIZE: &str = "300";

/// Timeout of one page with its retries: a rate limit of a few seconds and two failed replies fit
/// in. A user waits at a prompt for the first page.
const PAGE_TIMEOUT: Duration = Duration::from_secs(30);

/// How often a walk starts again after its page token expired. Tokens live 15 minutes, so this is
/// rare; three times in a row have another cause.
const MAX_RESTARTS: usize = 3;

/// A walk through the pages of one list.
pub(crate) struct Pages<'a> {
    api: &'a Api,
    path: &'a str,
    /// Sent with each request.
    query: Vec<(&'a str, &'a str)>,
    /// What is listed, as in "user me".
    subject: &'a str,
    next: NextPage,
    restarts: usize,
    guard: PageGuard,
    /// Why the list has no end, once that is known.
    endless: Option<EndlessList>,
}

enum NextPage {
    First,
    Token(String),
    None,
}

/// One page.
pub(crate) struct PageReply {
    pub(crate) object: Map<String, Value>,
    /// Whether the list begins with it. A walk begins again if its token expires.
    pub(crate) is_first: bool,
}

impl<'a> Pages<'a> {
    pub(crate) fn new(
        api: &'a Api,
        path: &'a str,
        query: impl IntoIterator<Item = (&'a str, &'a str)>,
        subject: &'a str,
        limits: PageLimits,
    ) -> Self {
        let query = query.into_iter().chain([("page_size", PAGE_SIZE)]).collect();
        let guard = PageGuard::new(limits);
        Self { api, path, query, subject, next: NextPage::First, restarts: 0, guard, endless: None }
    }

    /// Returns the next page, or `None` after the last.
    ///
    /// # Errors
    /// The call has no result, or the list has no end.
    pub(crate) async fn next(&mut self) -> Result<Option<PageReply>, ApiError> {
        loop {
            let token = match std::mem::replace(&mut self.next, NextPage::None) {
                NextPage::None => return Ok(None),
                NextPage::First => None,
                NextPage::Token(token) => Some(token),
            };
            let followed = token.as_deref().map_or(Ok(()), |token| self.guard.follow(token));
            followed.and_then(|()| self.guard.begin_page()).map_err(|error| self.endless(error))?;
            let mut query = self.query.clone();
            query.extend(token.as_deref().map(|token| ("next_page_token", token)));
            let limit = (RateLimitLabel::Medium, Priority::Background);
            let object = match self.api.get(limit, self.path, &query, PAGE_TIMEOUT).await {
                // A list that was read in part is refused: its token expired (15 minutes), not the
                // permission.
                Err(ApiError::Refused(refusal)) if token.is_some() && refusal.is_of_request() => {
                    if self.restarts == MAX_RESTARTS {
                        return Err(self.unexpected("rejects its own page tokens").into());
                    }
                    self.restarts += 1;
                    self.next = NextPage::First;
                    self.guard.restart();
                    tracing::debug!(?refusal, "listing {} again", self.subject);
                    continue;
                }
                reply => reply?,
            };
            let is_first = token.is_none();
            self.next = match serde_lenient::first_text(&object, &["next_page_token"]) {
                Some(token) => NextPage::Token(token),
                None => NextPage::None,
            };
            return Ok(Some(PageReply { object, is_first }));
        }
    }

    /// Records the identities of what the last page lists, so that a list that repeats them is
    /// detected.
    pub(crate) fn record_items<'i>(&mut self, items: impl IntoIterator<Item = &'i str>) {
        self.guard.record_items(items);
    }

    /// Returns the error of a reply with unexpected contents.
    pub(crate) fn unexpected(&self, what: &str) -> ProviderError {
        unexpected(&what, self.subject)
    }

    /// Whether lists of other days have no end either.
    pub(crate) fn has_no_end(&self) -> bool {
        self.endless.is_some_and(EndlessList::is_of_whole_list)
    }

    fn endless(&mut self, error: EndlessList) -> ProviderError {
        self.endless = Some(error);
        unexpected(&error, self.subject)
    }
}

//! Requests the pages of one list, one after the other, by page tokens.

use std::time::Duration;

use serde_json::{Map, Value};

use super::api::{Api, ApiError, RateLimitLabel, incomplete_list_error};
use crate::http::Priority;
use crate::providers::ProviderError;
use crate::providers::toolkit::page_guard::{EndlessList, PageGuard, PageLimits};
use crate::providers::toolkit::serde_lenient;

/// Number of entries per page. It is Zoom's maximum.
const PAGE_SIZE: &str = "300";

/// Timeout of one page including retries. It allows for a rate limit of a few seconds and two
/// failed replies. It is short because a user waits for the first page.
const PAGE_TIMEOUT: Duration = Duration::from_secs(30);

/// Maximum number of restarts of a list after its page token has expired. Page tokens are valid for
/// 15 minutes, so they rarely expire. More restarts would have another cause.
const MAX_RESTARTS: usize = 3;

/// Requests the pages of one list.
pub(crate) struct Pages<'a> {
    api: &'a Api,
    path: &'a str,
    /// The query parameters of every request.
    query: Vec<(&'a str, &'a str)>,
    /// The noun phrase that names the list in error messages, as in "the recordings of user me".
    subject: &'a str,
    next_page: NextPage,
    restart_count: usize,
    guard: PageGuard,
    /// The reason why the list counts as endless, if it does.
    endless_list: Option<EndlessList>,
}

enum NextPage {
    First,
    Token(String),
    None,
}

/// The reply that contains one page.
pub(crate) struct PageReply {
    pub(crate) object: Map<String, Value>,
    /// Whether this is the first page. A list restarts with the first page if its page token
    /// expires.
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
        Self {
            api,
            path,
            query,
            subject,
            next_page: NextPage::First,
            restart_count: 0,
            guard,
            endless_list: None,
        }
    }

    /// Returns the next page, or `None` after the last.
    ///
    /// # Errors
    /// The request failed, or the list is endless.
    pub(crate) async fn next(&mut self) -> Result<Option<PageReply>, ApiError> {
        loop {
            let token = match std::mem::replace(&mut self.next_page, NextPage::None) {
                NextPage::None => return Ok(None),
                NextPage::First => None,
                NextPage::Token(token) => Some(token),
            };
            let token_check =
                token.as_deref().map_or(Ok(()), |token| self.guard.check_next_page(token));
            token_check
                .and_then(|()| self.guard.begin_page())
                .map_err(|error| self.record_endless_list(error))?;
            let mut query = self.query.clone();
            query.extend(token.as_deref().map(|token| ("next_page_token", token)));
            let label_and_priority = (RateLimitLabel::Medium, Priority::Background);
            let object =
                match self.api.get(label_and_priority, self.path, &query, PAGE_TIMEOUT).await {
                    // A refusal after the first page means that the page token has expired (15
                    // minutes), not that the permission is missing.
                    Err(ApiError::Refused(refusal))
                        if token.is_some() && refusal.is_request_error() =>
                    {
                        if self.restart_count == MAX_RESTARTS {
                            return Err(self
                                .incomplete_list_error(
                                    "Zoom repeatedly refused the page tokens that it had issued",
                                )
                                .into());
                        }
                        self.restart_count += 1;
                        self.next_page = NextPage::First;
                        self.guard.restart();
                        tracing::debug!(?refusal, "listing {} again", self.subject);
                        continue;
                    }
                    reply => reply?,
                };
            let is_first = token.is_none();
            self.next_page = match serde_lenient::first_text(&object, &["next_page_token"]) {
                Some(token) => NextPage::Token(token),
                None => NextPage::None,
            };
            return Ok(Some(PageReply { object, is_first }));
        }
    }

    /// Records the ids of the entries on the last page, to detect a list that repeats its entries.
    pub(crate) fn record_items<'i>(&mut self, items: impl IntoIterator<Item = &'i str>) {
        self.guard.record_items(items);
    }

    pub(crate) fn incomplete_list_error(&self, problem: &str) -> ProviderError {
        incomplete_list_error(&problem, self.subject)
    }

    /// Whether lists of other days would be endless as well.
    pub(crate) fn is_endless_for_all_days(&self) -> bool {
        self.endless_list.is_some_and(EndlessList::applies_to_all_days)
    }

    fn record_endless_list(&mut self, error: EndlessList) -> ProviderError {
        self.endless_list = Some(error);
        incomplete_list_error(&error, self.subject)
    }
}

//! Requests the pages of one list in order.

use std::array;
use std::iter::Skip;
use std::time::Duration;

use serde_json::{Map, Value};

use super::api::{Api, ApiError, resolve_next_url};
use super::paging::{self, MAX_PAGE_SIZE};
use crate::model::SecretUrl;
use crate::providers::ProviderError;
use crate::providers::toolkit::page_guard::{EndlessList, PageGuard, PageLimits};

/// Page sizes, in entries. After a server timeout, the next smaller size is tried. If a page of ten
/// entries times out, the page size is not the cause.
const PAGE_SIZES: [u32; 4] = [MAX_PAGE_SIZE, 50, 25, 10];

/// Timeout of the request for one page, including retries. It is longer than a back-off of 15
/// seconds, the default without `Retry-After`. A user at a prompt may wait for the first page.
const PAGE_TIMEOUT: Duration = Duration::from_secs(30);

/// The limits beyond which a list counts as endless: 1000 pages with 100,000 entries in a month, or
/// ten consecutive pages without a new entry.
const LIMITS: PageLimits = PageLimits { max_pages: 1000, max_pages_without_new_items: 10 };

/// Requests the pages of one list in order.
pub(crate) struct Pages<'a> {
    api: &'a Api,
    /// The name of the list in messages, such as "the list of recordings".
    subject: String,
    scope: &'static str,
    first_url: SecretUrl,
    next_page: NextPage,
    page_size: u32,
    smaller_sizes: Skip<array::IntoIter<u32, 4>>,
    guard: PageGuard,
    /// The reason why the list counts as endless, if it does.
    endless_reason: Option<EndlessList>,
    /// Whether the first page was refused for a reason that can concern one user alone.
    pub(crate) is_user_refused: bool,
}

enum NextPage {
    First(SecretUrl),
    /// The URL of the next page as written in the reply.
    Url(String),
    /// The `Link` header cannot be parsed, so there may be a next page.
    Unreadable,
    None,
}

impl<'a> Pages<'a> {
    /// Creates the list whose first page is at `first_url`. That URL must request [`MAX_PAGE_SIZE`]
    /// entries. `scope` is the scope that the list needs.
    pub(crate) fn new(
        api: &'a Api,
        subject: String,
        scope: &'static str,
        first_url: SecretUrl,
    ) -> Self {
        Self {
            api,
            subject,
            scope,
            next_page: NextPage::First(first_url.clone()),
            first_url,
            page_size: MAX_PAGE_SIZE,
            smaller_sizes: PAGE_SIZES.into_iter().skip(1),
            guard: PageGuard::new(LIMITS),
            endless_reason: None,
            is_user_refused: false,
        }
    }

    /// Requests the next page. Returns `None` after the last page.
    ///
    /// # Errors
    /// Returns an error if the page cannot be requested or the list is endless.
    pub(crate) async fn next(&mut self) -> Result<Option<Map<String, Value>>, ProviderError> {
        let is_first_page = matches!(self.next_page, NextPage::First(_));
        let mut url = match std::mem::replace(&mut self.next_page, NextPage::None) {
            NextPage::None => return Ok(None),
            NextPage::First(url) => url,
            NextPage::Url(next_url) => self.resolve(&next_url)?,
            NextPage::Unreadable => {
                return Err(self.incomplete_list_error("the Link header cannot be read"));
            }
        };
        self.guard.begin_page().map_err(|error| self.endless_error(error))?;
        loop {
            let page = match self.api.get_page(&url, PAGE_TIMEOUT).await {
                Err(ApiError::Refused(refusal)) if refusal.is_server_timeout() => {
                    let Some(size) = self.smaller_sizes.next() else {
                        return Err(refusal.to_provider_error(&self.subject, self.scope));
                    };
                    tracing::debug!(
                        "a page of {} timed out; requesting {size} entries",
                        self.subject
                    );
                    self.page_size = size;
                    url = paging::with_page_size(&url, size);
                    continue;
                }
                page => {
                    if let Err(ApiError::Refused(refusal)) = &page {
                        self.is_user_refused = is_first_page && refusal.can_concern_one_user();
                    }
                    page.map_err(|error| error.into_provider_error(&self.subject, self.scope))?
                }
            };
            self.next_page = match page.next_url {
                Ok(next_url) => next_url.map_or(NextPage::None, NextPage::Url),
                Err(paging::UnreadableLink) => NextPage::Unreadable,
            };
            return Ok(Some(page.object));
        }
    }

    /// Records the ids of the entries on the last page, to detect a list that repeats them.
    pub(crate) fn record_items<'i>(&mut self, ids: impl IntoIterator<Item = &'i str>) {
        self.guard.record_items(ids);
    }

    /// Returns the error of a list that cannot be read completely. `problem` is a sentence that
    /// states the cause, such as "the reply has no list of recordings".
    pub(crate) fn incomplete_list_error(&self, problem: &str) -> ProviderError {
        ProviderError::unavailable(format!("cannot read {} completely: {problem}", self.subject))
    }

    /// Records that the list is endless and returns the error.
    pub(crate) fn endless_error(&mut self, reason: EndlessList) -> ProviderError {
        self.endless_reason = Some(reason);
        self.incomplete_list_error(&reason.to_string())
    }

    /// Whether the lists of other days are endless as well.
    pub(crate) fn is_endless_for_all_days(&self) -> bool {
        self.endless_reason.is_some_and(EndlessList::applies_to_all_days)
    }

    fn resolve(&mut self, next_url: &str) -> Result<SecretUrl, ProviderError> {
        let next = resolve_next_url(self.first_url.expose(), next_url).map_err(|origin| {
            let message = format!(
                "the next page of {} is on {origin}, which is not the API; no request was sent there",
                self.subject
            );
            ProviderError::unavailable(message).with_hint("Check api_url.")
        })?;
        let next = paging::with_filters_of(&self.first_url, &next).map_err(|filter| {
            self.incomplete_list_error(&format!("the next page has a different `{}`", filter.0))
        })?;
        let url = paging::with_valid_page_size(&next, self.page_size);
        self.guard
            .check_next_page(url.expose().as_str())
            .map_err(|error| self.endless_error(error))?;
        Ok(url)
    }
}

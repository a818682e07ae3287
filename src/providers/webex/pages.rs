//! Walks through the pages of one list.

use std::array;
use std::iter::Skip;
use std::time::Duration;

use serde_json::{Map, Value};

use super::api::{Api, ApiError, next_page};
use super::paging::{self, MAX_PAGE};
use crate::model::SecretUrl;
use crate::providers::ProviderError;
use crate::providers::toolkit::page_guard::{EndlessList, PageGuard, PageLimits};

/// Page sizes, in entries. After a server timeout, the next smaller size is tried. If a page of ten
/// entries times out, the page size is not the cause.
const PAGE_SIZES: [u32; 4] = [MAX_PAGE, 50, 25, 10];

/// Timeout of one page with its retries. A back-off of 15 seconds, the default without
/// `Retry-After`, fits in. A user waits at a prompt for the first page.
const PAGE_TIMEOUT: Duration = Duration::from_secs(30);

/// 100,000 entries in a month, or ten pages without a new one, are a list without an end.
const LIMITS: PageLimits = PageLimits { max_pages: 1000, max_pages_without_new_items: 10 };

/// A walk through the pages of one list.
pub(crate) struct Pages<'a> {
    api: &'a Api,
    /// What is listed, as in "the list of recordings".
    subject: String,
    scope: &'static str,
    first: SecretUrl,
    next: NextPage,
    page_size: u32,
    smaller: Skip<array::IntoIter<u32, 4>>,
    guard: PageGuard,
    /// Why the list has no end, once that is known.
    endless: Option<EndlessList>,
}

enum NextPage {
    First(SecretUrl),
    /// As the reply names it.
    Named(String),
    /// The reply may have named one.
    Unreadable,
    None,
}

impl<'a> Pages<'a> {
    /// Starts at `first`, a URL that requests [`MAX_PAGE`] entries. The list needs `scope`.
    pub(crate) fn new(
        api: &'a Api,
        subject: String,
        scope: &'static str,
        first: SecretUrl,
    ) -> Self {
        Self {
            api,
            subject,
            scope,
            next: NextPage::First(first.clone()),
            first,
            page_size: MAX_PAGE,
            smaller: PAGE_SIZES.into_iter().skip(1),
            guard: PageGuard::new(LIMITS),
            endless: None,
        }
    }

    /// Returns the next page, or `None` after the last.
    ///
    /// # Errors
    /// The page is not available, or the list has no end.
    pub(crate) async fn next(&mut self) -> Result<Option<Map<String, Value>>, ProviderError> {
        let mut url = match std::mem::replace(&mut self.next, NextPage::None) {
            NextPage::None => return Ok(None),
            NextPage::First(url) => url,
            NextPage::Named(named) => self.resolve(&named)?,
            NextPage::Unreadable => {
                return Err(self.bad_reply("sent a Link header that cannot be read"));
            }
        };
        self.guard.begin_page().map_err(|error| self.end(error))?;
        loop {
            let page = match self.api.get_page(&url, PAGE_TIMEOUT).await {
                Err(ApiError::Refused(refusal)) if refusal.is_of_length() => {
                    let Some(size) = self.smaller.next() else {
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
                    page.map_err(|error| error.into_provider_error(&self.subject, self.scope))?
                }
            };
            self.next = match page.next {
                Ok(named) => named.map_or(NextPage::None, NextPage::Named),
                Err(paging::UnreadableLink) => NextPage::Unreadable,
            };
            return Ok(Some(page.object));
        }
    }

    /// Records the ids of the entries of the last page, so that a list that repeats them is
    /// detected.
    pub(crate) fn record_items<'i>(&mut self, ids: impl IntoIterator<Item = &'i str>) {
        self.guard.record_items(ids);
    }

    /// Returns the error for a reply that makes no sense.
    pub(crate) fn bad_reply(&self, what: &str) -> ProviderError {
        ProviderError::unavailable(format!("Webex {what} ({})", self.subject))
    }

    /// Returns the error of a list without an end.
    pub(crate) fn end(&mut self, endless: EndlessList) -> ProviderError {
        self.endless = Some(endless);
        self.bad_reply(&endless.to_string())
    }

    /// Whether lists of other days have no end either.
    pub(crate) fn has_no_end(&self) -> bool {
        self.endless.is_some_and(EndlessList::is_of_whole_list)
    }

    fn resolve(&mut self, named: &str) -> Result<SecretUrl, ProviderError> {
        let next = next_page(self.first.expose(), named).map_err(|host| {
            let message = format!(
                "the next page of {} is on {host}, which is not the API; no request was sent there",
                self.subject
            );
            ProviderError::unavailable(message).with_hint("Check api_url.")
        })?;
        let next = paging::with_filters_of(&self.first, &next).map_err(|other| {
            self.bad_reply(&format!("named a next page with another {}", other.0))
        })?;
        let url = paging::repaired(&next, self.page_size);
        self.guard.follow(url.expose().as_str()).map_err(|error| self.end(error))?;
        Ok(url)
    }
}

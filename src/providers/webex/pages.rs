//! The pages of a list, one after the other: where the next one is, and what to do with one that takes too long.

use std::array;
use std::collections::HashSet;
use std::iter::Skip;
use std::time::Duration;

use serde_json::{Map, Value};

use super::api::{Api, ApiError};
use super::paging::{self, MAX_PAGE};
use crate::model::SecretUrl;
use crate::providers::ProviderError;

/// Entries a page, the next where a server says that it took too long. Below ten it is not the length that it
/// fails at.
const PAGE_SIZES: [u32; 4] = [MAX_PAGE, 50, 25, 10];

/// Bound on one page with its retries: a rate limit of 15 seconds, which is what one without a word is taken for,
/// fits in. Somebody waits at a prompt for the first of them.
const PAGE_TIMEOUT: Duration = Duration::from_secs(30);

/// Pages of one list; 100,000 entries in a month are a server that counts in circles.
const PAGES: usize = 1000;

/// A walk through the pages of one list.
pub(crate) struct Pages<'a> {
    api: &'a Api,
    /// What is listed, as in "the list of recordings".
    subject: String,
    scope: &'static str,
    next: Next,
    entries: u32,
    smaller: Skip<array::IntoIter<u32, 4>>,
    seen: HashSet<String>,
    pages: usize,
}

enum Next {
    First(SecretUrl),
    /// As the reply names it.
    Named(String),
    /// The reply may have named one.
    Unreadable,
    None,
}

impl<'a> Pages<'a> {
    /// The list whose first page is at `first`, which asks for [`MAX_PAGE`] entries. It takes `scope`.
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
            next: Next::First(first),
            entries: MAX_PAGE,
            smaller: PAGE_SIZES.into_iter().skip(1),
            seen: HashSet::new(),
            pages: 0,
        }
    }

    /// The next page; `None` behind the last.
    ///
    /// # Errors
    /// It cannot be had, or there is no end of them.
    pub(crate) async fn next(&mut self) -> Result<Option<Map<String, Value>>, ProviderError> {
        let mut address = match std::mem::replace(&mut self.next, Next::None) {
            Next::None => return Ok(None),
            Next::First(address) => address,
            Next::Named(named) => self.named(&named)?,
            Next::Unreadable => return Err(self.odd("sent a Link header that cannot be read")),
        };
        if self.pages == PAGES {
            return Err(self.odd("has no last page"));
        }
        self.pages += 1;
        loop {
            let reply = match self.api.page(&address, PAGE_TIMEOUT).await {
                Err(ApiError::Refused(refusal)) if refusal.is_of_length() => {
                    let Some(fewer) = self.smaller.next() else {
                        return Err(refusal.about(&self.subject, self.scope));
                    };
                    tracing::debug!(
                        "a page of {} took too long; asking for {fewer} entries",
                        self.subject
                    );
                    self.entries = fewer;
                    address = paging::with_at_most(&address, fewer);
                    continue;
                }
                reply => reply.map_err(|error| error.about(&self.subject, self.scope))?,
            };
            self.next = match reply.next {
                Ok(named) => named.map_or(Next::None, Next::Named),
                Err(paging::Unreadable) => Next::Unreadable,
            };
            return Ok(Some(reply.object));
        }
    }

    /// Whether the last page that came names another one, or may have.
    pub(crate) fn has_more(&self) -> bool {
        !matches!(self.next, Next::None)
    }

    /// What to say of a reply that makes no sense.
    pub(crate) fn odd(&self, what: &str) -> ProviderError {
        ProviderError::unavailable(format!("Webex {what} ({}); it may be passing", self.subject))
    }

    fn named(&mut self, named: &str) -> Result<SecretUrl, ProviderError> {
        let next = self.api.next_page(named).map_err(|host| {
            ProviderError::unavailable(format!(
                "the next page of {} is said to be on {host}, which is not the interface; nothing was sent there: check api_url",
                self.subject
            ))
        })?;
        let address = paging::repaired(&next, self.entries);
        if self.seen.insert(address.expose().as_str().to_owned()) {
            Ok(address)
        } else {
            Err(self.odd("names the same next page again and again"))
        }
    }
}

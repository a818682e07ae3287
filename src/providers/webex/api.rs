//! Calls of Webex's API.

use std::time::Duration;

use serde_json::{Map, Value};
use url::Url;

use super::paging;
use super::refusal::Refusal;
use crate::http::error::origin;
use crate::http::{ApiReply, Client, Priority, url_text};
use crate::model::SecretUrl;
use crate::providers::ProviderError;
use crate::providers::toolkit::api_client::{
    self, ApiCall, ApiClient, BackoffPolicy, JsonReply, Target, url_below,
};
use crate::providers::toolkit::token::Tokens;

/// Webex publishes no limits. A 429 without `Retry-After` asks for 15 seconds, and one with it for
/// at least one (webexpythonsdk, `RateLimitError`).
const BACKOFF: BackoffPolicy =
    BackoffPolicy { default: Duration::from_secs(15), min: Duration::from_secs(1) };

/// A call without a result.
pub(crate) type ApiError = api_client::ApiError<Refusal>;

impl ApiError {
    /// Returns the error of a call that requested `subject`, which needs `scope`.
    pub(crate) fn into_provider_error(self, subject: &str, scope: &str) -> ProviderError {
        match self {
            Self::Refused(refusal) => refusal.to_provider_error(subject, scope),
            Self::Failed(error) => error,
        }
    }
}

/// A page of a list.
pub(crate) struct PageReply {
    pub(crate) object: Map<String, Value>,
    /// The URL of the next page as the reply names it; `None` on the last page.
    pub(crate) next: Result<Option<String>, paging::UnreadableLink>,
}

/// The API of one source.
pub(crate) struct Api(ApiClient);

impl Api {
    pub(crate) fn new(client: Client, base: Url, tokens: Tokens) -> Self {
        Self(ApiClient::new(client, base, tokens).with_backoff(BACKOFF))
    }

    pub(crate) fn tokens(&self) -> &Tokens {
        self.0.tokens()
    }

    /// Returns the URL of a percent-encoded path, with its leading slash.
    pub(crate) fn url(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<SecretUrl, ProviderError> {
        url_below(self.0.base(), path, query)
    }

    /// Returns an error if the circuit breaker of the API is open.
    pub(crate) async fn check_breaker(&self) -> Result<(), ProviderError> {
        self.0.check_breaker().await
    }

    /// Requests the object at a URL from [`url`](Self::url).
    pub(crate) async fn get(
        &self,
        url: &SecretUrl,
        timeout: Duration,
        priority: Priority,
    ) -> Result<Map<String, Value>, ApiError> {
        let call = ApiCall::new(Target::Url(url), timeout, priority);
        Ok(self.0.get(&call).await?.object)
    }

    /// Requests a page of a list. A server timeout is not retried: fewer entries may take less
    /// time.
    pub(crate) async fn get_page(
        &self,
        url: &SecretUrl,
        timeout: Duration,
    ) -> Result<PageReply, ApiError> {
        let call = ApiCall::new(Target::Url(url), timeout, Priority::Background);
        let JsonReply { object, reply } =
            self.0.get(&ApiCall { refuses_504: true, ..call }).await?;
        Ok(PageReply { object, next: next_named(&reply) })
    }
}

/// Returns the URL of a next page as the reply to `page` names it.
///
/// # Errors
/// Returns the origin of a URL that is not one of the API. The token must not be sent there.
pub(crate) fn next_page(page: &Url, named: &str) -> Result<SecretUrl, String> {
    let url = page.join(named).map_err(|_| "an invalid URL".to_owned())?;
    let url = SecretUrl::new(url);
    if url.expose().origin() == page.origin() { Ok(url) } else { Err(origin(&url)) }
}

/// Returns the first next page that a `Link` header names.
fn next_named(reply: &ApiReply) -> Result<Option<String>, paging::UnreadableLink> {
    for link in reply.headers.get_all("link") {
        let named = paging::next(&url_text(link))?;
        if named.is_some() {
            return Ok(named);
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_page_is_on_the_api() {
        let base = Url::parse("https://webexapis.com/v1").unwrap();
        for named in [
            "https://webexapis.com/v1/recordings?cursor=x",
            "https://webexapis.com:443/v1/r",
            "/v1/r?c=1",
            "?c=1",
        ] {
            let url = next_page(&base, named).unwrap();
            assert_eq!(url.expose().host_str(), Some("webexapis.com"), "{named}");
        }
        for (named, host) in [
            ("http://webexapis.com/v1/recordings", "http://webexapis.com"),
            ("https://webexapis.com:8443/v1/recordings", "https://webexapis.com:8443"),
            ("https://webexapis.com.example.org/p4th", "https://webexapis.com.example.org"),
            ("https://webexapis.com@example.org/p4th", "https://example.org"),
            ("//example.org/p4th", "https://example.org"),
        ] {
            assert_eq!(next_page(&base, named).unwrap_err(), host, "{named}");
        }
    }
}

//! Calls to Webex's API.

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

/// The delay after a 429 reply. Webex publishes no rate limits. As in webexpythonsdk
/// (`RateLimitError`), the delay is 15 seconds without `Retry-After`, and at least one second with
/// it.
const BACKOFF: BackoffPolicy =
    BackoffPolicy { default: Duration::from_secs(15), min: Duration::from_secs(1) };

/// The error of an API call: Webex refused the request, or the call failed.
pub(crate) type ApiError = api_client::ApiError<Refusal>;

impl ApiError {
    /// Returns the error of a failed request for `subject`. The request needs the scope `scope`.
    pub(crate) fn into_provider_error(self, subject: &str, scope: &str) -> ProviderError {
        match self {
            Self::Refused(refusal) => refusal.to_provider_error(subject, scope),
            Self::Failed(error) => error,
        }
    }
}

/// A reply with one page of a list.
pub(crate) struct PageReply {
    pub(crate) object: Map<String, Value>,
    /// The URL of the next page as written in the reply, or `None` on the last page.
    pub(crate) next_url: Result<Option<String>, paging::UnreadableLink>,
}

/// The API of one source.
pub(crate) struct Api(ApiClient);

impl Api {
    pub(crate) fn new(client: Client, base_url: Url, tokens: Tokens) -> Self {
        Self(ApiClient::new(client, base_url, tokens).with_backoff(BACKOFF))
    }

    pub(crate) fn tokens(&self) -> &Tokens {
        self.0.tokens()
    }

    /// Returns the URL of `path`, which must be percent-encoded and begin with a slash.
    pub(crate) fn url(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<SecretUrl, ProviderError> {
        url_below(self.0.base_url(), path, query)
    }

    /// Checks the circuit breaker of the API. Returns an error if it is open.
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

    /// Requests a page of a list. A server timeout (504) is not retried, because a smaller page may
    /// take less time.
    pub(crate) async fn get_page(
        &self,
        url: &SecretUrl,
        timeout: Duration,
    ) -> Result<PageReply, ApiError> {
        let call = ApiCall::new(Target::Url(url), timeout, Priority::Background);
        let JsonReply { object, reply } =
            self.0.get(&ApiCall { refuses_504: true, ..call }).await?;
        Ok(PageReply { object, next_url: next_url(&reply) })
    }
}

/// Resolves `next_url`, which the reply to `page` contains, to an absolute URL.
///
/// # Errors
/// If the URL does not belong to the API, returns its origin. The token must not be sent there.
pub(crate) fn resolve_next_url(page: &Url, next_url: &str) -> Result<SecretUrl, String> {
    let url = page.join(next_url).map_err(|_| "an invalid URL".to_owned())?;
    let url = SecretUrl::new(url);
    if url.expose().origin() == page.origin() { Ok(url) } else { Err(origin(&url)) }
}

/// Returns the URL of the next page from the `Link` headers, or `None` if they contain none.
fn next_url(reply: &ApiReply) -> Result<Option<String>, paging::UnreadableLink> {
    for link in reply.headers.get_all("link") {
        let next_url = paging::next_url(&url_text(link))?;
        if next_url.is_some() {
            return Ok(next_url);
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn next_page_must_be_on_the_api() {
        let base_url = Url::parse("https://webexapis.com/v1").unwrap();
        for next_url in [
            "https://webexapis.com/v1/recordings?cursor=x",
            "https://webexapis.com:443/v1/r",
            "/v1/r?c=1",
            "?c=1",
        ] {
            let url = resolve_next_url(&base_url, next_url).unwrap();
            assert_eq!(url.expose().host_str(), Some("webexapis.com"), "{next_url}");
        }
        for (next_url, origin) in [
            ("http://webexapis.com/v1/recordings", "http://webexapis.com"),
            ("https://webexapis.com:8443/v1/recordings", "https://webexapis.com:8443"),
            ("https://webexapis.com.example.org/p4th", "https://webexapis.com.example.org"),
            ("https://webexapis.com@example.org/p4th", "https://example.org"),
            ("//example.org/p4th", "https://example.org"),
        ] {
            assert_eq!(resolve_next_url(&base_url, next_url).unwrap_err(), origin, "{next_url}");
        }
    }
}

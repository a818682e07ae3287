//! Calls of the interface: under a token that is renewed once where it is refused, and never while Webex has asked
//! for quiet.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};
use tokio::time::Instant;
use url::Url;

use super::paging;
use super::refusal::Refusal;
use crate::http::error::origin;
use crate::http::{ApiReply, ApiRequest, Client, HttpError, Priority, retry};
use crate::model::SecretUrl;
use crate::providers::ProviderError;
use crate::providers::toolkit::backoff::{Backoff, BackoffRemaining};
use crate::providers::toolkit::json_repair;
use crate::providers::toolkit::token::{Token, Tokens};

/// Back-off after a 429 without `Retry-After`, and the shortest after one with it (webexpythonsdk, `RateLimitError`).
const DEFAULT_RETRY_DELAY: Duration = Duration::from_secs(15);
const MIN_RETRY_DELAY: Duration = Duration::from_secs(1);

/// Why a call brought no object.
pub(crate) enum ApiError {
    /// Webex says no.
    Refused(Refusal),
    /// There was no answer, no credential, or no sense in the answer.
    Failed(ProviderError),
}

impl ApiError {
    /// What to report when `subject` was asked for, which takes `scope`.
    pub(crate) fn about(self, subject: &str, scope: &str) -> ProviderError {
        match self {
            Self::Refused(refusal) => refusal.about(subject, scope),
            Self::Failed(error) => error,
        }
    }
}

impl From<ProviderError> for ApiError {
    fn from(error: ProviderError) -> Self {
        Self::Failed(error)
    }
}

impl From<HttpError> for ApiError {
    fn from(error: HttpError) -> Self {
        Self::Failed(error.into())
    }
}

/// What a call brought.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) object: Map<String, Value>,
    /// The address of the page after this one, as the reply names it; `None` on the last.
    pub(crate) next: Result<Option<String>, paging::UnreadableLink>,
}

/// The interface of one source.
pub(crate) struct Api {
    client: Client,
    base: Url,
    tokens: Tokens,
    backoff: Backoff,
}

impl Api {
    pub(crate) fn new(client: Client, base: Url, tokens: Tokens) -> Self {
        Self { client, base, tokens, backoff: Backoff::default() }
    }

    /// The source's token.
    pub(crate) fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// The address of `path`, which begins with a slash and is percent-encoded.
    pub(crate) fn address(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<SecretUrl, ProviderError> {
        let text = format!("{}{path}", self.base.as_str().trim_end_matches('/'));
        let mut url = Url::parse(&text)
            .map_err(|_| ProviderError::unavailable("api_url cannot be used as a base address"))?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(SecretUrl::new(url))
    }

    /// The address of a next page as a reply names it, if the token may be sent there: to the interface itself and
    /// nowhere else. Of where it leads otherwise, the host alone is told.
    pub(crate) fn next_page(&self, named: &str) -> Result<SecretUrl, String> {
        next_page(&self.base, named)
    }

    /// Says whether it is worth asking where a read waits.
    ///
    /// # Errors
    /// [`Down`](crate::providers::ErrorClass::Down).
    pub(crate) async fn admit(&self) -> Result<(), ProviderError> {
        Ok(self.client.admit(&SecretUrl::new(self.base.clone())).await?)
    }

    /// Asks for the object at an address of the interface, made by [`address`](Self::address).
    pub(crate) async fn get(
        &self,
        address: &SecretUrl,
        within: Duration,
        priority: Priority,
    ) -> Result<Reply, ApiError> {
        self.renewing(address, within, priority, |status| status == 429).await
    }

    /// The same for a page of a list: where the server says that it takes too long, that is told at once, for fewer
    /// entries may take less.
    pub(crate) async fn page(
        &self,
        address: &SecretUrl,
        within: Duration,
    ) -> Result<Reply, ApiError> {
        self.renewing(address, within, Priority::Background, |status| matches!(status, 429 | 504))
            .await
    }

    async fn renewing(
        &self,
        address: &SecretUrl,
        within: Duration,
        priority: Priority,
        taken: fn(u16) -> bool,
    ) -> Result<Reply, ApiError> {
        let deadline = Instant::now() + within;
        let token = self.tokens.current(priority).await?;
        match self.get_with(&token, address, deadline, priority, taken).await {
            Err(ApiError::Refused(refusal)) if refusal.is_of_token() => {
                let token = self.tokens.renewed(&token, priority).await?;
                self.get_with(&token, address, deadline, priority, taken).await
            }
            done => done,
        }
    }

    async fn get_with(
        &self,
        token: &Arc<Token>,
        address: &SecretUrl,
        deadline: Instant,
        priority: Priority,
        taken: fn(u16) -> bool,
    ) -> Result<Reply, ApiError> {
        loop {
            self.backoff.wait(deadline).await.map_err(|BackoffRemaining(wait)| {
                HttpError::RateLimited { host: origin(address), wait }
            })?;
            let request = ApiRequest {
                url: address.clone(),
                authorization: Some(token.header()),
                form: None,
                timeout: deadline.saturating_duration_since(Instant::now()),
                // Limits are not published; a reply says when there were too many.
                rate_limiter: None,
                priority,
            };
            let reply = self.client.call_accepting(&request, taken).await?;
            if reply.status == 429 {
                let wait = retry::retry_after(&reply.headers, SystemTime::now());
                self.backoff
                    .extend(wait.map_or(DEFAULT_RETRY_DELAY, |wait| wait.max(MIN_RETRY_DELAY)));
                continue;
            }
            return read(&reply, address, token);
        }
    }
}

pub(crate) fn next_page(base: &Url, named: &str) -> Result<SecretUrl, String> {
    let url = base.join(named).map_err(|_| "no address".to_owned())?;
    let address = SecretUrl::new(url);
    if address.expose().origin() == base.origin() { Ok(address) } else { Err(origin(&address)) }
}

fn read(reply: &ApiReply, address: &SecretUrl, token: &Token) -> Result<Reply, ApiError> {
    let object = json_repair::object(&reply.body);
    let wait = retry::retry_after(&reply.headers, SystemTime::now());
    if let Some(refusal) = Refusal::of(reply.status, object.as_ref(), wait, token.secret()) {
        return Err(ApiError::Refused(refusal));
    }
    let next = next_named(reply);
    match object {
        Some(object) => Ok(Reply { object, next }),
        None => Err(ApiError::Failed(ProviderError::unavailable(format!(
            "{} answered with something that is not a JSON object; check api_url",
            origin(address)
        )))),
    }
}

/// The first next page that one of the `Link` headers names.
fn next_named(reply: &ApiReply) -> Result<Option<String>, paging::UnreadableLink> {
    for link in reply.headers.get_all("link") {
        let named = paging::next(link.to_str().map_err(|_| paging::UnreadableLink)?)?;
        if named.is_some() {
            return Ok(named);
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;

    fn api(base: &str) -> Api {
        let tokens = Tokens::fixed(SecretString::from("t"), ProviderError::credential(""));
        Api::new(Client::new(8).unwrap(), Url::parse(base).unwrap(), tokens)
    }

    #[test]
    fn an_address_is_joined_with_and_without_a_slash_at_the_bases_end() {
        for base in ["https://webexapis.com/v1", "https://webexapis.com/v1/"] {
            let url =
                api(base).address("/recordings", &[("from", "2026-10-01T00:00:00Z")]).unwrap();
            let expected = "https://webexapis.com/v1/recordings?from=2026-10-01T00%3A00%3A00Z";
            assert_eq!(url.expose().as_str(), expected);
        }
    }

    #[test]
    fn a_next_page_is_on_the_interface_itself_or_nowhere() {
        let api = api("https://webexapis.com/v1");
        for good in [
            "https://webexapis.com/v1/recordings?cursor=x",
            "https://webexapis.com:443/v1/r",
            "/v1/r?c=1",
        ] {
            let address = api.next_page(good).unwrap();
            assert_eq!(address.expose().host_str(), Some("webexapis.com"), "{good}");
        }
        for (bad, told) in [
            ("http://webexapis.com/v1/recordings", "http://webexapis.com"),
            ("https://webexapis.com:8443/v1/recordings", "https://webexapis.com:8443"),
            ("https://webexapis.com.example.org/p4th", "https://webexapis.com.example.org"),
            ("https://webexapis.com@example.org/p4th", "https://example.org"),
            ("//example.org/p4th", "https://example.org"),
        ] {
            assert_eq!(api.next_page(bad).unwrap_err(), told, "{bad}");
        }
    }
}

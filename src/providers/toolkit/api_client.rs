//! Calls a provider's JSON API.
//!
//! Input: a path or URL, a timeout and a priority. Output: the JSON object of the reply. The
//! client adds the access token, renews a refused token once, repairs the JSON and classifies
//! refusals. It does not know the meaning of a path, and it does not create the messages about
//! refusals: that is the task of the provider's [`ApiRefusal`].

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use secrecy::SecretString;
use serde_json::{Map, Value};
use tokio::time::Instant;
use url::Url;

use super::backoff::{Backoff, BackoffRemaining};
use super::json_repair::{self, UnreadableObject};
use super::token::{Token, Tokens};
use crate::http::error::origin;
use crate::http::{ApiReply, ApiRequest, Client, HttpError, Priority, RateLimiter, retry};
use crate::model::SecretUrl;
use crate::providers::ProviderError;

/// An error reply with which a provider refuses a call. Each provider parses its own error format.
pub(crate) trait ApiRefusal: Sized {
    /// Parses a reply whose body is `object`. Returns `None` if the reply is not a refusal.
    /// `secret` is the token of the call. The result must not contain it.
    fn from_reply(
        reply: &ApiReply,
        object: Option<&Map<String, Value>>,
        secret: &SecretString,
    ) -> Option<Self>;

    /// Whether the token was refused, so the call may succeed with another one.
    fn is_token_error(&self) -> bool;
}

/// The error of a call.
#[derive(Debug)]
pub(crate) enum ApiError<R> {
    /// The provider refused the call.
    Refused(R),
    /// The call failed: there was no token, no reply, or no JSON object in the reply.
    Failed(ProviderError),
}

impl<R> From<ProviderError> for ApiError<R> {
    fn from(error: ProviderError) -> Self {
        Self::Failed(error)
    }
}

impl<R> From<HttpError> for ApiError<R> {
    fn from(error: HttpError) -> Self {
        Self::Failed(error.into())
    }
}

/// The URL of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target<'a> {
    /// A path below the base URL, and query parameters. The path is percent-encoded and begins with
    /// a slash.
    Path(&'a str, &'a [(&'a str, &'a str)]),
    /// A URL of the API, such as that of a next page.
    Url(&'a SecretUrl),
}

/// One `GET` request.
#[derive(Clone, Debug)]
pub(crate) struct ApiCall<'a> {
    pub(crate) target: Target<'a>,
    /// Timeout of one attempt, including its retries. If the token is refused and renewed, the call
    /// has a second attempt.
    pub(crate) timeout: Duration,
    pub(crate) priority: Priority,
    /// The rate limiter of the call, or `None` if the provider publishes no rate limit.
    pub(crate) rate_limiter: Option<Arc<RateLimiter>>,
    /// Whether status 504 is returned as a refusal instead of being retried. The caller can then
    /// request fewer items, which may take less time.
    pub(crate) refuses_504: bool,
}

impl<'a> ApiCall<'a> {
    /// Returns a call without a rate limiter and with the usual retries.
    pub(crate) fn new(target: Target<'a>, timeout: Duration, priority: Priority) -> Self {
        Self { target, timeout, priority, rate_limiter: None, refuses_504: false }
    }
}

/// The JSON object and the reply of a successful call.
#[derive(Debug)]
pub(crate) struct JsonReply {
    pub(crate) object: Map<String, Value>,
    pub(crate) reply: ApiReply,
}

/// The delay after status 429 of a provider that publishes no rate limits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BackoffPolicy {
    /// The delay if the reply has no `Retry-After`.
    pub(crate) default: Duration,
    /// Lower bound for the delay in `Retry-After`.
    pub(crate) min: Duration,
}

/// Calls the API of one source.
pub(crate) struct ApiClient {
    client: Client,
    base_url: Url,
    tokens: Tokens,
    backoff: Option<(BackoffPolicy, Backoff)>,
}

impl ApiClient {
    pub(crate) fn new(client: Client, base_url: Url, tokens: Tokens) -> Self {
        Self { client, base_url, tokens, backoff: None }
    }

    /// After a status 429, makes all calls of the source wait until the delay has passed.
    pub(crate) fn with_backoff(self, policy: BackoffPolicy) -> Self {
        Self { backoff: Some((policy, Backoff::default())), ..self }
    }

    pub(crate) fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    pub(crate) fn base_url(&self) -> &Url {
        &self.base_url
    }

    /// Checks the circuit breaker of the API.
    ///
    /// # Errors
    /// Returns an error of class [`Down`](crate::providers::ErrorClass::Down) if the circuit
    /// breaker is open.
    pub(crate) async fn check_breaker(&self) -> Result<(), ProviderError> {
        Ok(self.client.check_breaker(&SecretUrl::new(self.base_url.clone())).await?)
    }

    /// Sends a call. If the provider refuses the token and another token is available, sends the
    /// call once more.
    ///
    /// # Errors
    /// Returns an [`ApiError`] if the provider refuses the call or the call fails.
    pub(crate) async fn get<R: ApiRefusal>(
        &self,
        call: &ApiCall<'_>,
    ) -> Result<JsonReply, ApiError<R>> {
        let token = self.tokens.current(call.priority).await?;
        match self.get_with_token(&token, call).await {
            Err(ApiError::Refused(refusal)) if R::is_token_error(&refusal) => {
                let token = self.tokens.renew(&token, call.priority).await?;
                self.get_with_token(&token, call).await
            }
            result => result,
        }
    }

    async fn get_with_token<R: ApiRefusal>(
        &self,
        token: &Token,
        call: &ApiCall<'_>,
    ) -> Result<JsonReply, ApiError<R>> {
        let deadline = Instant::now() + call.timeout;
        let url = match call.target {
            Target::Path(path, query) => {
                url_below(token.api_url().unwrap_or(&self.base_url), path, query)?
            }
            Target::Url(url) => url.clone(),
        };
        loop {
            if let Some((_, backoff)) = &self.backoff
                && let Err(BackoffRemaining(wait)) = backoff.wait(deadline).await
            {
                return Err(HttpError::RateLimited { host: origin(&url), wait }.into());
            }
            let request = ApiRequest {
                url: url.clone(),
                authorization: Some(token.header()),
                form: None,
                timeout: deadline.saturating_duration_since(Instant::now()),
                rate_limiter: call.rate_limiter.clone(),
                priority: call.priority,
            };
            let is_accepted: fn(u16) -> bool = match (&self.backoff, call.refuses_504) {
                (None, false) => |_status| false,
                (None, true) => |status| status == 504,
                (Some(_), false) => |status| status == 429,
                (Some(_), true) => |status| matches!(status, 429 | 504),
            };
            let reply = self.client.call_accepting(&request, is_accepted).await?;
            let Some((policy, backoff)) = self.backoff.as_ref().filter(|_| reply.status == 429)
            else {
                return read_reply(reply, &url, token);
            };
            let delay = retry::retry_after(&reply.headers, SystemTime::now());
            backoff.extend(delay.map_or(policy.default, |delay| delay.max(policy.min)));
        }
    }
}

/// Returns the URL of the percent-encoded `path` below `base_url`.
///
/// # Errors
/// Returns an error if `base_url` cannot have a path.
pub(crate) fn url_below(
    base_url: &Url,
    path: &str,
    query: &[(&str, &str)],
) -> Result<SecretUrl, ProviderError> {
    let text = format!("{}{path}", base_url.as_str().trim_end_matches('/'));
    let mut url = Url::parse(&text).map_err(|_| invalid_base_url_error())?;
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    Ok(SecretUrl::new(url))
}

/// Returns the error of an `api_url` to which no path can be appended.
pub(crate) fn invalid_base_url_error() -> ProviderError {
    ProviderError::unavailable("api_url cannot be used as a base URL")
}

fn read_reply<R: ApiRefusal>(
    mut reply: ApiReply,
    url: &SecretUrl,
    token: &Token,
) -> Result<JsonReply, ApiError<R>> {
    let object = json_repair::try_parse_object(&reply.body);
    if let Some(refusal) = R::from_reply(&reply, object.as_ref().ok(), token.secret()) {
        return Err(ApiError::Refused(refusal));
    }
    reply.body = Vec::new();
    let server = origin(url);
    match object {
        Ok(object) => Ok(JsonReply { object, reply }),
        Err(UnreadableObject::NotAnObject) => {
            let message = format!("{server} returned a reply that is not a JSON object");
            Err(ProviderError::unavailable(message).with_hint("Check api_url.").into())
        }
        Err(UnreadableObject::TooLarge) => {
            let message = format!("{server} sent a reply that is too large to be read");
            Err(ProviderError::unavailable(message).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_url_may_end_with_a_slash() {
        for base_url in ["https://api.zoom.us/v2", "https://api.zoom.us/v2/"] {
            let base_url = Url::parse(base_url).unwrap();
            let url =
                url_below(&base_url, "/users/me/recordings", &[("from", "2026-10-01")]).unwrap();
            assert_eq!(
                url.expose().as_str(),
                "https://api.zoom.us/v2/users/me/recordings?from=2026-10-01"
            );
        }
        assert!(url_below(&Url::parse("data:x").unwrap(), "", &[("a", "b")]).is_ok());
    }
}

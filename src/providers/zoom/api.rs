//! Calls of the interface under a token that is renewed once where it is refused.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use url::Url;

use super::refusal::Refusal;
use crate::config::ZoomPlan;
use crate::http::error::origin;
use crate::http::{ApiRequest, Client, Priority, RateLimiter};
use crate::model::SecretUrl;
use crate::providers::ProviderError;
use crate::providers::toolkit::json_repair;
use crate::providers::toolkit::token::{Token, Tokens};

/// Why a call brought no object.
pub(crate) enum ApiError {
    /// Zoom says no.
    Refused(Refusal),
    /// There was no answer, no credential, or no sense in the answer.
    Failed(ProviderError),
}

impl ApiError {
    /// What to report when `subject` was asked for.
    pub(crate) fn about(self, subject: &str) -> ProviderError {
        match self {
            Self::Refused(refusal) => refusal.about(subject),
            Self::Failed(error) => error,
        }
    }
}

impl From<ProviderError> for ApiError {
    fn from(error: ProviderError) -> Self {
        Self::Failed(error)
    }
}

/// How Zoom weighs a call ("Rate limits" in its API reference, which has the label of each).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Label {
    /// One thing.
    Light,
    /// A page of a list.
    Medium,
}

/// What Zoom lets an account do in a second, over all its apps and users. The limits are the account's, so the sources
/// of one account share one.
pub(crate) struct RateLimiters {
    light: Arc<RateLimiter>,
    medium: Arc<RateLimiter>,
}

impl RateLimiters {
    /// The rate_limiters of the account called `account`, by Zoom's table of limits ("Rate limits").
    pub(crate) fn of(client: &Client, account: &str, plan: ZoomPlan) -> Self {
        let (light, medium) = match plan {
            ZoomPlan::Free => (4, 2),
            ZoomPlan::Pro => (30, 20),
            ZoomPlan::Business => (80, 60),
        };
        let limiter = |label: &str, allowed| {
            let allowed = NonZeroU32::new(allowed).unwrap_or(NonZeroU32::MIN);
            client.rate_limiter(&format!("zoom {account} {label}"), allowed)
        };
        Self { light: limiter("light", light), medium: limiter("medium", medium) }
    }

    fn of_label(&self, label: Label) -> Arc<RateLimiter> {
        match label {
            Label::Light => self.light.clone(),
            Label::Medium => self.medium.clone(),
        }
    }
}

/// The interface of one source.
pub(crate) struct Api {
    client: Client,
    base: Url,
    tokens: Tokens,
    rate_limiters: RateLimiters,
}

impl Api {
    pub(crate) fn new(
        client: Client,
        base: Url,
        tokens: Tokens,
        rate_limiters: RateLimiters,
    ) -> Self {
        Self { client, base, tokens, rate_limiters }
    }

    /// The source's token.
    pub(crate) fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// Asks for the object at `path`, which begins with a slash and is percent-encoded. A refused token is renewed once;
    /// each of the two calls may take as long as `within`.
    pub(crate) async fn get(
        &self,
        (label, priority): (Label, Priority),
        path: &str,
        query: &[(&str, &str)],
        within: Duration,
    ) -> Result<Map<String, Value>, ApiError> {
        let token = self.tokens.current(priority).await?;
        let limit = (label, priority);
        match self.get_with(&token, limit, path, query, within).await {
            Err(ApiError::Refused(refusal)) if refusal.is_of_token() => {
                let token = self.tokens.renewed(&token, priority).await?;
                self.get_with(&token, limit, path, query, within).await
            }
            done => done,
        }
    }

    async fn get_with(
        &self,
        token: &Arc<Token>,
        (label, priority): (Label, Priority),
        path: &str,
        query: &[(&str, &str)],
        within: Duration,
    ) -> Result<Map<String, Value>, ApiError> {
        let request = ApiRequest {
            address: address(token.api().unwrap_or(&self.base), path, query)?,
            authorization: Some(token.header()),
            form: None,
            within,
            rate_limiter: Some(self.rate_limiters.of_label(label)),
            priority,
        };
        let reply = self.client.call(&request).await.map_err(ProviderError::from)?;
        let object = json_repair::object(&reply.body);
        if let Some(refusal) = Refusal::of(reply.status, object.as_ref(), token.secret()) {
            return Err(ApiError::Refused(refusal));
        }
        object.ok_or_else(|| {
            ApiError::Failed(ProviderError::unavailable(format!(
                "{} answered with something that is not a JSON object; check api_url",
                origin(&request.address)
            )))
        })
    }
}

fn address(base: &Url, path: &str, query: &[(&str, &str)]) -> Result<SecretUrl, ProviderError> {
    let text = format!("{}{path}", base.as_str().trim_end_matches('/'));
    let mut url = Url::parse(&text)
        .map_err(|_| ProviderError::unavailable("api_url cannot be used as a base address"))?;
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    Ok(SecretUrl::new(url))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_joined_with_and_without_a_slash_at_the_bases_end() {
        for base in ["https://api.zoom.us/v2", "https://api.zoom.us/v2/"] {
            let base = Url::parse(base).unwrap();
            let url = address(&base, "/users/me/recordings", &[("from", "2026-10-01")]).unwrap();
            assert_eq!(
                url.expose().as_str(),
                "https://api.zoom.us/v2/users/me/recordings?from=2026-10-01"
            );
        }
    }
}

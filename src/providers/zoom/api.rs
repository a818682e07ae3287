//! Calls of Zoom's API under its rate limits.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use url::Url;

use super::refusal::Refusal;
use crate::config::ZoomPlan;
use crate::http::{Client, Priority, RateLimiter};
use crate::providers::ProviderError;
use crate::providers::toolkit::api_client::{self, ApiCall, ApiClient, Target};
use crate::providers::toolkit::token::Tokens;

/// A call without a result.
pub(crate) type ApiError = api_client::ApiError<Refusal>;

impl ApiError {
    /// Returns the error of a call that requested `subject`.
    pub(crate) fn into_provider_error(self, subject: &str) -> ProviderError {
        match self {
            Self::Refused(refusal) => refusal.to_provider_error(subject),
            Self::Failed(error) => error,
        }
    }
}

/// The weight of a call in Zoom's rate limits ("Rate limits" in its API reference, which has the
/// label of each endpoint).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RateLimitLabel {
    /// One object.
    Light,
    /// A page of a list.
    Medium,
}

/// The rate limiters of one account. Zoom counts the calls of all apps and users of an account
/// together, so the sources of an account share them.
pub(crate) struct RateLimiters {
    light: Arc<RateLimiter>,
    medium: Arc<RateLimiter>,
}

impl RateLimiters {
    /// Returns the limiters of the account called `account` ("Rate limits" in Zoom's API
    /// reference).
    pub(crate) fn of(client: &Client, account: &str, plan: ZoomPlan) -> Self {
        let (light, medium) = match plan {
            ZoomPlan::Free => (4, 2),
            ZoomPlan::Pro => (30, 20),
            ZoomPlan::Business => (80, 60),
        };
        let limiter = |label: &str, limit| {
            let limit = NonZeroU32::new(limit).unwrap_or(NonZeroU32::MIN);
            client.rate_limiter(&format!("zoom {account} {label}"), limit)
        };
        Self { light: limiter("light", light), medium: limiter("medium", medium) }
    }

    fn of_label(&self, label: RateLimitLabel) -> Arc<RateLimiter> {
        match label {
            RateLimitLabel::Light => self.light.clone(),
            RateLimitLabel::Medium => self.medium.clone(),
        }
    }
}

/// Returns the error of a reply with unexpected contents, as in "sent a list without a last page".
pub(crate) fn unexpected(what: &dyn std::fmt::Display, subject: &str) -> ProviderError {
    ProviderError::unavailable(format!("Zoom {what} ({subject})"))
        .with_hint("A running mount retries automatically.")
}

/// The API of one source.
pub(crate) struct Api {
    client: ApiClient,
    rate_limiters: RateLimiters,
}

impl Api {
    pub(crate) fn new(
        client: Client,
        base: Url,
        tokens: Tokens,
        rate_limiters: RateLimiters,
    ) -> Self {
        Self { client: ApiClient::new(client, base, tokens), rate_limiters }
    }

    pub(crate) fn tokens(&self) -> &Tokens {
        self.client.tokens()
    }

    /// Requests the object at a percent-encoded path. Each of the two attempts that a renewed
    /// token makes of it may take as long as `timeout`.
    pub(crate) async fn get(
        &self,
        (label, priority): (RateLimitLabel, Priority),
        path: &str,
        query: &[(&str, &str)],
        timeout: Duration,
    ) -> Result<Map<String, Value>, ApiError> {
        let call = ApiCall {
            rate_limiter: Some(self.rate_limiters.of_label(label)),
            ..ApiCall::new(Target::Path(path, query), timeout, priority)
        };
        Ok(self.client.get(&call).await?.object)
    }
}

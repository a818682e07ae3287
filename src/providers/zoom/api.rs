//! Calls Zoom's API within its rate limits.

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

/// The error of an API call.
pub(crate) type ApiError = api_client::ApiError<Refusal>;

impl ApiError {
    /// Converts the error of a request for `subject`, as in "the recordings of user me", to a
    /// provider error.
    pub(crate) fn into_provider_error(self, subject: &str) -> ProviderError {
        match self {
            Self::Refused(refusal) => refusal.to_provider_error(subject),
            Self::Failed(error) => error,
        }
    }
}

/// The label of an endpoint in Zoom's rate limits ("Rate limits" in its API reference). Each label
/// has its own limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RateLimitLabel {
    /// The label of requests for one object.
    Light,
    /// The label of requests for one page of a list.
    Medium,
}

/// The rate limiters of one account. Zoom counts the requests of all apps and users of an account
/// together, so all sources of an account share the limiters.
pub(crate) struct RateLimiters {
    light: Arc<RateLimiter>,
    medium: Arc<RateLimiter>,
}

impl RateLimiters {
    /// Returns the rate limiters of `account`. Its `plan` determines the limits ("Rate limits" in
    /// Zoom's API reference).
    pub(crate) fn of(client: &Client, account: &str, plan: ZoomPlan) -> Self {
        let (light, medium) = match plan {
            ZoomPlan::Free => (4, 2),
            ZoomPlan::Pro => (30, 20),
            ZoomPlan::Business => (80, 60),
        };
        let limiter = |label: &str, per_second| {
            let per_second = NonZeroU32::new(per_second).unwrap_or(NonZeroU32::MIN);
            client.rate_limiter(&format!("zoom {account} {label}"), per_second)
        };
        Self { light: limiter("light", light), medium: limiter("medium", medium) }
    }

    fn for_label(&self, label: RateLimitLabel) -> Arc<RateLimiter> {
        match label {
            RateLimitLabel::Light => self.light.clone(),
            RateLimitLabel::Medium => self.medium.clone(),
        }
    }
}

/// Returns the error of a list that cannot be read completely. `subject` names the entries of the
/// list, and `problem` is a sentence that states the cause, such as "the list has no last page".
pub(crate) fn incomplete_list_error(
    problem: &dyn std::fmt::Display,
    subject: &str,
) -> ProviderError {
    ProviderError::unavailable(format!("cannot list {subject} completely: {problem}"))
        .with_hint("A running mount retries automatically.")
}

/// The API client of one source.
pub(crate) struct Api {
    client: ApiClient,
    rate_limiters: RateLimiters,
}

impl Api {
    pub(crate) fn new(
        client: Client,
        base_url: Url,
        tokens: Tokens,
        rate_limiters: RateLimiters,
    ) -> Self {
        Self { client: ApiClient::new(client, base_url, tokens), rate_limiters }
    }

    pub(crate) fn tokens(&self) -> &Tokens {
        self.client.tokens()
    }

    /// Requests the object at a percent-encoded path. If the token is renewed, the request is sent
    /// twice, and `timeout` applies to each attempt.
    pub(crate) async fn get(
        &self,
        (label, priority): (RateLimitLabel, Priority),
        path: &str,
        query: &[(&str, &str)],
        timeout: Duration,
    ) -> Result<Map<String, Value>, ApiError> {
        let call = ApiCall {
            rate_limiter: Some(self.rate_limiters.for_label(label)),
            ..ApiCall::new(Target::Path(path, query), timeout, priority)
        };
        Ok(self.client.get(&call).await?.object)
    }
}

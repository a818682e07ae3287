//! Calls to Rapatin's API.

use std::time::Duration;

use serde_json::{Map, Value};
use url::Url;

use super::refusal::Refusal;
use super::wire::Sessions;
use crate::http::{Client, Priority};
use crate::model::SecretUrl;
use crate::providers::ProviderError;
use crate::providers::toolkit::api_client::{
    self, ApiCall, ApiClient, Target, invalid_base_url_error,
};
use crate::providers::toolkit::token::Tokens;

/// The error of an API call: Rapatin refused the request, or the call failed.
pub(crate) type ApiError = api_client::ApiError<Refusal>;

impl ApiError {
    /// Returns the error of a failed request for `subject`.
    pub(crate) fn into_provider_error(self, subject: &str) -> ProviderError {
        match self {
            Self::Refused(refusal) => refusal.to_provider_error(subject),
            Self::Failed(error) => error,
        }
    }
}

/// The API of one source. Rapatin publishes no rate limits.
pub(crate) struct Api {
    client: ApiClient,
    base_url: Url,
}

impl Api {
    pub(crate) fn new(client: Client, base_url: Url, tokens: Tokens) -> Self {
        Self { client: ApiClient::new(client, base_url.clone(), tokens), base_url }
    }

    /// Requests the recorded sessions of a meeting. The result is empty if Rapatin has no
    /// recordings of the meeting.
    pub(crate) async fn list_recordings(
        &self,
        meeting: &str,
        timeout: Duration,
        priority: Priority,
    ) -> Result<Sessions, ProviderError> {
        let subject = format!("the recordings of meeting {meeting}");
        match self.get(&["recordings", meeting], &[], timeout, priority).await {
            Ok(object) => Sessions::parse(object).ok_or_else(|| {
                ProviderError::unavailable(format!("Rapatin sent an invalid reply for {subject}"))
            }),
            Err(ApiError::Refused(refusal)) if refusal.is_not_found() => Ok(Sessions::default()),
            Err(error) => Err(error.into_provider_error(&subject)),
        }
    }

    /// Requests the JSON object at `path`. If the token is refused, the request is repeated with a
    /// new token. Each of the two attempts may take as long as `timeout`.
    pub(crate) async fn get(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        timeout: Duration,
        priority: Priority,
    ) -> Result<Map<String, Value>, ApiError> {
        let url = url(&self.base_url, path, query)?;
        let call = ApiCall::new(Target::Url(&url), timeout, priority);
        Ok(self.client.get(&call).await?.object)
    }
}

/// Returns the URL of `path` below `base_url`. The segments of `path` are percent-encoded by this
/// function.
pub(crate) fn url(
    base_url: &Url,
    path: &[&str],
    query: &[(&str, &str)],
) -> Result<SecretUrl, ProviderError> {
    let mut url = base_url.clone();
    url.path_segments_mut().map_err(|()| invalid_base_url_error())?.pop_if_empty().extend(path);
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    Ok(SecretUrl::new(url))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_stays_below_the_base_url_for_any_id() {
        for (base_url, meeting, expected) in [
            (
                "https://api.rapatin.id",
                "85095598095",
                "https://api.rapatin.id/recordings/85095598095?tab=a",
            ),
            (
                "https://api.rapatin.id/",
                "a/b?c",
                "https://api.rapatin.id/recordings/a%2Fb%3Fc?tab=a",
            ),
            ("https://example.org/v1", "..", "https://example.org/v1/recordings?tab=a"),
        ] {
            let base_url = Url::parse(base_url).unwrap();
            let url = url(&base_url, &["recordings", meeting], &[("tab", "a")]).unwrap();
            assert_eq!(url.expose().as_str(), expected);
        }
    }
}

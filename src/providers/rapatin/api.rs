//! Calls of the interface under a token that is renewed once where it is refused.

use std::time::Duration;

use serde_json::{Map, Value};
use url::Url;

use super::refusal::Refusal;
use super::wire::Sessions;
use crate::http::error::origin;
use crate::http::{ApiRequest, Client, Priority};
use crate::model::SecretUrl;
use crate::providers::ProviderError;
use crate::providers::toolkit::json_repair;
use crate::providers::toolkit::token::{Token, Tokens};

/// Why a call brought no object.
pub(crate) enum ApiError {
    /// Rapatin says no.
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

/// The interface of one source.
pub(crate) struct Api {
    client: Client,
    base: Url,
    tokens: Tokens,
}

impl Api {
    pub(crate) fn new(client: Client, base: Url, tokens: Tokens) -> Self {
        Self { client, base, tokens }
    }

    /// The recorded sessions of one meeting; none where Rapatin has nothing under its id. Each of the two calls that a
    /// renewed token may make of it takes as long as `within` at most.
    pub(crate) async fn recordings(
        &self,
        meeting: &str,
        within: Duration,
        priority: Priority,
    ) -> Result<Sessions, ProviderError> {
        let subject = format!("the recordings of meeting {meeting}");
        match self.get(&["recordings", meeting], &[], within, priority).await {
            Ok(reply) => Sessions::read(reply).ok_or_else(|| {
                ProviderError::unavailable(format!(
                    "Rapatin's answer holds no session among {subject}"
                ))
            }),
            Err(ApiError::Refused(refusal)) if refusal.is_absence() => Ok(Sessions::default()),
            Err(error) => Err(error.about(&subject)),
        }
    }

    /// Asks for the object at `path`. A refused token is renewed once; each of the two calls may take as long as
    /// `within`.
    pub(crate) async fn get(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        within: Duration,
        priority: Priority,
    ) -> Result<Map<String, Value>, ApiError> {
        let token = self.tokens.current(priority).await?;
        match self.get_with(&token, path, query, within, priority).await {
            Err(ApiError::Refused(refusal)) if refusal.is_of_token() => {
                let token = self.tokens.renewed(&token, priority).await?;
                self.get_with(&token, path, query, within, priority).await
            }
            done => done,
        }
    }

    async fn get_with(
        &self,
        token: &Token,
        path: &[&str],
        query: &[(&str, &str)],
        within: Duration,
        priority: Priority,
    ) -> Result<Map<String, Value>, ApiError> {
        let request = ApiRequest {
            url: address(&self.base, path, query)?,
            authorization: Some(token.header()),
            form: None,
            timeout: within,
            // Nothing is known of limits.
            rate_limiter: None,
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
                origin(&request.url)
            )))
        })
    }
}

/// The address of `path` below the base.
pub(crate) fn address(
    base: &Url,
    path: &[&str],
    query: &[(&str, &str)],
) -> Result<SecretUrl, ProviderError> {
    let mut url = base.clone();
    url.path_segments_mut()
        .map_err(|()| ProviderError::unavailable("api_url cannot be used as a base address"))?
        .pop_if_empty()
        .extend(path);
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    Ok(SecretUrl::new(url))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_lies_below_the_base_whatever_the_id_holds() {
        for (base, meeting, expected) in [
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
            let base = Url::parse(base).unwrap();
            let url = address(&base, &["recordings", meeting], &[("tab", "a")]).unwrap();
            assert_eq!(url.expose().as_str(), expected);
        }
    }
}

//! The OAuth endpoints of a provider.

use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;
use url::Url;

use crate::http::Priority;
use crate::providers::ProviderError;

/// The authorization code or refresh token that is exchanged for tokens.
pub(crate) enum Exchange<'a> {
    /// The authorization code that a redirect contains.
    Code {
        code: &'a SecretString,
        /// The redirect URL of the authorization request.
        redirect: &'a str,
        /// The PKCE verifier of the authorization request (RFC 7636).
        verifier: &'a SecretString,
    },
    /// A refresh token.
    Refresh(&'a SecretString),
}

impl<'a> Exchange<'a> {
    /// Returns the form fields of the request (RFC 6749, 4.1.3 and 6), and the secret among them
    /// that must be redacted in the reply.
    pub(crate) fn form_fields(&self) -> (Vec<(&'static str, SecretString)>, &'a SecretString) {
        match self {
            Self::Code { code, redirect, verifier } => (
                vec![
                    ("grant_type", SecretString::from("authorization_code")),
                    ("code", (*code).clone()),
                    ("redirect_uri", SecretString::from(*redirect)),
                    ("code_verifier", (*verifier).clone()),
                ],
                code,
            ),
            Self::Refresh(token) => (
                vec![
                    ("grant_type", SecretString::from("refresh_token")),
                    ("refresh_token", (*token).clone()),
                ],
                token,
            ),
        }
    }
}

/// The tokens that a token service issued.
pub(crate) struct TokenGrant {
    pub(crate) access_token: SecretString,
    /// Lifetime of the access token.
    pub(crate) lifetime: Duration,
    /// The next refresh token, or `None` if the last one stays valid.
    pub(crate) refresh_token: Option<SecretString>,
    /// The granted scopes, separated by spaces.
    pub(crate) scopes: Option<String>,
    /// The base URL of the API, if it differs from the configured one.
    pub(crate) api_url: Option<Url>,
}

/// Exchanges the authorization codes and refresh tokens of one app for access tokens.
#[async_trait]
pub(crate) trait TokenService: Send + Sync {
    /// Checks the circuit breaker of the service.
    ///
    /// # Errors
    /// Returns an error of class [`Down`](crate::providers::ErrorClass::Down) if the circuit
    /// breaker is open.
    async fn check_breaker(&self) -> Result<(), ProviderError>;

    /// Sends one request for tokens. The implementation limits the duration of the request.
    ///
    /// # Errors
    /// Returns an error of class [`Credential`](crate::providers::ErrorClass::Credential) if the
    /// code or token is not valid or has expired. Any other class means that a retry may succeed.
    async fn exchange(
        &self,
        exchange: Exchange<'_>,
        priority: Priority,
    ) -> Result<TokenGrant, ProviderError>;

    /// Returns the base URL of the API for a sign-in that was stored with `stored_url`. Returns
    /// `None` if that URL is not trusted: the file may have been edited, or the configured URL may
    /// have changed.
    fn trusted_api_url(&self, _stored_url: &Url) -> Option<Url> {
        None
    }
}

/// Returns `endpoint` with its last path segment replaced by `last_segment`. The URLs of the
/// authorization page and of the token endpoint differ only in that segment (`/oauth/token` and
/// `/oauth/authorize` at Zoom, `/v1/access_token` and `/v1/authorize` at Webex).
pub(crate) fn sibling_url(endpoint: &Url, last_segment: &str) -> Url {
    let mut url = endpoint.clone();
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.pop_if_empty().pop().push(last_segment);
    }
    url.set_query(None);
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sibling_url_replaces_the_last_segment() {
        for (endpoint, page) in [
            ("https://zoom.us/oauth/token", "https://zoom.us/oauth/authorize"),
            ("https://zoomgov.com/oauth/token/", "https://zoomgov.com/oauth/authorize"),
            ("https://webexapis.com/v1/access_token?x=1", "https://webexapis.com/v1/authorize"),
        ] {
            assert_eq!(sibling_url(&endpoint.parse().unwrap(), "authorize").as_str(), page);
        }
    }
}

//! The OAuth endpoints of a provider.

use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;
use url::Url;

use crate::http::Priority;
use crate::providers::ProviderError;

/// The authorization code or refresh token that is exchanged for tokens.
pub(crate) enum Exchange<'a> {
    /// The code of a redirect from the browser.
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
    /// Returns the fields of the request (RFC 6749, 4.1.3 and 6), and the one of them that is
    /// secret and must be redacted in the reply.
    pub(crate) fn form(&self) -> (Vec<(&'static str, SecretString)>, &'a SecretString) {
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

/// The tokens that a service returns.
pub(crate) struct TokenGrant {
    pub(crate) access: SecretString,
    /// Lifetime of the access token.
    pub(crate) lifetime: Duration,
    /// The next refresh token, or `None` if the last one stays valid.
    pub(crate) refresh: Option<SecretString>,
    /// The granted scopes, separated by spaces.
    pub(crate) scopes: Option<String>,
    /// The base URL of the API, if it differs from the configured one.
    pub(crate) api_url: Option<Url>,
}

/// Exchanges the codes and refresh tokens of one app.
#[async_trait]
pub(crate) trait TokenService: Send + Sync {
    /// Returns an error if the circuit breaker of the service is open.
    ///
    /// # Errors
    /// An error of class [`Down`](crate::providers::ErrorClass::Down).
    async fn check_breaker(&self) -> Result<(), ProviderError>;

    /// Sends one request and limits its own duration.
    ///
    /// # Errors
    /// Returns an error of class [`Credential`](crate::providers::ErrorClass::Credential) if the
    /// code or token is not valid or has expired. Any other class means that a retry may succeed.
    async fn exchange(
        &self,
        exchange: Exchange<'_>,
        priority: Priority,
    ) -> Result<TokenGrant, ProviderError>;

    /// Returns the base URL of the API in a stored sign-in, if it is trusted. The file may have
    /// been edited, and the configured URL may have changed since it was written.
    fn trusted_api_url(&self, _stored: &Url) -> Option<Url> {
        None
    }
}

/// Returns `endpoint` with another last segment. The URLs of the authorization page and of the
/// token endpoint differ only in that segment (`/oauth/token` and `/oauth/authorize` at Zoom,
/// `/v1/access_token` and `/v1/authorize` at Webex).
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
    fn authorization_page_is_beside_the_token_endpoint() {
        for (endpoint, page) in [
            ("https://zoom.us/oauth/token", "https://zoom.us/oauth/authorize"),
            ("https://zoomgov.com/oauth/token/", "https://zoomgov.com/oauth/authorize"),
            ("https://webexapis.com/v1/access_token?x=1", "https://webexapis.com/v1/authorize"),
        ] {
            assert_eq!(sibling_url(&endpoint.parse().unwrap(), "authorize").as_str(), page);
        }
    }
}

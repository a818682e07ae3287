//! What somebody has permitted in a browser: asked for once, kept on disk, and renewed from then on.
//!
//! Enters: an app's id and its token service. Leaves: access tokens, and a [`SignInService`] where `meetfs login` gets a
//! permission. A refresh token may work only once (Zoom gives a new one with each renewal), so three rules hold here
//! and nowhere else: a new one is written down before the access token that came with it is used; two renewals never
//! run at the same time, in one process or in several; and a place to write is at hand before a renewal begins.
//!
//! It knows no provider: what is asked and how refusals read is a [`TokenService`]'s affair.

mod consent;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
mod issuer;
mod kept;

use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;
use url::Url;

use crate::http::Priority;
use crate::providers::ProviderError;

pub use consent::{AuthorizationRequest, SignInError, SignInService};
pub(crate) use issuer::SignedIn;
pub(crate) use kept::Kept;

/// What is given in return for tokens.
pub(crate) enum Exchange<'a> {
    /// The code that a browser brought back.
    Code {
        code: &'a SecretString,
        /// Where the browser was told to bring it.
        redirect: &'a str,
        /// What the challenge in the browser's address was made of (RFC 7636).
        verifier: &'a SecretString,
    },
    /// The refresh token.
    Refresh(&'a SecretString),
}

/// Tokens as a service gives them.
pub(crate) struct TokenGrant {
    pub(crate) access: SecretString,
    /// How long the access token works.
    pub(crate) life: Duration,
    /// The refresh token to use from now on; `None` where the last one stays.
    pub(crate) refresh: Option<SecretString>,
    /// What it permits: names with spaces between them.
    pub(crate) scopes: Option<String>,
    /// Where the interface is, if the reply names another place.
    pub(crate) api: Option<Url>,
}

/// Where an app exchanges what it was given.
#[async_trait]
pub(crate) trait TokenService: Send + Sync {
    /// Says whether it is worth asking where a read waits.
    ///
    /// # Errors
    /// [`Down`](crate::providers::ErrorClass::Down).
    async fn admit(&self) -> Result<(), ProviderError>;

    /// Asks once. Bounds its own time.
    ///
    /// # Errors
    /// [`Credential`](crate::providers::ErrorClass::Credential) where the permission is not or no longer good; what may work later otherwise.
    async fn exchange(
        &self,
        what: Exchange<'_>,
        priority: Priority,
    ) -> Result<TokenGrant, ProviderError>;

    /// The base address that a kept sign-in names for the interface, if it may be believed today. A file can be
    /// altered, and a configured address counts from the next start on.
    fn interface(&self, _named: &Url) -> Option<Url> {
        None
    }
}

/// The address beside `endpoint` with another last part: services have the page for the browser beside the one for
/// tokens (`/oauth/token` and `/oauth/authorize` at Zoom, `/v1/access_token` and `/v1/authorize` at Webex).
pub(crate) fn beside(endpoint: &Url, last: &str) -> Url {
    let mut address = endpoint.clone();
    if let Ok(mut parts) = address.path_segments_mut() {
        parts.pop_if_empty().pop().push(last);
    }
    address.set_query(None);
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_for_the_browser_is_beside_the_one_for_tokens() {
        for (endpoint, page) in [
            ("https://zoom.us/oauth/token", "https://zoom.us/oauth/authorize"),
            ("https://zoomgov.com/oauth/token/", "https://zoomgov.com/oauth/authorize"),
            ("https://webexapis.com/v1/access_token?x=1", "https://webexapis.com/v1/authorize"),
        ] {
            assert_eq!(beside(&endpoint.parse().unwrap(), "authorize").as_str(), page);
        }
    }
}

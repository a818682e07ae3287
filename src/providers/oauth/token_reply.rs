//! The reply of a token endpoint (RFC 6749, 5.1).

use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;
use serde_json::Value;

use super::token_service::TokenGrant;
use crate::providers::toolkit::serde_lenient;
use crate::providers::toolkit::token::bearer_token;

/// The token lifetimes that a provider documents.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TokenLifetimes {
    /// Lifetime of a token if the reply does not state one.
    pub(crate) default: Duration,
    /// Upper bound for the lifetime that a reply states.
    pub(crate) max: Duration,
}

/// The fields of a reply. Any field may be missing or have an unexpected type.
#[derive(Deserialize)]
pub(crate) struct TokenReply {
    #[serde(default, deserialize_with = "serde_lenient::text")]
    access_token: Option<String>,
    /// Lifetime of the access token in seconds.
    #[serde(default, deserialize_with = "serde_lenient::integer")]
    expires_in: Option<i64>,
    /// The refresh token, which is present only if a user signed in.
    #[serde(default, deserialize_with = "serde_lenient::text")]
    refresh_token: Option<String>,
    /// The granted scopes, separated by spaces.
    #[serde(default, deserialize_with = "serde_lenient::text")]
    scope: Option<String>,
    /// The base URL of the API for this token. Only Zoom returns it.
    #[serde(default, deserialize_with = "serde_lenient::text")]
    pub(crate) api_url: Option<String>,
}

impl TokenReply {
    /// Parses a reply. Returns `None` if it is not an object.
    pub(crate) fn parse(body: Value) -> Option<Self> {
        serde_json::from_value(body).ok()
    }

    /// Converts the reply to a grant without a base URL. Returns `None` if the reply has no usable
    /// access token.
    pub(crate) fn into_grant(self, lifetimes: TokenLifetimes) -> Option<TokenGrant> {
        let seconds = self.expires_in.and_then(|seconds| u64::try_from(seconds).ok());
        let lifetime = seconds
            .map_or(lifetimes.default, |seconds| Duration::from_secs(seconds).min(lifetimes.max));
        Some(TokenGrant {
            access_token: bearer_token(self.access_token?)?,
            lifetime,
            refresh_token: self.refresh_token.map(SecretString::from),
            scopes: self.scope,
            api_url: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn unusable_access_token_is_rejected() {
        let day = Duration::from_secs(86_400);
        let has_grant = |token: &str| {
            let reply = TokenReply::parse(json!({"access_token": token, "expires_in": 3600}));
            let lifetimes = TokenLifetimes { default: day, max: day };
            reply.and_then(|reply| reply.into_grant(lifetimes)).is_some()
        };
        assert!(has_grant("eyJhbGciOi.J9-_~+/=="));
        assert!(has_grant(&"t".repeat(8192)));
        for token in ["", "a b", "a\r\nX-Header: b", "t\u{e9}", &"t".repeat(8193)] {
            assert!(!has_grant(token), "{token}");
        }
    }
}

//! Tokens of an integration or a service app: renewed with a refresh token.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use parking_lot::Mutex;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use tokio::time::Instant;
use url::Url;

use super::WebexCredential;
use super::wire::Grant;
use crate::http::{ApiReply, ApiRequest, Client};
use crate::model::SecretUrl;
use crate::providers::token::{Issuer, Token, Tokens};
use crate::providers::words::quotable;
use crate::providers::{ProviderError, lenient};

/// Bound on renewing a token, retries included: short enough for a read that waits for it.
const GRANT_WITHIN: Duration = Duration::from_secs(10);

/// Life of a token whose reply does not say: the 14 days that Webex documents ("Integrations & Authorization"). No
/// stated life is believed beyond it.
const USUAL_LIFE: Duration = Duration::from_secs(14 * 24 * 3600);

/// The tokens of a source.
pub(super) fn tokens(credential: WebexCredential, oauth: Url, client: Client) -> Tokens {
    match credential {
        WebexCredential::Token(secret) => Tokens::given(
            secret,
            "Webex refused the token; personal tokens live 12 hours: give a new one, or let meetfs renew its own with client_id, client_secret and refresh_token",
        ),
        WebexCredential::Refreshed { client_id, client_secret, refresh_token } => Tokens::asked(App {
            oauth: SecretUrl::new(oauth),
            client_id,
            client_secret,
            refresh_token: Mutex::new(refresh_token),
            client,
        }),
    }
}

/// An integration or a service app.
struct App {
    oauth: SecretUrl,
    client_id: String,
    client_secret: SecretString,
    /// The newest one. Webex gives the same one again and prolongs its 90 days; should a reply bring another, that one
    /// counts while this process lives, and the configured one stays the user's to keep.
    refresh_token: Mutex<SecretString>,
    client: Client,
}

#[async_trait]
impl Issuer for App {
    async fn admit(&self) -> Result<(), ProviderError> {
        Ok(self.client.admit(&self.oauth).await?)
    }

    async fn issue(&self) -> Result<Token, ProviderError> {
        let refresh_token = self.refresh_token.lock().clone();
        let request = ApiRequest {
            address: self.oauth.clone(),
            authorization: None,
            form: Some(vec![
                ("grant_type", SecretString::from("refresh_token")),
                ("client_id", SecretString::from(self.client_id.clone())),
                ("client_secret", self.client_secret.clone()),
                ("refresh_token", refresh_token.clone()),
            ]),
            within: GRANT_WITHIN,
            turn: None,
        };
        let asked = (Instant::now(), Timestamp::now());
        let reply = self.client.call(&request).await?;
        let body = serde_json::from_slice::<Value>(&reply.body).unwrap_or_default();
        let grant = match reply.status {
            200..300 => serde_json::from_value::<Grant>(body).ok(),
            _ => return Err(refused(&reply, body.as_object(), [&self.client_secret, &refresh_token])),
        };
        let Some(Grant { access_token: Some(secret), expires_in, refresh_token }) = grant else {
            return Err(ProviderError::Unavailable(
                "Webex's token service answered without a token; check oauth_url".into(),
            ));
        };
        if let Some(refresh_token) = refresh_token {
            *self.refresh_token.lock() = SecretString::from(refresh_token);
        }
        let life = expires_in
            .and_then(|seconds| u64::try_from(seconds).ok())
            .map_or(USUAL_LIFE, |seconds| Duration::from_secs(seconds).min(USUAL_LIFE));
        Ok(Token::issued(SecretString::from(secret), asked, life))
    }
}

pub(super) fn refused(
    reply: &ApiReply,
    body: Option<&Map<String, Value>>,
    secrets: [&SecretString; 2],
) -> ProviderError {
    let words = body.and_then(|body| lenient::first_text(body, &["error_description", "message", "error"]));
    let words = words.unwrap_or_default();
    let plain = secrets
        .into_iter()
        .filter(|secret| !secret.expose_secret().is_empty())
        .fold(words, |words, secret| quotable(&words, secret));
    let said =
        if plain.is_empty() { String::new() } else { format!(" (\"{}\")", plain.trim_end_matches('.')) };
    match reply.status {
        400 | 401 | 403 => ProviderError::Credential(format!(
            "Webex did not renew the token{said}; check client_id, client_secret and refresh_token, which ends after 90 days without use"
        )),
        status => ProviderError::Unavailable(format!(
            "Webex's token service answered status {status}{said}; check oauth_url"
        )),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_renewal_that_is_refused_says_what_to_check_and_repeats_no_secret() {
        let (secret, refresh) = (SecretString::from("app-s3cret"), SecretString::from("r3fresh"));
        let say = |status, body: Value| {
            let reply = ApiReply { status, headers: Default::default(), body: Vec::new() };
            refused(&reply, body.as_object(), [&secret, &refresh])
        };
        let body =
            json!({"message": "The refresh token r3fresh of app-s3cret is invalid.", "trackingId": "x"});
        let ProviderError::Credential(text) = say(400, body) else { panic!() };
        assert!(text.contains("refresh_token") && text.contains("90 days"), "{text}");
        assert!(!text.contains("s3cret") && !text.contains("r3fresh"), "{text}");
        assert!(
            matches!(say(404, Value::Null), ProviderError::Unavailable(text) if text.contains("oauth_url"))
        );
    }
}

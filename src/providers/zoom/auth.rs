//! Tokens of a Server-to-Server app: asked for with its own credentials, for there is no refresh token.

use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use tokio::time::Instant;
use url::Url;

use super::ZoomCredential;
use super::wire::Grant;
use crate::http::{AllowedHosts, ApiReply, ApiRequest, Client};
use crate::model::SecretUrl;
use crate::providers::token::{Issuer, Token, Tokens};
use crate::providers::words::quotable;
use crate::providers::zoom_links::ZOOM_HOSTS;
use crate::providers::{ProviderError, lenient};

/// Bound on asking for a token, retries included: short enough for a read that waits for it.
const GRANT_WITHIN: Duration = Duration::from_secs(10);

/// Life of a token whose reply does not say: what Zoom documents.
const USUAL_LIFE: Duration = Duration::from_secs(3600);

/// The tokens of a source. `api` is the configured base address if it is the default, which a reply may replace.
pub(super) fn tokens(credential: ZoomCredential, oauth: Url, api: Option<Url>, client: Client) -> Tokens {
    match credential {
        ZoomCredential::Token(secret) => Tokens::given(
            secret,
            "the token was refused; Zoom tokens live one hour: give a new one, or let meetfs ask for its own with account_id, client_id and client_secret",
        ),
        ZoomCredential::ServerToServer { account_id, client_id, client_secret } => Tokens::asked(App {
            oauth: SecretUrl::new(oauth),
            account_id,
            basic: basic(&client_id, &client_secret),
            client_secret,
            api,
            client,
        }),
    }
}

/// A Server-to-Server app.
struct App {
    oauth: SecretUrl,
    account_id: String,
    /// `Basic` and the app's id and secret.
    basic: SecretString,
    client_secret: SecretString,
    /// The default base address of the interface, where a reply may name another.
    api: Option<Url>,
    client: Client,
}

#[async_trait]
impl Issuer for App {
    async fn admit(&self) -> Result<(), ProviderError> {
        Ok(self.client.admit(&self.oauth).await?)
    }

    async fn issue(&self) -> Result<Token, ProviderError> {
        let request = ApiRequest {
            address: self.oauth.clone(),
            authorization: Some(self.basic.clone()),
            form: Some(vec![
                ("grant_type", SecretString::from("account_credentials")),
                ("account_id", SecretString::from(self.account_id.clone())),
            ]),
            within: GRANT_WITHIN,
            turn: None,
        };
        let asked = (Instant::now(), Timestamp::now());
        let reply = self.client.call(&request).await?;
        let body = serde_json::from_slice::<Value>(&reply.body).unwrap_or_default();
        let grant = match reply.status {
            200..300 => serde_json::from_value::<Grant>(body).ok(),
            _ => return Err(refused(&reply, body.as_object(), &self.client_secret)),
        };
        let Some((secret, grant)) = grant.and_then(|mut grant| Some((grant.access_token.take()?, grant)))
        else {
            return Err(ProviderError::Unavailable(
                "Zoom's token service answered without a token; check oauth_url".into(),
            ));
        };
        let life = grant
            .expires_in
            .and_then(|seconds| u64::try_from(seconds).ok())
            .map_or(USUAL_LIFE, |seconds| Duration::from_secs(seconds).min(USUAL_LIFE * 24));
        let api = self.api.as_ref().zip(grant.api_url).and_then(|(base, named)| interface_at(base, &named));
        Ok(Token::issued(SecretString::from(secret), asked, life).at(api))
    }
}

fn basic(client_id: &str, client_secret: &SecretString) -> SecretString {
    let pair = SecretString::from(format!("{client_id}:{}", client_secret.expose_secret()));
    SecretString::from(format!("Basic {}", STANDARD.encode(pair.expose_secret())))
}

/// The base address that a token's reply names, if it may be believed: https on a host of Zoom's. Zoom names the
/// host alone; the path is the default's.
pub(super) fn interface_at(base: &Url, named: &str) -> Option<Url> {
    let url = Url::parse(named).ok()?;
    let mut url = AllowedHosts::new(ZOOM_HOSTS, base).check(url).ok()?.expose().clone();
    if url.path() == "/" {
        url.set_path(base.path());
    }
    url.set_query(None);
    url.set_fragment(None);
    Some(url)
}

/// The token endpoint's errors have keys of their own: `{"reason":"…","error":"invalid_client"}`.
pub(super) fn refused(
    reply: &ApiReply,
    body: Option<&Map<String, Value>>,
    secret: &SecretString,
) -> ProviderError {
    let field = |name| body.and_then(|body| lenient::first_text(body, &[name])).unwrap_or_default();
    let (error, reason) = (field("error"), quotable(&field("reason"), secret));
    let said = if reason.is_empty() { String::new() } else { format!(" (\"{reason}\")") };
    match reply.status {
        400 | 401 => ProviderError::Credential(match error.as_str() {
            "invalid_client" => format!("Zoom refused the app{said}; check client_id and client_secret"),
            "unsupported_grant_type" => format!(
                "Zoom does not give this app a token{said}; it must be of the kind Server-to-Server OAuth"
            ),
            _ => format!(
                "Zoom refused the app's credentials{said}; check account_id, client_id and client_secret, and that the app is activated"
            ),
        }),
        status => ProviderError::Unavailable(format!(
            "Zoom's token service answered status {status}{said}; check oauth_url"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_zoom_may_name_another_interface() {
        let base = Url::parse("https://api.zoom.us/v2").unwrap();
        let at = |named| interface_at(&base, named).map(String::from);
        assert_eq!(at("https://api-us.zoom.us").as_deref(), Some("https://api-us.zoom.us/v2"));
        assert_eq!(at("https://api.zoomgov.com/v2?x=1").as_deref(), Some("https://api.zoomgov.com/v2"));
        for bad in ["http://api.zoom.us", "https://evilzoom.us", "https://zoom.us.evil.example", "api", ""] {
            assert_eq!(at(bad), None, "{bad}");
        }
    }

    #[test]
    fn token_errors_say_what_to_check() {
        let secret = SecretString::from("s3cret");
        let say = |status, body: Value| {
            let reply = ApiReply { status, headers: Default::default(), body: Vec::new() };
            refused(&reply, body.as_object(), &secret)
        };
        let body =
            serde_json::json!({"reason": "Invalid client_id or client_secret", "error": "invalid_client"});
        assert!(matches!(say(401, body), ProviderError::Credential(text) if text.contains("client_secret")));
        let body = serde_json::json!({"reason": "Bad account s3cret", "error": "invalid_request"});
        let ProviderError::Credential(text) = say(400, body) else { panic!() };
        assert!(
            text.contains("account_id") && text.contains("activated") && !text.contains("s3cret"),
            "{text}"
        );
        assert!(
            matches!(say(404, Value::Null), ProviderError::Unavailable(text) if text.contains("oauth_url"))
        );
    }
}

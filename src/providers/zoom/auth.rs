//! Issues the tokens of a Zoom source.
//!
//! A Server-to-Server app requests tokens with its own credentials and has no refresh token. An app
//! that a user has signed in to uses refresh tokens, each of which works only once.

use std::time::Duration;

use async_trait::async_trait;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use tokio::time::Instant;
use url::Url;

use super::ZoomCredential;
use super::token_refusal::{app_refusal, user_refusal};
use crate::config::ZoomConfig;
use crate::http::{AllowedHosts, ApiReply, ApiRequest, Client, Priority};
use crate::model::{SecretUrl, SourceName};
use crate::providers::ProviderError;
use crate::providers::oauth::{
    Exchange, RefreshTokenIssuer, SignInService, SignInStore, TokenGrant, TokenLifetimes,
    TokenReply, TokenService, sibling_url,
};
use crate::providers::toolkit::json_repair;
use crate::providers::toolkit::token::{Token, TokenIssuer, Tokens};
use crate::providers::zoom_share::ZOOM_HOSTS;

/// Timeout of a token request including retries. It is short because reads wait for tokens.
const GRANT_TIMEOUT: Duration = Duration::from_secs(10);

/// The default and the maximum lifetime of a token. Zoom documents a lifetime of one hour.
const TOKEN_LIFETIMES: TokenLifetimes =
    TokenLifetimes { default: Duration::from_secs(3600), max: Duration::from_secs(24 * 3600) };

/// Returns the tokens for the configured credential of a source.
pub(crate) fn tokens(source: &SourceName, config: &ZoomConfig, client: Client) -> Tokens {
    let endpoint = TokenEndpoint::of(config, client);
    match config.credential.clone() {
        ZoomCredential::Token(secret) => {
            let refusal = ProviderError::credential("Zoom refused the token").with_hint(
                "Zoom tokens expire after one hour. Configure a new one, or configure account_id, \
                 client_id and client_secret, with which meetfs requests tokens itself.",
            );
            Tokens::fixed(secret, refusal)
        }
        ZoomCredential::ServerToServer { account_id, client_id, client_secret } => {
            Tokens::issued_by(ServerApp { endpoint, account_id, client_id, client_secret })
        }
        ZoomCredential::SignedIn { client_id, client_secret, sign_in } => {
            let app = UserApp { endpoint, source: source.clone(), client_id, client_secret };
            Tokens::issued_by(RefreshTokenIssuer::for_sign_in(source.clone(), app, sign_in))
        }
    }
}

/// Returns the sign-in service of a source, or `None` if the source needs no sign-in.
pub(crate) fn sign_in_service(
    source: &SourceName,
    config: &ZoomConfig,
    client: Client,
) -> Option<SignInService> {
    let ZoomCredential::SignedIn { client_id, client_secret, sign_in } = config.credential.clone()
    else {
        return None;
    };
    let endpoint = TokenEndpoint::of(config, client);
    let app =
        UserApp { endpoint, source: source.clone(), client_id: client_id.clone(), client_secret };
    Some(SignInService {
        source: source.clone(),
        service: Box::new(app),
        client_id,
        authorize_url: sibling_url(&config.oauth_url, "authorize"),
        // The app's settings in the Marketplace determine its scopes.
        scopes: Vec::new(),
        store: SignInStore::new(sign_in)?,
    })
}

struct TokenEndpoint {
    url: SecretUrl,
    /// The default base URL of the API, which a token reply can replace. `None` if the
    /// configuration sets the base URL.
    api_url: Option<Url>,
    client: Client,
}

impl TokenEndpoint {
    fn of(config: &ZoomConfig, client: Client) -> Self {
        let api_url = config.api_url_is_default.then(|| config.api_url.clone());
        Self { url: SecretUrl::new(config.oauth_url.clone()), api_url, client }
    }

    async fn check_breaker(&self) -> Result<(), ProviderError> {
        Ok(self.client.check_breaker(&self.url).await?)
    }

    /// Requests a token. `refusal` creates the error for a reply that refuses the request.
    async fn request_grant(
        &self,
        authorization: Option<SecretString>,
        form: Vec<(&'static str, SecretString)>,
        priority: Priority,
        refusal: impl FnOnce(&ApiReply, Option<&Map<String, Value>>) -> ProviderError,
    ) -> Result<TokenGrant, ProviderError> {
        let request = ApiRequest {
            url: self.url.clone(),
            authorization,
            form: Some(form),
            timeout: GRANT_TIMEOUT,
            rate_limiter: None,
            priority,
        };
        let reply = self.client.call(&request).await?;
        let body = json_repair::parse_object(&reply.body).map_or(Value::Null, Value::Object);
        match reply.status {
            200..300 => parse_grant(body, self.api_url.as_ref()).ok_or_else(|| {
                ProviderError::unavailable("Zoom's token service returned no token")
                    .with_hint("Check oauth_url.")
            }),
            _ => Err(refusal(&reply, body.as_object())),
        }
    }
}

/// Returns the grant in a reply, or `None` if the reply contains no token. `api_url` is the default
/// base URL of the API if the reply can replace it.
pub(crate) fn parse_grant(body: Value, api_url: Option<&Url>) -> Option<TokenGrant> {
    let reply = TokenReply::parse(body)?;
    let api_url = api_url.zip(reply.api_url.as_deref());
    let api_url = api_url.and_then(|(base, reply_url)| trusted_url(base, reply_url));
    Some(TokenGrant { api_url, ..reply.into_grant(TOKEN_LIFETIMES)? })
}

/// A Server-to-Server app.
struct ServerApp {
    endpoint: TokenEndpoint,
    account_id: String,
    client_id: String,
    client_secret: SecretString,
}

#[async_trait]
impl TokenIssuer for ServerApp {
    async fn check_breaker(&self) -> Result<(), ProviderError> {
        self.endpoint.check_breaker().await
    }

    async fn issue(
        &self,
        _refused_token: Option<&Token>,
        priority: Priority,
    ) -> Result<Token, ProviderError> {
        let form = vec![
            ("grant_type", SecretString::from("account_credentials")),
            ("account_id", SecretString::from(self.account_id.clone())),
        ];
        let requested_at = Instant::now();
        let authorization = basic_authorization(&self.client_id, &self.client_secret);
        let refusal = |reply: &ApiReply, body: Option<&Map<String, Value>>| {
            app_refusal(reply, body, &self.client_secret)
        };
        let grant =
            self.endpoint.request_grant(Some(authorization), form, priority, refusal).await?;
        let TokenGrant { access_token, lifetime, scopes, api_url, .. } = grant;
        Ok(Token::with_lifetime(access_token, requested_at, lifetime)
            .with_api_url(api_url)
            .with_scopes(scopes))
    }
}

/// An app that users sign in to.
struct UserApp {
    endpoint: TokenEndpoint,
    source: SourceName,
    client_id: String,
    /// The client secret. A public client has none ("Public PKCE" in Zoom's documentation of
    /// OAuth).
    client_secret: Option<SecretString>,
}

#[async_trait]
impl TokenService for UserApp {
    async fn check_breaker(&self) -> Result<(), ProviderError> {
        self.endpoint.check_breaker().await
    }

    fn trusted_api_url(&self, stored: &Url) -> Option<Url> {
        trusted_url(self.endpoint.api_url.as_ref()?, stored.as_str())
    }

    async fn exchange(
        &self,
        exchange: Exchange<'_>,
        priority: Priority,
    ) -> Result<TokenGrant, ProviderError> {
        let is_code_exchange = matches!(exchange, Exchange::Code { .. });
        let (mut form, code_or_token) = exchange.form_fields();
        let authorization = match &self.client_secret {
            Some(secret) => Some(basic_authorization(&self.client_id, secret)),
            None => {
                form.push(("client_id", SecretString::from(self.client_id.clone())));
                None
            }
        };
        let refusal = |reply: &ApiReply, body: Option<&Map<String, Value>>| {
            let client_secret = self.client_secret.clone().unwrap_or_default();
            user_refusal(
                &self.source,
                is_code_exchange,
                reply,
                body,
                [&client_secret, code_or_token],
            )
        };
        self.endpoint.request_grant(authorization, form, priority, refusal).await
    }
}

fn basic_authorization(client_id: &str, client_secret: &SecretString) -> SecretString {
    let credentials = SecretString::from(format!("{client_id}:{}", client_secret.expose_secret()));
    SecretString::from(format!("Basic {}", STANDARD.encode(credentials.expose_secret())))
}

/// Returns the base URL in a token reply, if it is an https URL of a Zoom host. If the URL has no
/// path, the path of the default URL `base` is used.
pub(crate) fn trusted_url(base: &Url, reply_url: &str) -> Option<Url> {
    let url = Url::parse(reply_url).ok()?;
    let mut url = AllowedHosts::new(ZOOM_HOSTS, base).check(url).ok()?.expose().clone();
    if url.path() == "/" {
        url.set_path(base.path());
    }
    url.set_query(None);
    url.set_fragment(None);
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_zoom_hosts_replace_the_api_url() {
        let base = Url::parse("https://api.zoom.us/v2").unwrap();
        let trusted_api_url = |reply_url| trusted_url(&base, reply_url).map(String::from);
        assert_eq!(
            trusted_api_url("https://api-us.zoom.us").as_deref(),
            Some("https://api-us.zoom.us/v2")
        );
        assert_eq!(
            trusted_api_url("https://api.zoomgov.com/v2?x=1").as_deref(),
            Some("https://api.zoomgov.com/v2")
        );
        for bad in
            ["http://api.zoom.us", "https://evilzoom.us", "https://zoom.us.evil.example", "api", ""]
        {
            assert_eq!(trusted_api_url(bad), None, "{bad}");
        }
    }
}

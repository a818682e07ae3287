//! Tokens: of a Server-to-Server app, asked for with its own credentials, for there is no refresh token; and of an app
//! that a user has signed in to, whose refresh tokens work once each.

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
use crate::config::ZoomConfig;
use crate::http::{AllowedHosts, ApiReply, ApiRequest, Client, Priority};
use crate::model::{SecretUrl, SourceName};
use crate::providers::ProviderError;
use crate::providers::oauth;
use crate::providers::oauth::{Exchange, Kept, SignInService, SignedIn, TokenGrant, TokenService};
use crate::providers::toolkit::redaction::quotable;
use crate::providers::toolkit::serde_lenient;
use crate::providers::toolkit::token::{Token, TokenIssuer, Tokens};
use crate::providers::zoom_share::ZOOM_HOSTS;

/// Bound on asking for a token, retries included: short enough for a read that waits for it.
const GRANT_TIMEOUT: Duration = Duration::from_secs(10);

/// Life of a token whose reply does not say: what Zoom documents.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(3600);

/// The tokens of a source. `api` is the configured base address if it is the default, which a reply may replace.
pub(crate) fn tokens(
    source: &SourceName,
    credential: ZoomCredential,
    oauth: Url,
    api: Option<Url>,
    client: Client,
) -> Tokens {
    let endpoint = Endpoint { oauth: SecretUrl::new(oauth), api, client };
    match credential {
        ZoomCredential::Token(secret) => Tokens::given(
            secret,
            "the token was refused; Zoom tokens live one hour: give a new one, or let meetfs ask for its own with account_id, client_id and client_secret",
        ),
        ZoomCredential::ServerToServer { account_id, client_id, client_secret } => {
            Tokens::asked(ServerApp { endpoint, account_id, client_id, client_secret })
        }
        ZoomCredential::SignedIn { client_id, client_secret, sign_in } => {
            let app = UserApp { endpoint, source: source.clone(), client_id, client_secret };
            Tokens::asked(SignedIn::kept(source.clone(), app, sign_in))
        }
    }
}

/// Where somebody signs in to the source; `None` where an app or a token of its own is configured.
pub(crate) fn sign_in_service(
    source: &SourceName,
    settings: &ZoomConfig,
    client: Client,
) -> Option<SignInService> {
    let ZoomCredential::SignedIn { client_id, client_secret, sign_in } =
        settings.credential.clone()
    else {
        return None;
    };
    let api = settings.api_url_is_default.then(|| settings.api_url.clone());
    let endpoint = Endpoint { oauth: SecretUrl::new(settings.oauth_url.clone()), api, client };
    let app =
        UserApp { endpoint, source: source.clone(), client_id: client_id.clone(), client_secret };
    Some(SignInService {
        source: source.clone(),
        service: Box::new(app),
        client_id,
        authorize: oauth::beside(&settings.oauth_url, "authorize"),
        // The app's own list in the Marketplace says what it may do.
        scopes: Vec::new(),
        kept: Kept::at(sign_in)?,
    })
}

/// Zoom's token endpoint.
struct Endpoint {
    oauth: SecretUrl,
    /// The default base address of the interface, where a reply may name another.
    api: Option<Url>,
    client: Client,
}

impl Endpoint {
    async fn admit(&self) -> Result<(), ProviderError> {
        Ok(self.client.admit(&self.oauth).await?)
    }

    /// Asks once. What is refused is told by `refused`.
    async fn grant(
        &self,
        authorization: Option<SecretString>,
        form: Vec<(&'static str, SecretString)>,
        priority: Priority,
        refused: impl FnOnce(&ApiReply, Option<&Map<String, Value>>) -> ProviderError,
    ) -> Result<TokenGrant, ProviderError> {
        let request = ApiRequest {
            url: self.oauth.clone(),
            authorization,
            form: Some(form),
            timeout: GRANT_TIMEOUT,
            rate_limiter: None,
            priority,
        };
        let reply = self.client.call(&request).await?;
        let body = serde_json::from_slice::<Value>(&reply.body).unwrap_or_default();
        match reply.status {
            200..300 => granted(body, self.api.as_ref()).ok_or_else(|| {
                ProviderError::unavailable(
                    "Zoom's token service answered without a token; check oauth_url",
                )
            }),
            _ => Err(refused(&reply, body.as_object())),
        }
    }
}

/// What a reply grants, if it holds a token. `api` is the default base address, where the reply may name another.
pub(crate) fn granted(body: Value, api: Option<&Url>) -> Option<TokenGrant> {
    let grant = serde_json::from_value::<Grant>(body).ok()?;
    let life = grant
        .expires_in
        .and_then(|seconds| u64::try_from(seconds).ok())
        .map_or(DEFAULT_LIFETIME, |seconds| {
            Duration::from_secs(seconds).min(DEFAULT_LIFETIME * 24)
        });
    Some(TokenGrant {
        access: SecretString::from(grant.access_token?),
        life,
        refresh: grant.refresh_token.map(SecretString::from),
        scopes: grant.scope,
        api: api.zip(grant.api_url).and_then(|(base, named)| interface_at(base, &named)),
    })
}

/// A Server-to-Server app.
struct ServerApp {
    endpoint: Endpoint,
    account_id: String,
    client_id: String,
    client_secret: SecretString,
}

#[async_trait]
impl TokenIssuer for ServerApp {
    async fn admit(&self) -> Result<(), ProviderError> {
        self.endpoint.admit().await
    }

    async fn issue(
        &self,
        _refused: Option<&Token>,
        priority: Priority,
    ) -> Result<Token, ProviderError> {
        let form = vec![
            ("grant_type", SecretString::from("account_credentials")),
            ("account_id", SecretString::from(self.account_id.clone())),
        ];
        let asked = (Instant::now(), Timestamp::now());
        let basic = basic(&self.client_id, &self.client_secret);
        let refused = |reply: &ApiReply, body: Option<&Map<String, Value>>| {
            refused(reply, body, &self.client_secret)
        };
        let granted = self.endpoint.grant(Some(basic), form, priority, refused).await?;
        let TokenGrant { access, life, scopes, api, .. } = granted;
        Ok(Token::issued(access, asked, life).at(api).permitting(scopes))
    }
}

/// An app that users sign in to.
struct UserApp {
    endpoint: Endpoint,
    source: SourceName,
    client_id: String,
    /// A public client has none ("Public PKCE" in Zoom's documentation of OAuth).
    client_secret: Option<SecretString>,
}

#[async_trait]
impl TokenService for UserApp {
    async fn admit(&self) -> Result<(), ProviderError> {
        self.endpoint.admit().await
    }

    fn interface(&self, named: &Url) -> Option<Url> {
        interface_at(self.endpoint.api.as_ref()?, named.as_str())
    }

    async fn exchange(
        &self,
        what: Exchange<'_>,
        priority: Priority,
    ) -> Result<TokenGrant, ProviderError> {
        let is_code = matches!(what, Exchange::Code { .. });
        let (mut form, given) = match what {
            Exchange::Code { code, redirect, verifier } => (
                vec![
                    ("grant_type", SecretString::from("authorization_code")),
                    ("code", code.clone()),
                    ("redirect_uri", SecretString::from(redirect)),
                    ("code_verifier", verifier.clone()),
                ],
                code,
            ),
            Exchange::Refresh(token) => (
                vec![
                    ("grant_type", SecretString::from("refresh_token")),
                    ("refresh_token", token.clone()),
                ],
                token,
            ),
        };
        let authorization = match &self.client_secret {
            Some(secret) => Some(basic(&self.client_id, secret)),
            None => {
                form.push(("client_id", SecretString::from(self.client_id.clone())));
                None
            }
        };
        let refused = |reply: &ApiReply, body: Option<&Map<String, Value>>| {
            let secret = self.client_secret.clone().unwrap_or_default();
            refused_user(&self.source, is_code, reply, body, [&secret, given])
        };
        self.endpoint.grant(authorization, form, priority, refused).await
    }
}

fn basic(client_id: &str, client_secret: &SecretString) -> SecretString {
    let pair = SecretString::from(format!("{client_id}:{}", client_secret.expose_secret()));
    SecretString::from(format!("Basic {}", STANDARD.encode(pair.expose_secret())))
}

/// The base address that a token's reply names, if it may be believed: https on a host of Zoom's. Zoom names the
/// host alone; the path is the default's.
pub(crate) fn interface_at(base: &Url, named: &str) -> Option<Url> {
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
pub(crate) fn refused(
    reply: &ApiReply,
    body: Option<&Map<String, Value>>,
    secret: &SecretString,
) -> ProviderError {
    let field =
        |name| body.and_then(|body| serde_lenient::first_text(body, &[name])).unwrap_or_default();
    let (error, reason) = (field("error"), quotable(&field("reason"), secret));
    let said = if reason.is_empty() { String::new() } else { format!(" (\"{reason}\")") };
    match reply.status {
        400 | 401 => ProviderError::credential(match error.as_str() {
            "invalid_client" => {
                format!("Zoom refused the app{said}; check client_id and client_secret")
            }
            "unsupported_grant_type" => format!(
                "Zoom does not give this app a token{said}; it must be of the kind Server-to-Server OAuth"
            ),
            _ => format!(
                "Zoom refused the app's credentials{said}; check account_id, client_id and client_secret, and that the app is activated"
            ),
        }),
        status => ProviderError::unavailable(format!(
            "Zoom's token service answered status {status}{said}; check oauth_url"
        )),
    }
}

/// The same where a user's permission was to be exchanged: the code of a new one, or the one that is kept.
pub(crate) fn refused_user(
    source: &SourceName,
    is_code: bool,
    reply: &ApiReply,
    body: Option<&Map<String, Value>>,
    secrets: [&SecretString; 2],
) -> ProviderError {
    let field =
        |name| body.and_then(|body| serde_lenient::first_text(body, &[name])).unwrap_or_default();
    let error = field("error");
    let reason =
        secrets.into_iter().fold(field("reason"), |words, secret| quotable(&words, secret));
    let said = if reason.is_empty() { String::new() } else { format!(" (\"{reason}\")") };
    match (reply.status, error.as_str()) {
        (400 | 401, "invalid_client") => ProviderError::credential(format!(
            "Zoom refused the app{said}; check client_id, and client_secret unless the app is a public one"
        )),
        (400 | 401, _) if is_code => ProviderError::credential(format!(
            "Zoom does not take the code that the browser brought{said}; a code works once, for five minutes, and with the \
             redirect URL that the app has: run `meetfs login {source}` again"
        )),
        (400 | 401, _) => ProviderError::credential(format!(
            "Zoom no longer takes the sign-in of {source}{said}; run `meetfs login {source}`"
        )),
        (status, _) => ProviderError::unavailable(format!(
            "Zoom's token service answered status {status}{said}; check oauth_url"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::line_with_hint;
    use crate::providers::ErrorClass;

    #[test]
    fn a_permission_that_is_not_taken_says_to_sign_in_and_repeats_no_secret() {
        let (secret, given) = (SecretString::from("app-s3cret"), SecretString::from("r3fresh"));
        let source = SourceName::new("acme").unwrap();
        let say = |status, is_code, body: Value| {
            let reply = ApiReply { status, headers: Default::default(), body: Vec::new() };
            refused_user(&source, is_code, &reply, body.as_object(), [&secret, &given])
        };
        for (is_code, words) in [(true, "a code works once"), (false, "no longer takes")] {
            let body =
                serde_json::json!({"reason": "Invalid Token! r3fresh", "error": "invalid_grant"});
            let error = say(400, is_code, body);
            assert!(error.is_credential());
            let text = line_with_hint(&error);
            assert!(text.contains("`meetfs login acme`") && text.contains(words), "{text}");
            assert!(!text.contains("r3fresh"), "{text}");
        }
        let body = serde_json::json!({"reason": "Invalid client_id app-s3cret", "error": "invalid_client"});
        let error = say(401, true, body);
        assert!(error.is_credential());
        let text = line_with_hint(&error);
        assert!(text.contains("client_id") && !text.contains("app-s3cret"), "{text}");
        assert_eq!(say(502, false, Value::Null).class(), ErrorClass::Unavailable);
    }

    #[test]
    fn only_zoom_may_name_another_interface() {
        let base = Url::parse("https://api.zoom.us/v2").unwrap();
        let at = |named| interface_at(&base, named).map(String::from);
        assert_eq!(at("https://api-us.zoom.us").as_deref(), Some("https://api-us.zoom.us/v2"));
        assert_eq!(
            at("https://api.zoomgov.com/v2?x=1").as_deref(),
            Some("https://api.zoomgov.com/v2")
        );
        for bad in
            ["http://api.zoom.us", "https://evilzoom.us", "https://zoom.us.evil.example", "api", ""]
        {
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
        let body = serde_json::json!({"reason": "Invalid client_id or client_secret", "error": "invalid_client"});
        let error = say(401, body);
        assert!(error.is_credential() && line_with_hint(&error).contains("client_secret"));
        let body = serde_json::json!({"reason": "Bad account s3cret", "error": "invalid_request"});
        let error = say(400, body);
        assert!(error.is_credential());
        let text = line_with_hint(&error);
        assert!(
            text.contains("account_id") && text.contains("activated") && !text.contains("s3cret"),
            "{text}"
        );
        let error = say(404, Value::Null);
        assert!(error.is_transient() && line_with_hint(&error).contains("oauth_url"));
    }
}

//! The access token: given, or asked for with the app's own credentials and renewed for all callers at once.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::Url;

use super::refusal::quotable;
use super::wire::Grant;
use super::{ZOOM_HOSTS, ZoomCredential};
use crate::http::{AllowedHosts, ApiReply, ApiRequest, Client};
use crate::model::SecretUrl;
use crate::providers::ProviderError;

/// Bound on asking for a token, retries included: short enough for a read that waits for it.
const GRANT_WITHIN: Duration = Duration::from_secs(10);

/// Life of a token whose reply does not say: what Zoom documents.
const USUAL_LIFE: Duration = Duration::from_secs(3600);

/// How long before its end a token is renewed, unless a tenth of its life is less: above the bound of any call
/// that may still be using it.
const MARGIN: Duration = Duration::from_secs(60);

/// An access token. Two are the same only if they are the same `Arc`.
pub(super) struct Token {
    secret: SecretString,
    /// When it is to be renewed, and when it ends at the latest; `None` for a given one, of which nobody knows.
    life: Option<Life>,
    /// Where the reply says that the interface is.
    api: Option<Url>,
}

struct Life {
    renew: Instant,
    end: Instant,
    /// `end` by the clock.
    ends: Timestamp,
}

impl Token {
    fn given(secret: SecretString) -> Self {
        Self { secret, life: None, api: None }
    }

    /// The token itself, for a query and for keeping it out of messages.
    pub(super) fn secret(&self) -> &SecretString {
        &self.secret
    }

    /// The `Authorization` header value.
    pub(super) fn header(&self) -> SecretString {
        bearer(&self.secret)
    }

    /// The base address the token belongs to, if its reply named one.
    pub(super) fn api(&self) -> Option<&Url> {
        self.api.as_ref()
    }

    /// When it ends, if that is known.
    pub(super) fn ends(&self) -> Option<Timestamp> {
        self.life.as_ref().map(|life| life.ends)
    }

    fn is_due(&self, now: Instant) -> bool {
        self.life.as_ref().is_some_and(|life| life.renew <= now)
    }

    fn is_over(&self, now: Instant) -> bool {
        self.life.as_ref().is_some_and(|life| life.end <= now)
    }
}

/// `Bearer` and the token.
pub(super) fn bearer(token: &SecretString) -> SecretString {
    SecretString::from(format!("Bearer {}", token.expose_secret()))
}

/// Where everybody gets the source's access token.
pub(super) struct Tokens {
    how: How,
    client: Client,
}

enum How {
    Given(Arc<Token>),
    Asked(Box<App>),
}

/// A Server-to-Server app and the token it holds.
struct App {
    oauth: SecretUrl,
    account_id: String,
    /// `Basic` and the app's id and secret.
    basic: SecretString,
    client_secret: SecretString,
    /// The default base address of the interface, where a reply may name another.
    api: Option<Url>,
    /// Held while a token is asked for: who comes meanwhile waits, and takes what was brought.
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    token: Option<Arc<Token>>,
    /// When asking last failed, and why. It answers for those who were waiting for the same token: each of
    /// sixteen callers would otherwise ask a failing server in turn, each for as long as it may take.
    failure: Option<(Instant, ProviderError)>,
}

impl Tokens {
    /// `api` is the configured base address if it is the default, which a reply may replace.
    pub(super) fn new(credential: ZoomCredential, oauth: Url, api: Option<Url>, client: Client) -> Self {
        let how = match credential {
            ZoomCredential::Token(secret) => How::Given(Arc::new(Token::given(secret))),
            ZoomCredential::ServerToServer { account_id, client_id, client_secret } => {
                How::Asked(Box::new(App {
                    oauth: SecretUrl::new(oauth),
                    account_id,
                    basic: basic(&client_id, &client_secret),
                    client_secret,
                    api,
                    held: Mutex::default(),
                }))
            }
        };
        Self { how, client }
    }

    /// The token in force, asked for if there is none or its end is near.
    ///
    /// # Errors
    /// Why there is none: the credentials are wrong, or Zoom is out of reach.
    pub(super) async fn current(&self) -> Result<Arc<Token>, ProviderError> {
        self.other_than(None).await
    }

    /// A token in place of `refused`: the one that somebody else has got by now, or a new one.
    ///
    /// # Errors
    /// As [`current`](Self::current); a given token has nothing to take its place.
    pub(super) async fn renewed(&self, refused: &Arc<Token>) -> Result<Arc<Token>, ProviderError> {
        self.other_than(Some(refused)).await
    }

    /// Whether [`renewed`](Self::renewed) can bring another token.
    pub(super) fn can_renew(&self) -> bool {
        matches!(self.how, How::Asked(_))
    }

    async fn other_than(&self, refused: Option<&Arc<Token>>) -> Result<Arc<Token>, ProviderError> {
        let app = match &self.how {
            How::Given(token) if refused.is_none() => return Ok(token.clone()),
            How::Given(_) => {
                return Err(ProviderError::Credential(
                    "the token was refused; Zoom tokens live one hour: give a new one, or let meetfs ask for its own with account_id, client_id and client_secret".into(),
                ));
            }
            How::Asked(app) => app,
        };
        let waiting_since = Instant::now();
        let mut held = app.held.lock().await;
        let now = Instant::now();
        let usable = held
            .token
            .as_ref()
            .filter(|token| !token.is_over(now) && !refused.is_some_and(|no| Arc::ptr_eq(no, token)))
            .cloned();
        if let Some(token) = usable.as_ref().filter(|token| !token.is_due(now)) {
            return Ok(token.clone());
        }
        let asked = match &held.failure {
            Some((at, error)) if waiting_since < *at => Err(error.clone()),
            _ => {
                let asked = app.ask(&self.client).await;
                held.failure = asked.as_ref().err().map(|error| (Instant::now(), error.clone()));
                asked
            }
        };
        match asked {
            Ok(token) => {
                let token = Arc::new(token);
                held.token = Some(token.clone());
                Ok(token)
            }
            Err(error) => {
                // A token whose end is near is good until then.
                match (usable, &error) {
                    (Some(token), ProviderError::Unavailable(_)) => Ok(token),
                    _ => Err(error),
                }
            }
        }
    }
}

impl App {
    async fn ask(&self, client: &Client) -> Result<Token, ProviderError> {
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
        // Its life counts from before the question, so that a slow answer never makes it seem longer.
        let (asked, asked_at) = (Instant::now(), Timestamp::now());
        let reply = client.call(&request).await?;
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
        let end = asked + life;
        let ends = SignedDuration::try_from(life).ok().and_then(|life| asked_at.checked_add(life).ok());
        Ok(Token {
            secret: SecretString::from(secret),
            life: Some(Life { renew: end - MARGIN.min(life / 10), end, ends: ends.unwrap_or(asked_at) }),
            api: self.api.as_ref().zip(grant.api_url).and_then(|(base, named)| interface_at(base, &named)),
        })
    }
}

fn basic(client_id: &str, client_secret: &SecretString) -> SecretString {
    let pair = SecretString::from(format!("{client_id}:{}", client_secret.expose_secret()));
    SecretString::from(format!("Basic {}", STANDARD.encode(pair.expose_secret())))
}

/// The base address that a token's reply names, if it may be believed: https on a host of Zoom's. Zoom names the
/// host alone; the path is the default's.
fn interface_at(base: &Url, named: &str) -> Option<Url> {
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
fn refused(reply: &ApiReply, body: Option<&Map<String, Value>>, secret: &SecretString) -> ProviderError {
    let field = |name| body.and_then(|body| super::lenient::first_text(body, &[name])).unwrap_or_default();
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

    #[tokio::test]
    async fn a_given_token_is_never_replaced() {
        let client = Client::new(8).unwrap();
        let oauth = Url::parse("https://zoom.us/oauth/token").unwrap();
        let tokens =
            Tokens::new(ZoomCredential::Token(SecretString::from("given-s3cret")), oauth, None, client);
        let token = tokens.current().await.unwrap();
        assert_eq!(token.header().expose_secret(), "Bearer given-s3cret");
        let Err(ProviderError::Credential(text)) = tokens.renewed(&token).await else { panic!() };
        assert!(text.contains("one hour") && !text.contains("s3cret"), "{text}");
    }
}

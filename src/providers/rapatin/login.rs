//! The access token: configured, or from a login.

use std::time::Duration;

use async_trait::async_trait;
use secrecy::SecretString;
use serde_json::{Map, Value};
use url::Url;

use super::RapatinCredential;
use super::api;
use super::refusal::Refusal;
use crate::http::{ApiRequest, Client, Priority};
use crate::providers::ProviderError;
use crate::providers::toolkit::backoff::RefusalCache;
use crate::providers::toolkit::json_repair;
use crate::providers::toolkit::serde_lenient;
use crate::providers::toolkit::token::{Token, TokenIssuer, Tokens};

/// Timeout of a login with its retries: short enough for a read that waits for it.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a refused login is the answer to the next ones. Every read would otherwise send a wrong
/// password again, and services lock accounts for that. A listing tries again once a minute, which
/// is soon enough.
const REFUSAL_TTL: Duration = Duration::from_secs(60);

/// The name of the token in the account.
const DEVICE: &str = "meetfs";

/// Returns the tokens of a source whose API is at `base`.
pub(crate) fn tokens(credential: RapatinCredential, base: Url, client: Client) -> Tokens {
    match credential {
        RapatinCredential::Token(secret) => Tokens::fixed(
            secret,
            ProviderError::credential("Rapatin refused the token, which has probably expired")
                .with_hint(
                    "Configure a new token, or email and password, with which meetfs signs in.",
                ),
        ),
        RapatinCredential::Login { email, password } => Tokens::issued_by(Login {
            base,
            email,
            password,
            client,
            refusals: RefusalCache::new(REFUSAL_TTL),
        }),
    }
}

/// Reads the token of the reply to a login.
pub(crate) fn token_of(reply: &Map<String, Value>) -> Option<SecretString> {
    serde_lenient::as_text(reply.get("data")?.get("token")?).map(SecretString::from)
}

/// Logs in when the last token is refused. The lifetime of a token is not documented, so its expiry
/// is unknown.
struct Login {
    base: Url,
    email: String,
    password: SecretString,
    client: Client,
    refusals: RefusalCache,
}

#[async_trait]
impl TokenIssuer for Login {
    async fn check_breaker(&self) -> Result<(), ProviderError> {
        Ok(self.client.check_breaker(&api::url(&self.base, &["auth", "login"], &[])?).await?)
    }

    async fn issue(
        &self,
        _refused: Option<&Token>,
        priority: Priority,
    ) -> Result<Token, ProviderError> {
        if let Some(error) = self.refusals.get() {
            return Err(error);
        }
        let request = ApiRequest {
            url: api::url(&self.base, &["auth", "login"], &[])?,
            authorization: None,
            form: Some(vec![
                ("email", SecretString::from(self.email.clone())),
                ("password", self.password.clone()),
                ("device", SecretString::from(DEVICE)),
            ]),
            timeout: LOGIN_TIMEOUT,
            rate_limiter: None,
            priority,
        };
        let reply = self.client.call_with_json(&request).await?;
        let body = json_repair::object(&reply.body);
        if let Some(refusal) = Refusal::of(reply.status, body.as_ref(), &self.password) {
            let error = refusal.to_login_error();
            if error.is_credential() {
                self.refusals.record(&error);
            }
            return Err(error);
        }
        match body.as_ref().and_then(token_of) {
            Some(token) => Ok(Token::without_expiry(token)),
            None => Err(ProviderError::unavailable("Rapatin returned no token for the login")
                .with_hint("Check api_url.")),
        }
    }
}

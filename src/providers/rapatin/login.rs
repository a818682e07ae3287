//! Provides the access token of a source: the configured token, or a token from a login.

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
use crate::providers::toolkit::token::{Token, TokenIssuer, Tokens, bearer_token};

/// Timeout of a login, including retries. It is short because a read may wait for the login.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the error of a refused login is returned again without another login. Otherwise, every
/// read would send the wrong password again, and services lock accounts for that. A listing retries
/// once a minute, which is soon enough.
const REFUSAL_TTL: Duration = Duration::from_secs(60);

/// The name of the token in the account's list of tokens.
const TOKEN_NAME: &str = "meetfs";

/// Returns the tokens of a source. `base_url` is the base URL of the API.
pub(crate) fn tokens(credential: RapatinCredential, base_url: Url, client: Client) -> Tokens {
    match credential {
        RapatinCredential::Token(secret) => Tokens::fixed(
            secret,
            ProviderError::credential("Rapatin refused the token, which has probably expired")
                .with_hint(
                    "Configure a new token. With email and password instead of a token, meetfs \
                     signs in automatically.",
                ),
        ),
        RapatinCredential::Login { email, password } => Tokens::issued_by(LoginTokenIssuer {
            base_url,
            email,
            password,
            client,
            refusal_cache: RefusalCache::new(REFUSAL_TTL),
        }),
    }
}

/// Returns the token in the reply to a login.
pub(crate) fn token_in_reply(reply: &Map<String, Value>) -> Option<SecretString> {
    serde_lenient::as_text(reply.get("data")?.get("token")?).and_then(bearer_token)
}

/// Issues tokens by logging in. The lifetime of a token is not documented, so a token is used until
/// the API refuses it.
struct LoginTokenIssuer {
    base_url: Url,
    email: String,
    password: SecretString,
    client: Client,
    refusal_cache: RefusalCache,
}

#[async_trait]
impl TokenIssuer for LoginTokenIssuer {
    async fn check_breaker(&self) -> Result<(), ProviderError> {
        Ok(self.client.check_breaker(&api::url(&self.base_url, &["auth", "login"], &[])?).await?)
    }

    async fn issue(
        &self,
        _refused_token: Option<&Token>,
        priority: Priority,
    ) -> Result<Token, ProviderError> {
        if let Some(error) = self.refusal_cache.get() {
            return Err(error);
        }
        let request = ApiRequest {
            url: api::url(&self.base_url, &["auth", "login"], &[])?,
            authorization: None,
            form: Some(vec![
                ("email", SecretString::from(self.email.clone())),
                ("password", self.password.clone()),
                ("device", SecretString::from(TOKEN_NAME)),
            ]),
            timeout: LOGIN_TIMEOUT,
            rate_limiter: None,
            priority,
        };
        let reply = self.client.call_with_json(&request).await?;
        let body = json_repair::parse_object(&reply.body);
        if let Some(refusal) = Refusal::parse(reply.status, body.as_ref(), &self.password) {
            let error = refusal.to_login_error();
            if error.is_credential() {
                self.refusal_cache.record(&error);
            }
            return Err(error);
        }
        match body.as_ref().and_then(token_in_reply) {
            Some(token) => Ok(Token::without_expiry(token)),
            None => {
                Err(ProviderError::unavailable("Rapatin accepted the login but returned no token")
                    .with_hint("Check api_url."))
            }
        }
    }
}

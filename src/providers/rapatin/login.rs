//! The token: given, or got by a login.

use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use secrecy::SecretString;
use serde_json::{Map, Value};
use tokio::time::Instant;
use url::Url;

use super::RapatinCredential;
use super::api::address;
use super::refusal::Refusal;
use crate::http::{ApiRequest, Client, Priority};
use crate::providers::ProviderError;
use crate::providers::toolkit::json_repair;
use crate::providers::toolkit::serde_lenient;
use crate::providers::toolkit::token::{Token, TokenIssuer, Tokens};

/// Bound on a login, retries included: short enough for a read that waits for it.
const LOGIN_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a refused login answers for the next ones. Every read would otherwise send a wrong password again, and
/// services lock accounts for that; a listing tries again once a minute, which is soon enough.
const REFUSED_FOR: Duration = Duration::from_secs(60);

/// What the token is listed under in the account.
const DEVICE: &str = "meetfs";

/// The tokens of a source whose interface is at `base`.
pub(crate) fn tokens(credential: RapatinCredential, base: Url, client: Client) -> Tokens {
    match credential {
        RapatinCredential::Token(secret) => Tokens::given(
            secret,
            "Rapatin refused the token, which has most likely ended: give a new one, or let meetfs sign in with email and password",
        ),
        RapatinCredential::Login { email, password } => {
            Tokens::asked(Login { base, email, password, client, refused: Mutex::default() })
        }
    }
}

/// The token that the reply to a login brings.
pub(crate) fn token_of(reply: &Map<String, Value>) -> Option<SecretString> {
    serde_lenient::as_text(reply.get("data")?.get("token")?).map(SecretString::from)
}

/// An account that is signed in to whenever its last token is refused. How long a token lives is not documented, so
/// its end is not foreseen.
struct Login {
    base: Url,
    email: String,
    password: SecretString,
    client: Client,
    /// When the login was refused last, and how.
    refused: Mutex<Option<(Instant, ProviderError)>>,
}

#[async_trait]
impl TokenIssuer for Login {
    async fn admit(&self) -> Result<(), ProviderError> {
        Ok(self.client.admit(&address(&self.base, &["auth", "login"], &[])?).await?)
    }

    async fn issue(
        &self,
        _refused: Option<&Token>,
        priority: Priority,
    ) -> Result<Token, ProviderError> {
        if let Some((at, error)) = &*self.refused.lock()
            && at.elapsed() < REFUSED_FOR
        {
            return Err(error.clone());
        }
        let request = ApiRequest {
            address: address(&self.base, &["auth", "login"], &[])?,
            authorization: None,
            form: Some(vec![
                ("email", SecretString::from(self.email.clone())),
                ("password", self.password.clone()),
                ("device", SecretString::from(DEVICE)),
            ]),
            within: LOGIN_TIMEOUT,
            rate_limiter: None,
            priority,
        };
        let reply = self.client.call_with_json(&request).await?;
        let body = json_repair::object(&reply.body);
        if let Some(refusal) = Refusal::of(reply.status, body.as_ref(), &self.password) {
            let error = refusal.about_login();
            if error.is_credential() {
                *self.refused.lock() = Some((Instant::now(), error.clone()));
            }
            return Err(error);
        }
        match body.as_ref().and_then(token_of) {
            Some(token) => Ok(Token::given(token)),
            None => Err(ProviderError::unavailable(
                "Rapatin answered the login without a token; check api_url",
            )),
        }
    }
}

//! The tokens of an integration or a service app, renewed with a refresh token from the
//! configuration or from a sign-in.

use std::time::Duration;

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

use super::WebexCredential;
use crate::config::WebexConfig;
use crate::http::{ApiReply, ApiRequest, Client, Priority};
use crate::model::{SecretUrl, SourceName};
use crate::providers::ProviderError;
use crate::providers::oauth::{
    Exchange, RefreshTokenIssuer, SignInService, SignInStore, TokenGrant, TokenLifetimes,
    TokenReply, TokenService, sibling_url,
};
use crate::providers::toolkit::json_repair;
use crate::providers::toolkit::redaction::{in_parentheses, quotable};
use crate::providers::toolkit::serde_lenient;
use crate::providers::toolkit::token::Tokens;

/// Timeout of a renewal with its retries: short enough for a read that waits for it.
const GRANT_TIMEOUT: Duration = Duration::from_secs(10);

/// The 14 days that Webex documents ("Integrations & Authorization").
const LIFETIME: Duration = Duration::from_secs(14 * 24 * 3600);

/// Returns the tokens of a source.
pub(crate) fn tokens(source: &SourceName, config: &WebexConfig, client: Client) -> Tokens {
    let oauth = SecretUrl::new(config.oauth_url.clone());
    match config.credential.clone() {
        WebexCredential::Token(secret) => Tokens::fixed(
            secret,
            ProviderError::credential("Webex refused the token").with_hint(
                "Personal tokens expire after 12 hours. Configure a new one, or client_id, \
                 client_secret and refresh_token, with which meetfs renews its own.",
            ),
        ),
        WebexCredential::Refreshed { client_id, client_secret, refresh_token, sign_in } => {
            let hint = "Check client_id, client_secret and refresh_token, which expires after 90 days without use.";
            let app = App { oauth, client_id, client_secret, hint: hint.into(), client };
            Tokens::issued_by(RefreshTokenIssuer::for_refresh_token(
                source.clone(),
                app,
                refresh_token,
                sign_in,
            ))
        }
        WebexCredential::SignedIn { client_id, client_secret, sign_in } => {
            let app = App { oauth, client_id, client_secret, hint: sign_in_hint(source), client };
            Tokens::issued_by(RefreshTokenIssuer::for_sign_in(source.clone(), app, sign_in))
        }
    }
}

fn sign_in_hint(source: &SourceName) -> String {
    format!("Check client_id and client_secret, and run `meetfs login {source}`.")
}

/// Returns the sign-in of a source, or `None` if its token is configured.
pub(crate) fn sign_in_service(
    source: &SourceName,
    config: &WebexConfig,
    client: Client,
) -> Option<SignInService> {
    let WebexCredential::SignedIn { client_id, client_secret, sign_in } = config.credential.clone()
    else {
        return None;
    };
    let oauth = SecretUrl::new(config.oauth_url.clone());
    let hint = sign_in_hint(source);
    let app = App { oauth, client_id: client_id.clone(), client_secret, hint, client };
    let listing =
        if config.admin { "meeting:admin_recordings_read" } else { "meeting:recordings_read" };
    Some(SignInService {
        source: source.clone(),
        service: Box::new(app),
        client_id,
        authorize_url: sibling_url(&config.oauth_url, "authorize"),
        scopes: vec![listing, "meeting:transcripts_read"],
        store: SignInStore::at(sign_in)?,
    })
}

/// An integration or a service app.
struct App {
    oauth: SecretUrl,
    client_id: String,
    client_secret: SecretString,
    /// What to do if it is refused.
    hint: String,
    client: Client,
}

#[async_trait]
impl TokenService for App {
    async fn check_breaker(&self) -> Result<(), ProviderError> {
        Ok(self.client.check_breaker(&self.oauth).await?)
    }

    async fn exchange(
        &self,
        exchange: Exchange<'_>,
        priority: Priority,
    ) -> Result<TokenGrant, ProviderError> {
        // Webex accepts the credentials of the app only in the body ("Integrations &
        // Authorization").
        let (mut form, secret) = exchange.form();
        form.push(("client_id", SecretString::from(self.client_id.clone())));
        form.push(("client_secret", self.client_secret.clone()));
        let request = ApiRequest {
            url: self.oauth.clone(),
            authorization: None,
            form: Some(form),
            timeout: GRANT_TIMEOUT,
            rate_limiter: None,
            priority,
        };
        let reply = self.client.call(&request).await?;
        let body = json_repair::object(&reply.body).map_or(Value::Null, Value::Object);
        match reply.status {
            200..300 => grant(body).ok_or_else(|| {
                ProviderError::unavailable("the token service of Webex returned no token")
                    .with_hint("Check oauth_url.")
            }),
            _ => Err(refused(&self.hint, &reply, body.as_object(), [&self.client_secret, secret])),
        }
    }
}

/// Reads a reply. Returns `None` if it has no token.
pub(crate) fn grant(body: Value) -> Option<TokenGrant> {
    TokenReply::read(body)?.into_grant(TokenLifetimes { default: LIFETIME, max: LIFETIME })
}

pub(crate) fn refused(
    hint: &str,
    reply: &ApiReply,
    body: Option<&Map<String, Value>>,
    secrets: [&SecretString; 2],
) -> ProviderError {
    let message = body.and_then(|body| {
        serde_lenient::first_text(body, &["error_description", "message", "error"])
    });
    let message = message.unwrap_or_default();
    let plain = secrets
        .into_iter()
        .filter(|secret| !secret.expose_secret().is_empty())
        .fold(message, |message, secret| quotable(&message, secret));
    let quote = in_parentheses(&plain);
    match reply.status {
        400 | 401 | 403 => {
            ProviderError::credential(format!("Webex refused to issue a token{quote}"))
                .with_hint(hint.to_owned())
        }
        status => ProviderError::unavailable(format!(
            "the token service of Webex returned status {status}{quote}"
        ))
        .with_hint("Check oauth_url."),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::line_with_hint;

    #[test]
    fn refused_renewal_has_a_hint_without_secrets() {
        let (secret, refresh) = (SecretString::from("app-s3cret"), SecretString::from("r3fresh"));
        let say = |status, body: Value| {
            let reply = ApiReply { status, headers: Default::default(), body: Vec::new() };
            refused(
                "Check refresh_token, which expires after 90 days.",
                &reply,
                body.as_object(),
                [&secret, &refresh],
            )
        };
        let body = json!({"message": "The refresh token r3fresh of app-s3cret is invalid.", "trackingId": "x"});
        let error = say(400, body);
        assert!(error.is_credential());
        let text = line_with_hint(&error);
        assert!(text.contains("refresh_token") && text.contains("90 days"), "{text}");
        assert!(!text.contains("s3cret") && !text.contains("r3fresh"), "{text}");
        assert!(line_with_hint(&say(404, Value::Null)).contains("oauth_url"));
    }
}

//! Obtains the access tokens of an integration or a service app with a refresh token. The refresh
//! token is in the configuration or comes from a sign-in.

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
use crate::providers::toolkit::redaction::{quote_in_parentheses, redact};
use crate::providers::toolkit::serde_lenient;
use crate::providers::toolkit::token::Tokens;

/// Timeout of a renewal, including retries. It is short because a read may wait for the renewal.
const GRANT_TIMEOUT: Duration = Duration::from_secs(10);

/// Lifetime of an access token, as documented by Webex ("Integrations & Authorization").
const TOKEN_LIFETIME: Duration = Duration::from_secs(14 * 24 * 3600);

/// Returns the tokens of a source.
pub(crate) fn tokens(source: &SourceName, config: &WebexConfig, client: Client) -> Tokens {
    let token_url = SecretUrl::new(config.oauth_url.clone());
    match config.credential.clone() {
        WebexCredential::Token(secret) => Tokens::fixed(
            secret,
            ProviderError::credential("Webex refused the token").with_hint(
                "Personal tokens expire after 12 hours. Configure a new one. With client_id, \
                 client_secret and refresh_token instead of a token, meetfs renews the token \
                 automatically.",
            ),
        ),
        WebexCredential::Refreshed { client_id, client_secret, refresh_token, sign_in } => {
            let hint = "Check client_id, client_secret and refresh_token, which expires after 90 days without use.";
            let app = App { token_url, client_id, client_secret, hint: hint.into(), client };
            Tokens::issued_by(RefreshTokenIssuer::for_refresh_token(
                source.clone(),
                app,
                refresh_token,
                sign_in,
            ))
        }
        WebexCredential::SignedIn { client_id, client_secret, sign_in } => {
            let app =
                App { token_url, client_id, client_secret, hint: sign_in_hint(source), client };
            Tokens::issued_by(RefreshTokenIssuer::for_sign_in(source.clone(), app, sign_in))
        }
    }
}

fn sign_in_hint(source: &SourceName) -> String {
    format!("Check client_id and client_secret, and run `meetfs login {source}`.")
}

/// Returns the sign-in service of a source, or `None` if the source does not use a sign-in.
pub(crate) fn sign_in_service(
    source: &SourceName,
    config: &WebexConfig,
    client: Client,
) -> Option<SignInService> {
    let WebexCredential::SignedIn { client_id, client_secret, sign_in } = config.credential.clone()
    else {
        return None;
    };
    let token_url = SecretUrl::new(config.oauth_url.clone());
    let hint = sign_in_hint(source);
    let app = App { token_url, client_id: client_id.clone(), client_secret, hint, client };
    let listing_scope = if config.uses_admin_list {
        "meeting:admin_recordings_read"
    } else {
        "meeting:recordings_read"
    };
    Some(SignInService {
        source: source.clone(),
        service: Box::new(app),
        client_id,
        authorize_url: sibling_url(&config.oauth_url, "authorize"),
        scopes: vec![listing_scope, "meeting:transcripts_read"],
        store: SignInStore::new(sign_in)?,
    })
}

/// An integration or a service app.
struct App {
    token_url: SecretUrl,
    client_id: String,
    client_secret: SecretString,
    /// The hint of the error if Webex refuses the app or a token.
    hint: String,
    client: Client,
}

#[async_trait]
impl TokenService for App {
    async fn check_breaker(&self) -> Result<(), ProviderError> {
        Ok(self.client.check_breaker(&self.token_url).await?)
    }

    async fn exchange(
        &self,
        exchange: Exchange<'_>,
        priority: Priority,
    ) -> Result<TokenGrant, ProviderError> {
        // Webex accepts the credentials of the app only in the body ("Integrations &
        // Authorization").
        let (mut form, secret) = exchange.form_fields();
        form.push(("client_id", SecretString::from(self.client_id.clone())));
        form.push(("client_secret", self.client_secret.clone()));
        let request = ApiRequest {
            url: self.token_url.clone(),
            authorization: None,
            form: Some(form),
            timeout: GRANT_TIMEOUT,
            rate_limiter: None,
            priority,
        };
        let reply = self.client.call(&request).await?;
        let body = json_repair::parse_object(&reply.body).map_or(Value::Null, Value::Object);
        match reply.status {
            200..300 => parse_grant(body).ok_or_else(|| {
                ProviderError::unavailable("the token service of Webex returned no token")
                    .with_hint("Check oauth_url.")
            }),
            _ => Err(refusal_error(
                &self.hint,
                &reply,
                body.as_object(),
                [&self.client_secret, secret],
            )),
        }
    }
}

/// Parses the reply to a token request. Returns `None` if it contains no access token.
pub(crate) fn parse_grant(body: Value) -> Option<TokenGrant> {
    TokenReply::parse(body)?
        .into_grant(TokenLifetimes { default: TOKEN_LIFETIME, max: TOKEN_LIFETIME })
}

pub(crate) fn refusal_error(
    hint: &str,
    reply: &ApiReply,
    body: Option<&Map<String, Value>>,
    secrets: [&SecretString; 2],
) -> ProviderError {
    let message = body.and_then(|body| {
        serde_lenient::first_text(body, &["error_description", "message", "error"])
    });
    let message = message.unwrap_or_default();
    let redacted_message = secrets
        .into_iter()
        .filter(|secret| !secret.expose_secret().is_empty())
        .fold(message, |message, secret| redact(&message, secret));
    let quote = quote_in_parentheses(&redacted_message);
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
    fn refused_renewal_has_a_hint_but_no_secret() {
        let (secret, refresh) = (SecretString::from("app-s3cret"), SecretString::from("r3fresh"));
        let error_for = |status, body: Value| {
            let reply = ApiReply { status, headers: Default::default(), body: Vec::new() };
            refusal_error(
                "Check refresh_token, which expires after 90 days.",
                &reply,
                body.as_object(),
                [&secret, &refresh],
            )
        };
        let body = json!({"message": "The refresh token r3fresh of app-s3cret is invalid.", "trackingId": "x"});
        let error = error_for(400, body);
        assert!(error.is_credential());
        let text = line_with_hint(&error);
        assert!(text.contains("refresh_token") && text.contains("90 days"), "{text}");
        assert!(!text.contains("s3cret") && !text.contains("r3fresh"), "{text}");
        assert!(line_with_hint(&error_for(404, Value::Null)).contains("oauth_url"));
    }
}

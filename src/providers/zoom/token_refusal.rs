//! Errors of Zoom's token endpoint, and the messages and hints for them. Their keys differ from
//! those of API errors: `{"reason":"…","error":"invalid_client"}`.

use secrecy::SecretString;
use serde_json::{Map, Value};

use crate::http::ApiReply;
use crate::model::SourceName;
use crate::providers::ProviderError;
use crate::providers::toolkit::redaction::{quote_in_parentheses, redact};
use crate::providers::toolkit::serde_lenient;

/// Returns the error of a reply that refuses a token to a Server-to-Server app. The message does
/// not contain `secret`.
pub(crate) fn app_refusal(
    reply: &ApiReply,
    body: Option<&Map<String, Value>>,
    secret: &SecretString,
) -> ProviderError {
    let Refusal { error, quoted_reason } = Refusal::of(body, &[secret]);
    match (reply.status, error.as_str()) {
        (400 | 401, "invalid_client") => {
            ProviderError::credential(format!("Zoom does not recognize the app{quoted_reason}"))
                .with_hint("Check client_id and client_secret.")
        }
        (400 | 401, "unsupported_grant_type") => ProviderError::credential(format!(
            "Zoom does not issue tokens to this app{quoted_reason}"
        ))
        .with_hint("Use an app of the type Server-to-Server OAuth."),
        (400 | 401, _) => {
            ProviderError::credential(format!("Zoom refused the app's credentials{quoted_reason}"))
                .with_hint(
                    "Check account_id, client_id and client_secret, and that the app is activated.",
                )
        }
        (status, _) => service_error(status, &quoted_reason),
    }
}

/// Returns the error of a reply that refuses a token to an app that users sign in to. If
/// `is_code_exchange`, the request contained an authorization code, otherwise a refresh token. The
/// message contains none of the `secrets`.
pub(crate) fn user_refusal(
    source: &SourceName,
    is_code_exchange: bool,
    reply: &ApiReply,
    body: Option<&Map<String, Value>>,
    secrets: [&SecretString; 2],
) -> ProviderError {
    let Refusal { error, quoted_reason } = Refusal::of(body, &secrets);
    match (reply.status, error.as_str()) {
        (400 | 401, "invalid_client") => {
            ProviderError::credential(format!("Zoom does not recognize the app{quoted_reason}"))
                .with_hint("Check client_id, and client_secret unless the app is a public client.")
        }
        (400 | 401, _) if is_code_exchange => {
            let message =
                format!("Zoom refused the authorization code from the browser{quoted_reason}");
            ProviderError::credential(message).with_hint(format!(
                "An authorization code works once, for five minutes, and only with a redirect URL \
                 of the app. Run `meetfs login {source}` again."
            ))
        }
        (400 | 401, _) => {
            let message = format!("Zoom no longer accepts the sign-in of {source}{quoted_reason}");
            ProviderError::credential(message).with_hint(format!("Run `meetfs login {source}`."))
        }
        (status, _) => service_error(status, &quoted_reason),
    }
}

fn service_error(status: u16, quoted_reason: &str) -> ProviderError {
    let message = format!("Zoom's token service returned status {status}{quoted_reason}");
    ProviderError::unavailable(message).with_hint("Check oauth_url.")
}

struct Refusal {
    error: String,
    /// A space and Zoom's reason in parentheses and quotes, or an empty string if the reply
    /// contains no reason.
    quoted_reason: String,
}

impl Refusal {
    fn of(body: Option<&Map<String, Value>>, secrets: &[&SecretString]) -> Self {
        let field = |name| {
            body.and_then(|body| serde_lenient::first_text(body, &[name])).unwrap_or_default()
        };
        let reason = secrets.iter().fold(field("reason"), |reason, secret| redact(&reason, secret));
        Self { error: field("error"), quoted_reason: quote_in_parentheses(&reason) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::line_with_hint;
    use crate::providers::ErrorClass;

    fn reply(status: u16) -> ApiReply {
        ApiReply { status, headers: Default::default(), body: Vec::new() }
    }

    #[test]
    fn refused_sign_in_names_command_but_no_secret() {
        let (secret, token) = (SecretString::from("app-s3cret"), SecretString::from("r3fresh"));
        let source = SourceName::new("acme").unwrap();
        let refusal = |status, is_code_exchange, body: Value| {
            user_refusal(
                &source,
                is_code_exchange,
                &reply(status),
                body.as_object(),
                [&secret, &token],
            )
        };
        for (is_code_exchange, words) in
            [(true, "An authorization code works once"), (false, "no longer accepts")]
        {
            let body = json!({"reason": "Invalid Token! r3fresh", "error": "invalid_grant"});
            let error = refusal(400, is_code_exchange, body);
            assert!(error.is_credential());
            let text = line_with_hint(&error);
            assert!(text.contains("`meetfs login acme`") && text.contains(words), "{text}");
            assert!(!text.contains("r3fresh"), "{text}");
        }
        let body = json!({"reason": "Invalid client_id app-s3cret", "error": "invalid_client"});
        let error = refusal(401, true, body);
        assert!(error.is_credential());
        let text = line_with_hint(&error);
        assert!(text.contains("client_id") && !text.contains("app-s3cret"), "{text}");
        assert_eq!(refusal(502, false, Value::Null).class(), ErrorClass::Unavailable);
    }

    #[test]
    fn refused_app_names_the_settings_to_check() {
        let secret = SecretString::from("s3cret");
        let refusal = |status, body: Value| app_refusal(&reply(status), body.as_object(), &secret);
        let reason = "Invalid client_id or client_secret";
        let error = refusal(401, json!({"reason": reason, "error": "invalid_client"}));
        assert!(error.is_credential() && line_with_hint(&error).contains("client_secret"));
        let error =
            refusal(400, json!({"reason": "Bad account s3cret", "error": "invalid_request"}));
        assert!(error.is_credential());
        let text = line_with_hint(&error);
        assert!(
            text.contains("account_id") && text.contains("activated") && !text.contains("s3cret"),
            "{text}"
        );
        let error = refusal(404, Value::Null);
        assert!(error.is_transient() && line_with_hint(&error).contains("oauth_url"));
    }
}

//! Zoom's error objects, and the messages and hints for them.

use secrecy::SecretString;
use serde_json::{Map, Value};

use crate::http::ApiReply;
use crate::providers::ProviderError;
use crate::providers::toolkit::api_client::ApiRefusal;
use crate::providers::toolkit::redaction::{quote_in_parentheses, redact};
use crate::providers::toolkit::serde_lenient;
use crate::providers::zoom_share::codes::{
    self, APP_CODES, INVALID_TOKEN, MISSING_SCOPES, REPLACED_AUTHORIZATION,
};

/// A reply that refuses an API call: `{"code":…,"message":"…"}`, with any HTTP status.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    /// The HTTP status. It can be 200, which Zoom documents for "No permission".
    pub(crate) status: u16,
    /// Zoom's own error code, if the reply contains one.
    pub(crate) code: Option<i64>,
    /// Zoom's message without the token and without its final period.
    message: String,
    /// The missing scopes, if the request was refused because of them. The text is empty if the
    /// message does not name them.
    missing_scopes: Option<String>,
}

impl ApiRefusal for Refusal {
    fn from_reply(
        reply: &ApiReply,
        object: Option<&Map<String, Value>>,
        secret: &SecretString,
    ) -> Option<Self> {
        Self::parse(reply.status, object, secret)
    }

    fn is_token_error(&self) -> bool {
        codes::is_token_error(self.status, self.code)
    }
}

impl Refusal {
    /// Parses an error reply. Returns `None` if the reply does not refuse the call. The stored
    /// message never contains `secret`.
    pub(crate) fn parse(
        status: u16,
        reply: Option<&Map<String, Value>>,
        secret: &SecretString,
    ) -> Option<Self> {
        let code = reply.and_then(|reply| {
            ["code", "errorCode"]
                .iter()
                .find_map(|name| reply.get(*name).and_then(serde_lenient::as_integer))
        });
        if (200..300).contains(&status) && code.is_none_or(|code| code == 0) {
            return None;
        }
        let message =
            reply.and_then(|reply| serde_lenient::first_text(reply, &["message", "errorMessage"]));
        let message = redact(&message.unwrap_or_default(), secret);
        Some(Self {
            missing_scopes: missing_scopes(code, &message),
            message: message.trim_end_matches('.').to_owned(),
            status,
            code,
        })
    }

    /// Whether the request itself was refused, and not the token, its scopes or its app. Another
    /// request with the same token may then succeed.
    pub(crate) fn is_request_error(&self) -> bool {
        !self.is_token_error()
            && self.code.is_none_or(|code| !APP_CODES.contains(&code) && code != MISSING_SCOPES)
    }

    /// Whether the reason can be the requested user alone, so that another user is listed with the
    /// same token. A server error and a rate limit concern every user.
    pub(crate) fn can_concern_one_user(&self) -> bool {
        self.is_request_error() && self.status < 500 && self.status != 429 && self.code != Some(429)
    }

    /// Whether the requested user does not exist in the account.
    pub(crate) fn is_unknown_user(&self) -> bool {
        matches!(self.code, Some(1001 | 1010))
    }

    /// Whether the request was refused because the token lacks scopes.
    pub(crate) fn lacks_scope(&self) -> bool {
        self.missing_scopes.is_some()
    }

    /// Returns the error of a request for `subject`, as in "the recordings of user me".
    pub(crate) fn to_provider_error(&self, subject: &str) -> ProviderError {
        if let Some(scopes) = &self.missing_scopes {
            let scopes = if scopes.is_empty() { String::new() } else { format!(" {scopes}") };
            let message = format!("the token lacks the scopes{scopes} for {subject}");
            return ProviderError::not_allowed(message).with_hint(
                "Add the scopes to the app in the Zoom App Marketplace. The change takes effect \
                 with the next token.",
            );
        }
        let quote = quote_in_parentheses(&self.message);
        let prefix = format!("Zoom refused the request for {subject}");
        match self.code {
            Some(INVALID_TOKEN) => ProviderError::credential(format!(
                "{prefix}: the token is not valid, and a new token is not valid either{quote}"
            ))
            .with_hint(
                "Check in the Zoom App Marketplace that the app is activated and that its \
                 credentials match the configured ones.",
            ),
            Some(REPLACED_AUTHORIZATION) => ProviderError::credential(format!(
                "{prefix}: the token was revoked because the app was authorized again{quote}"
            ))
            .with_hint("Create a separate app for meetfs, or authorize this app again."),
            Some(200) => ProviderError::not_allowed(format!(
                "Zoom does not permit access to {subject}{quote}"
            ))
            .with_hint(
                "Cloud recording needs a paid plan, and the app's user needs a role that may view \
                 recordings.",
            ),
            Some(300) => {
                ProviderError::not_allowed(format!("Zoom denies access to {subject}{quote}"))
                    .with_hint(
                        "Check the role of the app's user and the recording settings of the \
                         account.",
                    )
            }
            Some(1001 | 1010) => {
                ProviderError::not_found(format!("{prefix}: the account has no such user{quote}"))
                    .with_hint("Correct or remove the name in `users`.")
            }
            Some(2001) => {
                ProviderError::credential(format!("{prefix}: the account does not exist{quote}"))
                    .with_hint("Check account_id.")
            }
            Some(2300) => ProviderError::not_found(format!(
                "{prefix}: the API endpoint does not exist{quote}"
            ))
            .with_hint("Check api_url."),
            Some(3001) => {
                ProviderError::not_found(format!("{prefix}: the meeting does not exist{quote}"))
                    .with_hint("The meeting was deleted, or it belongs to another account.")
            }
            Some(3301) => {
                ProviderError::not_found(format!("{prefix}: the recording does not exist{quote}"))
                    .with_hint("The recording was deleted, or Zoom is still processing it.")
            }
            Some(12702) => ProviderError::not_found(format!(
                "{prefix}: Zoom keeps details for a year only{quote}"
            )),
            Some(code) => match app_problem(code) {
                Some((problem, hint)) => {
                    let mut details = format!("code {code}");
                    if !self.message.is_empty() {
                        details = format!("{details}: \"{}\"", self.message);
                    }
                    ProviderError::credential(format!("{problem} ({details})")).with_hint(hint)
                }
                None => self.error_by_status(subject, &quote),
            },
            None => self.error_by_status(subject, &quote),
        }
    }

    fn error_by_status(&self, subject: &str, quote: &str) -> ProviderError {
        let status = self.status;
        match status {
            _ if status == 429 || self.code == Some(429) => {
                // Only the message distinguishes the two limits in a reply of the API.
                if self.message.to_ascii_lowercase().contains("daily") {
                    ProviderError::unavailable(format!(
                        "the daily limit of the account is reached, so Zoom refused the request for \
                         {subject}{quote}"
                    ))
                    .with_hint(
                        "A running mount retries automatically. The limit is reset every day. A \
                         higher plan has a higher limit.",
                    )
                } else {
                    ProviderError::unavailable(format!(
                        "the limit of requests per second is reached, so Zoom refused the request \
                         for {subject}{quote}"
                    ))
                    .with_hint(
                        "A running mount retries automatically. If the error persists, check that \
                         `plan` is the plan of the account.",
                    )
                }
            }
            401 => ProviderError::credential(format!(
                "Zoom refused the token in the request for {subject}{quote}"
            ))
            .with_hint("Check the credentials of the source."),
            403 => ProviderError::not_allowed(format!("Zoom forbids access to {subject}{quote}"))
                .with_hint("Check the scopes of the app and the role of its user."),
            404 | 410 if self.code.is_none() => {
                ProviderError::not_found(format!("the server does not find {subject}"))
                    .with_hint("Check api_url.")
            }
            404 | 410 => ProviderError::not_found(format!("Zoom does not find {subject}{quote}")),
            _ => {
                let message = match self.code {
                    Some(code) => format!(
                        "Zoom returned status {status} with code {code} for the request for \
                         {subject}{quote}"
                    ),
                    None => format!(
                        "Zoom returned status {status} for the request for {subject}{quote}"
                    ),
                };
                ProviderError::unavailable(message)
                    .with_hint("A running mount retries automatically.")
            }
        }
    }
}

/// Returns the scopes in `Invalid access token, does not contain scopes:[a, b].`, or `None` if the
/// error is not about scopes. Zoom documents two codes for missing scopes. One of them also has
/// other meanings.
fn missing_scopes(code: Option<i64>, message: &str) -> Option<String> {
    let is_about_scopes = code == Some(MISSING_SCOPES)
        || (code == Some(UNSPECIFIED_ERROR) && message.contains("contain scopes"));
    let bracketed_text = message.split_once('[').and_then(|(_, end)| end.split_once(']'));
    is_about_scopes
        .then(|| bracketed_text.map(|(scopes, _)| scopes.trim().to_owned()).unwrap_or_default())
}

/// Zoom's code for errors without a specific code.
const UNSPECIFIED_ERROR: i64 = 4700;

/// Returns the message and the hint for an error in the registration or authorization of an app
/// ("OAuth error messages" in Zoom's documentation).
fn app_problem(code: i64) -> Option<(&'static str, &'static str)> {
    Some(match code {
        UNSPECIFIED_ERROR => (
            "Zoom refused the token of the app without a reason",
            "Check client_id, client_secret and account_id. If the error persists, contact \
             Zoom support.",
        ),
        4702 | 4704 | 4706 => (
            "Zoom has no app with this client_id and client_secret",
            "Compare client_id and client_secret with the app's page in the Zoom App Marketplace.",
        ),
        4705 => (
            "Zoom does not issue this type of token to the app",
            "Use account_id, client_id and client_secret of an app of the type Server-to-Server \
             OAuth.",
        ),
        4709 => (
            "the redirect URL of the sign-in is not registered for the app",
            "Enter it as a redirect URL on the app's page in the Zoom App Marketplace, and sign in \
             again.",
        ),
        4717 => (
            "Zoom has disabled the app",
            "Activate it in the Zoom App Marketplace, or contact Zoom support.",
        ),
        4733 => (
            "the authorization code of the sign-in has expired",
            "Sign in again. An authorization code expires after five minutes.",
        ),
        4734 => (
            "Zoom does not recognize the authorization code of the sign-in",
            "Sign in again. An authorization code works only once.",
        ),
        4735 => (
            "the owner of the token has left the account",
            "Authorize the app as a user of the account.",
        ),
        4737 | 4740 => {
            ("the authorization of the app is not valid any more", "Authorize the app again.")
        }
        4738 => (
            "an administrator of the account has disabled the app",
            "Ask an administrator to approve the app again.",
        ),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::{Diagnostic, line_with_hint};
    use crate::providers::ErrorClass;

    fn parse_refusal(status: u16, body: Value) -> Option<Refusal> {
        Refusal::parse(status, body.as_object(), &SecretString::from("t0ken-s3cret"))
    }

    #[test]
    fn error_code_is_recognized_with_status_200() {
        assert!(parse_refusal(200, json!({"meetings": []})).is_none());
        let refusal =
            parse_refusal(200, json!({"code": 200, "message": "No permission."})).unwrap();
        let error = refusal.to_provider_error("the recordings of user me");
        assert_eq!(error.class(), ErrorClass::NotAllowed);
        assert!(line_with_hint(&error).contains("paid plan"));
        assert!(
            parse_refusal(200, json!({"code": "124", "message": "x"})).unwrap().is_token_error()
        );
        assert!(parse_refusal(401, json!({})).unwrap().is_token_error());
    }

    #[test]
    fn missing_scopes_are_named() {
        let message = "Invalid access token, does not contain scopes:[cloud_recording:read:list_user_recordings, cloud_recording:read:list_user_recordings:admin].";
        let refusal = parse_refusal(400, json!({"code": 4711, "message": message})).unwrap();
        assert!(!refusal.is_token_error() && !refusal.is_request_error());
        let error = refusal.to_provider_error("the recordings of user me");
        assert_eq!(error.class(), ErrorClass::NotAllowed);
        let text = line_with_hint(&error);
        assert!(
            text.contains("list_user_recordings, cloud_recording:read:list_user_recordings:admin"),
            "{text}"
        );
        assert!(text.contains("Marketplace"), "{text}");
    }

    #[test]
    fn every_documented_code_has_its_message_and_hint() {
        let scopes = "Invalid access token, does not contain scopes:[user:read:list_users:admin, user:read:admin].";
        let (token, of_token) = ("Invalid access token.", "the details of past meetings");
        let per_second =
            "You have reached the maximum per-second rate limit for this API. Try again later.";
        let daily_limit_message = "You have reached the maximum daily rate limit for this API. Refer to the response header.";
        #[rustfmt::skip]
        let rows = [
            (401, Some(124), token, "the recordings of user me", "credential: Zoom refused the request for the recordings of user me: the token is not valid, and a new token is not valid either (\"Invalid access token\") (hint: Check in the Zoom App Marketplace that the app is activated and that its credentials match the configured ones.)"),
            (400, Some(124), "", "the recordings of user me", "credential: Zoom refused the request for the recordings of user me: the token is not valid, and a new token is not valid either (hint: Check in the Zoom App Marketplace that the app is activated and that its credentials match the configured ones.)"),
            (200, Some(200), "No permission.", "the recordings of user me", "not allowed: Zoom does not permit access to the recordings of user me (\"No permission\") (hint: Cloud recording needs a paid plan, and the app's user needs a role that may view recordings.)"),
            (400, Some(200), "Only available for Paid account.", "the recordings of user me", "not allowed: Zoom does not permit access to the recordings of user me (\"Only available for Paid account\") (hint: Cloud recording needs a paid plan, and the app's user needs a role that may view recordings.)"),
            (400, Some(300), "m", "the recordings of user me", "not allowed: Zoom denies access to the recordings of user me (\"m\") (hint: Check the role of the app's user and the recording settings of the account.)"),
            (404, Some(1001), "User does not exist.", "the recordings of user ana@example.org", "not found: Zoom refused the request for the recordings of user ana@example.org: the account has no such user (\"User does not exist\") (hint: Correct or remove the name in `users`.)"),
            (400, Some(1010), "User does not belong to this account.", "the recordings of user x", "not found: Zoom refused the request for the recordings of user x: the account has no such user (\"User does not belong to this account\") (hint: Correct or remove the name in `users`.)"),
            (404, Some(2001), "Account does not exist.", "the recordings of user me", "credential: Zoom refused the request for the recordings of user me: the account does not exist (\"Account does not exist\") (hint: Check account_id.)"),
            (400, Some(2001), "", "the recordings of user me", "credential: Zoom refused the request for the recordings of user me: the account does not exist (hint: Check account_id.)"),
            (404, Some(2300), "This API endpoint is not recognized.", "the users of the account", "not found: Zoom refused the request for the users of the account: the API endpoint does not exist (\"This API endpoint is not recognized\") (hint: Check api_url.)"),
            (404, Some(3001), "Meeting does not exist.", "the recordings of this meeting", "not found: Zoom refused the request for the recordings of this meeting: the meeting does not exist (\"Meeting does not exist\") (hint: The meeting was deleted, or it belongs to another account.)"),
            (404, Some(3301), "This recording does not exist.", "the recordings of this meeting", "not found: Zoom refused the request for the recordings of this meeting: the recording does not exist (\"This recording does not exist\") (hint: The recording was deleted, or Zoom is still processing it.)"),
            (400, Some(4700), "Token cannot be empty.", "the recordings of user me", "credential: Zoom refused the token of the app without a reason (code 4700: \"Token cannot be empty\") (hint: Check client_id, client_secret and account_id. If the error persists, contact Zoom support.)"),
            (401, Some(4700), scopes, "the users of the account", "not allowed: the token lacks the scopes user:read:list_users:admin, user:read:admin for the users of the account (hint: Add the scopes to the app in the Zoom App Marketplace. The change takes effect with the next token.)"),
            (400, Some(4702), "Invalid client.", "the recordings of user me", "credential: Zoom has no app with this client_id and client_secret (code 4702: \"Invalid client\") (hint: Compare client_id and client_secret with the app's page in the Zoom App Marketplace.)"),
            (401, Some(4704), "Invalid client secret.", "the recordings of user me", "credential: Zoom has no app with this client_id and client_secret (code 4704: \"Invalid client secret\") (hint: Compare client_id and client_secret with the app's page in the Zoom App Marketplace.)"),
            (400, Some(4705), "", "the recordings of user me", "credential: Zoom does not issue this type of token to the app (code 4705) (hint: Use account_id, client_id and client_secret of an app of the type Server-to-Server OAuth.)"),
            (400, Some(4709), "Redirect URI mismatch.", "the recordings of user me", "credential: the redirect URL of the sign-in is not registered for the app (code 4709: \"Redirect URI mismatch\") (hint: Enter it as a redirect URL on the app's page in the Zoom App Marketplace, and sign in again.)"),
            (400, Some(4711), scopes, "the users of the account", "not allowed: the token lacks the scopes user:read:list_users:admin, user:read:admin for the users of the account (hint: Add the scopes to the app in the Zoom App Marketplace. The change takes effect with the next token.)"),
            (400, Some(4711), "", "the recordings of user me", "not allowed: the token lacks the scopes for the recordings of user me (hint: Add the scopes to the app in the Zoom App Marketplace. The change takes effect with the next token.)"),
            (401, Some(4717), "The app has been disabled", "the recordings of user me", "credential: Zoom has disabled the app (code 4717: \"The app has been disabled\") (hint: Activate it in the Zoom App Marketplace, or contact Zoom support.)"),
            (400, Some(4733), "Code is expired", "the recordings of user me", "credential: the authorization code of the sign-in has expired (code 4733: \"Code is expired\") (hint: Sign in again. An authorization code expires after five minutes.)"),
            (400, Some(4734), "", "the recordings of user me", "credential: Zoom does not recognize the authorization code of the sign-in (code 4734) (hint: Sign in again. An authorization code works only once.)"),
            (401, Some(4735), "The owner of the token does not exist.", "the recordings of user me", "credential: the owner of the token has left the account (code 4735: \"The owner of the token does not exist\") (hint: Authorize the app as a user of the account.)"),
            (401, Some(4738), "The token is disabled by admin.", "the recordings of user me", "credential: an administrator of the account has disabled the app (code 4738: \"The token is disabled by admin\") (hint: Ask an administrator to approve the app again.)"),
            (401, Some(4741), "The token has been revoked.", "the recordings of user me", "credential: Zoom refused the request for the recordings of user me: the token was revoked because the app was authorized again (\"The token has been revoked\") (hint: Create a separate app for meetfs, or authorize this app again.)"),
            (400, Some(12702), "Can not access a meeting a year ago.", of_token, "not found: Zoom refused the request for the details of past meetings: Zoom keeps details for a year only (\"Can not access a meeting a year ago\")"),
            (429, Some(429), per_second, "the recordings of user me", "unavailable: the limit of requests per second is reached, so Zoom refused the request for the recordings of user me (\"You have reached the maximum per-second rate limit for this API. Try again later\") (hint: A running mount retries automatically. If the error persists, check that `plan` is the plan of the account.)"),
            (429, Some(429), daily_limit_message, "the recordings of user me", "unavailable: the daily limit of the account is reached, so Zoom refused the request for the recordings of user me (\"You have reached the maximum daily rate limit for this API. Refer to the response header\") (hint: A running mount retries automatically. The limit is reset every day. A higher plan has a higher limit.)"),
            (401, None, "", "the recordings of user me", "credential: Zoom refused the token in the request for the recordings of user me (hint: Check the credentials of the source.)"),
            (403, None, "", "the recordings of user me", "not allowed: Zoom forbids access to the recordings of user me (hint: Check the scopes of the app and the role of its user.)"),
            (404, None, "", "the recordings of user me", "not found: the server does not find the recordings of user me (hint: Check api_url.)"),
            (400, Some(77), "m", "the recordings of user me", "unavailable: Zoom returned status 400 with code 77 for the request for the recordings of user me (\"m\") (hint: A running mount retries automatically.)"),
        ];
        for (status, code, message, subject, expected) in rows {
            let mut body = json!({"message": message});
            if let Some(code) = code {
                body["code"] = code.into();
            }
            let error = parse_refusal(status, body).unwrap().to_provider_error(subject);
            let kind = error.kind().name().replace('_', " ");
            assert_eq!(format!("{kind}: {}", line_with_hint(&error)), expected);
        }
    }

    #[test]
    fn only_token_errors_renew_the_token() {
        for (status, code, is_token_error) in [
            (401, 124, true),
            (400, 124, true),
            (401, 4741, true),
            (401, 300, true),
            (400, 300, false),
        ] {
            assert_eq!(
                parse_refusal(status, json!({"code": code})).unwrap().is_token_error(),
                is_token_error,
                "{status} {code}"
            );
        }
        for code in codes::APP_CODES.into_iter().chain([4711]) {
            let refusal = parse_refusal(401, json!({"code": code})).unwrap();
            assert!(!refusal.is_token_error() && !refusal.is_request_error(), "{code}");
        }
        assert!(APP_CODES.into_iter().all(|code| app_problem(code).is_some()));
    }

    #[test]
    fn echoed_token_is_not_repeated() {
        let refusal =
            parse_refusal(400, json!({"code": 300, "message": "bad\ntoken t0ken-s3cret."}))
                .unwrap();
        let text =
            format!("{refusal:?} {}", refusal.to_provider_error("the recordings of user me"));
        assert!(
            !text.contains("s3cret") && !text.contains('\n') && text.contains("bad token …"),
            "{text}"
        );
    }
}

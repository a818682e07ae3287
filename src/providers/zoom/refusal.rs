//! Zoom's error objects, and what to do about each.

use secrecy::SecretString;
use serde_json::{Map, Value};

use crate::http::ApiReply;
use crate::providers::ProviderError;
use crate::providers::toolkit::api_client::ApiRefusal;
use crate::providers::toolkit::redaction::{in_parentheses, quotable};
use crate::providers::toolkit::serde_lenient;
use crate::providers::zoom_share::codes::{self, APP_CODES, REPLACED, SCOPES, TOKEN};

/// A reply that refuses a call: `{"code":…,"message":"…"}`, with any HTTP status.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    /// The HTTP status; it may be 200 ("No permission" is documented under it).
    pub(crate) status: u16,
    /// Zoom's own code, if there is one.
    pub(crate) code: Option<i64>,
    /// Zoom's message without the token and without its final period.
    message: String,
    /// The missing scopes, if they are the reason. Empty if the message does not name them.
    missing_scopes: Option<String>,
}

impl ApiRefusal for Refusal {
    fn of_reply(
        reply: &ApiReply,
        object: Option<&Map<String, Value>>,
        secret: &SecretString,
    ) -> Option<Self> {
        Self::of(reply.status, object, secret)
    }

    fn is_token_error(&self) -> bool {
        codes::is_token_error(self.status, self.code)
    }
}

impl Refusal {
    /// Returns the refusal that a reply is, if it is one. Its message does not contain `secret`.
    pub(crate) fn of(
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
        let message = quotable(&message.unwrap_or_default(), secret);
        Some(Self {
            missing_scopes: missing_scopes(code, &message),
            message: message.trim_end_matches('.').to_owned(),
            status,
            code,
        })
    }

    /// Whether the call may succeed with other parameters. It cannot if the credential is the
    /// reason.
    pub(crate) fn is_of_request(&self) -> bool {
        !self.is_token_error()
            && self.code.is_none_or(|code| !APP_CODES.contains(&code) && code != SCOPES)
    }

    /// Whether the account has no such user.
    pub(crate) fn is_of_unknown_user(&self) -> bool {
        matches!(self.code, Some(1001 | 1010))
    }

    /// Whether scopes are missing.
    pub(crate) fn is_of_scope(&self) -> bool {
        self.missing_scopes.is_some()
    }

    /// Returns the error of a call that requested `subject`, as in "user me".
    pub(crate) fn to_provider_error(&self, subject: &str) -> ProviderError {
        if let Some(scopes) = &self.missing_scopes {
            let scopes = if scopes.is_empty() { String::new() } else { format!(" {scopes}") };
            let message = format!("the token lacks the scopes{scopes} for {subject}");
            return ProviderError::not_allowed(message).with_hint(
                "Add them to the app in the Zoom App Marketplace. The change takes effect with \
                 the next token.",
            );
        }
        let quote = in_parentheses(&self.message);
        match self.code {
            Some(TOKEN) => ProviderError::credential(format!(
                "Zoom refused the token for {subject}, and a new one, too{quote}"
            ))
            .with_hint(
                "Check in the Zoom App Marketplace that the app is activated and that its \
                 credentials are the configured ones.",
            ),
            Some(REPLACED) => ProviderError::credential(format!(
                "Zoom has revoked the token for {subject} because the app was authorized again \
                 elsewhere{quote}"
            ))
            .with_hint("Create an app for meetfs alone, or authorize this one again."),
            Some(200) => {
                ProviderError::not_allowed(format!("Zoom does not permit {subject}{quote}"))
                    .with_hint(
                        "Cloud recording needs a paid plan, and the app's user needs a role that \
                         may view recordings.",
                    )
            }
            Some(300) => {
                ProviderError::not_allowed(format!("Zoom denies access to {subject}{quote}"))
                    .with_hint(
                        "Check the role of the app's user and the recording settings of the \
                         account.",
                    )
            }
            Some(1001 | 1010) => ProviderError::not_found(format!(
                "Zoom does not know {subject} in this account{quote}"
            ))
            .with_hint("Correct or remove the name in `users`."),
            Some(2001) => ProviderError::credential(format!(
                "Zoom does not know the account for {subject}{quote}"
            ))
            .with_hint("Check account_id."),
            Some(3001) => ProviderError::not_found(format!(
                "Zoom does not know the meeting for {subject}{quote}"
            ))
            .with_hint("It was deleted, or it belongs to another account."),
            Some(3301) => {
                ProviderError::not_found(format!("Zoom has no recording for {subject}{quote}"))
                    .with_hint("It was deleted, or Zoom is still processing it.")
            }
            Some(12702) => ProviderError::not_found(format!(
                "Zoom keeps details for a year, and {subject} are older{quote}"
            )),
            Some(code) => match app_problem(code) {
                Some((problem, hint)) => {
                    let mut details = format!("code {code}");
                    if !self.message.is_empty() {
                        details = format!("{details}: \"{}\"", self.message);
                    }
                    ProviderError::credential(format!("{problem} ({details})")).with_hint(hint)
                }
                None => self.by_status(subject, &quote),
            },
            None => self.by_status(subject, &quote),
        }
    }

    fn by_status(&self, subject: &str, quote: &str) -> ProviderError {
        let status = self.status;
        match status {
            _ if status == 429 || self.code == Some(429) => {
                // Only the message distinguishes the two limits in a reply of the API.
                if self.message.to_ascii_lowercase().contains("daily") {
                    ProviderError::unavailable(format!(
                        "Zoom's daily limit is reached for {subject}{quote}"
                    ))
                    .with_hint(
                        "A running mount retries automatically. The limit is reset every day; a \
                         higher plan has a higher one.",
                    )
                } else {
                    ProviderError::unavailable(format!(
                        "Zoom limits the calls per second for {subject}{quote}"
                    ))
                    .with_hint(
                        "A running mount retries automatically. If the error persists, check that \
                         `plan` is the plan of the account.",
                    )
                }
            }
            401 => {
                ProviderError::credential(format!("Zoom refused the token for {subject}{quote}"))
                    .with_hint("Check the credentials of the source.")
            }
            403 => ProviderError::not_allowed(format!("Zoom forbids {subject}{quote}"))
                .with_hint("Check the scopes of the app and the role of its user."),
            404 | 410 if self.code.is_none() => {
                ProviderError::not_found(format!("the server does not know {subject}"))
                    .with_hint("Check api_url.")
            }
            404 | 410 => ProviderError::not_found(format!("Zoom does not find {subject}{quote}")),
            _ => {
                let code = self.code.map(|code| format!(", code {code}")).unwrap_or_default();
                ProviderError::unavailable(format!(
                    "Zoom returned status {status}{code} for {subject}{quote}"
                ))
                .with_hint("A running mount retries automatically.")
            }
        }
    }
}

/// Returns the scopes in `Invalid access token, does not contain scopes:[a, b].`, if the reply is
/// about scopes. Zoom documents two codes for it, one of which has other meanings as well.
fn missing_scopes(code: Option<i64>, message: &str) -> Option<String> {
    let is_of_scope =
        code == Some(SCOPES) || (code == Some(UNSPECIFIED) && message.contains("contain scopes"));
    let named = message.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
    is_of_scope.then(|| named.map(|(scopes, _)| scopes.trim().to_owned()).unwrap_or_default())
}

/// The code of errors without a code of their own.
const UNSPECIFIED: i64 = 4700;

/// Returns what is wrong with an app or its authorization, and a hint ("OAuth error messages" in
/// Zoom's documentation).
fn app_problem(code: i64) -> Option<(&'static str, &'static str)> {
    Some(match code {
        UNSPECIFIED => (
            "Zoom does not accept the app's token, without a reason",
            "Check client_id, client_secret and account_id. If the error persists, ask Zoom.",
        ),
        4702 | 4704 | 4706 => (
            "Zoom does not know an app with this id and secret",
            "Compare client_id and client_secret with the app's page in the Zoom App Marketplace.",
        ),
        4705 => (
            "Zoom does not issue tokens of this type to the app",
            "Use account_id, client_id and client_secret of an app of the type Server-to-Server \
             OAuth.",
        ),
        4709 => (
            "the redirect URL of the sign-in is not one of the app's",
            "Enter it as a redirect URL on the app's page in the Zoom App Marketplace, and sign in \
             again.",
        ),
        4717 => {
            ("Zoom has disabled the app", "Activate it in the Zoom App Marketplace, or ask Zoom.")
        }
        4733 => (
            "the code of the sign-in has expired",
            "Sign in again. A code expires after five minutes.",
        ),
        4734 => {
            ("Zoom does not know the code of the sign-in", "Sign in again. A code works only once.")
        }
        4735 => (
            "the owner of the token has left the account",
            "Authorize the app as a user of the account.",
        ),
        4737 | 4740 => ("the authorization of the app has ended", "Authorize it again."),
        4738 => (
            "an administrator of the account has disabled the app",
            "Ask an administrator to approve it again.",
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

    fn refusal(status: u16, body: Value) -> Option<Refusal> {
        Refusal::of(status, body.as_object(), &SecretString::from("t0ken-s3cret"))
    }

    #[test]
    fn code_counts_with_status_200() {
        assert!(refusal(200, json!({"meetings": []})).is_none());
        let no = refusal(200, json!({"code": 200, "message": "No permission."})).unwrap();
        let error = no.to_provider_error("user me");
        assert_eq!(error.class(), ErrorClass::NotAllowed);
        assert!(line_with_hint(&error).contains("paid plan"));
        assert!(refusal(200, json!({"code": "124", "message": "x"})).unwrap().is_token_error());
        assert!(refusal(401, json!({})).unwrap().is_token_error());
    }

    #[test]
    fn missing_scopes_are_named() {
        let message = "Invalid access token, does not contain scopes:[cloud_recording:read:list_user_recordings, cloud_recording:read:list_user_recordings:admin].";
        let no = refusal(400, json!({"code": 4711, "message": message})).unwrap();
        assert!(!no.is_token_error() && !no.is_of_request());
        let error = no.to_provider_error("user me");
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
        let daily = "You have reached the maximum daily rate limit for this API. Refer to the response header.";
        #[rustfmt::skip]
        let rows = [
            (401, Some(124), token, "user me", "credential: Zoom refused the token for user me, and a new one, too (\"Invalid access token\") (hint: Check in the Zoom App Marketplace that the app is activated and that its credentials are the configured ones.)"),
            (400, Some(124), "", "user me", "credential: Zoom refused the token for user me, and a new one, too (hint: Check in the Zoom App Marketplace that the app is activated and that its credentials are the configured ones.)"),
            (200, Some(200), "No permission.", "user me", "not allowed: Zoom does not permit user me (\"No permission\") (hint: Cloud recording needs a paid plan, and the app's user needs a role that may view recordings.)"),
            (400, Some(200), "Only available for Paid account.", "user me", "not allowed: Zoom does not permit user me (\"Only available for Paid account\") (hint: Cloud recording needs a paid plan, and the app's user needs a role that may view recordings.)"),
            (400, Some(300), "m", "user me", "not allowed: Zoom denies access to user me (\"m\") (hint: Check the role of the app's user and the recording settings of the account.)"),
            (404, Some(1001), "User does not exist.", "user ana@example.org", "not found: Zoom does not know user ana@example.org in this account (\"User does not exist\") (hint: Correct or remove the name in `users`.)"),
            (400, Some(1010), "User does not belong to this account.", "user x", "not found: Zoom does not know user x in this account (\"User does not belong to this account\") (hint: Correct or remove the name in `users`.)"),
            (404, Some(2001), "Account does not exist.", "user me", "credential: Zoom does not know the account for user me (\"Account does not exist\") (hint: Check account_id.)"),
            (400, Some(2001), "", "user me", "credential: Zoom does not know the account for user me (hint: Check account_id.)"),
            (404, Some(3001), "Meeting does not exist.", "the recordings of this meeting", "not found: Zoom does not know the meeting for the recordings of this meeting (\"Meeting does not exist\") (hint: It was deleted, or it belongs to another account.)"),
            (404, Some(3301), "This recording does not exist.", "the recordings of this meeting", "not found: Zoom has no recording for the recordings of this meeting (\"This recording does not exist\") (hint: It was deleted, or Zoom is still processing it.)"),
            (400, Some(4700), "Token cannot be empty.", "user me", "credential: Zoom does not accept the app's token, without a reason (code 4700: \"Token cannot be empty\") (hint: Check client_id, client_secret and account_id. If the error persists, ask Zoom.)"),
            (401, Some(4700), scopes, "the account's users", "not allowed: the token lacks the scopes user:read:list_users:admin, user:read:admin for the account's users (hint: Add them to the app in the Zoom App Marketplace. The change takes effect with the next token.)"),
            (400, Some(4702), "Invalid client.", "user me", "credential: Zoom does not know an app with this id and secret (code 4702: \"Invalid client\") (hint: Compare client_id and client_secret with the app's page in the Zoom App Marketplace.)"),
            (401, Some(4704), "Invalid client secret.", "user me", "credential: Zoom does not know an app with this id and secret (code 4704: \"Invalid client secret\") (hint: Compare client_id and client_secret with the app's page in the Zoom App Marketplace.)"),
            (400, Some(4705), "", "user me", "credential: Zoom does not issue tokens of this type to the app (code 4705) (hint: Use account_id, client_id and client_secret of an app of the type Server-to-Server OAuth.)"),
            (400, Some(4709), "Redirect URI mismatch.", "user me", "credential: the redirect URL of the sign-in is not one of the app's (code 4709: \"Redirect URI mismatch\") (hint: Enter it as a redirect URL on the app's page in the Zoom App Marketplace, and sign in again.)"),
            (400, Some(4711), scopes, "the account's users", "not allowed: the token lacks the scopes user:read:list_users:admin, user:read:admin for the account's users (hint: Add them to the app in the Zoom App Marketplace. The change takes effect with the next token.)"),
            (400, Some(4711), "", "user me", "not allowed: the token lacks the scopes for user me (hint: Add them to the app in the Zoom App Marketplace. The change takes effect with the next token.)"),
            (401, Some(4717), "The app has been disabled", "user me", "credential: Zoom has disabled the app (code 4717: \"The app has been disabled\") (hint: Activate it in the Zoom App Marketplace, or ask Zoom.)"),
            (400, Some(4733), "Code is expired", "user me", "credential: the code of the sign-in has expired (code 4733: \"Code is expired\") (hint: Sign in again. A code expires after five minutes.)"),
            (400, Some(4734), "", "user me", "credential: Zoom does not know the code of the sign-in (code 4734) (hint: Sign in again. A code works only once.)"),
            (401, Some(4735), "The owner of the token does not exist.", "user me", "credential: the owner of the token has left the account (code 4735: \"The owner of the token does not exist\") (hint: Authorize the app as a user of the account.)"),
            (401, Some(4738), "The token is disabled by admin.", "user me", "credential: an administrator of the account has disabled the app (code 4738: \"The token is disabled by admin\") (hint: Ask an administrator to approve it again.)"),
            (401, Some(4741), "The token has been revoked.", "user me", "credential: Zoom has revoked the token for user me because the app was authorized again elsewhere (\"The token has been revoked\") (hint: Create an app for meetfs alone, or authorize this one again.)"),
            (400, Some(12702), "Can not access a meeting a year ago.", of_token, "not found: Zoom keeps details for a year, and the details of past meetings are older (\"Can not access a meeting a year ago\")"),
            (429, Some(429), per_second, "user me", "unavailable: Zoom limits the calls per second for user me (\"You have reached the maximum per-second rate limit for this API. Try again later\") (hint: A running mount retries automatically. If the error persists, check that `plan` is the plan of the account.)"),
            (429, Some(429), daily, "user me", "unavailable: Zoom's daily limit is reached for user me (\"You have reached the maximum daily rate limit for this API. Refer to the response header\") (hint: A running mount retries automatically. The limit is reset every day; a higher plan has a higher one.)"),
            (401, None, "", "user me", "credential: Zoom refused the token for user me (hint: Check the credentials of the source.)"),
            (403, None, "", "user me", "not allowed: Zoom forbids user me (hint: Check the scopes of the app and the role of its user.)"),
            (404, None, "", "user me", "not found: the server does not know user me (hint: Check api_url.)"),
            (400, Some(77), "m", "user me", "unavailable: Zoom returned status 400, code 77 for user me (\"m\") (hint: A running mount retries automatically.)"),
        ];
        for (status, code, message, subject, expected) in rows {
            let mut body = json!({"message": message});
            if let Some(code) = code {
                body["code"] = code.into();
            }
            let error = refusal(status, body).unwrap().to_provider_error(subject);
            let kind = error.kind().name().replace('_', " ");
            assert_eq!(format!("{kind}: {}", line_with_hint(&error)), expected);
        }
    }

    #[test]
    fn only_token_errors_renew_the_token() {
        for (status, code, helps) in [
            (401, 124, true),
            (400, 124, true),
            (401, 4741, true),
            (401, 300, true),
            (400, 300, false),
        ] {
            assert_eq!(
                refusal(status, json!({"code": code})).unwrap().is_token_error(),
                helps,
                "{status} {code}"
            );
        }
        for code in codes::APP_CODES.into_iter().chain([4711]) {
            let no = refusal(401, json!({"code": code})).unwrap();
            assert!(!no.is_token_error() && !no.is_of_request(), "{code}");
        }
        assert!(APP_CODES.into_iter().all(|code| app_problem(code).is_some()));
    }

    #[test]
    fn echoed_token_is_not_repeated() {
        let no = refusal(400, json!({"code": 300, "message": "bad\ntoken t0ken-s3cret."})).unwrap();
        let text = format!("{no:?} {}", no.to_provider_error("user me"));
        assert!(
            !text.contains("s3cret") && !text.contains('\n') && text.contains("bad token …"),
            "{text}"
        );
    }
}

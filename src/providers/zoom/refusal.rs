//! Zoom's error objects, and what a person can do about each.

use secrecy::SecretString;
use serde_json::{Map, Value};

use crate::http::ApiReply;
use crate::providers::ProviderError;
use crate::providers::toolkit::api_client::ApiRefusal;
use crate::providers::toolkit::redaction::quotable;
use crate::providers::toolkit::serde_lenient;
use crate::providers::zoom_share::codes::{self, APP_CODES, REPLACED, SCOPES, TOKEN};

/// A reply that says no: `{"code":…,"message":"…"}`, under whatever HTTP status.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    /// The HTTP status; 200 too ("No permission" is documented under it).
    pub(crate) status: u16,
    /// Zoom's own code, where there is one.
    pub(crate) code: Option<i64>,
    /// Zoom's words, without the token.
    message: String,
}

impl ApiRefusal for Refusal {
    fn of_reply(
        reply: &ApiReply,
        object: Option<&Map<String, Value>>,
        secret: &SecretString,
    ) -> Option<Self> {
        Self::of(reply.status, object, secret)
    }

    fn is_of_token(&self) -> bool {
        codes::is_of_token(self.status, self.code)
    }
}

impl Refusal {
    /// What the reply says, if it is no success. `secret` is kept out of the message.
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
        Some(Self { status, code, message: quotable(&message.unwrap_or_default(), secret) })
    }

    /// Whether asking with other parameters could be answered otherwise: not so if the credential is at fault.
    pub(crate) fn is_of_request(&self) -> bool {
        !self.is_of_token()
            && self.code.is_none_or(|code| !APP_CODES.contains(&code) && code != SCOPES)
    }

    /// Whether scopes are missing. Zoom documents two codes for it, and names them under both.
    pub(crate) fn is_of_scope(&self) -> bool {
        self.code == Some(SCOPES)
            || (self.code == Some(ANYTHING) && self.message.contains("contain scopes"))
    }

    /// One sentence with what to do, about `subject`: what was asked for, as in "user me".
    pub(crate) fn about(&self, subject: &str) -> ProviderError {
        let said = self.said();
        if self.is_of_scope() {
            return ProviderError::not_allowed(format!(
                "the token lacks the scopes {} for {subject}; add them to the app in the Zoom App Marketplace, they count from the next token on",
                self.scopes()
            ));
        }
        match self.code {
            Some(TOKEN) => ProviderError::credential(format!(
                "Zoom refused the token for {subject}, a new one too{said}; see in the Zoom App Marketplace that the app is activated and its credentials are the configured ones"
            )),
            Some(REPLACED) => ProviderError::credential(format!(
                "Zoom has revoked the token for {subject}, for the app was authorised anew elsewhere{said}; let meetfs have an app of its own, or authorise it again"
            )),
            Some(200) => ProviderError::not_allowed(format!(
                "Zoom does not permit {subject}{said}; cloud recording needs a paid plan, and the app's user a role that may view recordings"
            )),
            Some(300) => ProviderError::not_allowed(format!(
                "Zoom does not give access to {subject}{said}; check the role of the app's user and the account's recording settings"
            )),
            Some(1001 | 1010) => ProviderError::not_found(format!(
                "Zoom has nobody in this account for {subject}{said}; correct or remove the name in `users`"
            )),
            Some(2001) => ProviderError::credential(format!(
                "Zoom does not know the account, asked for {subject}{said}; check account_id"
            )),
            Some(3001) => ProviderError::not_found(format!(
                "Zoom does not know the meeting, asked for {subject}{said}; it was deleted, or is of another account"
            )),
            Some(3301) => ProviderError::not_found(format!(
                "Zoom has no such recording, asked for {subject}{said}; it was deleted, or is still being made"
            )),
            Some(12702) => ProviderError::not_found(format!(
                "Zoom keeps details for a year, and {subject} are older{said}; nothing brings them back"
            )),
            Some(code) => match app_mend(code) {
                Some((what, fix)) => ProviderError::credential(format!(
                    "{what} (code {code}{}); {fix}",
                    self.quoted(": ")
                )),
                None => self.by_status(subject, &said),
            },
            None => self.by_status(subject, &said),
        }
    }

    fn by_status(&self, subject: &str, said: &str) -> ProviderError {
        let status = self.status;
        let is_of_day = self.message.to_ascii_lowercase().contains("daily");
        match status {
            _ if status == 429 || self.code == Some(429) => {
                ProviderError::unavailable(if is_of_day {
                    format!(
                        "Zoom's calls of a day are used up for {subject}{said}; a mount that runs asks again by itself, and another day or a higher plan helps"
                    )
                } else {
                    format!(
                        "Zoom limits the calls a second for {subject}{said}; a mount that runs asks again by itself, and if it goes on, see that `plan` is what the account has"
                    )
                })
            }
            401 => ProviderError::credential(format!(
                "Zoom refused the token for {subject}{said}; check the source's credentials"
            )),
            403 => ProviderError::not_allowed(format!(
                "Zoom forbids {subject}{said}; check the app's scopes and the role of its user"
            )),
            404 | 410 if self.code.is_none() => ProviderError::not_found(format!(
                "nothing is known of {subject} at this address; check api_url"
            )),
            404 | 410 => ProviderError::not_found(format!("Zoom does not find {subject}{said}")),
            _ => {
                let code = self.code.map(|code| format!(", code {code}")).unwrap_or_default();
                ProviderError::unavailable(format!(
                    "Zoom answered status {status}{code} for {subject}{said}; a mount that runs asks again by itself"
                ))
            }
        }
    }

    /// Zoom's words in brackets, if it says any.
    fn said(&self) -> String {
        let quoted = self.quoted("");
        if quoted.is_empty() { quoted } else { format!(" ({quoted})") }
    }

    /// Zoom's words in quotes behind `before`, if it says any.
    fn quoted(&self, before: &str) -> String {
        let words = self.message.trim_end_matches('.');
        if words.is_empty() { String::new() } else { format!("{before}\"{words}\"") }
    }

    /// The scopes that `Invalid access token, does not contain scopes:[a, b].` names.
    fn scopes(&self) -> &str {
        let named = self.message.split_once('[').and_then(|(_, rest)| rest.split_once(']'));
        match named {
            Some((scopes, _)) if !scopes.trim().is_empty() => scopes.trim(),
            _ => "that this needs",
        }
    }
}

/// The code for whatever has no other.
const ANYTHING: i64 = 4700;

/// What is wrong with the app or its authorisation, and what to do ("OAuth error messages" in Zoom's documentation).
fn app_mend(code: i64) -> Option<(&'static str, &'static str)> {
    Some(match code {
        ANYTHING => (
            "Zoom does not accept the app's token and does not say why",
            "check client_id, client_secret and account_id, and ask Zoom if it stays",
        ),
        4702 | 4704 | 4706 => (
            "Zoom does not know the app by this id and secret",
            "compare client_id and client_secret with the app's page in the Zoom App Marketplace",
        ),
        4705 => (
            "Zoom gives this app no token in this way",
            "account_id, client_id and client_secret belong to an app of the kind Server-to-Server OAuth",
        ),
        4709 => (
            "the address that Zoom sends a sign-in back to is not one of the app's",
            "enter it as a redirect URL on the app's page in the Zoom App Marketplace, and sign in again",
        ),
        4717 => {
            ("Zoom has disabled the app", "activate it in the Zoom App Marketplace, or ask Zoom")
        }
        4733 => ("the code of the sign-in has expired, for it lives five minutes", "sign in again"),
        4734 => {
            ("Zoom does not know the code of the sign-in", "sign in again, and use a code once")
        }
        4735 => (
            "the user whom the token is of has left the account",
            "let somebody who is in it own or authorise the app",
        ),
        4737 | 4740 => ("the authorisation of the app is over", "authorise it again"),
        4738 => {
            ("an administrator of the account has disabled the app", "ask them to approve it again")
        }
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
    fn the_code_counts_under_status_200_too() {
        assert!(refusal(200, json!({"meetings": []})).is_none());
        let no = refusal(200, json!({"code": 200, "message": "No permission."})).unwrap();
        let error = no.about("user me");
        assert_eq!(error.class(), ErrorClass::NotAllowed);
        assert!(line_with_hint(&error).contains("paid plan"));
        assert!(refusal(200, json!({"code": "124", "message": "x"})).unwrap().is_of_token());
        assert!(refusal(401, json!({})).unwrap().is_of_token());
    }

    #[test]
    fn missing_scopes_are_named() {
        let message = "Invalid access token, does not contain scopes:[cloud_recording:read:list_user_recordings, cloud_recording:read:list_user_recordings:admin].";
        let no = refusal(400, json!({"code": 4711, "message": message})).unwrap();
        assert!(!no.is_of_token() && !no.is_of_request());
        let error = no.about("user me");
        assert_eq!(error.class(), ErrorClass::NotAllowed);
        let text = line_with_hint(&error);
        assert!(
            text.contains("list_user_recordings, cloud_recording:read:list_user_recordings:admin"),
            "{text}"
        );
        assert!(text.contains("Marketplace"), "{text}");
    }

    /// What Zoom's documentation says of each code, and what a person is told of it, word for word.
    #[test]
    fn every_documented_code_has_its_sentence() {
        let scopes = "Invalid access token, does not contain scopes:[user:read:list_users:admin, user:read:admin].";
        let (token, of_token) = ("Invalid access token.", "the details of past meetings");
        let per_second =
            "You have reached the maximum per-second rate limit for this API. Try again later.";
        let daily = "You have reached the maximum daily rate limit for this API. Refer to the response header.";
        #[rustfmt::skip]
        let rows = [
            (401, Some(124), token, "user me", "credential: Zoom refused the token for user me, a new one too (\"Invalid access token\"); see in the Zoom App Marketplace that the app is activated and its credentials are the configured ones"),
            (400, Some(124), "", "user me", "credential: Zoom refused the token for user me, a new one too; see in the Zoom App Marketplace that the app is activated and its credentials are the configured ones"),
            (200, Some(200), "No permission.", "user me", "not allowed: Zoom does not permit user me (\"No permission\"); cloud recording needs a paid plan, and the app's user a role that may view recordings"),
            (400, Some(200), "Only available for Paid account.", "user me", "not allowed: Zoom does not permit user me (\"Only available for Paid account\"); cloud recording needs a paid plan, and the app's user a role that may view recordings"),
            (400, Some(300), "m", "user me", "not allowed: Zoom does not give access to user me (\"m\"); check the role of the app's user and the account's recording settings"),
            (404, Some(1001), "User does not exist.", "user ana@example.org", "not found: Zoom has nobody in this account for user ana@example.org (\"User does not exist\"); correct or remove the name in `users`"),
            (400, Some(1010), "User does not belong to this account.", "user x", "not found: Zoom has nobody in this account for user x (\"User does not belong to this account\"); correct or remove the name in `users`"),
            (404, Some(2001), "Account does not exist.", "user me", "credential: Zoom does not know the account, asked for user me (\"Account does not exist\"); check account_id"),
            (400, Some(2001), "", "user me", "credential: Zoom does not know the account, asked for user me; check account_id"),
            (404, Some(3001), "Meeting does not exist.", "the recordings of this meeting", "not found: Zoom does not know the meeting, asked for the recordings of this meeting (\"Meeting does not exist\"); it was deleted, or is of another account"),
            (404, Some(3301), "This recording does not exist.", "the recordings of this meeting", "not found: Zoom has no such recording, asked for the recordings of this meeting (\"This recording does not exist\"); it was deleted, or is still being made"),
            (400, Some(4700), "Token cannot be empty.", "user me", "credential: Zoom does not accept the app's token and does not say why (code 4700: \"Token cannot be empty\"); check client_id, client_secret and account_id, and ask Zoom if it stays"),
            (401, Some(4700), scopes, "the account's users", "not allowed: the token lacks the scopes user:read:list_users:admin, user:read:admin for the account's users; add them to the app in the Zoom App Marketplace, they count from the next token on"),
            (400, Some(4702), "Invalid client.", "user me", "credential: Zoom does not know the app by this id and secret (code 4702: \"Invalid client\"); compare client_id and client_secret with the app's page in the Zoom App Marketplace"),
            (401, Some(4704), "Invalid client secret.", "user me", "credential: Zoom does not know the app by this id and secret (code 4704: \"Invalid client secret\"); compare client_id and client_secret with the app's page in the Zoom App Marketplace"),
            (400, Some(4705), "", "user me", "credential: Zoom gives this app no token in this way (code 4705); account_id, client_id and client_secret belong to an app of the kind Server-to-Server OAuth"),
            (400, Some(4709), "Redirect URI mismatch.", "user me", "credential: the address that Zoom sends a sign-in back to is not one of the app's (code 4709: \"Redirect URI mismatch\"); enter it as a redirect URL on the app's page in the Zoom App Marketplace, and sign in again"),
            (400, Some(4711), scopes, "the account's users", "not allowed: the token lacks the scopes user:read:list_users:admin, user:read:admin for the account's users; add them to the app in the Zoom App Marketplace, they count from the next token on"),
            (400, Some(4711), "", "user me", "not allowed: the token lacks the scopes that this needs for user me; add them to the app in the Zoom App Marketplace, they count from the next token on"),
            (401, Some(4717), "The app has been disabled", "user me", "credential: Zoom has disabled the app (code 4717: \"The app has been disabled\"); activate it in the Zoom App Marketplace, or ask Zoom"),
            (400, Some(4733), "Code is expired", "user me", "credential: the code of the sign-in has expired, for it lives five minutes (code 4733: \"Code is expired\"); sign in again"),
            (400, Some(4734), "", "user me", "credential: Zoom does not know the code of the sign-in (code 4734); sign in again, and use a code once"),
            (401, Some(4735), "The owner of the token does not exist.", "user me", "credential: the user whom the token is of has left the account (code 4735: \"The owner of the token does not exist\"); let somebody who is in it own or authorise the app"),
            (401, Some(4738), "The token is disabled by admin.", "user me", "credential: an administrator of the account has disabled the app (code 4738: \"The token is disabled by admin\"); ask them to approve it again"),
            (401, Some(4741), "The token has been revoked.", "user me", "credential: Zoom has revoked the token for user me, for the app was authorised anew elsewhere (\"The token has been revoked\"); let meetfs have an app of its own, or authorise it again"),
            (400, Some(12702), "Can not access a meeting a year ago.", of_token, "not found: Zoom keeps details for a year, and the details of past meetings are older (\"Can not access a meeting a year ago\"); nothing brings them back"),
            (429, Some(429), per_second, "user me", "unavailable: Zoom limits the calls a second for user me (\"You have reached the maximum per-second rate limit for this API. Try again later\"); a mount that runs asks again by itself, and if it goes on, see that `plan` is what the account has"),
            (429, Some(429), daily, "user me", "unavailable: Zoom's calls of a day are used up for user me (\"You have reached the maximum daily rate limit for this API. Refer to the response header\"); a mount that runs asks again by itself, and another day or a higher plan helps"),
            (401, None, "", "user me", "credential: Zoom refused the token for user me; check the source's credentials"),
            (403, None, "", "user me", "not allowed: Zoom forbids user me; check the app's scopes and the role of its user"),
            (404, None, "", "user me", "not found: nothing is known of user me at this address; check api_url"),
            (400, Some(77), "m", "user me", "unavailable: Zoom answered status 400, code 77 for user me (\"m\"); a mount that runs asks again by itself"),
        ];
        for (status, code, message, subject, expected) in rows {
            let mut body = json!({"message": message});
            if let Some(code) = code {
                body["code"] = code.into();
            }
            let error = refusal(status, body).unwrap().about(subject);
            let kind = error.kind().name().replace('_', " ");
            assert_eq!(format!("{kind}: {error}"), expected);
        }
    }

    #[test]
    fn a_renewed_token_is_tried_where_it_may_help_and_nowhere_else() {
        for (status, code, helps) in [
            (401, 124, true),
            (400, 124, true),
            (401, 4741, true),
            (401, 300, true),
            (400, 300, false),
        ] {
            assert_eq!(
                refusal(status, json!({"code": code})).unwrap().is_of_token(),
                helps,
                "{status} {code}"
            );
        }
        for code in codes::APP_CODES.into_iter().chain([4711]) {
            let no = refusal(401, json!({"code": code})).unwrap();
            assert!(!no.is_of_token() && !no.is_of_request(), "{code}");
        }
        assert!(APP_CODES.into_iter().all(|code| app_mend(code).is_some()));
    }

    #[test]
    fn an_echoed_token_is_not_repeated() {
        let no = refusal(400, json!({"code": 300, "message": "bad\ntoken t0ken-s3cret."})).unwrap();
        let text = format!("{no:?} {}", no.about("user me"));
        assert!(
            !text.contains("s3cret") && !text.contains('\n') && text.contains("bad token …"),
            "{text}"
        );
    }
}

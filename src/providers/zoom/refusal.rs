//! Zoom's error objects, and what a person can do about each.

use secrecy::SecretString;
use serde_json::{Map, Value};

use crate::providers::words::quotable;
use crate::providers::zoom_codes::{self, APP_CODES, REPLACED, SCOPES, TOKEN};
use crate::providers::{ProviderError, lenient};

/// A reply that says no: `{"code":…,"message":"…"}`, under whatever HTTP status.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    /// The HTTP status; 200 too ("No permission" is documented under it).
    pub(super) status: u16,
    /// Zoom's own code, where there is one.
    pub(super) code: Option<i64>,
    /// Zoom's words, without the token.
    message: String,
}

impl Refusal {
    /// What the reply says, if it is no success. `secret` is kept out of the message.
    pub(super) fn of(status: u16, reply: Option<&Map<String, Value>>, secret: &SecretString) -> Option<Self> {
        let code = reply.and_then(|reply| {
            ["code", "errorCode"].iter().find_map(|name| reply.get(*name).and_then(lenient::as_integer))
        });
        if (200..300).contains(&status) && code.is_none_or(|code| code == 0) {
            return None;
        }
        let message = reply.and_then(|reply| lenient::first_text(reply, &["message", "errorMessage"]));
        Some(Self { status, code, message: quotable(&message.unwrap_or_default(), secret) })
    }

    /// Whether another token may be taken where this one was not.
    pub(super) fn is_of_token(&self) -> bool {
        zoom_codes::is_of_token(self.status, self.code)
    }

    /// Whether asking with other parameters could be answered otherwise: not so if the credential is at fault.
    pub(super) fn is_of_request(&self) -> bool {
        !self.is_of_token() && self.code.is_none_or(|code| !APP_CODES.contains(&code) && code != SCOPES)
    }

    /// Whether scopes are missing.
    pub(super) fn is_of_scope(&self) -> bool {
        self.code == Some(SCOPES)
    }

    /// One sentence with what to do, about `subject`: what was asked for, as in "user me".
    pub(super) fn about(&self, subject: &str) -> ProviderError {
        let said = self.said();
        match self.code {
            Some(TOKEN | REPLACED) => ProviderError::Credential(format!(
                "Zoom refused the token for {subject}{said}; check that the app is activated and its credentials are current"
            )),
            Some(200) => ProviderError::NotAllowed(format!(
                "Zoom does not permit {subject}{said}; cloud recording needs a paid plan, and the app's user a role that may view recordings"
            )),
            Some(300) => ProviderError::NotAllowed(format!(
                "Zoom does not give access to {subject}{said}; check the role of the app's user and the account's recording settings"
            )),
            Some(1001 | 1010) => ProviderError::NotFound(format!(
                "{subject} is not in this Zoom account{said}; correct or remove it in `users`"
            )),
            Some(2001) => {
                ProviderError::Credential(format!("Zoom does not know the account{said}; check account_id"))
            }
            Some(3001 | 3301) => ProviderError::NotFound(format!("Zoom has no recording of {subject}{said}")),
            Some(SCOPES) => ProviderError::NotAllowed(format!(
                "the token lacks the scopes {} for {subject}; add them to the app in the Zoom App Marketplace, they count from the next token on",
                self.scopes()
            )),
            Some(12702) => {
                ProviderError::NotFound(format!("Zoom keeps details for a year and {subject} is older{said}"))
            }
            Some(code) if APP_CODES.contains(&code) => ProviderError::Credential(format!(
                "Zoom refused the app (code {code}{said}); check that it is activated and that its client id, secret and account belong together"
            )),
            _ => self.by_status(subject, &said),
        }
    }

    fn by_status(&self, subject: &str, said: &str) -> ProviderError {
        let status = self.status;
        match status {
            401 => ProviderError::Credential(format!(
                "Zoom refused the token for {subject}{said}; check the source's credentials"
            )),
            403 => ProviderError::NotAllowed(format!(
                "Zoom forbids {subject}{said}; check the app's scopes and the role of its user"
            )),
            404 | 410 if self.code.is_none() => ProviderError::NotFound(format!(
                "nothing is known of {subject} at this address; check api_url"
            )),
            404 | 410 => ProviderError::NotFound(format!("Zoom does not find {subject}{said}")),
            _ => {
                let code = self.code.map(|code| format!(", code {code}")).unwrap_or_default();
                ProviderError::Unavailable(format!("Zoom answered status {status}{code} for {subject}{said}"))
            }
        }
    }

    fn said(&self) -> String {
        let words = self.message.trim_end_matches('.');
        if words.is_empty() { String::new() } else { format!(" (\"{words}\")") }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refusal(status: u16, body: Value) -> Option<Refusal> {
        Refusal::of(status, body.as_object(), &SecretString::from("t0ken-s3cret"))
    }

    #[test]
    fn the_code_counts_under_status_200_too() {
        assert!(refusal(200, json!({"meetings": []})).is_none());
        let no = refusal(200, json!({"code": 200, "message": "No permission."})).unwrap();
        assert!(matches!(no.about("user me"), ProviderError::NotAllowed(text) if text.contains("paid plan")));
        assert!(refusal(200, json!({"code": "124", "message": "x"})).unwrap().is_of_token());
        assert!(refusal(401, json!({})).unwrap().is_of_token());
    }

    #[test]
    fn missing_scopes_are_named() {
        let message = "Invalid access token, does not contain scopes:[cloud_recording:read:list_user_recordings, cloud_recording:read:list_user_recordings:admin].";
        let no = refusal(400, json!({"code": 4711, "message": message})).unwrap();
        assert!(!no.is_of_token() && !no.is_of_request());
        let ProviderError::NotAllowed(text) = no.about("user me") else { panic!() };
        assert!(
            text.contains("list_user_recordings, cloud_recording:read:list_user_recordings:admin"),
            "{text}"
        );
        assert!(text.contains("Marketplace"), "{text}");
    }

    #[test]
    fn every_documented_code_has_a_sentence_of_its_own_kind() {
        for (status, code, kind) in [
            (401, 124, "credential"),
            (400, 200, "not allowed"),
            (400, 300, "not allowed"),
            (404, 1001, "not found"),
            (400, 1010, "not found"),
            (400, 2001, "credential"),
            (404, 3001, "not found"),
            (404, 3301, "not found"),
            (400, 4700, "credential"),
            (401, 4738, "credential"),
            (401, 4741, "credential"),
            (400, 4711, "not allowed"),
            (400, 12702, "not found"),
            (429, 429, "unavailable"),
            (400, 77, "unavailable"),
        ] {
            let error = refusal(status, json!({"code": code, "message": "m"})).unwrap().about("user me");
            let found = match &error {
                ProviderError::Credential(_) => "credential",
                ProviderError::NotAllowed(_) => "not allowed",
                ProviderError::NotFound(_) => "not found",
                ProviderError::Unavailable(_) | ProviderError::Down(_) => "unavailable",
            };
            assert_eq!(found, kind, "{code}: {error}");
        }
    }

    #[test]
    fn an_echoed_token_is_not_repeated() {
        let no = refusal(400, json!({"code": 300, "message": "bad\ntoken t0ken-s3cret."})).unwrap();
        let text = format!("{no:?} {}", no.about("user me"));
        assert!(!text.contains("s3cret") && !text.contains('\n') && text.contains("bad token …"), "{text}");
    }
}

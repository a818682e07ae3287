//! Webex's error replies, and what a person can do about each.

use std::time::Duration;

use secrecy::SecretString;
use serde_json::{Map, Value};

use crate::providers::words::quotable;
use crate::providers::{ProviderError, lenient};

/// What a token needs for transcripts that have no link of their own.
pub(super) const TRANSCRIPTS_SCOPE: &str = "meeting:transcripts_read";

/// What a token needs for recordings: its owner's, or those of others.
pub(super) fn scope(of_others: bool) -> &'static str {
    if of_others { "meeting:admin_recordings_read" } else { "meeting:recordings_read" }
}

/// A reply that says no: `{"message":"…","errors":[{"description":"…"}],"trackingId":"…"}`.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    /// The HTTP status, never a success.
    pub(super) status: u16,
    /// Webex's words, without the token.
    message: String,
    /// How long it asks to wait.
    pub(super) wait: Option<Duration>,
}

impl Refusal {
    /// What the reply says, if it is no success. `secret` is kept out of the message.
    pub(super) fn of(
        status: u16,
        reply: Option<&Map<String, Value>>,
        wait: Option<Duration>,
        secret: &SecretString,
    ) -> Option<Self> {
        if (200..300).contains(&status) {
            return None;
        }
        let described = |reply: &Map<String, Value>| {
            let first = reply.get("errors")?.as_array()?.first()?.as_object()?;
            lenient::first_text(first, &["description"])
        };
        let message =
            reply.and_then(|reply| lenient::first_text(reply, &["message"]).or_else(|| described(reply)));
        Some(Self { status, message: quotable(&message.unwrap_or_default(), secret), wait })
    }

    /// Whether another token may be taken where this one was not.
    pub(super) fn is_of_token(&self) -> bool {
        self.status == 401
    }

    /// Whether fewer entries a page may be given where these were too many.
    pub(super) fn is_of_length(&self) -> bool {
        self.status == 504
    }

    /// One sentence with what to do, about `subject`: what was asked for, as in "this recording". `scope` is the one
    /// that it takes.
    pub(super) fn about(&self, subject: &str, scope: &str) -> ProviderError {
        let said = self.said();
        let later = match self.wait {
            Some(wait) => format!("it can be asked for again in {} s", wait.as_secs().max(1)),
            None => "it is asked for again later".to_owned(),
        };
        match self.status {
            401 => ProviderError::Credential(format!(
                "Webex refused the token for {subject}{said}; give a current one, or check that the app is still authorised"
            )),
            403 => ProviderError::NotAllowed(format!(
                "Webex does not permit {subject}{said}; the token needs the scope {scope}, and its user a role that may see it"
            )),
            404 => ProviderError::NotFound(format!(
                "Webex does not find {subject}{said}; it was deleted, or the token's user may not see it"
            )),
            410 => ProviderError::NotFound(format!(
                "Webex has removed {subject} for good{said}; no copy is left in the cloud"
            )),
            423 => ProviderError::Unavailable(format!("Webex has locked {subject} for now{said}; {later}")),
            428 => ProviderError::NotAllowed(format!(
                "Webex cannot scan {subject} for malware and holds it back{said}; download it in a browser, where Webex asks whether to trust it"
            )),
            429 => ProviderError::Unavailable(format!(
                "Webex limits the rate of requests for {subject}{said}; {later}"
            )),
            status @ 502..=504 => ProviderError::Unavailable(format!(
                "Webex is too busy for {subject} (status {status}){said}; {later}"
            )),
            status => ProviderError::Unavailable(format!(
                "Webex answered status {status} for {subject}{said}; {later}"
            )),
        }
    }

    fn said(&self) -> String {
        let words = self.message.trim_end_matches('.');
        if words.is_empty() { String::new() } else { format!(" (\"{words}\")") }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn refusal(status: u16, body: Value) -> Option<Refusal> {
        let wait = (status == 423).then(|| Duration::from_secs(30));
        Refusal::of(status, body.as_object(), wait, &SecretString::from("t0ken-s3cret"))
    }

    #[test]
    fn every_documented_status_has_a_sentence_of_its_own_kind() {
        for (status, kind, says) in [
            (401, "credential", "still authorised"),
            (403, "not allowed", "meeting:recordings_read"),
            (404, "not found", "was deleted"),
            (410, "not found", "for good"),
            (423, "unavailable", "in 30 s"),
            (428, "not allowed", "malware"),
            (429, "unavailable", "limits the rate"),
            (502, "unavailable", "too busy"),
            (503, "unavailable", "too busy"),
            (504, "unavailable", "too busy"),
            (400, "unavailable", "status 400"),
        ] {
            let error =
                refusal(status, json!({"message": "m"})).unwrap().about("this recording", scope(false));
            let found = match &error {
                ProviderError::Credential(_) => "credential",
                ProviderError::NotAllowed(_) => "not allowed",
                ProviderError::NotFound(_) => "not found",
                ProviderError::Unavailable(_) | ProviderError::Down(_) => "unavailable",
            };
            let text = error.to_string();
            assert_eq!(found, kind, "{status}: {text}");
            assert!(
                text.contains(says) && text.contains("this recording") && text.contains("(\"m\")"),
                "{text}"
            );
        }
        assert!(refusal(200, json!({"message": "m"})).is_none());
    }

    #[test]
    fn the_words_are_the_message_or_the_first_description_and_never_the_token() {
        let said = |body| refusal(403, body).unwrap().about("x", "s").to_string();
        let errors = json!({"errors": [{"description": "no t0ken-s3cret"}, {"description": "other"}]});
        assert!(said(errors).contains("(\"no …\")"));
        for body in [json!({"errors": []}), json!({"errors": "x"}), json!({"errors": [3]}), json!([])] {
            assert!(!said(body).contains('('));
        }
    }
}

//! Webex's error replies, and what a person can do about each.

use std::time::Duration;

use secrecy::SecretString;
use serde_json::{Map, Value};

use crate::providers::ProviderError;
use crate::providers::toolkit::redaction::quotable;
use crate::providers::toolkit::serde_lenient;

/// What a token needs for transcripts that have no link of their own.
pub(crate) const TRANSCRIPTS_SCOPE: &str = "meeting:transcripts_read";

/// What a token needs for recordings: its owner's, or those of others.
pub(crate) fn scope(of_others: bool) -> &'static str {
    if of_others { "meeting:admin_recordings_read" } else { "meeting:recordings_read" }
}

/// A reply that says no: `{"message":"…","errors":[{"description":"…"}],"trackingId":"…"}`.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    /// The HTTP status, never a success.
    pub(crate) status: u16,
    /// Webex's words, without the token.
    message: String,
    /// How long it asks to wait.
    pub(crate) wait: Option<Duration>,
}

impl Refusal {
    /// What the reply says, if it is no success. `secret` is kept out of the message.
    pub(crate) fn of(
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
            serde_lenient::first_text(first, &["description"])
        };
        let message = reply.and_then(|reply| {
            serde_lenient::first_text(reply, &["message"]).or_else(|| described(reply))
        });
        Some(Self { status, message: quotable(&message.unwrap_or_default(), secret), wait })
    }

    /// Whether another token may be taken where this one was not.
    pub(crate) fn is_of_token(&self) -> bool {
        self.status == 401
    }

    /// Whether fewer entries a page may be given where these were too many.
    pub(crate) fn is_of_length(&self) -> bool {
        self.status == 504
    }

    /// One sentence with what to do, about `subject`: what was asked for, as in "this recording". `scope` is the one
    /// that it takes.
    pub(crate) fn about(&self, subject: &str, scope: &str) -> ProviderError {
        let said = self.said();
        let later = match self.wait {
            Some(wait) => format!("it can be asked for again in {} s", wait.as_secs().max(1)),
            None => "a mount that runs asks for it again later".to_owned(),
        };
        match self.status {
            401 => ProviderError::credential(format!(
                "Webex refused the token for {subject}{said}; give a current one, or check that the app is still authorised"
            )),
            403 => ProviderError::not_allowed(format!(
                "Webex does not permit {subject}{said}; the token needs the scope {scope}, and its user a role that may see it"
            )),
            404 => ProviderError::not_found(format!(
                "Webex does not find {subject}{said}; it was deleted, or the token's user may not see it"
            )),
            410 => ProviderError::not_found(format!(
                "Webex has removed {subject} for good{said}; no copy is left in the cloud"
            )),
            423 => ProviderError::unavailable(format!(
                "Webex has locked {subject} for now{said}; {later}"
            )),
            428 => ProviderError::not_allowed(format!(
                "Webex cannot scan {subject} for malware and holds it back{said}; download it in a browser, where Webex asks whether to trust it"
            )),
            429 => ProviderError::unavailable(format!(
                "Webex limits the rate of requests for {subject}{said}; {later}"
            )),
            status @ 502..=504 => ProviderError::unavailable(format!(
                "Webex is down or too busy for {subject} (status {status}){said}; {later}"
            )),
            status => ProviderError::unavailable(format!(
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
    use crate::model::Diagnostic;

    fn refusal(status: u16, body: Value) -> Option<Refusal> {
        Refusal::of(status, body.as_object(), None, &SecretString::from("t0ken-s3cret"))
    }

    /// What a person is told of each documented status, word for word.
    #[test]
    fn every_documented_status_has_its_sentence() {
        let (recording, list) = ("this recording", "the list of recordings");
        #[rustfmt::skip]
        let rows = [
            (401, None, "m.", recording, "credential: Webex refused the token for this recording (\"m\"); give a current one, or check that the app is still authorised"),
            (403, None, "m", recording, "not allowed: Webex does not permit this recording (\"m\"); the token needs the scope meeting:recordings_read, and its user a role that may see it"),
            (403, None, "m", list, "not allowed: Webex does not permit the list of recordings (\"m\"); the token needs the scope meeting:recordings_read, and its user a role that may see it"),
            (404, None, "", recording, "not found: Webex does not find this recording; it was deleted, or the token's user may not see it"),
            (410, None, "m", recording, "not found: Webex has removed this recording for good (\"m\"); no copy is left in the cloud"),
            (423, Some(30), "m", recording, "unavailable: Webex has locked this recording for now (\"m\"); it can be asked for again in 30 s"),
            (423, None, "m", recording, "unavailable: Webex has locked this recording for now (\"m\"); a mount that runs asks for it again later"),
            (428, None, "m", recording, "not allowed: Webex cannot scan this recording for malware and holds it back (\"m\"); download it in a browser, where Webex asks whether to trust it"),
            (429, Some(7), "m", list, "unavailable: Webex limits the rate of requests for the list of recordings (\"m\"); it can be asked for again in 7 s"),
            (429, Some(0), "m", list, "unavailable: Webex limits the rate of requests for the list of recordings (\"m\"); it can be asked for again in 1 s"),
            (429, None, "m", list, "unavailable: Webex limits the rate of requests for the list of recordings (\"m\"); a mount that runs asks for it again later"),
            (502, None, "m", list, "unavailable: Webex is down or too busy for the list of recordings (status 502) (\"m\"); a mount that runs asks for it again later"),
            (503, Some(60), "", list, "unavailable: Webex is down or too busy for the list of recordings (status 503); it can be asked for again in 60 s"),
            (504, None, "", list, "unavailable: Webex is down or too busy for the list of recordings (status 504); a mount that runs asks for it again later"),
            (400, None, "m", list, "unavailable: Webex answered status 400 for the list of recordings (\"m\"); a mount that runs asks for it again later"),
        ];
        for (status, wait, message, subject, expected) in rows {
            let body = json!({"message": message, "errors": [], "trackingId": "ROUTER_1"});
            let wait = wait.map(Duration::from_secs);
            let refusal =
                Refusal::of(status, body.as_object(), wait, &SecretString::from("t0ken-s3cret"));
            let error = refusal.unwrap().about(subject, scope(false));
            let kind = error.kind().name().replace('_', " ");
            assert_eq!(format!("{kind}: {error}"), expected);
        }
        assert!(refusal(200, json!({"message": "m"})).is_none());
        let of_others = refusal(403, json!({})).unwrap().about(recording, scope(true)).to_string();
        assert!(of_others.contains("meeting:admin_recordings_read"), "{of_others}");
    }

    #[test]
    fn the_words_are_the_message_or_the_first_description_and_never_the_token() {
        let said = |body| refusal(403, body).unwrap().about("x", "s").to_string();
        let errors =
            json!({"errors": [{"description": "no t0ken-s3cret"}, {"description": "other"}]});
        assert!(said(errors).contains("(\"no …\")"));
        for body in
            [json!({"errors": []}), json!({"errors": "x"}), json!({"errors": [3]}), json!([])]
        {
            assert!(!said(body).contains('('));
        }
    }
}

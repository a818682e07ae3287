//! Rapatin's refusals, and what a person can do about each.

use secrecy::SecretString;
use serde_json::{Map, Value};

use crate::providers::ProviderError;
use crate::providers::toolkit::redaction::quotable;
use crate::providers::toolkit::serde_lenient;

/// A reply that says no: `{"response":{"status":"error","status_code":404,"message":"…"}}`, or a bare
/// `{"message":"…"}`.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    /// The HTTP status, or the one that the reply gives where HTTP calls it a success.
    pub(crate) status: u16,
    /// Rapatin's words, without the secret.
    message: String,
    /// Whether it is Rapatin's interface that answered, and not whatever web server is at the address.
    is_object: bool,
}

impl Refusal {
    /// What the reply says, if it is no success. `secret` is kept out of the message.
    pub(crate) fn of(
        status: u16,
        reply: Option<&Map<String, Value>>,
        secret: &SecretString,
    ) -> Option<Self> {
        let envelope = reply.and_then(|reply| reply.get("response")?.as_object());
        let said = envelope
            .and_then(|envelope| envelope.get("status_code").and_then(serde_lenient::as_integer))
            .and_then(|code| u16::try_from(code).ok())
            .filter(|code| *code >= 400);
        let status = match (status, said) {
            (200..300, None) => return None,
            (200..300, Some(said)) => said,
            _ => status,
        };
        let message = [envelope, reply]
            .into_iter()
            .flatten()
            .find_map(|object| serde_lenient::first_text(object, &["message", "error"]))
            .unwrap_or_default();
        Some(Self { status, message: quotable(&message, secret), is_object: reply.is_some() })
    }

    /// Whether another token may be taken where this one was not.
    pub(crate) fn is_of_token(&self) -> bool {
        self.status == 401
    }

    /// Whether there is simply nothing under what was asked for. A web server that knows no such page says nothing
    /// about recordings.
    pub(crate) fn is_absence(&self) -> bool {
        matches!(self.status, 404 | 410) && self.is_object
    }

    /// One sentence with what to do, about `subject`: what was asked for.
    pub(crate) fn about(&self, subject: &str) -> ProviderError {
        let (status, said) = (self.status, self.said());
        match status {
            401 => ProviderError::credential(format!(
                "Rapatin refused the token for {subject}, one of a new login too{said}; see at rapatin.id whether the account is still active"
            )),
            403 => ProviderError::not_allowed(format!(
                "Rapatin does not permit {subject}{said}; see whether the meeting belongs to this account"
            )),
            404 | 410 if self.is_object => ProviderError::not_found(format!(
                "Rapatin does not find {subject}{said}; it keeps recordings for a few days"
            )),
            404 | 410 => ProviderError::not_found(format!(
                "nothing is known of {subject} at this address; check api_url"
            )),
            422 => ProviderError::not_found(format!(
                "Rapatin does not take the request for {subject}{said}; see whether the ids in `meetings` are right"
            )),
            _ => ProviderError::unavailable(format!(
                "Rapatin answered status {status} for {subject}{said}; a mount that runs asks again by itself"
            )),
        }
    }

    /// One sentence with what to do, about a login.
    pub(crate) fn about_login(&self) -> ProviderError {
        let (status, said) = (self.status, self.said());
        match status {
            401 | 403 | 422 => ProviderError::credential(format!(
                "Rapatin refused the e-mail address or the password{said}; check `email` and `password` by signing in at rapatin.id"
            )),
            _ => ProviderError::unavailable(format!(
                "Rapatin answered the login with status {status}{said}; check api_url"
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
    use crate::model::{Diagnostic, line_with_hint};
    use crate::providers::ErrorClass;

    fn refusal(status: u16, body: Value) -> Option<Refusal> {
        Refusal::of(status, body.as_object(), &SecretString::from("13|t0ken-s3cret"))
    }

    #[test]
    fn the_envelope_counts_where_http_calls_it_a_success() {
        assert!(refusal(200, json!({"response": {"status_code": 200}, "data": []})).is_none());
        assert!(refusal(200, json!({"data": null})).is_none());
        let no =
            refusal(200, json!({"response": {"status": "error", "status_code": "404"}})).unwrap();
        assert!(no.is_absence());
        assert!(refusal(401, json!({"message": "Unauthenticated."})).unwrap().is_of_token());
    }

    /// What a person is told of each status, word for word.
    #[test]
    fn every_documented_status_has_its_sentence() {
        let meeting = "the recordings of meeting 85095598095";
        #[rustfmt::skip]
        let rows = [
            (401, "Unauthenticated.", "credential: Rapatin refused the token for the recordings of meeting 85095598095, one of a new login too (\"Unauthenticated\"); see at rapatin.id whether the account is still active"),
            (403, "m", "not allowed: Rapatin does not permit the recordings of meeting 85095598095 (\"m\"); see whether the meeting belongs to this account"),
            (404, "No recordings.", "not found: Rapatin does not find the recordings of meeting 85095598095 (\"No recordings\"); it keeps recordings for a few days"),
            (410, "", "not found: Rapatin does not find the recordings of meeting 85095598095; it keeps recordings for a few days"),
            (422, "m", "not found: Rapatin does not take the request for the recordings of meeting 85095598095 (\"m\"); see whether the ids in `meetings` are right"),
            (302, "", "unavailable: Rapatin answered status 302 for the recordings of meeting 85095598095; a mount that runs asks again by itself"),
        ];
        for (status, message, expected) in rows {
            let error =
                refusal(status, json!({"response": {"message": message}})).unwrap().about(meeting);
            let kind = error.kind().name().replace('_', " ");
            assert_eq!(format!("{kind}: {error}"), expected);
        }
        for (status, expected) in [
            (
                401,
                "Rapatin refused the e-mail address or the password (\"m\"); check `email` and `password` by signing in at rapatin.id",
            ),
            (
                422,
                "Rapatin refused the e-mail address or the password (\"m\"); check `email` and `password` by signing in at rapatin.id",
            ),
            (404, "Rapatin answered the login with status 404 (\"m\"); check api_url"),
        ] {
            assert_eq!(
                refusal(status, json!({"message": "m"})).unwrap().about_login().to_string(),
                expected
            );
        }
        let login = refusal(422, json!({"message": "Wrong."})).unwrap().about_login();
        assert!(login.is_credential());
    }

    #[test]
    fn a_page_that_is_missing_is_no_meeting_without_recordings() {
        let page = Refusal::of(404, None, &SecretString::default()).unwrap();
        assert!(!page.is_absence());
        let error = page.about("the schedule");
        assert_eq!(error.class(), ErrorClass::NotFound);
        assert!(line_with_hint(&error).contains("api_url"));
    }

    #[test]
    fn an_echoed_secret_is_not_repeated() {
        let no =
            refusal(400, json!({"response": {"message": "bad\ntoken 13|t0ken-s3cret."}})).unwrap();
        let text = format!("{no:?} {} {}", no.about("the schedule"), no.about_login());
        assert!(
            !text.contains("s3cret") && !text.contains('\n') && text.contains("bad token …"),
            "{text}"
        );
    }
}

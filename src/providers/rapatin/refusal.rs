//! Rapatin's error replies.

use secrecy::SecretString;
use serde_json::{Map, Value};

use crate::http::ApiReply;
use crate::providers::ProviderError;
use crate::providers::toolkit::api_client::ApiRefusal;
use crate::providers::toolkit::redaction::{quote_in_parentheses, redact};
use crate::providers::toolkit::serde_lenient;

/// An error reply: `{"response":{"status":"error","status_code":404,"message":"…"}}`, or a bare
/// `{"message":"…"}`.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    /// The HTTP status, or the status of the reply if HTTP reports a success.
    status: u16,
    /// Rapatin's message, without the secret.
    message: String,
    /// Whether the reply comes from the API, and not from a web server at a wrong URL.
    is_from_api: bool,
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
        self.status == 401
    }
}

impl Refusal {
    /// Parses an error reply. Returns `None` if the reply reports success. The stored message never
    /// contains `secret`.
    pub(crate) fn parse(
        status: u16,
        object: Option<&Map<String, Value>>,
        secret: &SecretString,
    ) -> Option<Self> {
        let envelope = object.and_then(|object| object.get("response")?.as_object());
        let envelope_status = envelope
            .and_then(|envelope| envelope.get("status_code").and_then(serde_lenient::as_integer))
            .and_then(|code| u16::try_from(code).ok())
            .filter(|code| *code >= 400);
        let status = match (status, envelope_status) {
            (200..300, None) => return None,
            (200..300, Some(envelope_status)) => envelope_status,
            _ => status,
        };
        let message = [envelope, object]
            .into_iter()
            .flatten()
            .find_map(|object| serde_lenient::first_text(object, &["message", "error"]))
            .unwrap_or_default();
        let message = redact(&message, secret);
        Some(Self { status, message, is_from_api: object.is_some() })
    }

    /// Whether the API reports that the requested object does not exist. The 404 page of another
    /// web server does not count.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self.status, 404 | 410) && self.is_from_api
    }

    /// Returns the error of a request for `subject`.
    pub(crate) fn to_provider_error(&self, subject: &str) -> ProviderError {
        let (status, quote) = (self.status, quote_in_parentheses(&self.message));
        match status {
            401 => ProviderError::credential(format!(
                "Rapatin refused the token for {subject}, and also a new token{quote}"
            ))
            .with_hint("Check at rapatin.id whether the account is still active."),
            403 => ProviderError::not_allowed(format!(
                "Rapatin does not permit access to {subject}{quote}"
            ))
            .with_hint("Check whether the meeting belongs to this account."),
            404 | 410 if self.is_from_api => {
                ProviderError::not_found(format!("Rapatin does not find {subject}{quote}"))
                    .with_hint("Rapatin keeps recordings for a few days.")
            }
            404 | 410 => {
                ProviderError::not_found(format!("the server at `api_url` does not have {subject}"))
                    .with_hint("Check api_url.")
            }
            422 => ProviderError::not_found(format!(
                "Rapatin does not accept the request for {subject}{quote}"
            ))
            .with_hint("Check the ids in `meetings`."),
            _ => ProviderError::unavailable(format!(
                "Rapatin returned status {status} for {subject}{quote}"
            ))
            .with_hint("A running mount retries automatically."),
        }
    }

    /// Returns the error of a refused login.
    pub(crate) fn to_login_error(&self) -> ProviderError {
        let (status, quote) = (self.status, quote_in_parentheses(&self.message));
        match status {
            401 | 403 | 422 => ProviderError::credential(format!(
                "Rapatin refused the e-mail address or the password{quote}"
            ))
            .with_hint("Check `email` and `password` by signing in at rapatin.id."),
            _ => ProviderError::unavailable(format!(
                "Rapatin returned status {status} for the login{quote}"
            ))
            .with_hint("Check api_url."),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::line_with_hint;
    use crate::providers::ErrorClass;

    const TOKEN: &str = "13|t0ken-s3cret";

    fn refusal(status: u16, reply: Value) -> Option<Refusal> {
        Refusal::parse(status, reply.as_object(), &TOKEN.into())
    }

    #[test]
    fn status_of_the_envelope_overrides_success() {
        assert!(refusal(200, json!({"response": {"status_code": 200}, "data": []})).is_none());
        assert!(refusal(200, json!({"data": null})).is_none());
        let not_found =
            refusal(200, json!({"response": {"status": "error", "status_code": "404"}})).unwrap();
        assert!(not_found.is_not_found());
        assert!(refusal(401, json!({"message": "Unauthenticated."})).unwrap().is_token_error());
    }

    #[test]
    fn every_documented_status_has_its_message() {
        use ErrorClass::{Credential, NotAllowed, NotFound, Unavailable};
        let meeting = "the recordings of meeting 85095598095";
        #[rustfmt::skip]
        let cases = [
            (401, "Unauthenticated.", Credential, "Rapatin refused the token for the recordings of meeting 85095598095, and also a new token (\"Unauthenticated\") (hint: Check at rapatin.id whether the account is still active.)"),
            (403, "m", NotAllowed, "Rapatin does not permit access to the recordings of meeting 85095598095 (\"m\") (hint: Check whether the meeting belongs to this account.)"),
            (404, "No recordings.", NotFound, "Rapatin does not find the recordings of meeting 85095598095 (\"No recordings\") (hint: Rapatin keeps recordings for a few days.)"),
            (410, "", NotFound, "Rapatin does not find the recordings of meeting 85095598095 (hint: Rapatin keeps recordings for a few days.)"),
            (422, "m", NotFound, "Rapatin does not accept the request for the recordings of meeting 85095598095 (\"m\") (hint: Check the ids in `meetings`.)"),
            (302, "", Unavailable, "Rapatin returned status 302 for the recordings of meeting 85095598095 (hint: A running mount retries automatically.)"),
        ];
        for (status, message, class, expected) in cases {
            let error = refusal(status, json!({"response": {"message": message}}))
                .unwrap()
                .to_provider_error(meeting);
            assert_eq!((error.class(), line_with_hint(&error).as_str()), (class, expected));
        }
        const WRONG_PASSWORD: &str = "Rapatin refused the e-mail address or the password (\"m\") \
                                      (hint: Check `email` and `password` by signing in at \
                                      rapatin.id.)";
        for (status, class, expected) in [
            (401, Credential, WRONG_PASSWORD),
            (422, Credential, WRONG_PASSWORD),
            (
                404,
                Unavailable,
                "Rapatin returned status 404 for the login (\"m\") (hint: Check api_url.)",
            ),
        ] {
            let error = refusal(status, json!({"message": "m"})).unwrap().to_login_error();
            assert_eq!((error.class(), line_with_hint(&error).as_str()), (class, expected));
        }
    }

    #[test]
    fn missing_page_is_not_an_empty_meeting() {
        let page = Refusal::parse(404, None, &SecretString::default()).unwrap();
        assert!(!page.is_not_found());
        let error = page.to_provider_error("the schedule");
        assert_eq!(error.class(), ErrorClass::NotFound);
        assert!(line_with_hint(&error).contains("api_url"));
    }

    #[test]
    fn echoed_secret_is_not_repeated() {
        let refusal =
            refusal(400, json!({"response": {"message": "bad\ntoken 13|t0ken-s3cret."}})).unwrap();
        let text = format!(
            "{refusal:?} {} {}",
            refusal.to_provider_error("the schedule"),
            refusal.to_login_error()
        );
        assert!(
            !text.contains("s3cret") && !text.contains('\n') && text.contains("bad token …"),
            "{text}"
        );
    }
}

//! Webex's error replies.

use std::time::{Duration, SystemTime};

use secrecy::SecretString;
use serde_json::{Map, Value};

use crate::http::{ApiReply, retry};
use crate::providers::ProviderError;
use crate::providers::toolkit::api_client::ApiRefusal;
use crate::providers::toolkit::redaction::{quote_in_parentheses, redact};
use crate::providers::toolkit::serde_lenient;

/// The scope that is needed to read transcripts without a download URL.
pub(crate) const TRANSCRIPTS_SCOPE: &str = "meeting:transcripts_read";

/// Returns the scope that is needed to read the recordings of the token's owner and, if
/// `includes_other_users`, those of other users.
pub(crate) fn recordings_scope(includes_other_users: bool) -> &'static str {
    if includes_other_users { "meeting:admin_recordings_read" } else { "meeting:recordings_read" }
}

/// An error reply: `{"message":"…","errors":[{"description":"…"}],"trackingId":"…"}`.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    /// The HTTP status, which is never a success.
    status: u16,
    /// Webex's message, without the token.
    message: String,
    /// The requested delay before the next request.
    pub(crate) retry_delay: Option<Duration>,
}

impl ApiRefusal for Refusal {
    fn from_reply(
        reply: &ApiReply,
        object: Option<&Map<String, Value>>,
        secret: &SecretString,
    ) -> Option<Self> {
        let retry_delay = retry::retry_after(&reply.headers, SystemTime::now());
        Self::parse(reply.status, object, retry_delay, secret)
    }

    fn is_token_error(&self) -> bool {
        self.status == 401
    }
}

impl Refusal {
    /// Parses an error reply that requests `retry_delay`. Returns `None` for a success. The stored
    /// message never contains `secret`.
    pub(crate) fn parse(
        status: u16,
        object: Option<&Map<String, Value>>,
        retry_delay: Option<Duration>,
        secret: &SecretString,
    ) -> Option<Self> {
        if (200..300).contains(&status) {
            return None;
        }
        let description = |object: &Map<String, Value>| {
            let first_error = object.get("errors")?.as_array()?.first()?.as_object()?;
            serde_lenient::first_text(first_error, &["description"])
        };
        let message = object.and_then(|object| {
            serde_lenient::first_text(object, &["message"]).or_else(|| description(object))
        });
        let message = redact(&message.unwrap_or_default(), secret);
        Some(Self { status, message, retry_delay })
    }

    /// Whether the server timed out. A page with fewer entries may succeed.
    pub(crate) fn is_server_timeout(&self) -> bool {
        self.status == 504
    }

    /// Whether the reason can be the requested meeting host alone, so that another host is listed
    /// with the same token.
    pub(crate) fn can_concern_one_user(&self) -> bool {
        matches!(self.status, 400 | 403 | 404 | 410)
    }

    /// Returns the error of a request for `subject` (such as "this recording"), which needs the
    /// scope `scope`.
    pub(crate) fn to_provider_error(&self, subject: &str, scope: &str) -> ProviderError {
        let quote = quote_in_parentheses(&self.message);
        let retry_hint = match self.retry_delay {
            Some(delay) => {
                format!("Webex accepts the next request in {} s.", delay.as_secs().max(1))
            }
            None => "A running mount retries automatically.".to_owned(),
        };
        match self.status {
            401 => {
                ProviderError::credential(format!("Webex refused the token for {subject}{quote}"))
                    .with_hint(
                        "Configure a current token, or check that the app is still authorized.",
                    )
            }
            403 => ProviderError::not_allowed(format!(
                "Webex does not permit access to {subject}{quote}"
            ))
            .with_hint(format!(
                "The token needs the scope {scope}, and its user needs a role with access."
            )),
            404 => ProviderError::not_found(format!("Webex does not find {subject}{quote}"))
                .with_hint("It was deleted, or the user of the token has no access to it."),
            410 => {
                ProviderError::not_found(format!("Webex has permanently removed {subject}{quote}"))
                    .with_hint("Webex has no copy of it.")
            }
            423 => ProviderError::unavailable(format!("Webex has locked {subject}{quote}"))
                .with_hint(retry_hint),
            428 => ProviderError::not_allowed(format!(
                "Webex does not return {subject} because it cannot be scanned for malware{quote}"
            ))
            .with_hint("Download it in a browser, where Webex asks whether to trust it."),
            429 => ProviderError::unavailable(format!(
                "Webex limits the rate of requests for {subject}{quote}"
            ))
            .with_hint(retry_hint),
            status => ProviderError::unavailable(format!(
                "Webex returned status {status} for {subject}{quote}"
            ))
            .with_hint(retry_hint),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::line_with_hint;
    use crate::providers::ErrorClass;

    fn refusal(status: u16, body: Value) -> Option<Refusal> {
        Refusal::parse(status, body.as_object(), None, &SecretString::from("t0ken-s3cret"))
    }

    #[test]
    fn every_documented_status_has_its_message() {
        use ErrorClass::{Credential, NotAllowed, NotFound, Unavailable};
        const RETRY: &str = "A running mount retries automatically.";
        let (recording, list) = ("this recording", "the list of recordings");
        #[rustfmt::skip]
        let rows = [
            (401, None, "m.", recording, Credential, "Webex refused the token for this recording (\"m\")", "Configure a current token, or check that the app is still authorized."),
            (403, None, "m", recording, NotAllowed, "Webex does not permit access to this recording (\"m\")", "The token needs the scope meeting:recordings_read, and its user needs a role with access."),
            (403, None, "m", list, NotAllowed, "Webex does not permit access to the list of recordings (\"m\")", "The token needs the scope meeting:recordings_read, and its user needs a role with access."),
            (404, None, "", recording, NotFound, "Webex does not find this recording", "It was deleted, or the user of the token has no access to it."),
            (410, None, "m", recording, NotFound, "Webex has permanently removed this recording (\"m\")", "Webex has no copy of it."),
            (423, Some(30), "m", recording, Unavailable, "Webex has locked this recording (\"m\")", "Webex accepts the next request in 30 s."),
            (423, None, "m", recording, Unavailable, "Webex has locked this recording (\"m\")", RETRY),
            (428, None, "m", recording, NotAllowed, "Webex does not return this recording because it cannot be scanned for malware (\"m\")", "Download it in a browser, where Webex asks whether to trust it."),
            (429, Some(7), "m", list, Unavailable, "Webex limits the rate of requests for the list of recordings (\"m\")", "Webex accepts the next request in 7 s."),
            (429, Some(0), "m", list, Unavailable, "Webex limits the rate of requests for the list of recordings (\"m\")", "Webex accepts the next request in 1 s."),
            (429, None, "m", list, Unavailable, "Webex limits the rate of requests for the list of recordings (\"m\")", RETRY),
            (502, None, "m", list, Unavailable, "Webex returned status 502 for the list of recordings (\"m\")", RETRY),
            (503, Some(60), "", list, Unavailable, "Webex returned status 503 for the list of recordings", "Webex accepts the next request in 60 s."),
            (504, None, "", list, Unavailable, "Webex returned status 504 for the list of recordings", RETRY),
            (400, None, "m", list, Unavailable, "Webex returned status 400 for the list of recordings (\"m\")", RETRY),
        ];
        for (status, delay, message, subject, class, expected, hint) in rows {
            let body = json!({"message": message, "errors": [], "trackingId": "ROUTER_1"});
            let delay = delay.map(Duration::from_secs);
            let refusal = Refusal::parse(
                status,
                body.as_object(),
                delay,
                &SecretString::from("t0ken-s3cret"),
            );
            let error = refusal.unwrap().to_provider_error(subject, recordings_scope(false));
            assert_eq!(error.class(), class, "{status}");
            assert_eq!(line_with_hint(&error), format!("{expected} (hint: {hint})"));
        }
        assert!(refusal(200, json!({"message": "m"})).is_none());
        let error =
            refusal(403, json!({})).unwrap().to_provider_error(recording, recordings_scope(true));
        let text = line_with_hint(&error);
        assert!(text.contains("meeting:admin_recordings_read"), "{text}");
    }

    #[test]
    fn quote_is_message_or_description_without_token() {
        let text = |body| refusal(403, body).unwrap().to_provider_error("x", "s").to_string();
        let errors =
            json!({"errors": [{"description": "no t0ken-s3cret"}, {"description": "other"}]});
        assert!(text(errors).contains("(\"no …\")"));
        for body in
            [json!({"errors": []}), json!({"errors": "x"}), json!({"errors": [3]}), json!([])]
        {
            assert!(!text(body).contains('('));
        }
    }
}

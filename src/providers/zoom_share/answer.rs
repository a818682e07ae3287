//! What a download host's first reply means.

use secrecy::SecretString;
use serde_json::{Map, Value};

use crate::http::ProbeReply;
use crate::model::BodyKind;
use crate::providers::toolkit::redaction::quotable;
use crate::providers::toolkit::serde_lenient;
use crate::providers::zoom_share::codes;

/// The reply to a look at a download link.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The file itself is here.
    Serves,
    /// It is elsewhere; perhaps a credential.
    Redirect(SecretString),
    /// A bare 401, which also meets valid tokens.
    Unauthorised,
    /// An error object in place of the file: the token is bad or over.
    TokenRefused(String),
    /// A page or an error that another token does not fix.
    Refused(String),
    /// It is no longer here.
    Gone(String),
}

/// Judges a reply by status, type and beginning. Zoom answers with a page and status 200 where it does not let
/// one in, and with a small JSON object where it does not like the token, under statuses that nobody documents.
pub(crate) fn judge(glance: &ProbeReply, body: BodyKind, secret: &SecretString) -> Answer {
    let status = glance.status;
    let error = error_object(glance);
    let code = error.as_ref().and_then(code_of);
    if code.is_some() && codes::is_of_token(status, code) {
        return Answer::TokenRefused("an error object that refuses the token".into());
    }
    match (status, &glance.location) {
        (300..=399, Some(location)) => Answer::Redirect(location.clone()),
        (401, _) => Answer::Unauthorised,
        (404 | 410, _) => Answer::Gone(format!("status {status}")),
        (200 | 206, _)
            if matches!(glance.media_type.as_str(), "text/html" | "application/xhtml+xml") =>
        {
            Answer::Refused("a web page in place of the file".into())
        }
        (200 | 206, _) if glance.media_type == "application/json" => match (&error, body) {
            (Some(object), _) => Answer::Refused(said(object, secret)),
            (None, BodyKind::Json) => Answer::Serves,
            // Cut off before it said why; mostly it is the token.
            (None, _) => Answer::TokenRefused("a JSON object in place of the file".into()),
        },
        // An empty file has no first byte to send.
        (200 | 206 | 416, _) => Answer::Serves,
        _ => Answer::Refused(format!("status {status}")),
    }
}

/// The body, if it is an error object: one that gives a code, or says that its status is false.
fn error_object(glance: &ProbeReply) -> Option<Map<String, Value>> {
    if glance.media_type == "text/html" {
        return None;
    }
    let object = serde_json::from_slice::<Map<String, Value>>(&glance.beginning).ok()?;
    (code_of(&object).is_some() || object.get("status") == Some(&Value::Bool(false)))
        .then_some(object)
}

/// The code of an error object. A document may have a field of that name as well, but no message beside it.
fn code_of(object: &Map<String, Value>) -> Option<i64> {
    let code =
        |name| object.get(name).and_then(serde_lenient::as_integer).filter(|code| *code != 0);
    code("errorCode").or_else(|| code("code").filter(|_| object.contains_key("message")))
}

fn said(object: &Map<String, Value>, secret: &SecretString) -> String {
    let words = serde_lenient::first_text(object, &["errorMessage", "message"]).unwrap_or_default();
    format!("an error object in place of the file, \"{}\"", quotable(&words, secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: u16, media_type: &str, beginning: &str, body: BodyKind) -> Answer {
        let glance = ProbeReply {
            status,
            location: None,
            media_type: media_type.into(),
            retry_after: None,
            beginning: beginning.as_bytes().to_vec(),
        };
        judge(&glance, body, &SecretString::from("s3cret"))
    }

    const REFUSED_TOKEN: &str = r#"{"status":false,"errorCode":124,"errorMessage":"Forbidden"}"#;

    #[test]
    fn a_refused_token_is_known_by_its_object_under_any_status() {
        for status in [200, 206, 400, 401, 403] {
            for kind in ["application/json", "video/mp4", ""] {
                for body in [BodyKind::IsoMedia, BodyKind::Json] {
                    let answer = judged(status, kind, REFUSED_TOKEN, body);
                    assert!(
                        matches!(answer, Answer::TokenRefused(_)),
                        "{status} {kind}: {answer:?}"
                    );
                }
            }
        }
        assert!(matches!(judged(401, "", "", BodyKind::IsoMedia), Answer::Unauthorised));
    }

    #[test]
    fn pages_and_other_errors_are_refusals() {
        for (status, kind, beginning) in [
            (200, "text/html", "<title>Password Required - Zoom</title>"),
            (206, "text/html", "<"),
            (403, "", ""),
            (400, "", ""),
            (304, "", ""),
            (200, "application/json", r#"{"status":false,"errorMessage":"s3cret"}"#),
        ] {
            let answer = judged(status, kind, beginning, BodyKind::IsoMedia);
            let Answer::Refused(why) = answer else { panic!("{status} {kind}: {answer:?}") };
            assert!(!why.contains("s3cret"), "{why}");
        }
        assert!(matches!(judged(404, "text/html", "", BodyKind::Opaque), Answer::Gone(_)));
    }

    #[test]
    fn the_file_itself_is_told_from_an_error() {
        assert!(matches!(judged(206, "video/mp4", "\0", BodyKind::IsoMedia), Answer::Serves));
        assert!(matches!(judged(200, "", "WEBVTT", BodyKind::WebVtt), Answer::Serves));
        let timeline = r#"{"timeline":[{"ts":"00:00:01"}]}"#;
        assert!(matches!(
            judged(206, "application/json", timeline, BodyKind::Json),
            Answer::Serves
        ));
        assert!(matches!(
            judged(206, "application/json", "{\"timel", BodyKind::Json),
            Answer::Serves
        ));
        assert!(matches!(
            judged(206, "application/json", "{", BodyKind::IsoMedia),
            Answer::TokenRefused(_)
        ));
    }
}

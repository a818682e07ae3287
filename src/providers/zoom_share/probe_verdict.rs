//! The meaning of a download host's first reply.

use secrecy::SecretString;
use serde_json::{Map, Value};

use super::{codes, error_object};
use crate::http::ProbeReply;
use crate::model::BodyKind;
use crate::providers::toolkit::redaction::quotable;
use crate::providers::toolkit::serde_lenient;

/// The meaning of the reply to a probe of a download URL.
#[derive(Debug)]
pub(crate) enum ProbeVerdict {
    /// The URL serves the file.
    Serves,
    /// The file is at another URL, which may be a credential.
    Redirect(SecretString),
    /// A 401 without an error object. Zoom sometimes sends it for valid tokens.
    Unauthorized,
    /// An error object instead of the file: the token is invalid or expired.
    TokenRefused(String),
    /// A web page, or an error that another token does not resolve.
    Refused(String),
    /// The file no longer exists.
    NotFound(String),
    /// A redirect without a usable `Location`.
    InvalidRedirect(String),
}

impl ProbeVerdict {
    /// Judges a reply by status, type and first bytes. Zoom replies with a web page and status 200
    /// if it denies access, and with a small JSON object and an undocumented status if it does not
    /// accept the token.
    pub(crate) fn of(reply: &ProbeReply, body: BodyKind, secret: &SecretString) -> Self {
        let status = reply.status;
        let error = error_in(reply);
        let code = error.as_ref().and_then(error_object::code_of);
        if code.is_some() && codes::is_token_error(status, code) {
            return Self::TokenRefused("an error object that refuses the token".into());
        }
        match (status, &reply.location) {
            (300..=399, Some(location)) => Self::Redirect(location.clone()),
            (301 | 302 | 303 | 307 | 308, None) => {
                Self::InvalidRedirect("a redirect that cannot be followed".into())
            }
            (401, _) => Self::Unauthorized,
            (404 | 410, _) => Self::NotFound(format!("status {status}")),
            (200 | 206, _)
                if matches!(reply.media_type.as_str(), "text/html" | "application/xhtml+xml") =>
            {
                Self::Refused("a web page instead of the file".into())
            }
            (200 | 206, _) if reply.media_type == "application/json" => match (&error, body) {
                (Some(object), _) => Self::Refused(describe(object, secret)),
                (None, BodyKind::Json) => Self::Serves,
                // The beginning of an error object, which is mostly about the token.
                (None, _) => Self::TokenRefused("a JSON object instead of the file".into()),
            },
            // An empty file has no first byte.
            (200 | 206 | 416, _) => Self::Serves,
            _ => Self::Refused(format!("status {status}")),
        }
    }
}

fn error_in(reply: &ProbeReply) -> Option<Map<String, Value>> {
    if reply.media_type == "text/html" {
        return None;
    }
    error_object::parse(&reply.beginning)
}

fn describe(object: &Map<String, Value>, secret: &SecretString) -> String {
    let message = serde_lenient::first_text(object, &["errorMessage", "message"]);
    let message = quotable(&message.unwrap_or_default(), secret);
    format!("an error object instead of the file, \"{message}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(status: u16, media_type: &str, beginning: &str, body: BodyKind) -> ProbeVerdict {
        let reply = ProbeReply {
            status,
            location: None,
            media_type: media_type.into(),
            retry_after: None,
            beginning: beginning.as_bytes().to_vec(),
        };
        ProbeVerdict::of(&reply, body, &SecretString::from("s3cret"))
    }

    const REFUSED_TOKEN: &str = r#"{"status":false,"errorCode":124,"errorMessage":"Forbidden"}"#;

    #[test]
    fn error_object_refuses_the_token_with_any_status() {
        for status in [200, 206, 400, 401, 403] {
            for kind in ["application/json", "video/mp4", ""] {
                for body in [BodyKind::IsoMedia, BodyKind::Json] {
                    let verdict = verdict(status, kind, REFUSED_TOKEN, body);
                    assert!(
                        matches!(verdict, ProbeVerdict::TokenRefused(_)),
                        "{status} {kind}: {verdict:?}"
                    );
                }
            }
        }
        assert!(matches!(verdict(401, "", "", BodyKind::IsoMedia), ProbeVerdict::Unauthorized));
    }

    #[test]
    fn web_pages_and_other_errors_are_refusals() {
        for (status, kind, beginning) in [
            (200, "text/html", "<title>Password Required - Zoom</title>"),
            (206, "text/html", "<"),
            (403, "", ""),
            (400, "", ""),
            (304, "", ""),
            (200, "application/json", r#"{"status":false,"errorMessage":"s3cret"}"#),
        ] {
            let verdict = verdict(status, kind, beginning, BodyKind::IsoMedia);
            let ProbeVerdict::Refused(why) = verdict else {
                panic!("{status} {kind}: {verdict:?}")
            };
            assert!(!why.contains("s3cret"), "{why}");
        }
        assert!(matches!(
            verdict(404, "text/html", "", BodyKind::Opaque),
            ProbeVerdict::NotFound(_)
        ));
    }

    #[test]
    fn file_is_distinguished_from_an_error() {
        assert!(matches!(
            verdict(206, "video/mp4", "\0", BodyKind::IsoMedia),
            ProbeVerdict::Serves
        ));
        assert!(matches!(verdict(200, "", "WEBVTT", BodyKind::WebVtt), ProbeVerdict::Serves));
        let timeline = r#"{"timeline":[{"ts":"00:00:01"}]}"#;
        assert!(matches!(
            verdict(206, "application/json", timeline, BodyKind::Json),
            ProbeVerdict::Serves
        ));
        assert!(matches!(
            verdict(206, "application/json", "{\"timel", BodyKind::Json),
            ProbeVerdict::Serves
        ));
        assert!(matches!(
            verdict(206, "application/json", "{", BodyKind::IsoMedia),
            ProbeVerdict::TokenRefused(_)
        ));
    }
}

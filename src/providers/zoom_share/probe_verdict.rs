//! Interprets the first reply of a download host.

use secrecy::SecretString;
use serde_json::{Map, Value};

use super::{codes, error_object};
use crate::http::ProbeReply;
use crate::model::BodyKind;
use crate::providers::toolkit::redaction::redact;
use crate::providers::toolkit::serde_lenient;

/// The meaning of the reply to a probe of a download URL.
#[derive(Debug)]
pub(crate) enum ProbeVerdict {
    /// The URL serves the file.
    ServesFile,
    /// The file is at another URL. The URL is secret, because a signed URL is a credential.
    Redirect(SecretString),
    /// Status 401 without an error object. Zoom sometimes returns it for a valid token.
    Unauthorized,
    /// The host returned an error object instead of the file, because the token is invalid or
    /// expired.
    TokenRefused(String),
    /// The host returned a web page, or an error that another token does not resolve.
    Refused(String),
    /// The file no longer exists.
    NotFound(String),
    /// A redirect without a usable `Location`.
    InvalidRedirect(String),
}

impl ProbeVerdict {
    /// Interprets a reply by its status, media type and first bytes. If Zoom denies access, it
    /// returns a web page with status 200. If it does not accept the token, it returns a small JSON
    /// object with an undocumented status. The verdict does not contain `secret`.
    pub(crate) fn of(
        reply: &ProbeReply,
        host: &str,
        body: BodyKind,
        secret: &SecretString,
    ) -> Self {
        let status = reply.status;
        let status_message = || format!("{host} returned status {status}");
        let error = parse_error_object(reply);
        let code = error.as_ref().and_then(error_object::error_code);
        if code.is_some() && codes::is_token_error(status, code) {
            return Self::TokenRefused(format!("{host} refused the token"));
        }
        match (status, &reply.location) {
            (300..=399, Some(location)) => Self::Redirect(location.clone()),
            (301 | 302 | 303 | 307 | 308, None) => {
                Self::InvalidRedirect(format!("{host} returned a redirect without a URL"))
            }
            (401, _) => Self::Unauthorized,
            (404 | 410, _) => Self::NotFound(status_message()),
            (200 | 206, _)
                if matches!(reply.media_type.as_str(), "text/html" | "application/xhtml+xml") =>
            {
                Self::Refused(format!("{host} returned a web page instead of the file"))
            }
            (200 | 206, _) if reply.media_type == "application/json" => match (&error, body) {
                (Some(object), _) => Self::Refused(describe_error(object, host, secret)),
                (None, BodyKind::Json) => Self::ServesFile,
                // The file is not JSON, so this is the beginning of an error object, and most error
                // objects refuse the token.
                (None, _) => {
                    Self::TokenRefused(format!("{host} returned a JSON object instead of the file"))
                }
            },
            // A probe requests the first byte, and the reply for an empty file is 416.
            (200 | 206 | 416, _) => Self::ServesFile,
            _ => Self::Refused(status_message()),
        }
    }
}

fn parse_error_object(reply: &ProbeReply) -> Option<Map<String, Value>> {
    if reply.media_type == "text/html" {
        return None;
    }
    error_object::parse(&reply.body_start)
}

fn describe_error(object: &Map<String, Value>, host: &str, secret: &SecretString) -> String {
    let message = serde_lenient::first_text(object, &["errorMessage", "message"]);
    let message = redact(&message.unwrap_or_default(), secret);
    format!("{host} returned an error object instead of the file: \"{message}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(status: u16, media_type: &str, body_start: &str, body: BodyKind) -> ProbeVerdict {
        let reply = ProbeReply {
            status,
            location: None,
            media_type: media_type.into(),
            retry_after: None,
            body_start: body_start.as_bytes().to_vec(),
        };
        ProbeVerdict::of(&reply, "https://zoom.us", body, &SecretString::from("s3cret"))
    }

    const REFUSED_TOKEN: &str = r#"{"status":false,"errorCode":124,"errorMessage":"Forbidden"}"#;

    #[test]
    fn error_object_refuses_the_token_with_any_status() {
        for status in [200, 206, 400, 401, 403] {
            for media_type in ["application/json", "video/mp4", ""] {
                for body in [BodyKind::IsoMedia, BodyKind::Json] {
                    let verdict = verdict(status, media_type, REFUSED_TOKEN, body);
                    assert!(
                        matches!(verdict, ProbeVerdict::TokenRefused(_)),
                        "{status} {media_type}: {verdict:?}"
                    );
                }
            }
        }
        assert!(matches!(verdict(401, "", "", BodyKind::IsoMedia), ProbeVerdict::Unauthorized));
    }

    #[test]
    fn web_pages_and_other_errors_are_refusals() {
        for (status, media_type, body_start) in [
            (200, "text/html", "<title>Password Required - Zoom</title>"),
            (206, "text/html", "<"),
            (403, "", ""),
            (400, "", ""),
            (304, "", ""),
            (200, "application/json", r#"{"status":false,"errorMessage":"s3cret"}"#),
        ] {
            let verdict = verdict(status, media_type, body_start, BodyKind::IsoMedia);
            let ProbeVerdict::Refused(reason) = verdict else {
                panic!("{status} {media_type}: {verdict:?}")
            };
            assert!(!reason.contains("s3cret"), "{reason}");
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
            ProbeVerdict::ServesFile
        ));
        assert!(matches!(verdict(200, "", "WEBVTT", BodyKind::WebVtt), ProbeVerdict::ServesFile));
        let timeline = r#"{"timeline":[{"ts":"00:00:01"}]}"#;
        assert!(matches!(
            verdict(206, "application/json", timeline, BodyKind::Json),
            ProbeVerdict::ServesFile
        ));
        assert!(matches!(
            verdict(206, "application/json", "{\"timel", BodyKind::Json),
            ProbeVerdict::ServesFile
        ));
        assert!(matches!(
            verdict(206, "application/json", "{", BodyKind::IsoMedia),
            ProbeVerdict::TokenRefused(_)
        ));
    }
}

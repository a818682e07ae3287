//! Responses before they are sent, and the bodies that Zoom sends instead of a recording.

use std::ops::Range;

use bytes::Bytes;
use serde_json::{Value, json};

use super::archive::Content;
use super::faults::HeaderChange;

/// The body that Zoom's download host sends for an invalid token, byte for byte
/// (ricardorodrigues-ca/zoom-recording-downloader, issue 35: about 880 such bodies were saved as
/// recordings).
pub(super) const FORBIDDEN_JSON: &str =
    r#"{"status":false,"errorCode":124,"errorMessage":"Forbidden"}"#;

const PASSWORD_PAGE: &str = "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
<title>Password Required - Zoom</title></head>\n\
<body><h1>Enter the passcode to view this recording</h1></body></html>\n";

/// A complete response.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) content: Content,
    /// The span of `content` that is sent as the body.
    pub(super) span: Range<u64>,
}

impl Reply {
    pub(super) fn new(status: u16, content_type: &str, body: impl Into<Bytes>) -> Self {
        let content = Content::Stored(body.into());
        let span = 0..content.length();
        Self { status, headers: Vec::new(), content, span }
            .with_header("content-type", content_type)
    }

    pub(super) fn with_header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(super) fn change_header(&mut self, change: &HeaderChange) {
        let (HeaderChange::Add(name, _) | HeaderChange::Remove(name) | HeaderChange::Set(name, _)) =
            change;
        if !matches!(change, HeaderChange::Add(..)) {
            self.headers.retain(|(existing, _)| !existing.eq_ignore_ascii_case(name));
        }
        if let HeaderChange::Add(_, value) | HeaderChange::Set(_, value) = change {
            self.headers.push(((*name).into(), value.clone()));
        }
    }

    pub(super) fn json(status: u16, value: &Value) -> Self {
        Self::new(status, "application/json;charset=UTF-8", value.to_string())
    }

    /// Creates an error in the format of Zoom's API.
    pub(super) fn error(status: u16, code: u32, message: &str) -> Self {
        Self::json(status, &json!({"code": code, "message": message}))
    }

    /// Creates the web page that Zoom sends with status 200 instead of a recording.
    pub(super) fn password_page() -> Self {
        Self::new(200, "text/html;charset=UTF-8", PASSWORD_PAGE)
    }

    /// Creates the reply of 59 bytes to an invalid token. Its real status is unknown. 200 is the
    /// worst case, because a client may then save the body as a recording.
    pub(super) fn forbidden_json() -> Self {
        Self::new(200, "application/json;charset=UTF-8", FORBIDDEN_JSON)
    }

    /// Creates an error in the format of the media host, which is a CDN.
    pub(super) fn xml_error(status: u16, code: &str, message: &str) -> Self {
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
        );
        Self::new(status, "text/xml", body)
    }

    pub(super) fn expired_token() -> Self {
        Self::error(401, 124, "Access token is expired.")
    }

    pub(super) fn expired_url() -> Self {
        Self::xml_error(403, "AccessDenied", "Access denied")
    }

    pub(super) fn invalid_page_token() -> Self {
        Self::error(400, 300, "The next page token is invalid or expired.")
    }
}

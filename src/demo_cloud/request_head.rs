//! A request without its body, parsed once for all handlers.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::http::request::Parts;

#[derive(Debug)]
pub(super) struct RequestHead {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: Vec<(String, String)>,
}

/// The range in a `Range` header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RangeHeader {
    /// A range `bytes=first-` or `bytes=first-last`.
    FromOffset(u64, Option<u64>),
    /// A range `bytes=-length`.
    Suffix(u64),
}

impl RequestHead {
    pub(super) fn new(parts: &Parts) -> Self {
        let to_text = |value: &hyper::header::HeaderValue| {
            String::from_utf8_lossy(value.as_bytes()).into_owned()
        };
        Self {
            method: parts.method.to_string(),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or("").to_owned(),
            headers: parts
                .headers
                .iter()
                .map(|(name, value)| (name.to_string(), to_text(value)))
                .collect(),
        }
    }

    /// Returns the value of the header with this lower-case name.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Returns the decoded value of the first query parameter with this name.
    pub(super) fn parameter(&self, name: &str) -> Option<String> {
        url::form_urlencoded::parse(self.query.as_bytes())
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }

    /// Returns the token of an `Authorization: Bearer` header.
    pub(super) fn bearer_token(&self) -> Option<&str> {
        let (scheme, token) = self.header("authorization")?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    }

    /// Returns the user and the password of an `Authorization: Basic` header.
    pub(super) fn basic_credentials(&self) -> Option<(String, String)> {
        let (scheme, encoded) = self.header("authorization")?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let user_and_password = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
        user_and_password
            .split_once(':')
            .map(|(user, password)| (user.to_owned(), password.to_owned()))
    }

    /// Returns the requested range. Returns `None` for several ranges and for other units, because
    /// a server may ignore them (RFC 9110, 14.2).
    pub(super) fn range(&self) -> Option<RangeHeader> {
        let (first, last) = self.header("range")?.strip_prefix("bytes=")?.split_once('-')?;
        match (first, last) {
            ("", last) => last.parse().ok().map(RangeHeader::Suffix),
            (first, "") => first.parse().ok().map(|first| RangeHeader::FromOffset(first, None)),
            (first, last) => {
                let (first, last) = (first.parse().ok()?, last.parse().ok()?);
                (first <= last).then_some(RangeHeader::FromOffset(first, Some(last)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_range(value: &str) -> Option<RangeHeader> {
        let headers = vec![("range".to_owned(), value.to_owned())];
        RequestHead { method: String::new(), path: String::new(), query: String::new(), headers }
            .range()
    }

    #[test]
    fn ranges_are_parsed() {
        assert_eq!(parse_range("bytes=0-0"), Some(RangeHeader::FromOffset(0, Some(0))));
        assert_eq!(parse_range("bytes=5-"), Some(RangeHeader::FromOffset(5, None)));
        assert_eq!(parse_range("bytes=-9"), Some(RangeHeader::Suffix(9)));
    }

    #[test]
    fn multiple_or_invalid_ranges_are_ignored() {
        for value in ["bytes=5-4", "bytes=0-1,3-4", "items=0-1", "bytes=", "bytes=-", "bytes=a-b"] {
            assert_eq!(parse_range(value), None, "{value}");
        }
    }
}

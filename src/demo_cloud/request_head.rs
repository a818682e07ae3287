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

/// A requested range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RangeHeader {
    /// `bytes=first-` or `bytes=first-last`.
    From(u64, Option<u64>),
    /// `bytes=-length`.
    Last(u64),
}

impl RequestHead {
    pub(super) fn new(parts: &Parts) -> Self {
        let text = |value: &hyper::header::HeaderValue| {
            String::from_utf8_lossy(value.as_bytes()).into_owned()
        };
        Self {
            method: parts.method.to_string(),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or("").to_owned(),
            headers: parts
                .headers
                .iter()
                .map(|(name, value)| (name.to_string(), text(value)))
                .collect(),
        }
    }

    /// Returns the value of a header by its lower-case name.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Returns the first value of a query parameter, decoded.
    pub(super) fn parameter(&self, name: &str) -> Option<String> {
        url::form_urlencoded::parse(self.query.as_bytes())
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }

    /// Returns the token of `Authorization: Bearer`.
    pub(super) fn bearer(&self) -> Option<&str> {
        let (scheme, token) = self.header("authorization")?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    }

    /// Returns user and password of `Authorization: Basic`.
    pub(super) fn basic(&self) -> Option<(String, String)> {
        let (scheme, encoded) = self.header("authorization")?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
        decoded.split_once(':').map(|(user, password)| (user.to_owned(), password.to_owned()))
    }

    /// Returns the single range requested. Several ranges or another unit count as none: a server
    /// may ignore them (RFC 9110, 14.2).
    pub(super) fn range(&self) -> Option<RangeHeader> {
        let (first, last) = self.header("range")?.strip_prefix("bytes=")?.split_once('-')?;
        match (first, last) {
            ("", last) => last.parse().ok().map(RangeHeader::Last),
            (first, "") => first.parse().ok().map(|first| RangeHeader::From(first, None)),
            (first, last) => {
                let (first, last) = (first.parse().ok()?, last.parse().ok()?);
                (first <= last).then_some(RangeHeader::From(first, Some(last)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range_of(value: &str) -> Option<RangeHeader> {
        let headers = vec![("range".to_owned(), value.to_owned())];
        RequestHead { method: String::new(), path: String::new(), query: String::new(), headers }
            .range()
    }

    #[test]
    fn ranges_are_parsed() {
        assert_eq!(range_of("bytes=0-0"), Some(RangeHeader::From(0, Some(0))));
        assert_eq!(range_of("bytes=5-"), Some(RangeHeader::From(5, None)));
        assert_eq!(range_of("bytes=-9"), Some(RangeHeader::Last(9)));
    }

    #[test]
    fn several_ranges_count_as_none() {
        for value in ["bytes=5-4", "bytes=0-1,3-4", "items=0-1", "bytes=", "bytes=-", "bytes=a-b"] {
            assert_eq!(range_of(value), None, "{value}");
        }
    }
}

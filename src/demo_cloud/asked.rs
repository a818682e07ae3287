//! One request, taken apart once for all who answer it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::http::request::Parts;

/// A request without its body.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: Vec<(String, String)>,
}

/// A range as a request writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RangeAsked {
    /// `bytes=first-` or `bytes=first-last`.
    From(u64, Option<u64>),
    /// `bytes=-length`.
    Last(u64),
}

impl Asked {
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

    /// The value of a header, by its lower-case name.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The first value of a query parameter, decoded.
    pub(super) fn parameter(&self, name: &str) -> Option<String> {
        url::form_urlencoded::parse(self.query.as_bytes())
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }

    /// The token of `Authorization: Bearer`.
    pub(super) fn bearer(&self) -> Option<&str> {
        let (scheme, token) = self.header("authorization")?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
    }

    /// User and password of `Authorization: Basic`.
    pub(super) fn basic(&self) -> Option<(String, String)> {
        let (scheme, encoded) = self.header("authorization")?.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("basic") {
            return None;
        }
        let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
        decoded.split_once(':').map(|(user, password)| (user.to_owned(), password.to_owned()))
    }

    /// The one range asked for. Several, or another unit, count as none: a server may ignore them (RFC 9110, 14.2).
    pub(super) fn range(&self) -> Option<RangeAsked> {
        let (first, last) = self.header("range")?.strip_prefix("bytes=")?.split_once('-')?;
        match (first, last) {
            ("", last) => last.parse().ok().map(RangeAsked::Last),
            (first, "") => first.parse().ok().map(|first| RangeAsked::From(first, None)),
            (first, last) => {
                let (first, last) = (first.parse().ok()?, last.parse().ok()?);
                (first <= last).then_some(RangeAsked::From(first, Some(last)))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range_of(value: &str) -> Option<RangeAsked> {
        let headers = vec![("range".to_owned(), value.to_owned())];
        Asked { method: String::new(), path: String::new(), query: String::new(), headers }.range()
    }

    #[test]
    fn ranges_are_read_as_they_are_written() {
        assert_eq!(range_of("bytes=0-0"), Some(RangeAsked::From(0, Some(0))));
        assert_eq!(range_of("bytes=5-"), Some(RangeAsked::From(5, None)));
        assert_eq!(range_of("bytes=-9"), Some(RangeAsked::Last(9)));
    }

    #[test]
    fn what_is_no_single_range_counts_as_none() {
        for value in ["bytes=5-4", "bytes=0-1,3-4", "items=0-1", "bytes=", "bytes=-", "bytes=a-b"] {
            assert_eq!(range_of(value), None, "{value}");
        }
    }
}

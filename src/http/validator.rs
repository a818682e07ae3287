//! Determines which version of a file a reply contains.
//!
//! Bytes of different replies are joined into one file only if the replies prove to contain the
//! same version. The strongest evidence in the replies decides:
//!
//! 1. A strong entity tag (RFC 9110, 8.8.3) is sufficient. A different tag means another version,
//!    and so does a missing tag if earlier replies had one.
//! 2. Without a strong tag, each reply must come from a file with the same first bytes. The last
//!    modified time must also be the same, if it was old enough in the first reply (RFC 9110,
//!    8.8.2.2).
//! 3. A weak tag is ignored: it may stay the same when the bytes change, and it may change when the
//!    bytes stay the same.

use std::fmt;
use std::time::{Duration, SystemTime};

use reqwest::header::{DATE, ETAG, HeaderMap, LAST_MODIFIED};
use sha2::{Digest, Sha256};

use super::headers::{first_value, single_value};

/// Number of bytes at the start of a file that are compared if the server sends no strong tag. They
/// contain the index or the header of a recording, and most chats are not longer. They fit into the
/// first TCP segments of a reply.
pub(super) const HEAD_LENGTH: u64 = 4096;

/// Minimum age at which the `Last-Modified` time identifies a version. A file that has just changed
/// may change again within the same second, which is the resolution of `Last-Modified` (RFC 9110,
/// 8.8.2.2).
const MIN_AGE: Duration = Duration::from_secs(60);

const HEAD_PREFIX: &str = "head-sha256:";
const MODIFIED_SEPARATOR: &str = ";last-modified:";

/// The headers of one reply that identify the version of the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct VersionHeaders {
    pub(super) strong_tag: Option<Box<str>>,
    last_modified: Option<Box<str>>,
    /// Whether the time in `last_modified` is old enough to identify a version.
    is_settled: bool,
}

impl VersionHeaders {
    pub(super) fn from_headers(headers: &HeaderMap) -> Self {
        let tag = single_value(headers, &ETAG).ok().flatten();
        let tag = tag.filter(|tag| tag.len() > 2 && tag.starts_with('"'));
        let last_modified = first_value(headers, &LAST_MODIFIED);
        let is_settled = (|| {
            let modified_time = httpdate::parse_http_date(last_modified?).ok()?;
            let date =
                first_value(headers, &DATE).and_then(|date| httpdate::parse_http_date(date).ok());
            let age = date.unwrap_or_else(SystemTime::now).duration_since(modified_time).ok()?;
            Some(age >= MIN_AGE)
        })();
        Self {
            strong_tag: tag.map(Box::from),
            last_modified: last_modified.map(Box::from),
            is_settled: is_settled.unwrap_or_default(),
        }
    }

    /// Whether another reply of the same file, which was received shortly before or after, comes
    /// from another version or from another server.
    pub(super) fn contradicts(&self, other: &Self) -> bool {
        let is_modified = match (&self.last_modified, &other.last_modified) {
            (Some(time), Some(other_time)) => time != other_time,
            _ => false,
        };
        is_modified || self.strong_tag != other.strong_tag
    }
}

/// Identifies a version of a file. Replies that agree with the validator contain the same bytes, as
/// far as their headers and first bytes show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validator(Evidence);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Evidence {
    StrongTag(Box<str>),
    Head {
        /// SHA-256 digest of the first [`HEAD_LENGTH`] bytes, in hexadecimal digits.
        digest: Box<str>,
        last_modified: Option<Box<str>>,
    },
}

impl Validator {
    /// Parses a text that [`to_text`](Self::to_text) returned. Returns `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        if text.starts_with('"') {
            return Some(Self(Evidence::StrongTag(text.into())));
        }
        let value = text.strip_prefix(HEAD_PREFIX)?;
        let (digest, modified) = match value.split_once(MODIFIED_SEPARATOR) {
            Some((digest, modified)) => (digest, Some(modified.into())),
            None => (value, None),
        };
        Some(Self(Evidence::Head { digest: digest.into(), last_modified: modified }))
    }

    /// Returns the validator of a reply with a strong tag.
    pub(super) fn from_strong_tag(tag: &str) -> Self {
        Self(Evidence::StrongTag(tag.into()))
    }

    /// Returns the validator of a reply without a strong tag. `head` contains the first bytes of
    /// the file.
    pub(super) fn from_head(headers: &VersionHeaders, head: &[u8]) -> Self {
        let last_modified = headers.last_modified.clone().filter(|_| headers.is_settled);
        Self(Evidence::Head { digest: digest(head), last_modified })
    }

    /// Returns the validator as text, for the catalog.
    pub fn to_text(&self) -> String {
        self.to_string()
    }

    /// Whether this validator and that of a concurrent first reply belong to different versions.
    pub fn contradicts(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (
                Evidence::Head { digest, last_modified },
                Evidence::Head { digest: other_digest, last_modified: other_modified },
            ) => {
                let is_modified = match (last_modified, other_modified) {
                    (Some(time), Some(other_time)) => time != other_time,
                    _ => false,
                };
                digest != other_digest || is_modified
            }
            (evidence, other_evidence) => evidence != other_evidence,
        }
    }

    /// Whether the first bytes of the file are needed to compare a reply with this validator.
    pub(crate) fn needs_head(&self) -> bool {
        matches!(self.0, Evidence::Head { .. })
    }

    /// Whether a reply contains the same version. `head` contains the first bytes of the file as
    /// the server currently serves it. It is required if [`needs_head`](Self::needs_head) returns
    /// `true`.
    pub(super) fn agrees_with(&self, headers: &VersionHeaders, head: Option<&[u8]>) -> bool {
        match &self.0 {
            Evidence::StrongTag(tag) => headers.strong_tag.as_ref() == Some(tag),
            Evidence::Head { digest: expected_digest, last_modified } => {
                let last_modified_agrees = match (last_modified, &headers.last_modified) {
                    (Some(before), Some(now)) => before == now,
                    _ => true,
                };
                last_modified_agrees && head.is_some_and(|head| digest(head) == *expected_digest)
            }
        }
    }
}

impl fmt::Display for Validator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Evidence::StrongTag(tag) => f.write_str(tag),
            Evidence::Head { digest, last_modified } => {
                write!(f, "{HEAD_PREFIX}{digest}")?;
                match last_modified {
                    Some(modified) => write!(f, "{MODIFIED_SEPARATOR}{modified}"),
                    None => Ok(()),
                }
            }
        }
    }
}

fn digest(head: &[u8]) -> Box<str> {
    let digest = Sha256::digest(head);
    digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD_DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const LATER_DATE: &str = "Mon, 07 Nov 1994 08:49:37 GMT";

    fn headers(pairs: &[(&'static str, &str)]) -> VersionHeaders {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        VersionHeaders::from_headers(&headers)
    }

    #[test]
    fn contradicting_tags_are_ignored() {
        let tag = |lines: &[_]| headers(lines).strong_tag;
        assert_eq!(tag(&[("etag", "\"a\""), ("etag", "\"a\"")]).as_deref(), Some("\"a\""));
        assert_eq!(tag(&[("etag", "\"a\""), ("etag", "\"b\"")]), None);
        assert_eq!(tag(&[("etag", "\"a\""), ("etag", "W/\"b\"")]), None);
    }

    #[test]
    fn another_modification_time_contradicts() {
        let validator = |lines: &[_]| Validator::from_head(&headers(lines), b"head");
        let old = validator(&[("last-modified", OLD_DATE)]);
        assert!(old.contradicts(&validator(&[("last-modified", LATER_DATE)])));
        assert!(!old.contradicts(&old) && !old.contradicts(&validator(&[])));
        assert!(old.contradicts(&Validator::from_head(&headers(&[]), b"other")));
        assert!(old.contradicts(&Validator::from_strong_tag("\"tag\"")));
    }

    #[test]
    fn strong_tag_is_sufficient() {
        let validator = Validator::from_strong_tag("\"a\"");
        assert!(!validator.needs_head());
        assert!(
            validator
                .agrees_with(&headers(&[("etag", "\"a\""), ("last-modified", OLD_DATE)]), None)
        );
        assert!(!validator.agrees_with(&headers(&[("etag", "\"b\"")]), None));
        assert!(!validator.agrees_with(&headers(&[("etag", "W/\"a\"")]), None));
        assert!(!validator.agrees_with(&headers(&[]), None));
    }

    #[test]
    fn weak_tag_is_ignored() {
        let weak_headers = headers(&[("etag", "W/\"a\"")]);
        assert_eq!(weak_headers.strong_tag, None);
        let validator = Validator::from_head(&weak_headers, b"first");
        assert!(validator.needs_head());
        assert!(validator.agrees_with(&headers(&[("etag", "W/\"b\"")]), Some(b"first")));
        assert!(!validator.agrees_with(&weak_headers, Some(b"other")));
        assert!(!validator.agrees_with(&weak_headers, None));
    }

    #[test]
    fn settled_last_modified_time_must_not_change() {
        let validator = Validator::from_head(&headers(&[("last-modified", OLD_DATE)]), b"head");
        assert!(validator.agrees_with(&headers(&[("last-modified", OLD_DATE)]), Some(b"head")));
        assert!(!validator.agrees_with(&headers(&[("last-modified", LATER_DATE)]), Some(b"head")));
        assert!(validator.agrees_with(&headers(&[]), Some(b"head")));
    }

    #[test]
    fn recent_last_modified_time_is_ignored() {
        let recent_headers =
            headers(&[("last-modified", OLD_DATE), ("date", "Sun, 06 Nov 1994 08:50:00 GMT")]);
        let validator = Validator::from_head(&recent_headers, b"head");
        assert!(validator.agrees_with(&headers(&[("last-modified", LATER_DATE)]), Some(b"head")));
    }

    #[test]
    fn text_form_of_validator_can_be_parsed() {
        let settled_headers = headers(&[("last-modified", OLD_DATE)]);
        for validator in [
            Validator::from_strong_tag("\"a;last-modified:b\""),
            Validator::from_head(&settled_headers, b"head"),
            Validator::from_head(&headers(&[]), b"head"),
        ] {
            assert_eq!(Validator::parse(&validator.to_text()), Some(validator));
        }
        assert_eq!(Validator::parse("W/\"a\""), None);
        assert_eq!(Validator::parse(""), None);
    }
}

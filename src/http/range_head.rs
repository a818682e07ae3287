//! Checks the head of a reply to a range request.

use std::time::SystemTime;

use reqwest::StatusCode;
use reqwest::header::{CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap};

use super::range::{ByteRange, ExpectedFile, Validator};
use super::range_error::RangeError;
use super::retry;
use crate::model::BodyKind;

/// Upper bound for the length of a file, 1 PiB: a thousand years of video. The kernel permanently
/// rejects a file of 2^63 bytes.
const MAX_FILE_LENGTH: u64 = 1 << 50;

/// The content of a checked head.
#[derive(Debug)]
pub(super) struct RangeHead {
    /// Offset after the last byte of the body.
    pub(super) end: u64,
    /// Length of the whole file, in bytes.
    pub(super) total: u64,
    pub(super) validator: Option<Validator>,
}

impl RangeHead {
    pub(super) fn check(
        status: StatusCode,
        headers: &HeaderMap,
        range: ByteRange,
        expected: &ExpectedFile,
    ) -> Result<Self, RangeError> {
        match status.as_u16() {
            200 | 206 | 416 => {}
            401 | 403 => return Err(RangeError::Refused(format!("status {}", status.as_u16()))),
            404 | 410 => return Err(RangeError::Missing(format!("status {}", status.as_u16()))),
            // A URL that redirects again is not the signed URL that it was taken for.
            300..=399 => return Err(RangeError::Refused(format!("status {}", status.as_u16()))),
            429 => {
                let wait = retry::retry_after(headers, SystemTime::now())
                    .unwrap_or_else(retry::default_retry_after);
                return Err(RangeError::Transient(
                    "status 429, too many requests".into(),
                    Some(wait),
                ));
            }
            other => {
                let wait = retry::retry_after(headers, SystemTime::now());
                return Err(RangeError::Transient(format!("status {other}"), wait));
            }
        }
        let media_type = text(headers, &CONTENT_TYPE).unwrap_or_default().to_ascii_lowercase();
        if media_type.starts_with("text/html") {
            return Err(RangeError::Refused(format!(
                "status {} with an HTML page",
                status.as_u16()
            )));
        }
        if media_type.starts_with("application/json") && expected.body != BodyKind::Json {
            return Err(RangeError::Refused(format!(
                "status {} with a JSON object",
                status.as_u16()
            )));
        }
        if text(headers, &CONTENT_ENCODING)
            .is_some_and(|coding| !coding.eq_ignore_ascii_case("identity"))
        {
            return Err(RangeError::transient("the body is compressed against the request"));
        }
        let head =
            match (status.as_u16(), text(headers, &CONTENT_RANGE).and_then(ContentRange::parse)) {
                (206, Some(ContentRange { span: Some((first, last)), total })) => {
                    if first != range.start || last >= range.end || last < first || last >= total {
                        return Err(RangeError::transient(format!(
                            "bytes {first}-{last} were sent for a request from byte {}",
                            range.start
                        )));
                    }
                    Self { end: last + 1, total, validator: None }
                }
                (206, _) => {
                    return Err(RangeError::transient("status 206 without a usable Content-Range"));
                }
                (416, Some(ContentRange { total, .. }))
                    if expected.total != Some(total) && range.start >= total =>
                {
                    return Err(RangeError::WrongTotal { served: total });
                }
                (416, _) => {
                    return Err(RangeError::transient("status 416 to a range within the file"));
                }
                // A 200 to a range request is the whole file from byte 0 (RFC 9110, 14.2). It
                // serves a range that starts there and would corrupt any other.
                _ => match content_length(headers) {
                    Some(total) if range.start == 0 && total > 0 => {
                        Self { end: range.end.min(total), total, validator: None }
                    }
                    _ => {
                        return Err(RangeError::transient(
                            "status 200 with the whole file in place of a range",
                        ));
                    }
                },
            };
        if expected.total.is_some_and(|total| total != head.total) {
            return Err(RangeError::WrongTotal { served: head.total });
        }
        let validator = strong_validator(headers);
        match (&expected.validator, &validator) {
            (Some(before), Some(now)) if before != now => {
                Err(RangeError::Changed("the server has another content at the same URL".into()))
            }
            _ => Ok(Self { validator, ..head }),
        }
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &reqwest::header::HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

pub(super) fn content_length(headers: &HeaderMap) -> Option<u64> {
    let length = text(headers, &reqwest::header::CONTENT_LENGTH).and_then(number);
    length.filter(|length| *length <= MAX_FILE_LENGTH)
}

fn strong_validator(headers: &HeaderMap) -> Option<Validator> {
    let tag = text(headers, &ETAG)?;
    (tag.len() > 2 && tag.starts_with('"')).then(|| Validator::new(tag))
}

/// `bytes FIRST-LAST/TOTAL` or `bytes */TOTAL` (RFC 9110, 14.4).
#[derive(Debug, PartialEq, Eq)]
struct ContentRange {
    span: Option<(u64, u64)>,
    total: u64,
}

impl ContentRange {
    fn parse(value: &str) -> Option<Self> {
        let (unit, rest) = value.split_once(' ')?;
        let (span, total) = rest.trim().split_once('/')?;
        let total = number(total).filter(|total| *total <= MAX_FILE_LENGTH)?;
        if !unit.eq_ignore_ascii_case("bytes") {
            return None;
        }
        if span == "*" {
            return Some(Self { span: None, total });
        }
        let (first, last) = span.split_once('-')?;
        Some(Self { span: Some((number(first)?, number(last)?)), total })
    }
}

/// Parses digits only: `u64::from_str` also accepts a plus sign.
fn number(digits: &str) -> Option<u64> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE_10: ByteRange = ByteRange { start: 10, end: 20 };

    fn expected(total: u64) -> ExpectedFile {
        ExpectedFile { total: Some(total), body: BodyKind::Opaque, validator: None }
    }

    fn check(
        status: u16,
        headers: &[(&str, &str)],
        range: ByteRange,
        e: &ExpectedFile,
    ) -> Result<RangeHead, RangeError> {
        let headers = headers
            .iter()
            .map(|(k, v)| (k.parse::<reqwest::header::HeaderName>().unwrap(), v.parse().unwrap()))
            .collect();
        RangeHead::check(StatusCode::from_u16(status).unwrap(), &headers, range, e)
    }

    #[test]
    fn only_the_requested_range_is_accepted() {
        let good =
            check(206, &[("content-range", "bytes 10-19/100")], RANGE_10, &expected(100)).unwrap();
        assert_eq!((good.end, good.total), (20, 100));
        for bad in [
            "bytes 11-19/100",
            "bytes 0-9/100",
            "bytes 10-20/100",
            "bytes 10-9/100",
            "bytes 10-19/*",
            "bytes */100",
            "bytes 10-19/15",
            "bytes +10-19/100",
            "items 10-19/100",
            "",
        ] {
            let reply = check(206, &[("content-range", bad)], RANGE_10, &expected(100));
            assert!(reply.is_err(), "{bad}: {reply:?}");
        }
        assert!(check(206, &[], RANGE_10, &expected(100)).is_err());
    }

    #[test]
    fn a_whole_file_serves_ranges_from_byte_zero() {
        let whole = [("content-length", "100")];
        assert!(matches!(
            check(200, &whole, RANGE_10, &expected(100)),
            Err(RangeError::Transient(..))
        ));
        let head = check(200, &whole, ByteRange { start: 0, end: 20 }, &expected(100)).unwrap();
        assert_eq!((head.end, head.total), (20, 100));
    }

    #[test]
    fn another_total_is_not_a_transient_error() {
        let reply = check(206, &[("content-range", "bytes 10-19/101")], RANGE_10, &expected(100));
        assert!(matches!(reply, Err(RangeError::WrongTotal { served: 101 })), "{reply:?}");
        let reply = check(416, &[("content-range", "bytes */5")], RANGE_10, &expected(100));
        assert!(matches!(reply, Err(RangeError::WrongTotal { served: 5 })), "{reply:?}");
        let contradiction =
            check(416, &[("content-range", "bytes */15")], RANGE_10, &expected(100));
        assert!(matches!(contradiction, Err(RangeError::Transient(..))), "{contradiction:?}");
        let huge = check(
            206,
            &[("content-range", "bytes 10-19/9223372036854775808")],
            RANGE_10,
            &expected(100),
        );
        assert!(matches!(huge, Err(RangeError::Transient(..))), "{huge:?}");
    }

    #[test]
    fn pages_and_json_objects_refuse_the_lease() {
        for (status, kind) in
            [(200, "text/html"), (206, "Text/HTML; charset=utf-8"), (200, "application/json")]
        {
            let headers = [("content-type", kind), ("content-range", "bytes 10-19/100")];
            let reply = check(status, &headers, RANGE_10, &expected(100));
            assert!(matches!(reply, Err(RangeError::Refused(_))), "{status} {kind}: {reply:?}");
        }
        for status in [401, 403, 302] {
            assert!(matches!(
                check(status, &[], RANGE_10, &expected(100)),
                Err(RangeError::Refused(_))
            ));
        }
        for status in [404, 410] {
            assert!(matches!(
                check(status, &[], RANGE_10, &expected(100)),
                Err(RangeError::Missing(_))
            ));
        }
    }

    #[test]
    fn only_strong_validators_must_not_change() {
        let range = ("content-range", "bytes 10-19/100");
        let first = check(206, &[range, ("etag", "\"a\"")], RANGE_10, &expected(100)).unwrap();
        let known = ExpectedFile { validator: first.validator, ..expected(100) };
        assert!(check(206, &[range, ("etag", "\"a\"")], RANGE_10, &known).is_ok());
        assert!(check(206, &[range, ("etag", "W/\"b\"")], RANGE_10, &known).is_ok());
        let other = check(206, &[range, ("etag", "\"b\"")], RANGE_10, &known);
        assert!(matches!(other, Err(RangeError::Changed(_))), "{other:?}");
    }
}

//! Checks the head of a reply to a range request.

use std::time::SystemTime;

use reqwest::StatusCode;
use reqwest::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HeaderMap, TRANSFER_ENCODING,
};

use super::headers::{first_value, list_values, single_value};
use super::range::{ByteRange, ExpectedFile};
use super::range_error::RangeError;
use super::retry;
use super::validator::VersionHeaders;
use crate::model::BodyKind;

/// Maximum length of a file that a reply may state: 1 PiB, which is a thousand years of video. The
/// kernel would permanently reject a file of 2^63 bytes or more.
const MAX_FILE_LENGTH: u64 = 1 << 50;

/// The values from a reply head that has passed all checks.
#[derive(Debug)]
pub(super) struct RangeHead {
    /// Whether the body is the whole file instead of the range. Some servers ignore `Range`, as RFC
    /// 9110, 14.2 allows.
    pub(super) is_whole_file: bool,
    /// Offset in the file at which the requested bytes of the body end.
    pub(super) end: u64,
    /// Length of the whole file, in bytes.
    pub(super) total_length: u64,
    /// Whether no header states the length of the body.
    pub(super) is_length_unknown: bool,
    pub(super) version: VersionHeaders,
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
            401 | 403 => {
                return Err(RangeError::Refused(format!(
                    "the server returned status {}",
                    status.as_u16()
                )));
            }
            404 | 410 => {
                return Err(RangeError::Missing(format!(
                    "the server returned status {}",
                    status.as_u16()
                )));
            }
            // A signed URL does not redirect, so this URL is not signed.
            300..=399 => {
                return Err(RangeError::Refused(format!(
                    "the server returned status {}",
                    status.as_u16()
                )));
            }
            429 => {
                let wait = retry::retry_after(headers, SystemTime::now());
                return Err(RangeError::Throttled(
                    "the server returned status 429 (too many requests)".into(),
                    wait,
                ));
            }
            other => {
                let wait = retry::retry_after(headers, SystemTime::now());
                let cause = format!("the server returned status {other}");
                return Err(match other {
                    503 => RangeError::Throttled(cause, wait),
                    408 | 500..=599 => RangeError::Broken(cause, wait),
                    _ => RangeError::Transient(cause, wait),
                });
            }
        }
        let media_type =
            first_value(headers, &CONTENT_TYPE).unwrap_or_default().to_ascii_lowercase();
        if media_type.starts_with("text/html") {
            return Err(RangeError::Refused(format!(
                "the server returned status {} with an HTML page",
                status.as_u16()
            )));
        }
        if media_type.starts_with("application/json") && expected.body != BodyKind::Json {
            return Err(RangeError::Refused(format!(
                "the server returned status {} with a JSON object",
                status.as_u16()
            )));
        }
        check_codings(headers)?;
        let content_range = ContentRange::from_headers(headers)?;
        let length = content_length(headers)?;
        let version = VersionHeaders::from_headers(headers);
        let head = match (status.as_u16(), content_range) {
            (206, Some(ContentRange { span: Some((first, last)), total_length })) => {
                let Some(total_length) = total_length.or(expected.total_length) else {
                    return Err(RangeError::transient(
                        "the reply does not state the length of the file",
                    ));
                };
                if first != range.start || last >= range.end || last < first || last >= total_length
                {
                    return Err(RangeError::transient(format!(
                        "the reply contains bytes {first}-{last}, but the request began at byte {}",
                        range.start
                    )));
                }
                let range_length = last + 1 - first;
                if length.is_some_and(|length| length != range_length) {
                    return Err(RangeError::transient(format!(
                        "Content-Length and Content-Range contradict each other: {} and \
                         {range_length} bytes",
                        length.unwrap_or_default()
                    )));
                }
                let end = last + 1;
                let is_length_unknown = length.is_none();
                Self { is_whole_file: false, end, total_length, is_length_unknown, version }
            }
            (206, _) => {
                return Err(RangeError::transient(
                    "the server returned status 206 without a valid Content-Range",
                ));
            }
            (416, Some(ContentRange { total_length: Some(total_length), .. }))
                if expected.total_length != Some(total_length) && range.start >= total_length =>
            {
                return Err(RangeError::WrongTotal { served_length: total_length });
            }
            (416, _) => {
                return Err(RangeError::transient(
                    "the server returned status 416 for a range within the file",
                ));
            }
            // Some proxies change the status of a reply that contains only the range.
            (_, Some(range)) if !range.is_whole_file(length) => {
                return Err(RangeError::transient(
                    "the status 200 contradicts the Content-Range of the reply",
                ));
            }
            // A reply with status 200 to a range request contains the whole file from byte 0 (RFC
            // 9110, 14.2).
            _ => match length.or(expected.total_length) {
                Some(total_length) if total_length > range.start => Self {
                    is_whole_file: true,
                    end: range.end.min(total_length),
                    total_length,
                    is_length_unknown: length.is_none(),
                    version,
                },
                Some(total_length) if expected.total_length != Some(total_length) => {
                    return Err(RangeError::WrongTotal { served_length: total_length });
                }
                _ => {
                    return Err(RangeError::transient(
                        "the server returned the whole file instead of a range (status 200)",
                    ));
                }
            },
        };
        if expected.total_length.is_some_and(|total_length| total_length != head.total_length) {
            return Err(RangeError::WrongTotal { served_length: head.total_length });
        }
        Ok(head)
    }
}

/// Rejects a body with a content coding or transfer coding, because its bytes differ from those of
/// the file.
fn check_codings(headers: &HeaderMap) -> Result<(), RangeError> {
    let mut content_codings = list_values(headers, &CONTENT_ENCODING);
    if content_codings.any(|coding| !coding.eq_ignore_ascii_case("identity")) {
        return Err(RangeError::transient(
            "the body is compressed although the request forbids it",
        ));
    }
    let mut transfer_codings = list_values(headers, &TRANSFER_ENCODING);
    if transfer_codings.any(|coding| {
        !coding.eq_ignore_ascii_case("chunked") && !coding.eq_ignore_ascii_case("identity")
    }) {
        return Err(RangeError::transient("the body has an unsupported transfer coding"));
    }
    Ok(())
}

/// Returns the length of a body, or `None` if no header states it.
pub(super) fn content_length(headers: &HeaderMap) -> Result<Option<u64>, RangeError> {
    let Some(value) = single_value(headers, &CONTENT_LENGTH)? else { return Ok(None) };
    let mut lengths = value.split(',').map(|length| parse_number(length.trim()));
    let first_length = lengths.next().flatten();
    match first_length.filter(|length| *length <= MAX_FILE_LENGTH) {
        Some(length) if lengths.all(|other| other == Some(length)) => Ok(Some(length)),
        _ => Err(RangeError::transient("invalid Content-Length")),
    }
}

/// The value of a `Content-Range` header: `bytes FIRST-LAST/TOTAL`, `bytes FIRST-LAST/*` or `bytes
/// */TOTAL` (RFC 9110, 14.4).
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ContentRange {
    pub(super) span: Option<(u64, u64)>,
    pub(super) total_length: Option<u64>,
}

impl ContentRange {
    /// Returns the `Content-Range` of a reply, or `None` if it is missing or cannot be parsed.
    pub(super) fn from_headers(headers: &HeaderMap) -> Result<Option<Self>, RangeError> {
        Ok(single_value(headers, &CONTENT_RANGE)?.and_then(Self::parse))
    }

    /// Whether the range is the whole file, if the body has `length` bytes.
    pub(super) fn is_whole_file(&self, length: Option<u64>) -> bool {
        let Some((0, last)) = self.span else { return false };
        let is_end =
            |length: Option<u64>| length.is_none_or(|length| last.checked_add(1) == Some(length));
        is_end(self.total_length) && is_end(length)
    }

    fn parse(value: &str) -> Option<Self> {
        let (unit, rest) = value.split_once(' ')?;
        let (span, total_length) = rest.trim().split_once('/')?;
        let total_length = match total_length {
            "*" => None,
            total_length => Some(
                parse_number(total_length)
                    .filter(|total_length| *total_length <= MAX_FILE_LENGTH)?,
            ),
        };
        if !unit.eq_ignore_ascii_case("bytes") {
            return None;
        }
        if span == "*" {
            return total_length
                .map(|total_length| Self { span: None, total_length: Some(total_length) });
        }
        let (first, last) = span.split_once('-')?;
        Some(Self { span: Some((parse_number(first)?, parse_number(last)?)), total_length })
    }
}

/// Parses a number that consists only of digits. `u64::from_str` would also accept a plus sign.
fn parse_number(digits: &str) -> Option<u64> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: ByteRange = ByteRange { start: 10, end: 20 };

    fn expected_file(total_length: u64) -> ExpectedFile {
        ExpectedFile { total_length: Some(total_length), body: BodyKind::Opaque, validator: None }
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
        let head = check(206, &[("content-range", "bytes 10-19/100")], RANGE, &expected_file(100))
            .unwrap();
        assert_eq!((head.end, head.total_length), (20, 100));
        for bad in [
            "bytes 11-19/100",
            "bytes 0-9/100",
            "bytes 10-20/100",
            "bytes 10-9/100",
            "bytes */100",
            "bytes */*",
            "bytes 10-19/15",
            "bytes +10-19/100",
            "items 10-19/100",
            "",
        ] {
            let reply = check(206, &[("content-range", bad)], RANGE, &expected_file(100));
            assert!(reply.is_err(), "{bad}: {reply:?}");
        }
        assert!(check(206, &[], RANGE, &expected_file(100)).is_err());
    }

    #[test]
    fn whole_file_is_accepted_in_place_of_a_range() {
        let headers = [("content-length", "100")];
        let head = check(200, &headers, RANGE, &expected_file(100)).unwrap();
        assert_eq!((head.is_whole_file, head.end, head.total_length), (true, 20, 100));
        let head =
            check(200, &headers, ByteRange { start: 0, end: 20 }, &expected_file(100)).unwrap();
        assert_eq!((head.is_whole_file, head.end, head.is_length_unknown), (true, 20, false));
        let head = check(200, &[], RANGE, &expected_file(100)).unwrap();
        assert!(head.is_length_unknown);
        let reply = check(200, &[("content-length", "5")], RANGE, &expected_file(100));
        assert!(matches!(reply, Err(RangeError::WrongTotal { served_length: 5 })), "{reply:?}");
        for (range, is_accepted) in [
            ("bytes 0-99/100", true),
            ("bytes 0-99/*", true),
            ("bytes 0-98/100", false),
            ("bytes 10-19/100", false),
            ("bytes */100", false),
            ("bytes 0-18446744073709551615/100", false),
        ] {
            let headers = [("content-length", "100"), ("content-range", range)];
            let reply = check(200, &headers, RANGE, &expected_file(100));
            assert_eq!(reply.is_ok(), is_accepted, "{range}: {reply:?}");
        }
    }

    #[test]
    fn wrong_total_is_not_a_transient_error() {
        let reply = check(206, &[("content-range", "bytes 10-19/101")], RANGE, &expected_file(100));
        assert!(matches!(reply, Err(RangeError::WrongTotal { served_length: 101 })), "{reply:?}");
        let reply = check(416, &[("content-range", "bytes */5")], RANGE, &expected_file(100));
        assert!(matches!(reply, Err(RangeError::WrongTotal { served_length: 5 })), "{reply:?}");
        let reply = check(416, &[("content-range", "bytes */15")], RANGE, &expected_file(100));
        assert!(matches!(reply, Err(RangeError::Transient(..))), "{reply:?}");
        let huge_total = check(
            206,
            &[("content-range", "bytes 10-19/9223372036854775808")],
            RANGE,
            &expected_file(100),
        );
        assert!(matches!(huge_total, Err(RangeError::Transient(..))), "{huge_total:?}");
    }

    #[test]
    fn reply_without_the_file_is_a_refusal() {
        for (status, kind) in
            [(200, "text/html"), (206, "Text/HTML; charset=utf-8"), (200, "application/json")]
        {
            let headers = [("content-type", kind), ("content-range", "bytes 10-19/100")];
            let reply = check(status, &headers, RANGE, &expected_file(100));
            assert!(matches!(reply, Err(RangeError::Refused(_))), "{status} {kind}: {reply:?}");
        }
        for status in [401, 403, 302] {
            assert!(matches!(
                check(status, &[], RANGE, &expected_file(100)),
                Err(RangeError::Refused(_))
            ));
        }
        for status in [404, 410] {
            assert!(matches!(
                check(status, &[], RANGE, &expected_file(100)),
                Err(RangeError::Missing(_))
            ));
        }
    }

    #[test]
    fn contradicting_headers_are_rejected() {
        let range = ("content-range", "bytes 10-19/100");
        let invalid_replies: [&[(&str, &str)]; 8] = [
            &[range, ("content-range", "bytes 10-19/101")],
            &[range, ("content-length", "59")],
            &[range, ("content-length", "10"), ("content-length", "11")],
            &[range, ("content-length", "10, 11")],
            &[range, ("content-length", "ten")],
            &[range, ("content-encoding", "identity"), ("content-encoding", "gzip")],
            &[range, ("transfer-encoding", "gzip, chunked")],
            &[range, ("transfer-encoding", "gzip"), ("transfer-encoding", "chunked")],
        ];
        for headers in invalid_replies {
            let reply = check(206, headers, RANGE, &expected_file(100));
            assert!(matches!(reply, Err(RangeError::Transient(..))), "{headers:?}: {reply:?}");
        }
        let valid_replies: [&[(&str, &str)]; 4] = [
            &[range, range],
            &[range, ("content-length", "10"), ("content-length", "10")],
            &[range, ("content-length", "10, 10")],
            &[range, ("content-encoding", "identity"), ("transfer-encoding", "chunked")],
        ];
        for headers in valid_replies {
            let reply = check(206, headers, RANGE, &expected_file(100));
            assert!(reply.is_ok(), "{headers:?}: {reply:?}");
        }
    }

    #[test]
    fn missing_total_is_taken_from_the_listing() {
        let range = [("content-range", "bytes 10-19/*")];
        assert_eq!(check(206, &range, RANGE, &expected_file(100)).unwrap().total_length, 100);
        assert!(check(206, &range, RANGE, &expected_file(15)).is_err());
        let file_of_unknown_length = ExpectedFile { total_length: None, ..expected_file(0) };
        assert!(check(206, &range, RANGE, &file_of_unknown_length).is_err());
    }

    #[test]
    fn reply_with_a_shorter_range_is_accepted() {
        let head = check(206, &[("content-range", "bytes 10-14/100")], RANGE, &expected_file(100))
            .unwrap();
        assert_eq!(head.end, 15);
    }
}

//! One range request, believed only after every part of the reply was checked.

use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use reqwest::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, RANGE,
};
use reqwest::{Response, StatusCode};

use super::client::{Client, sensitive};
use super::connection_pool::{ConnectionPermit, TrafficClass};
use super::error::cause_of;
use super::error_object::{self, is_error_object};
use super::retry;
use crate::model::{BodyKind, Lease};

/// Bytes `start..end` of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    /// Offset of the first byte.
    pub start: u64,
    /// Offset after the last byte; greater than `start`.
    pub end: u64,
}

impl ByteRange {
    /// Length in bytes.
    pub fn len(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    /// Whether there is nothing to fetch.
    pub fn is_empty(&self) -> bool {
        self.start >= self.end
    }
}

/// What is known of the file before it is asked for.
#[derive(Clone, Debug)]
pub struct ExpectedFile {
    /// Its length in bytes; `None` while that is what is being found out.
    pub total: Option<u64>,
    /// What its body looks like.
    pub body: BodyKind,
    /// The strong validator seen earlier: the same file version never has two.
    pub validator: Option<Validator>,
}

/// A strong entity tag (RFC 9110, 8.8.3). Weak ones say nothing about bytes and are not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validator(Box<str>);

impl Validator {
    /// One that was seen before.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// As the server writes it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a reply was not believed, or did not come.
#[derive(Clone, Debug)]
pub(crate) enum RangeError {
    /// The lease is no good: 401, 403, or a page or an error object in place of the file.
    Refused(String),
    /// There is nothing at the lease's address: 404, 410.
    Missing(String),
    /// Whole and under the right type, but not the file: it begins like something else.
    NotTheFile(String),
    /// It may work next time; the server may have asked for a wait.
    Again(String, Option<Duration>),
    /// The file is served with another length.
    WrongTotal {
        /// Length served, in bytes.
        served: u64,
    },
    /// The file is served with another strong validator.
    Changed(String),
}

/// A believed reply: yields exactly the bytes of its range, or an error.
#[derive(Debug)]
pub(crate) struct RangeBody {
    response: Response,
    /// Bytes read ahead of the caller to check the beginning of the file.
    checked: Option<Bytes>,
    next: u64,
    end: u64,
    idle: Duration,
    /// Length of the whole file, in bytes.
    pub(crate) total: u64,
    /// The reply's strong validator.
    pub(crate) validator: Option<Validator>,
    _place: Option<ConnectionPermit>,
}

/// The longest file that is believed, 1 PiB: a thousand years of video. The kernel gives up on a file of 2^63 bytes
/// for good.
const MAX_FILE: u64 = 1 << 50;

/// How many bytes [`BodyKind`] wants to see: `ftyp` ends at byte 8, a byte order mark and `WEBVTT` at byte 9.
const MAGIC_LENGTH: usize = 9;

impl Client {
    /// Asks for `range` under `lease`. `idle` bounds the wait for the reply and for each piece of its body.
    pub(crate) async fn open_range(
        &self,
        lease: &Lease,
        range: ByteRange,
        expected: &ExpectedFile,
        class: TrafficClass,
        idle: Duration,
    ) -> Result<RangeBody, RangeError> {
        let place = self.place(&lease.url, class).await;
        let mut request = self
            .get(&lease.url)
            .header(RANGE, format!("bytes={}-{}", range.start, range.end.saturating_sub(1)));
        if let Some(value) = lease.authorization() {
            let value = sensitive(value).map_err(|error| RangeError::Refused(error.to_string()))?;
            request = request.header(AUTHORIZATION, value);
        }
        let asked = self.asked(&lease.url);
        let response = match tokio::time::timeout(idle, request.send()).await {
            Err(_elapsed) => {
                asked.failed();
                return Err(again(format!("no answer within {} s", idle.as_secs_f32())));
            }
            Ok(Err(error)) => {
                asked.failed();
                return Err(again(cause_of(error)));
            }
            Ok(Ok(response)) => response,
        };
        asked.answered_with(response.status());
        let mut response = response;
        let head = Head::check(response.status(), response.headers(), range, expected);
        let whole = match expected.body {
            BodyKind::Json => whole_if_short(&mut response, idle).await?,
            _ => None,
        };
        if whole.as_ref().is_some_and(|body| is_error_object(body)) {
            return Err(RangeError::Refused("status 200 with an error object".into()));
        }
        let head = head?;
        if head.end < range.end && expected.total.is_some() {
            return Err(again(format!(
                "bytes up to {} were asked for, up to {} came",
                range.end, head.end
            )));
        }
        let mut body = RangeBody {
            response,
            checked: whole,
            next: range.start,
            end: head.end,
            idle,
            total: head.total,
            validator: head.validator,
            _place: place,
        };
        if range.start == 0 {
            body.check_beginning(expected.body).await?;
        }
        Ok(body)
    }
}

impl RangeBody {
    /// The next piece, never empty; `None` after the last byte of the range.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, RangeError> {
        if self.next >= self.end {
            return Ok(None);
        }
        let mut piece = match self.checked.take() {
            Some(piece) => piece,
            None => self.receive().await?,
        };
        let missing = self.end - self.next;
        if piece.len() as u64 > missing {
            // A whole file accepted for a range from its start goes on past the range.
            piece.truncate(usize::try_from(missing).unwrap_or(usize::MAX));
        }
        self.next += piece.len() as u64;
        Ok(Some(piece))
    }

    /// Offset of the byte that the next piece begins with.
    pub(crate) fn position(&self) -> u64 {
        self.next
    }

    async fn receive(&mut self) -> Result<Bytes, RangeError> {
        loop {
            match tokio::time::timeout(self.idle, self.response.chunk()).await {
                Err(_elapsed) => {
                    return Err(again(format!(
                        "the body stood still for {} s",
                        self.idle.as_secs_f32()
                    )));
                }
                Ok(Err(error)) => {
                    return Err(again(format!("the body broke off ({})", cause_of(error))));
                }
                Ok(Ok(None)) => {
                    return Err(again(format!(
                        "the body ended {} bytes early",
                        self.end - self.next
                    )));
                }
                Ok(Ok(Some(piece))) if piece.is_empty() => {}
                Ok(Ok(Some(piece))) => return Ok(piece),
            }
        }
    }

    async fn check_beginning(&mut self, kind: BodyKind) -> Result<(), RangeError> {
        let wanted = usize::try_from(self.end).unwrap_or(usize::MAX).min(MAGIC_LENGTH);
        if matches!(kind, BodyKind::Opaque | BodyKind::Json) || wanted < MAGIC_LENGTH {
            return Ok(());
        }
        let mut beginning = self.receive().await?;
        if beginning.len() < wanted {
            let mut joined = BytesMut::from(beginning.as_ref());
            while joined.len() < wanted {
                joined.extend_from_slice(&self.receive().await?);
            }
            beginning = joined.freeze();
        }
        if !begins_like(kind, &beginning) {
            return Err(RangeError::NotTheFile("the body does not begin like such a file".into()));
        }
        self.checked = Some(beginning);
        Ok(())
    }
}

/// The body of a 200 that is no longer than an error object. Its length is none that was asked for, so it is
/// looked at before anything is concluded from it.
async fn whole_if_short(
    response: &mut Response,
    idle: Duration,
) -> Result<Option<Bytes>, RangeError> {
    let length = content_length(response.headers()).unwrap_or(u64::MAX);
    if response.status() != StatusCode::OK || length > error_object::MAX_LENGTH {
        return Ok(None);
    }
    let mut body = BytesMut::new();
    while (body.len() as u64) < length {
        match tokio::time::timeout(idle, response.chunk()).await {
            Ok(Ok(Some(piece))) => body.extend_from_slice(&piece),
            Ok(Ok(None)) => return Err(again("the body ended early".into())),
            Ok(Err(error)) => {
                return Err(again(format!("the body broke off ({})", cause_of(error))));
            }
            Err(_elapsed) => {
                return Err(again(format!("the body stood still for {} s", idle.as_secs_f32())));
            }
        }
    }
    Ok((!body.is_empty()).then(|| body.freeze()))
}

fn again(why: String) -> RangeError {
    RangeError::Again(why, None)
}

fn begins_like(kind: BodyKind, bytes: &[u8]) -> bool {
    match kind {
        BodyKind::IsoMedia => bytes.get(4..8) == Some(b"ftyp".as_slice()),
        BodyKind::WebVtt => {
            bytes.strip_prefix(b"\xEF\xBB\xBF".as_slice()).unwrap_or(bytes).starts_with(b"WEBVTT")
        }
        BodyKind::Json | BodyKind::Opaque => true,
    }
}

/// What the head of a believed reply says.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) end: u64,
    pub(super) total: u64,
    validator: Option<Validator>,
}

impl Head {
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
            // A link that redirects again is not the signed address it was taken for.
            300..=399 => return Err(RangeError::Refused(format!("status {}", status.as_u16()))),
            429 => {
                let wait = retry::retry_after(headers, SystemTime::now())
                    .unwrap_or_else(retry::unstated_wait);
                return Err(RangeError::Again("status 429, too many requests".into(), Some(wait)));
            }
            other => {
                let wait = retry::retry_after(headers, SystemTime::now());
                return Err(RangeError::Again(format!("status {other}"), wait));
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
            return Err(again("the body is compressed though that was not asked for".into()));
        }
        let head =
            match (status.as_u16(), text(headers, &CONTENT_RANGE).and_then(ContentRange::parse)) {
                (206, Some(ContentRange { span: Some((first, last)), total })) => {
                    if first != range.start || last >= range.end || last < first || last >= total {
                        return Err(again(format!(
                            "bytes {}- were asked for, {first}-{last} came",
                            range.start
                        )));
                    }
                    Self { end: last + 1, total, validator: None }
                }
                (206, _) => return Err(again("status 206 without a usable Content-Range".into())),
                (416, Some(ContentRange { total, .. }))
                    if expected.total != Some(total) && range.start >= total =>
                {
                    return Err(RangeError::WrongTotal { served: total });
                }
                (416, _) => return Err(again("status 416 to a range within the file".into())),
                // A 200 to a range request is the whole file from byte 0 (RFC 9110, 14.2). It serves a range that
                // begins there, and would corrupt any other.
                _ => match content_length(headers) {
                    Some(total) if range.start == 0 && total > 0 => {
                        Self { end: range.end.min(total), total, validator: None }
                    }
                    _ => {
                        return Err(again(
                            "status 200 with the whole file in place of a range".into(),
                        ));
                    }
                },
            };
        if expected.total.is_some_and(|total| total != head.total) {
            return Err(RangeError::WrongTotal { served: head.total });
        }
        let validator = strong_validator(headers);
        match (&expected.validator, &validator) {
            (Some(before), Some(now)) if before != now => Err(RangeError::Changed(
                "the server has another content under the same link".into(),
            )),
            _ => Ok(Self { validator, ..head }),
        }
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &reqwest::header::HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    let length = text(headers, &reqwest::header::CONTENT_LENGTH).and_then(number);
    length.filter(|length| *length <= MAX_FILE)
}

fn strong_validator(headers: &HeaderMap) -> Option<Validator> {
    let tag = text(headers, &ETAG)?;
    (tag.len() > 2 && tag.starts_with('"')).then(|| Validator(tag.into()))
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
        let total = number(total).filter(|total| *total <= MAX_FILE)?;
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

/// Digits alone: `u64::from_str` would also take a plus sign.
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
    ) -> Result<Head, RangeError> {
        let headers = headers
            .iter()
            .map(|(k, v)| (k.parse::<reqwest::header::HeaderName>().unwrap(), v.parse().unwrap()))
            .collect();
        Head::check(StatusCode::from_u16(status).unwrap(), &headers, range, e)
    }

    #[test]
    fn only_the_range_that_was_asked_for_is_believed() {
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
    fn a_whole_file_serves_a_range_from_its_start_only() {
        let whole = [("content-length", "100")];
        assert!(matches!(check(200, &whole, RANGE_10, &expected(100)), Err(RangeError::Again(..))));
        let head = check(200, &whole, ByteRange { start: 0, end: 20 }, &expected(100)).unwrap();
        assert_eq!((head.end, head.total), (20, 100));
    }

    #[test]
    fn another_total_is_told_apart_from_a_fault() {
        let reply = check(206, &[("content-range", "bytes 10-19/101")], RANGE_10, &expected(100));
        assert!(matches!(reply, Err(RangeError::WrongTotal { served: 101 })), "{reply:?}");
        let reply = check(416, &[("content-range", "bytes */5")], RANGE_10, &expected(100));
        assert!(matches!(reply, Err(RangeError::WrongTotal { served: 5 })), "{reply:?}");
        let lie = check(416, &[("content-range", "bytes */15")], RANGE_10, &expected(100));
        assert!(matches!(lie, Err(RangeError::Again(..))), "{lie:?}");
        let huge = check(
            206,
            &[("content-range", "bytes 10-19/9223372036854775808")],
            RANGE_10,
            &expected(100),
        );
        assert!(matches!(huge, Err(RangeError::Again(..))), "{huge:?}");
    }

    #[test]
    fn pages_and_error_objects_refuse_the_lease() {
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
    fn a_strong_validator_may_not_change_and_a_weak_one_says_nothing() {
        let range = ("content-range", "bytes 10-19/100");
        let first = check(206, &[range, ("etag", "\"a\"")], RANGE_10, &expected(100)).unwrap();
        let known = ExpectedFile { validator: first.validator, ..expected(100) };
        assert!(check(206, &[range, ("etag", "\"a\"")], RANGE_10, &known).is_ok());
        assert!(check(206, &[range, ("etag", "W/\"b\"")], RANGE_10, &known).is_ok());
        let other = check(206, &[range, ("etag", "\"b\"")], RANGE_10, &known);
        assert!(matches!(other, Err(RangeError::Changed(_))), "{other:?}");
    }

    #[test]
    fn first_bytes_tell_media_from_pages() {
        assert!(begins_like(BodyKind::IsoMedia, b"\0\0\0\x18ftypmp42"));
        assert!(!begins_like(BodyKind::IsoMedia, b"<!DOCTYPE html>"));
        assert!(begins_like(BodyKind::WebVtt, b"WEBVTT\n\n1"));
        assert!(begins_like(BodyKind::WebVtt, b"\xEF\xBB\xBFWEBVTT"));
        assert!(!begins_like(BodyKind::WebVtt, b"{\"status\":false"));
    }
}

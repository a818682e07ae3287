//! The entry points of the fuzz targets for the parsers of reply headers.

use std::time::{Duration, SystemTime};

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::range::{ByteRange, ExpectedFile};
use super::range_head::RangeHead;
use super::{probe, retry};

/// Parses the head of a reply to a range request. Returns the end of the range and the length of
/// the file.
pub fn parse_range_head(
    status: u16,
    headers: &[(&[u8], &[u8])],
    range: ByteRange,
    expected: &ExpectedFile,
) -> Option<(u64, u64)> {
    let status = StatusCode::from_u16(status).ok()?;
    RangeHead::check(status, &valid_headers(headers), range, expected)
        .ok()
        .map(|head| (head.end, head.total_length))
}

pub fn parse_retry_after(headers: &[(&[u8], &[u8])], now: SystemTime) -> Option<Duration> {
    retry::retry_after(&valid_headers(headers), now)
}

pub fn parse_media_type(content_type: &str) -> String {
    probe::media_type(content_type)
}

/// Returns the headers that an HTTP connection would accept.
fn valid_headers(headers: &[(&[u8], &[u8])]) -> HeaderMap {
    let parse_header = |(name, value): &(&[u8], &[u8])| {
        Some((HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?))
    };
    headers.iter().filter_map(parse_header).collect()
}

//! What the fuzz targets reach of this room: heads of replies, and the little that is read of bodies.

use std::time::{Duration, SystemTime};

use reqwest::StatusCode;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use super::range::{ByteRange, ExpectedFile, Head};
use super::{error_object, probe, retry};

/// The end of the range and the length of the file that the head of a reply to a range request is believed to say.
pub fn range_head(
    status: u16,
    headers: &[(&[u8], &[u8])],
    range: ByteRange,
    expected: &ExpectedFile,
) -> Option<(u64, u64)> {
    let status = StatusCode::from_u16(status).ok()?;
    Head::check(status, &collected(headers), range, expected)
        .ok()
        .map(|head| (head.end, head.total))
}

/// The wait that the headers ask for.
pub fn retry_after(headers: &[(&[u8], &[u8])], now: SystemTime) -> Option<Duration> {
    retry::retry_after(&collected(headers), now)
}

/// The media type without its parameters.
pub fn media_type(content_type: &str) -> String {
    probe::media_type(content_type)
}

/// Whether a body is an error object.
pub fn is_error_object(body: &[u8]) -> bool {
    error_object::is_error_object(body)
}

/// Those headers that a connection would let through.
fn collected(headers: &[(&[u8], &[u8])]) -> HeaderMap {
    let legal = |(name, value): &(&[u8], &[u8])| {
        Some((HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?))
    };
    headers.iter().filter_map(legal).collect()
}

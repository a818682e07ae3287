//! Checks a file length that contradicts the listing.
//!
//! A faulty server can state any length in an error reply or in a `Content-Range`. Accepting a
//! wrong length destroys backups, because a copy that is too short replaces a good one. So a length
//! is accepted only if the server proves it with bytes.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::RANGE;

use super::client::Client;
use super::connection_pool::TrafficClass;
use super::range_body::{lease_request, receive, send};
use super::range_error::RangeError;
use super::range_head::{ContentRange, content_length};
use super::transfer::Transfer;
use crate::model::Lease;

/// Maximum length of a file that is received as a whole to prove its length, if the server ignores
/// ranges. Files whose listed length is wrong are mostly chats and transcripts, which have less
/// than a megabyte.
const MAX_WHOLE_FILE: u64 = 8 * 1024 * 1024;

/// The result of a request for one byte.
#[derive(Debug, PartialEq, Eq)]
enum ByteReply {
    /// The byte exists, and the file has this length.
    Served { total: Option<u64> },
    /// The file ends before the byte, and has this length.
    PastEnd { total: Option<u64> },
    /// The whole file was received, and it has this length.
    WholeFile(u64),
    /// Any other reply, which proves nothing.
    Unusable,
}

/// Returns whether the server proves that a file is `length` bytes long: it serves the last byte,
/// and not the byte after it. It must serve an empty file as an empty body.
///
/// # Errors
/// A request failed, so nothing is proved.
pub(super) async fn is_length_proved(
    client: &Client,
    lease: &Lease,
    length: u64,
    timeout: Duration,
) -> Result<bool, RangeError> {
    if length == 0 {
        return Ok(request_byte(client, lease, None, timeout).await? == ByteReply::WholeFile(0));
    }
    match request_byte(client, lease, Some(length - 1), timeout).await? {
        ByteReply::WholeFile(whole) => return Ok(whole == length),
        ByteReply::Served { total } if total.is_none_or(|total| total == length) => {}
        _ => return Ok(false),
    }
    let past_end = request_byte(client, lease, Some(length), timeout).await?;
    let is_end = |total: Option<u64>| total.is_none_or(|total| total == length);
    Ok(matches!(past_end, ByteReply::PastEnd { total } if is_end(total)))
}

/// Requests the byte at `offset`, or the whole file if `offset` is `None`.
async fn request_byte(
    client: &Client,
    lease: &Lease,
    offset: Option<u64>,
    timeout: Duration,
) -> Result<ByteReply, RangeError> {
    let _permit = client.connection_permit(&lease.url, TrafficClass::Brief, None).await;
    let transfer = Transfer::default();
    let mut request = lease_request(client, lease)?;
    if let Some(offset) = offset {
        request = request.header(RANGE, format!("bytes={offset}-{offset}"));
    }
    let mut response = send(client, request, lease, timeout, &transfer).await?;
    let headers = response.headers();
    let (content_range, stated) = (ContentRange::of(headers)?, content_length(headers)?);
    match (response.status(), offset, content_range) {
        (StatusCode::RANGE_NOT_SATISFIABLE, Some(_), range) => {
            Ok(ByteReply::PastEnd { total: range.and_then(|range| range.total) })
        }
        (StatusCode::PARTIAL_CONTENT, Some(offset), Some(range))
            if range.span == Some((offset, offset)) =>
        {
            let mut received = 0;
            while let Some(chunk) = receive(&mut response, timeout, &transfer).await? {
                received += chunk.len();
                if received > 1 {
                    return Ok(ByteReply::Unusable);
                }
            }
            let served = ByteReply::Served { total: range.total };
            Ok(if received == 1 { served } else { ByteReply::Unusable })
        }
        (StatusCode::OK, _, _) if stated.is_none_or(|stated| stated <= MAX_WHOLE_FILE) => {
            let mut received = 0;
            while let Some(chunk) = receive(&mut response, timeout, &transfer).await? {
                received += chunk.len() as u64;
                if received > MAX_WHOLE_FILE {
                    return Ok(ByteReply::Unusable);
                }
            }
            Ok(ByteReply::WholeFile(received))
        }
        _ => Ok(ByteReply::Unusable),
    }
}

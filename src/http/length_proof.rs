//! Proves a file length that contradicts the listing.
//!
//! A server in a fault state can state any length in a refusal or in a `Content-Range`. A length
//! that is believed wrongly destroys backups: a copy that is too short replaces a good one. So a
//! length counts only if bytes prove it.

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

/// Length up to which a whole file is received to prove its length, if the server ignores ranges.
/// Files whose listed length is wrong are mostly chats and transcripts, which are below a megabyte.
const MAX_WHOLE_FILE: u64 = 8 * 1024 * 1024;

/// What the reply to a request of one byte shows.
#[derive(Debug, PartialEq, Eq)]
enum ByteReply {
    /// The byte exists, and the file has this length.
    Served { total: Option<u64> },
    /// The file ends before the byte.
    PastEnd,
    /// The whole file was received, with this length.
    WholeFile(u64),
    /// Another reply, which proves nothing.
    Unusable,
}

/// Whether replies with bytes prove that a file is `length` bytes long: its last byte is served,
/// and the byte after it is not. An empty file must be served as an empty body.
///
/// # Errors
/// A request fails, so that nothing is proved.
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
    Ok(request_byte(client, lease, Some(length), timeout).await? == ByteReply::PastEnd)
}

/// Requests the byte at `offset`, or the whole file.
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
        (StatusCode::RANGE_NOT_SATISFIABLE, Some(_), _) => Ok(ByteReply::PastEnd),
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

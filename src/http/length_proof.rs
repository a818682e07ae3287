//! Checks a file length that differs from the listing.
//!
//! A faulty server can state any length in an error reply or in a `Content-Range` header. If meetfs
//! accepted a wrong length, it would destroy backups, because a copy that is too short would
//! replace a good one. So a length is accepted only if the server proves it with bytes.

use std::time::Duration;

use reqwest::StatusCode;
use reqwest::header::RANGE;

use super::client::Client;
use super::connection_pool::TrafficClass;
use super::range_body::{START_LENGTH, check_file_start, lease_request, receive, send};
use super::range_error::RangeError;
use super::range_head::{ContentRange, content_length};
use super::transfer::Transfer;
use crate::model::{BodyKind, Lease};

/// Maximum length of a file that is received as a whole to prove its length, if the server ignores
/// ranges. The files whose listed length is wrong are mostly chats and transcripts, which have less
/// than a megabyte.
const MAX_WHOLE_FILE_LENGTH: u64 = 8 * 1024 * 1024;

/// The result of a request for one byte.
#[derive(Debug, PartialEq, Eq)]
enum ByteReply {
    /// The server sent the byte. `total_length` is the stated length of the file.
    Served { total_length: Option<u64> },
    /// The server replied that the file ends before the byte. `total_length` is the stated length
    /// of the file.
    PastEnd { total_length: Option<u64> },
    /// The server sent the whole file, which has this length.
    WholeFile(u64),
    /// The reply proves nothing about the length.
    Unusable,
}

/// Returns whether the server proves that a file is `length` bytes long. It must serve the last
/// byte and must not serve a byte after it. If `length` is 0, it must serve the file with an empty
/// body.
///
/// Many servers and proxies that fail reply to each request with status 200 and an empty body. So
/// if the file is listed with bytes, an empty file must also be stated by status 416.
///
/// # Errors
/// A request failed, so the length is neither proved nor disproved, or the server sent something
/// other than a file of this kind.
pub(super) async fn is_length_proved(
    client: &Client,
    lease: &Lease,
    kind: BodyKind,
    length: u64,
    listed_length: Option<u64>,
    timeout: Duration,
) -> Result<bool, RangeError> {
    let is_consistent =
        |total_length: Option<u64>| total_length.is_none_or(|total_length| total_length == length);
    if length == 0 {
        let is_listed_with_bytes = listed_length.is_some_and(|listed_length| listed_length > 0);
        if is_listed_with_bytes {
            match request_byte(client, lease, kind, Some(0), timeout).await? {
                ByteReply::PastEnd { total_length } if is_consistent(total_length) => {}
                _ => return Ok(false),
            }
        }
        return Ok(
            request_byte(client, lease, kind, None, timeout).await? == ByteReply::WholeFile(0)
        );
    }
    match request_byte(client, lease, kind, Some(length - 1), timeout).await? {
        // The one byte can also be the requested range, with a wrong status.
        ByteReply::WholeFile(1) if length == 1 => {
            return Ok(
                request_byte(client, lease, kind, None, timeout).await? == ByteReply::WholeFile(1)
            );
        }
        ByteReply::WholeFile(served_length) => return Ok(served_length == length),
        ByteReply::Served { total_length }
            if total_length.is_none_or(|total_length| total_length == length) => {}
        _ => return Ok(false),
    }
    let next_byte = request_byte(client, lease, kind, Some(length), timeout).await?;
    Ok(matches!(next_byte, ByteReply::PastEnd { total_length } if is_consistent(total_length)))
}

/// Requests the byte at `offset`, or the whole file if `offset` is `None`.
async fn request_byte(
    client: &Client,
    lease: &Lease,
    kind: BodyKind,
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
    let (content_range, stated_length) =
        (ContentRange::from_headers(headers)?, content_length(headers)?);
    match (response.status(), offset, content_range) {
        (StatusCode::RANGE_NOT_SATISFIABLE, Some(_), range) => {
            Ok(ByteReply::PastEnd { total_length: range.and_then(|range| range.total_length) })
        }
        (StatusCode::PARTIAL_CONTENT, Some(offset), Some(range))
            if range.span == Some((offset, offset)) =>
        {
            let mut received_length = 0;
            while let Some(chunk) = receive(&mut response, timeout, &transfer).await? {
                received_length += chunk.len();
                if received_length > 1 {
                    return Ok(ByteReply::Unusable);
                }
            }
            let served_byte = ByteReply::Served { total_length: range.total_length };
            Ok(if received_length == 1 { served_byte } else { ByteReply::Unusable })
        }
        (StatusCode::OK, _, range)
            if range.as_ref().is_none_or(|range| range.is_whole_file(stated_length))
                && stated_length
                    .is_none_or(|stated_length| stated_length <= MAX_WHOLE_FILE_LENGTH) =>
        {
            let (mut received_length, mut start) = (0, Vec::new());
            while let Some(chunk) = receive(&mut response, timeout, &transfer).await? {
                received_length += chunk.len() as u64;
                if received_length > MAX_WHOLE_FILE_LENGTH {
                    return Ok(ByteReply::Unusable);
                }
                let missing_length = START_LENGTH.saturating_sub(start.len());
                start.extend_from_slice(chunk.get(..missing_length).unwrap_or(&chunk));
            }
            check_file_start(kind, &start)?;
            Ok(ByteReply::WholeFile(received_length))
        }
        _ => Ok(ByteReply::Unusable),
    }
}

//! One range request, whose bytes are returned only after every part of the reply was checked.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use reqwest::header::{AUTHORIZATION, RANGE};
use reqwest::{Response, StatusCode};

use super::client::{Client, SendError, sensitive};
use super::connection_pool::{ConnectionPermit, TrafficClass};
use super::error::TransportError;
use super::range::{ByteRange, ExpectedFile, Validator};
use super::range_error::RangeError;
use super::range_head::{RangeHead, content_length};
use super::transfer::{MIN_RATE, Transfer};
use crate::model::{BodyKind, Lease};

/// Bytes needed to recognize a [`BodyKind`]: `ftyp` ends at byte 8, a byte order mark and `WEBVTT`
/// at byte 9.
const MAGIC_LENGTH: usize = 9;

/// Upper bound for the length of an error object with status 200. They are below one KiB.
const MAX_ERROR_BODY_LENGTH: u64 = 4096;

/// A range request and what its reply is checked against.
pub(super) struct RangeRequest<'a> {
    pub(super) lease: &'a Lease,
    pub(super) range: ByteRange,
    pub(super) expected: &'a ExpectedFile,
    pub(super) class: TrafficClass,
    /// Measures this request, and can end it.
    pub(super) transfer: &'a Arc<Transfer>,
    /// Bound on the wait for the head and for each chunk of the body.
    pub(super) stall_timeout: Duration,
    /// Whether a short JSON body is an error object of the provider.
    pub(super) is_error_body: &'a (dyn Fn(&[u8]) -> bool + Sync),
}

/// The body of a checked reply: yields exactly the bytes of its range, or an error.
#[derive(Debug)]
pub(super) struct RangeBody {
    response: Response,
    /// Bytes received already to check the start of the file.
    checked: Option<Bytes>,
    next: u64,
    end: u64,
    stall_timeout: Duration,
    transfer: Arc<Transfer>,
    /// Length of the whole file, in bytes.
    pub(super) total: u64,
    pub(super) validator: Option<Validator>,
    _permit: Option<ConnectionPermit>,
}

impl RangeBody {
    /// Sends a range request and checks the head of the reply and the start of the body.
    pub(super) async fn open(
        client: &Client,
        request: RangeRequest<'_>,
    ) -> Result<Self, RangeError> {
        let RangeRequest { lease, range, expected, class, transfer, stall_timeout, is_error_body } =
            request;
        let permit = client.connection_permit(&lease.url, class, Some(transfer)).await;
        let mut request = client
            .get(&lease.url)
            .header(RANGE, format!("bytes={}-{}", range.start, range.end.saturating_sub(1)));
        if let Some(value) = lease.authorization() {
            let value = sensitive(value).map_err(|error| RangeError::Refused(error.to_string()))?;
            request = request.header(AUTHORIZATION, value);
        }
        let mut response = transfer
            .wait(client.send(request, &lease.url, stall_timeout))
            .await
            .ok_or_else(yielded)?
            .map_err(|error| match error {
                SendError::TimedOut => RangeError::transient(format!(
                    "no answer within {} s",
                    stall_timeout.as_secs_f32()
                )),
                SendError::Transport(error) => {
                    RangeError::transient(TransportError::new(error).to_string())
                }
            })?;
        let head = RangeHead::check(response.status(), response.headers(), range, expected);
        // The length of an error object is not that of the file, so that the body is read before
        // the result of the check is used.
        let whole = match expected.body {
            BodyKind::Json => whole_if_short(&mut response, stall_timeout, transfer).await?,
            _ => None,
        };
        if whole.as_ref().is_some_and(|body| is_error_body(body)) {
            return Err(RangeError::Refused("status 200 with an error object".into()));
        }
        let head = head?;
        if head.end < range.end && expected.total.is_some() {
            return Err(RangeError::transient(format!(
                "bytes up to {} were sent for a request up to {}",
                head.end, range.end
            )));
        }
        let mut body = Self {
            response,
            checked: whole,
            next: range.start,
            end: head.end,
            stall_timeout,
            transfer: transfer.clone(),
            total: head.total,
            validator: head.validator,
            _permit: permit,
        };
        if range.start == 0 {
            body.check_start(expected.body).await?;
        }
        Ok(body)
    }

    /// Returns the next chunk, never empty; `None` after the last byte of the range.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, RangeError> {
        if self.next >= self.end {
            return Ok(None);
        }
        let mut chunk = match self.checked.take() {
            Some(chunk) => chunk,
            None => self.receive().await?,
        };
        let missing = self.end - self.next;
        if chunk.len() as u64 > missing {
            // A whole file that is accepted for a range from its start continues after the range.
            chunk.truncate(usize::try_from(missing).unwrap_or(usize::MAX));
        }
        self.next += chunk.len() as u64;
        Ok(Some(chunk))
    }

    /// Returns the offset of the next byte.
    pub(super) fn position(&self) -> u64 {
        self.next
    }

    async fn receive(&mut self) -> Result<Bytes, RangeError> {
        loop {
            match receive(&mut self.response, self.stall_timeout, &self.transfer).await? {
                None => {
                    return Err(RangeError::transient(format!(
                        "the body ended {} bytes early",
                        self.end - self.next
                    )));
                }
                Some(chunk) if chunk.is_empty() => {}
                Some(chunk) => return Ok(chunk),
            }
        }
    }

    async fn check_start(&mut self, kind: BodyKind) -> Result<(), RangeError> {
        let needed = usize::try_from(self.end).unwrap_or(usize::MAX).min(MAGIC_LENGTH);
        if matches!(kind, BodyKind::Opaque | BodyKind::Json) || needed < MAGIC_LENGTH {
            return Ok(());
        }
        let mut start = self.receive().await?;
        if start.len() < needed {
            let mut joined = BytesMut::from(start.as_ref());
            while joined.len() < needed {
                joined.extend_from_slice(&self.receive().await?);
            }
            start = joined.freeze();
        }
        if !starts_like(kind, &start) {
            return Err(RangeError::NotTheFile("the body does not start like such a file".into()));
        }
        self.checked = Some(start);
        Ok(())
    }
}

/// Receives the next chunk of a body; `None` at its end.
async fn receive(
    response: &mut Response,
    stall_timeout: Duration,
    transfer: &Transfer,
) -> Result<Option<Bytes>, RangeError> {
    let chunk = transfer.wait(tokio::time::timeout(stall_timeout, response.chunk())).await;
    match chunk.ok_or_else(yielded)? {
        Ok(Ok(chunk)) => {
            transfer.add_bytes(chunk.as_ref().map_or(0, Bytes::len));
            Ok(chunk)
        }
        Ok(Err(error)) => {
            let cause = TransportError::new(error);
            Err(RangeError::transient(format!("the body broke off ({cause})")))
        }
        Err(_elapsed) => Err(RangeError::transient(format!(
            "the body stalled for {} s",
            stall_timeout.as_secs_f32()
        ))),
    }
}

/// The error of a request whose connection was needed. The range resumes at its missing byte.
fn yielded() -> RangeError {
    RangeError::transient(format!(
        "below {MIN_RATE} bytes per second, and another request needed the connection"
    ))
}

/// Returns the body of a 200 that can be an error object by its length.
async fn whole_if_short(
    response: &mut Response,
    stall_timeout: Duration,
    transfer: &Transfer,
) -> Result<Option<Bytes>, RangeError> {
    let length = content_length(response.headers()).unwrap_or(u64::MAX);
    if response.status() != StatusCode::OK || length > MAX_ERROR_BODY_LENGTH {
        return Ok(None);
    }
    let mut body = BytesMut::new();
    while (body.len() as u64) < length {
        match receive(response, stall_timeout, transfer).await? {
            Some(chunk) => body.extend_from_slice(&chunk),
            None => return Err(RangeError::transient("the body ended early")),
        }
    }
    Ok((!body.is_empty()).then(|| body.freeze()))
}

fn starts_like(kind: BodyKind, bytes: &[u8]) -> bool {
    match kind {
        BodyKind::IsoMedia => bytes.get(4..8) == Some(b"ftyp".as_slice()),
        BodyKind::WebVtt => {
            bytes.strip_prefix(b"\xEF\xBB\xBF".as_slice()).unwrap_or(bytes).starts_with(b"WEBVTT")
        }
        BodyKind::Json | BodyKind::Opaque => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_and_pages_start_differently() {
        assert!(starts_like(BodyKind::IsoMedia, b"\0\0\0\x18ftypmp42"));
        assert!(!starts_like(BodyKind::IsoMedia, b"<!DOCTYPE html>"));
        assert!(starts_like(BodyKind::WebVtt, b"WEBVTT\n\n1"));
        assert!(starts_like(BodyKind::WebVtt, b"\xEF\xBB\xBFWEBVTT"));
        assert!(!starts_like(BodyKind::WebVtt, b"{\"status\":false"));
    }
}

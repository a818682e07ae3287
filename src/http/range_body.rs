//! Sends range requests. Returns bytes only after the head of the reply and the start of its body
//! have been checked.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use reqwest::header::{AUTHORIZATION, RANGE};
use reqwest::{RequestBuilder, Response, StatusCode};

use super::bandwidth_limiter::TransferLimiters;
use super::client::{Client, SendError, sensitive_header};
use super::connection_pool::ConnectionPermit;
use super::error::TransportError;
use super::range::{ByteRange, ExpectedFile};
use super::range_error::RangeError;
use super::range_head::{RangeHead, content_length};
use super::request_counters::Operation;
use super::transfer::{MIN_RATE, Transfer};
use super::validator::VersionHeaders;
use crate::model::{BYTE_ORDER_MARK, BodyKind, Lease, WEB_VTT_SIGNATURE_LENGTH, is_web_vtt};

/// Number of bytes needed to recognize a [`BodyKind`] or an HTML page. `ftyp` ends at byte 8. A
/// byte order mark followed by `WEBVTT` ends at byte 9. A page begins with optional white space and
/// a tag of up to 14 bytes.
pub(super) const START_LENGTH: usize = 64;

/// Maximum length of an error object with status 200. The error objects of the providers have less
/// than one KiB.
const MAX_ERROR_BODY_LENGTH: u64 = 4096;

/// A range request, and the properties that the reply must have.
pub(super) struct RangeRequest<'a> {
    pub(super) lease: &'a Lease,
    pub(super) range: ByteRange,
    pub(super) expected: &'a ExpectedFile,
    /// The transfer that the request belongs to. It measures the rate and can end the request.
    pub(super) transfer: &'a Arc<Transfer>,
    /// Timeout for the head of the reply and for each chunk of its body.
    pub(super) stall_timeout: Duration,
    pub(super) bandwidth: TransferLimiters,
    /// The function that decides whether a short JSON body is an error object of the provider.
    pub(super) is_error_body: &'a (dyn Fn(&[u8]) -> bool + Sync),
}

/// The body of a reply whose head has been checked. It yields exactly the bytes of its range, or an
/// error.
#[derive(Debug)]
pub(super) struct RangeBody {
    response: Response,
    /// The bytes that have been received to examine the start of the body but have not been
    /// returned yet.
    buffer: Bytes,
    /// Number of bytes at the start of the body that precede the range and have not been dropped
    /// yet.
    bytes_to_skip: u64,
    position: u64,
    end: u64,
    is_whole_file: bool,
    is_length_unknown: bool,
    stall_timeout: Duration,
    transfer: Arc<Transfer>,
    /// Length of the whole file, in bytes.
    pub(super) total_length: u64,
    pub(super) version: VersionHeaders,
    permit: Option<ConnectionPermit>,
    bandwidth: TransferLimiters,
}

/// The next part of a body.
pub(super) enum BodyPart {
    /// Bytes of the range. They are never empty.
    Range(Bytes),
    /// Bytes that precede the range. They have been dropped.
    BeforeRange,
    /// The end of the range.
    End,
}

impl RangeBody {
    /// Sends a range request and checks the head of the reply and the start of the body. The body
    /// keeps the permit.
    pub(super) async fn open(
        client: &Client,
        request: RangeRequest<'_>,
        mut permit: Option<ConnectionPermit>,
    ) -> Result<Self, RangeError> {
        match Self::open_reply(client, request).await {
            Ok(body) => {
                if let Some(permit) = &mut permit {
                    permit.record_acceptance();
                }
                Ok(Self { permit, ..body })
            }
            Err(error) => {
                report_to_pool(permit.as_ref(), &error);
                Err(error)
            }
        }
    }

    async fn open_reply(client: &Client, request: RangeRequest<'_>) -> Result<Self, RangeError> {
        let RangeRequest {
            lease,
            range,
            expected,
            transfer,
            stall_timeout,
            bandwidth,
            is_error_body,
        } = request;
        let request = lease_request(client, lease)?
            .header(RANGE, format!("bytes={}-{}", range.start, range.end.saturating_sub(1)));
        let mut response = send(client, request, lease, stall_timeout, transfer).await?;
        let head = RangeHead::check(response.status(), response.headers(), range, expected);
        // The body is read before the result of the check is used: the check would reject the
        // length of an error object.
        let whole_body = match expected.body {
            BodyKind::Json => {
                read_possible_error_body(&mut response, stall_timeout, transfer).await?
            }
            _ => None,
        };
        if whole_body.as_ref().is_some_and(|body| is_error_body(body)) {
            return Err(RangeError::Refused(
                "the server returned an error object instead of the file (status 200)".into(),
            ));
        }
        let head = head?;
        let mut body = Self {
            response,
            buffer: whole_body.unwrap_or_default(),
            bytes_to_skip: if head.is_whole_file { range.start } else { 0 },
            position: range.start,
            end: head.end,
            is_whole_file: head.is_whole_file,
            is_length_unknown: head.is_length_unknown,
            stall_timeout,
            transfer: transfer.clone(),
            total_length: head.total_length,
            version: head.version,
            permit: None,
            bandwidth,
        };
        if body.begins_at_file_start() {
            body.check_start(expected.body).await?;
        }
        Ok(body)
    }

    /// Returns the next part of the body.
    pub(super) async fn next_part(&mut self) -> Result<BodyPart, RangeError> {
        if self.position >= self.end {
            return Ok(BodyPart::End);
        }
        let chunk = self.receive().await;
        let mut chunk = chunk.inspect_err(|error| report_to_pool(self.permit.as_ref(), error))?;
        if self.bytes_to_skip > 0 {
            let skipped_length = self.bytes_to_skip.min(chunk.len() as u64);
            chunk.advance(usize::try_from(skipped_length).unwrap_or(chunk.len()));
            self.bytes_to_skip -= skipped_length;
            self.buffer = chunk;
            return Ok(BodyPart::BeforeRange);
        }
        let missing_length = self.end - self.position;
        if chunk.len() as u64 > missing_length {
            if self.must_end() {
                return Err(self.excess_error());
            }
            // A whole file that is accepted instead of a range continues after the range.
            chunk.truncate(usize::try_from(missing_length).unwrap_or(usize::MAX));
        } else if chunk.len() as u64 == missing_length && self.must_end() {
            self.expect_end().await?;
        }
        self.position += chunk.len() as u64;
        Ok(BodyPart::Range(chunk))
    }

    /// Whether the body must end where the range ends, because no header states the length of the
    /// body.
    fn must_end(&self) -> bool {
        self.is_length_unknown && (!self.is_whole_file || self.end == self.total_length)
    }

    /// Returns the first `length` bytes of the body, or the whole body if it is shorter.
    /// [`next_part`](Self::next_part) returns these bytes again.
    pub(super) async fn peek(&mut self, length: usize) -> Result<Bytes, RangeError> {
        let body_length =
            if self.is_whole_file { self.total_length } else { self.end - self.position };
        let needed_length = length.min(usize::try_from(body_length).unwrap_or(usize::MAX));
        if self.buffer.len() < needed_length {
            let mut peeked_bytes = BytesMut::from(self.buffer.as_ref());
            while peeked_bytes.len() < needed_length {
                self.buffer = Bytes::new();
                peeked_bytes.extend_from_slice(&self.receive().await?);
            }
            self.buffer = peeked_bytes.freeze();
        }
        Ok(self.buffer.slice(..needed_length))
    }

    fn begins_at_file_start(&self) -> bool {
        self.is_whole_file || self.position == 0
    }

    /// Whether the body begins with the first byte of the file and contains its first `length`
    /// bytes.
    pub(super) fn contains_head(&self, length: u64) -> bool {
        self.is_whole_file || (self.position == 0 && self.end >= length)
    }

    /// Whether the server sends the whole file instead of the requested range.
    pub(super) fn is_whole_file(&self) -> bool {
        self.is_whole_file
    }

    /// Returns the number of bytes of the body that precede the range.
    pub(super) fn bytes_to_skip(&self) -> u64 {
        self.bytes_to_skip
    }

    /// Extends the range of a body that is the whole file to all bytes of the file. No part may
    /// have been taken before.
    pub(super) fn extend_to_whole_file(&mut self) {
        self.bytes_to_skip = 0;
        self.position = 0;
        self.end = self.total_length;
        self.bandwidth.extend_to_whole_file();
    }

    /// Returns the offset in the file of the next byte that the body yields.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Returns the offset after the last byte that the body yields.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    async fn receive(&mut self) -> Result<Bytes, RangeError> {
        if !self.buffer.is_empty() {
            return Ok(std::mem::take(&mut self.buffer));
        }
        self.bandwidth.wait().await;
        loop {
            match receive(&mut self.response, self.stall_timeout, &self.transfer).await? {
                None => {
                    return Err(RangeError::transient(format!(
                        "the body ended {} bytes before the end of the range",
                        self.end - self.position
                    )));
                }
                Some(chunk) if chunk.is_empty() => {}
                Some(chunk) => {
                    self.bandwidth.charge(chunk.len());
                    return Ok(chunk);
                }
            }
        }
    }

    async fn expect_end(&mut self) -> Result<(), RangeError> {
        while let Some(chunk) =
            receive(&mut self.response, self.stall_timeout, &self.transfer).await?
        {
            if !chunk.is_empty() {
                return Err(self.excess_error());
            }
        }
        Ok(())
    }

    /// Returns the error for a body that continues after the end of the range.
    fn excess_error(&self) -> RangeError {
        match self.is_whole_file {
            true => RangeError::ExcessBytes,
            false => RangeError::transient("the body is longer than the requested range"),
        }
    }

    async fn check_start(&mut self, kind: BodyKind) -> Result<(), RangeError> {
        let start = self.peek(START_LENGTH).await?;
        check_file_start(kind, &start)
    }
}

/// Checks that the first [`START_LENGTH`] bytes of a body can be those of a file of this kind.
pub(super) fn check_file_start(kind: BodyKind, start: &[u8]) -> Result<(), RangeError> {
    if is_html(start) {
        return Err(RangeError::NotTheFile("the body is an HTML page".into()));
    }
    if !has_signature_of(kind, start) {
        return Err(RangeError::NotTheFile(
            "the body does not have the expected file format".into(),
        ));
    }
    Ok(())
}

/// Creates a request for the URL of a lease, with the credential of the lease.
pub(super) fn lease_request(client: &Client, lease: &Lease) -> Result<RequestBuilder, RangeError> {
    let request = client.get(&lease.url);
    match lease.authorization() {
        Some(value) => {
            let value =
                sensitive_header(value).map_err(|error| RangeError::Refused(error.to_string()))?;
            Ok(request.header(AUTHORIZATION, value))
        }
        None => Ok(request),
    }
}

/// Reports the error to the connection pool of the host if an overload can have caused it.
fn report_to_pool(permit: Option<&ConnectionPermit>, error: &RangeError) {
    match (permit, error) {
        (Some(permit), RangeError::Throttled(..)) => permit.record_throttling(),
        (Some(permit), RangeError::Broken(..)) => permit.record_failure(),
        _ => {}
    }
}

/// Sends a request for the URL of a lease and waits for the head of the reply.
pub(super) async fn send(
    client: &Client,
    request: RequestBuilder,
    lease: &Lease,
    timeout: Duration,
    transfer: &Transfer,
) -> Result<Response, RangeError> {
    let reply = transfer.wait(client.send(request, &lease.url, timeout, Operation::Read)).await;
    reply.ok_or_else(yield_error)?.map_err(|error| match error {
        SendError::TimedOut => RangeError::Broken(
            format!("the server did not answer within {} s", timeout.as_secs_f32()),
            None,
        ),
        SendError::Transport(error) => {
            RangeError::Broken(TransportError::new(error).to_string(), None)
        }
    })
}

/// Receives the next chunk of a body. Returns `None` at the end of the body.
pub(super) async fn receive(
    response: &mut Response,
    stall_timeout: Duration,
    transfer: &Transfer,
) -> Result<Option<Bytes>, RangeError> {
    let chunk = transfer.wait(tokio::time::timeout(stall_timeout, response.chunk())).await;
    match chunk.ok_or_else(yield_error)? {
        Ok(Ok(chunk)) => {
            transfer.add_bytes(chunk.as_ref().map_or(0, Bytes::len));
            Ok(chunk)
        }
        Ok(Err(error)) => {
            let cause = TransportError::new(error);
            Err(RangeError::Broken(format!("the body broke off ({cause})"), None))
        }
        Err(_elapsed) => Err(RangeError::Broken(
            format!("the body stalled for {:.1} s", stall_timeout.as_secs_f32()),
            None,
        )),
    }
}

/// Returns the error of a request that had to give up its connection. The stream resumes at the
/// first missing byte.
fn yield_error() -> RangeError {
    RangeError::transient(format!(
        "the transfer rate was below {MIN_RATE} bytes per second, and another request needed the connection"
    ))
}

/// Reads the body of a reply with status 200 if it is short enough to be an error object.
async fn read_possible_error_body(
    response: &mut Response,
    stall_timeout: Duration,
    transfer: &Transfer,
) -> Result<Option<Bytes>, RangeError> {
    let length = content_length(response.headers())?.unwrap_or(u64::MAX);
    if response.status() != StatusCode::OK || length > MAX_ERROR_BODY_LENGTH {
        return Ok(None);
    }
    let mut body = BytesMut::new();
    while (body.len() as u64) < length {
        match receive(response, stall_timeout, transfer).await? {
            Some(chunk) => body.extend_from_slice(&chunk),
            None => return Err(RangeError::transient("the body ended before its stated length")),
        }
    }
    Ok((!body.is_empty()).then(|| body.freeze()))
}

/// Whether a body that starts with `bytes` is an HTML page. A recording file of any type never
/// starts in this way.
fn is_html(bytes: &[u8]) -> bool {
    let text = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(bytes).trim_ascii_start();
    let starts_with =
        |tag: &[u8]| text.get(..tag.len()).is_some_and(|start| start.eq_ignore_ascii_case(tag));
    starts_with(b"<!doctype html") || starts_with(b"<html") || starts_with(b"<head")
}

fn has_signature_of(kind: BodyKind, bytes: &[u8]) -> bool {
    match kind {
        // A file that is shorter than the signature of its format is accepted.
        BodyKind::IsoMedia => bytes.get(4..8).is_none_or(|mark| mark == b"ftyp"),
        BodyKind::WebVtt => bytes.len() < WEB_VTT_SIGNATURE_LENGTH || is_web_vtt(bytes),
        BodyKind::Json | BodyKind::Opaque => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signature_of_the_declared_type_is_required() {
        assert!(has_signature_of(BodyKind::IsoMedia, b"\0\0\0\x18ftypmp42"));
        assert!(!has_signature_of(BodyKind::IsoMedia, b"<!DOCTYPE html>"));
        assert!(has_signature_of(BodyKind::WebVtt, b"WEBVTT\n\n1"));
        assert!(has_signature_of(BodyKind::WebVtt, b"\xEF\xBB\xBFWEBVTT"));
        assert!(!has_signature_of(BodyKind::WebVtt, b"{\"status\":false"));
    }

    #[test]
    fn html_page_is_recognized_by_its_start() {
        for page in ["<!DOCTYPE html><p>", " \r\n<HTML lang=en>", "\u{feff}<!doctype HTML>"] {
            assert!(is_html(page.as_bytes()), "{page}");
        }
        for file in ["00:00:01 <html> is a tag", "#,Question", "{\"a\":1}", "<!doc", "", "<p>hi"] {
            assert!(!is_html(file.as_bytes()), "{file}");
        }
    }
}

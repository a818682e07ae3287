//! A response body. It is sent at a limited rate, and a fault can interrupt it at a given offset.

use std::fmt;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

use super::archive::Content;
use super::metered_socket::Connection;

/// Maximum number of bytes per frame. It is large enough that the server does not limit a
/// benchmark: a client on the same two busy cores read 1.4 to 2.0 GB/s with 128 KiB and 1.5 to 3.5
/// GB/s with 256 KiB.
const CHUNK_SIZE: u64 = 256 * 1024;

/// Number of slices per second under a rate limit. A slice is sent every 20 ms, so the bytes do not
/// arrive in bursts.
const SLICES_PER_SECOND: u64 = 50;

/// A rate limit for a body: `slice_bytes` bytes are sent in each interval.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bandwidth {
    pub(super) slice_bytes: u64,
    pub(super) interval: Duration,
}

impl Bandwidth {
    /// Creates a limit of `rate` bytes per second, which are sent in small slices.
    pub(super) fn from_rate(rate: u64) -> Self {
        let slice_bytes = (rate / SLICES_PER_SECOND).clamp(1, CHUNK_SIZE);
        let interval = Duration::from_secs_f64(slice_bytes as f64 / rate.max(1) as f64);
        Self { slice_bytes, interval }
    }
}

/// How a fault interrupts a body.
pub(super) enum BodyInterruption {
    Close,
    Reset,
    /// Sends nothing until the future completes, and then the remaining bytes.
    Stall(Pin<Box<dyn Future<Output = ()> + Send>>),
}

/// The error that makes hyper close the connection.
#[derive(Debug)]
pub(super) struct InterruptedBody;

impl fmt::Display for InterruptedBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a fault interrupted the body")
    }
}

impl std::error::Error for InterruptedBody {}

pub(super) struct ReplyBody {
    content: Content,
    start: u64,
    position: u64,
    end: u64,
    interruption: Option<(u64, BodyInterruption)>,
    rate: Option<Bandwidth>,
    /// Whether the length is not stated, so hyper sends the body in chunks.
    pub(super) hides_length: bool,
    /// Size of a slice that must not be sent yet, and the timer until it may be sent. The slice
    /// already counts against the rate limit.
    delayed_slice: Option<(Pin<Box<Sleep>>, u64)>,
    connection: Arc<Connection>,
}

impl ReplyBody {
    pub(super) fn new(
        content: Content,
        span: Range<u64>,
        rate: Option<Bandwidth>,
        connection: Arc<Connection>,
    ) -> Self {
        let Range { start, end } = span;
        Self {
            content,
            start,
            position: start,
            end,
            interruption: None,
            rate,
            hides_length: false,
            delayed_slice: None,
            connection,
        }
    }

    /// Interrupts the body after `bytes` bytes.
    pub(super) fn interrupted_after(mut self, bytes: u64, interruption: BodyInterruption) -> Self {
        self.interruption = Some((self.start.saturating_add(bytes).min(self.end), interruption));
        self
    }

    fn poll_interruption(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, InterruptedBody>>> {
        // When the connection ends, hyper discards the bytes that it has not written yet. The bytes
        // before the interruption must be sent.
        ready!(self.connection.poll_flushed(self.position - self.start, cx));
        match &mut self.interruption {
            Some((_, BodyInterruption::Stall(resumed))) => {
                ready!(resumed.as_mut().poll(cx));
                self.interruption = None;
                self.poll_chunk(cx)
            }
            Some((_, BodyInterruption::Reset)) => {
                self.connection.end_with_reset();
                Poll::Ready(Some(Err(InterruptedBody)))
            }
            Some((_, BodyInterruption::Close)) => Poll::Ready(Some(Err(InterruptedBody))),
            None => self.poll_chunk(cx),
        }
    }

    fn poll_chunk(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, InterruptedBody>>> {
        let stop_position = self.interruption.as_ref().map_or(self.end, |(offset, _)| *offset);
        if self.position >= stop_position {
            return Poll::Ready(None);
        }
        let length = match (&mut self.delayed_slice, self.rate) {
            (Some((send_time, length)), _) => {
                ready!(send_time.as_mut().poll(cx));
                *length
            }
            (None, None) => CHUNK_SIZE.min(stop_position - self.position),
            (None, Some(rate)) => {
                let slice = rate.slice_bytes.min(stop_position - self.position);
                let interval = rate.interval.mul_f64(slice as f64 / rate.slice_bytes.max(1) as f64);
                let mut send_time =
                    Box::pin(tokio::time::sleep_until(self.connection.next_send_time(interval)));
                if send_time.as_mut().poll(cx).is_pending() {
                    self.delayed_slice = Some((send_time, slice));
                    return Poll::Pending;
                }
                slice
            }
        };
        self.delayed_slice = None;
        let chunk = self.content.slice(self.position..self.position + length);
        self.position += length;
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = InterruptedBody;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, InterruptedBody>>> {
        let this = self.get_mut();
        match &this.interruption {
            Some((offset, _)) if this.position >= *offset => this.poll_interruption(cx),
            _ => this.poll_chunk(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.position >= self.end && self.interruption.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match self.hides_length {
            true => SizeHint::default(),
            false => SizeHint::with_exact(self.end - self.position),
        }
    }
}

//! A response body. It is sent in chunks at a limited rate, and ends early at the offset that a
//! fault states.

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

/// Large enough that the server does not limit a benchmark: a client on the same two busy cores
/// read 1.4 to 2.0 GB/s with 128 KiB and 1.5 to 3.5 GB/s with this.
const CHUNK: u64 = 256 * 1024;

/// With a rate limit, bytes are sent every 20 ms, as on a real network, instead of in bursts.
const SLICES_PER_SECOND: u64 = 50;

/// How fast a body is sent: a slice in each interval.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bandwidth {
    pub(super) slice: u64,
    pub(super) interval: Duration,
}

impl Bandwidth {
    /// `rate` bytes per second, in small slices.
    pub(super) fn smooth(rate: u64) -> Self {
        let slice = (rate / SLICES_PER_SECOND).clamp(1, CHUNK);
        let interval = Duration::from_secs_f64(slice as f64 / rate.max(1) as f64);
        Self { slice, interval }
    }
}

/// How a body ends early.
pub(super) enum BodyBreak {
    Close,
    Reset,
    /// Sends nothing until the future completes, then the rest.
    Stall(Pin<Box<dyn Future<Output = ()> + Send>>),
}

/// The error that is returned to hyper, which closes the connection.
#[derive(Debug)]
pub(super) struct BrokenBody;

impl fmt::Display for BrokenBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body was broken off by a fault")
    }
}

impl std::error::Error for BrokenBody {}

pub(super) struct ReplyBody {
    content: Content,
    start: u64,
    position: u64,
    end: u64,
    breaks: Option<(u64, BodyBreak)>,
    rate: Option<Bandwidth>,
    /// A chunk that counts against the rate but is not due yet.
    held_back: Option<(Pin<Box<Sleep>>, u64)>,
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
            breaks: None,
            rate,
            held_back: None,
            connection,
        }
    }

    /// Breaks the body after `bytes`.
    pub(super) fn broken_after(mut self, bytes: u64, how: BodyBreak) -> Self {
        self.breaks = Some((self.start.saturating_add(bytes).min(self.end), how));
        self
    }

    fn poll_break(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenBody>>> {
        // hyper discards what it has not written yet when the connection ends; the bytes before the
        // break must be sent.
        ready!(self.connection.poll_flushed(self.position - self.start, cx));
        match &mut self.breaks {
            Some((_, BodyBreak::Stall(over))) => {
                ready!(over.as_mut().poll(cx));
                self.breaks = None;
                self.poll_chunk(cx)
            }
            Some((_, BodyBreak::Reset)) => {
                self.connection.reset_at_end();
                Poll::Ready(Some(Err(BrokenBody)))
            }
            Some((_, BodyBreak::Close)) => Poll::Ready(Some(Err(BrokenBody))),
            None => self.poll_chunk(cx),
        }
    }

    fn poll_chunk(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenBody>>> {
        let stop = self.breaks.as_ref().map_or(self.end, |(at, _)| *at);
        if self.position >= stop {
            return Poll::Ready(None);
        }
        let length = match (&mut self.held_back, self.rate) {
            (Some((due, length)), _) => {
                ready!(due.as_mut().poll(cx));
                *length
            }
            (None, None) => CHUNK.min(stop - self.position),
            (None, Some(rate)) => {
                let slice = rate.slice.min(stop - self.position);
                let interval = rate.interval.mul_f64(slice as f64 / rate.slice.max(1) as f64);
                let mut due = Box::pin(tokio::time::sleep_until(self.connection.pace(interval)));
                if due.as_mut().poll(cx).is_pending() {
                    self.held_back = Some((due, slice));
                    return Poll::Pending;
                }
                slice
            }
        };
        self.held_back = None;
        let chunk = self.content.slice(self.position..self.position + length);
        self.position += length;
        Poll::Ready(Some(Ok(Frame::data(chunk))))
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = BrokenBody;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenBody>>> {
        let this = self.get_mut();
        match &this.breaks {
            Some((at, _)) if this.position >= *at => this.poll_break(cx),
            _ => this.poll_chunk(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.position >= self.end && self.breaks.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.end - self.position)
    }
}

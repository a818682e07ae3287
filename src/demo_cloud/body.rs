//! A body on its way out: cut into chunks, held to a rate, and broken off where a fault says so.

use std::fmt;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

use super::archive::Content;
use super::wire::Connection;

/// Bytes handed over at once: enough that the server is never what a benchmark measures. A client on the same two
/// cores, which had other work as well, took 1.4 to 2.0 GB/s with 128 KiB and 1.5 to 3.5 GB/s with this.
const CHUNK: u64 = 256 * 1024;

/// Slices a second when a rate is set: bytes come every 20 ms, as on a real line, and not in bursts.
const SLICES_PER_SECOND: u64 = 50;

/// How a body ends before its time.
pub(super) enum Break {
    /// The connection closes.
    Close,
    /// The connection is reset.
    Reset,
    /// Nothing comes until this is done, then the rest.
    Stall(Pin<Box<dyn Future<Output = ()> + Send>>),
}

/// The body was broken off on purpose; it makes hyper drop the connection.
#[derive(Debug)]
pub(super) struct BrokenOff;

impl fmt::Display for BrokenOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body was broken off by a fault")
    }
}

impl std::error::Error for BrokenOff {}

/// The body of one answer.
pub(super) struct ReplyBody {
    content: Content,
    start: u64,
    position: u64,
    end: u64,
    breaks: Option<(u64, Break)>,
    rate: Option<u64>,
    /// A chunk that is paid for but not due yet.
    held_back: Option<(Pin<Box<Sleep>>, u64)>,
    connection: Arc<Connection>,
}

impl ReplyBody {
    pub(super) fn new(
        content: Content,
        span: Range<u64>,
        rate: Option<u64>,
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

    /// Breaks the body off after `bytes` of it.
    pub(super) fn broken_after(mut self, bytes: u64, how: Break) -> Self {
        self.breaks = Some((self.start.saturating_add(bytes).min(self.end), how));
        self
    }

    fn poll_break(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        // The connection dies with what hyper has not written yet; the bytes before the break must come through.
        ready!(self.connection.poll_flushed(self.position - self.start, cx));
        match &mut self.breaks {
            Some((_, Break::Stall(over))) => {
                ready!(over.as_mut().poll(cx));
                self.breaks = None;
                self.poll_chunk(cx)
            }
            Some((_, Break::Reset)) => {
                self.connection.reset_at_end();
                Poll::Ready(Some(Err(BrokenOff)))
            }
            Some((_, Break::Close)) => Poll::Ready(Some(Err(BrokenOff))),
            None => self.poll_chunk(cx),
        }
    }

    fn poll_chunk(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
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
                let slice = (rate / SLICES_PER_SECOND).clamp(1, CHUNK).min(stop - self.position);
                let mut due = Box::pin(tokio::time::sleep_until(self.connection.pace(slice, rate)));
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
    type Error = BrokenOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
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

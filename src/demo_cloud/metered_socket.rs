//! The socket below HTTP. It counts body bytes when the kernel accepts them, and can reset the
//! connection.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use parking_lot::Mutex;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::request_log::LogEntry;

/// The bytes that end a message head.
const HEAD_END: [u8; 4] = *b"\r\n\r\n";

/// State that a response body shares with its socket.
///
/// The lock is held for a few instructions only, and no other lock is acquired while it is held.
#[derive(Debug, Default)]
pub(super) struct Connection(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    entry: Option<Arc<LogEntry>>,
    head: HeadProgress,
    body_bytes: u64,
    flush_waker: Option<Waker>,
    ends_with_reset: bool,
    next_slice_time: Option<Instant>,
}

/// Number of bytes of [`HEAD_END`] that have matched. If all have matched, the body has begun.
#[derive(Clone, Copy, Debug, Default)]
struct HeadProgress(usize);

impl HeadProgress {
    fn is_complete(self) -> bool {
        self.0 == HEAD_END.len()
    }

    /// Advances by `bytes` and returns the number of body bytes among them.
    fn count_body_bytes(&mut self, bytes: &[u8]) -> u64 {
        let mut remaining_bytes = bytes.iter();
        while !self.is_complete() {
            let Some(byte) = remaining_bytes.next() else { return 0 };
            self.0 = match HEAD_END.get(self.0) {
                Some(expected) if expected == byte => self.0 + 1,
                _ => usize::from(*byte == b'\r'),
            };
        }
        remaining_bytes.len() as u64
    }
}

impl Connection {
    /// Resets the count of body bytes for the response to the request in `entry`.
    pub(super) fn begin_response(&self, entry: Arc<LogEntry>) {
        let mut state = self.0.lock();
        state.entry = Some(entry);
        state.head = HeadProgress::default();
        state.body_bytes = 0;
    }

    /// Waits until the kernel has accepted the head and `bytes` bytes of the body.
    pub(super) fn poll_flushed(&self, bytes: u64, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.0.lock();
        if state.head.is_complete() && state.body_bytes >= bytes {
            return Poll::Ready(());
        }
        state.flush_waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Makes the connection end with a reset instead of a clean close.
    pub(super) fn end_with_reset(&self) {
        self.0.lock().ends_with_reset = true;
    }

    /// Returns the time at which the next slice may be sent, `interval` after the previous slice.
    pub(super) fn next_send_time(&self, interval: Duration) -> Instant {
        let mut state = self.0.lock();
        let now = Instant::now();
        let start = state.next_slice_time.map_or(now, |time| time.max(now));
        let send_time = start + interval;
        state.next_slice_time = Some(send_time);
        send_time
    }

    /// Counts bytes before they are written, so bytes that a client has received are always
    /// counted.
    fn count_before_write(&self, parts: &[IoSlice<'_>]) -> u64 {
        let state = self.0.lock();
        let mut head = state.head;
        let body_bytes = parts.iter().map(|part| head.count_body_bytes(part)).sum();
        if let Some(entry) = &state.entry {
            entry.add_body_bytes(body_bytes);
        }
        body_bytes
    }

    /// Corrects the count to the number of bytes that the kernel accepted.
    fn correct_after_write(&self, parts: &[IoSlice<'_>], written_bytes: usize, counted_bytes: u64) {
        let mut state = self.0.lock();
        let mut remaining = written_bytes;
        let mut body_bytes = 0;
        for part in parts {
            let accepted_part = part.get(..remaining.min(part.len())).unwrap_or(part);
            body_bytes += state.head.count_body_bytes(accepted_part);
            remaining -= accepted_part.len();
        }
        if state.entry.is_some() {
            state.body_bytes += body_bytes;
        }
        if let Some(entry) = &state.entry {
            entry.subtract_body_bytes(counted_bytes.saturating_sub(body_bytes));
        }
        if let Some(waker) = state.flush_waker.take() {
            waker.wake();
        }
    }
}

/// A socket that counts the written bytes in its [`Connection`].
#[derive(Debug)]
pub(super) struct MeteredSocket {
    socket: TcpStream,
    connection: Arc<Connection>,
}

impl MeteredSocket {
    pub(super) fn new(socket: TcpStream, connection: Arc<Connection>) -> Self {
        Self { socket, connection }
    }
}

impl Drop for MeteredSocket {
    fn drop(&mut self) {
        if self.connection.0.lock().ends_with_reset {
            // Closing with a linger time of zero sends RST. If the option cannot be set, the peer
            // sees a clean close, and it must also handle that.
            let _ = SockRef::from(&self.socket).set_linger(Some(Duration::ZERO));
        }
    }
}

impl AsyncRead for MeteredSocket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_read(cx, buf)
    }
}

impl AsyncWrite for MeteredSocket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let counted_bytes = this.connection.count_before_write(parts);
        let result = Pin::new(&mut this.socket).poll_write_vectored(cx, parts);
        let written_bytes = match &result {
            Poll::Ready(Ok(written_bytes)) => *written_bytes,
            _ => 0,
        };
        this.connection.correct_after_write(parts, written_bytes, counted_bytes);
        Poll::Ready(ready!(result))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.connection.0.lock().ends_with_reset {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.socket).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn body_begins_after_the_first_empty_line() {
        let message = b"HTTP/1.1 200 OK\r\na: b\r\r\n\r\nbody\r\n\r\nmore";
        for cut in 0..message.len() {
            let mut head = HeadProgress::default();
            let (first, second) = message.split_at(cut);
            assert_eq!(
                head.count_body_bytes(first) + head.count_body_bytes(second),
                12,
                "cut at {cut}"
            );
        }
    }
}

//! How much comes for a handle, over how many connections.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Instant;

use parking_lot::Mutex;

/// Counts the bytes that come for one handle and the connections that bring them.
#[derive(Debug)]
pub(super) struct Meter {
    bytes: AtomicU64,
    waiting: AtomicUsize,
    flowing: Mutex<Flowing>,
}

#[derive(Debug)]
struct Flowing {
    now: usize,
    since: Instant,
    /// Seconds that connections have flowed before `since`, added up over all of them.
    seconds: f64,
}

/// What a [`Meter`] showed at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    pub(super) at: Instant,
    /// Bytes so far.
    pub(super) bytes: u64,
    /// Seconds that connections have flowed so far, from the first byte of each to its last: what a connection
    /// waits for a reply says nothing of its speed.
    pub(super) seconds: f64,
    /// Connections that flow now.
    pub(super) flowing: usize,
    /// Whether a read waits for its bytes now.
    pub(super) is_waited_for: bool,
}

/// A read that waits for its bytes, until dropped.
#[derive(Debug)]
pub(super) struct Waiting<'a>(&'a Meter);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Meter {
    pub(super) fn new() -> Self {
        let flowing = Flowing { now: 0, since: Instant::now(), seconds: 0.0 };
        Self {
            bytes: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
            flowing: Mutex::new(flowing),
        }
    }

    /// Bytes have come.
    pub(super) fn count(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// A read begins to wait for its bytes.
    pub(super) fn wait(&self) -> Waiting<'_> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(self)
    }

    /// A connection has brought its first byte.
    pub(super) fn begin(&self) {
        let mut flowing = self.flowing.lock();
        flowing.pass(Instant::now());
        flowing.now += 1;
    }

    /// A connection that had begun has brought its last byte, or was given up.
    pub(super) fn end(&self) {
        let mut flowing = self.flowing.lock();
        flowing.pass(Instant::now());
        flowing.now = flowing.now.saturating_sub(1);
    }

    pub(super) fn read(&self) -> Reading {
        let at = Instant::now();
        let mut flowing = self.flowing.lock();
        flowing.pass(at);
        let bytes = self.bytes.load(Ordering::Relaxed);
        let is_waited_for = self.waiting.load(Ordering::Relaxed) > 0;
        Reading { at, bytes, seconds: flowing.seconds, flowing: flowing.now, is_waited_for }
    }
}

impl Flowing {
    fn pass(&mut self, to: Instant) {
        self.seconds += to.saturating_duration_since(self.since).as_secs_f64() * self.now as f64;
        self.since = to;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn seconds_are_those_of_all_connections_and_only_while_they_flow() {
        let meter = Meter::new();
        std::thread::sleep(Duration::from_millis(20));
        assert_eq!(meter.read().seconds, 0.0);
        meter.begin();
        meter.begin();
        let began = meter.read();
        std::thread::sleep(Duration::from_millis(20));
        let later = meter.read();
        let passed = later.at.duration_since(began.at).as_secs_f64();
        assert!((later.seconds - began.seconds - 2.0 * passed).abs() < 1e-6, "{began:?} {later:?}");
        meter.end();
        meter.end();
        meter.count(7);
        let ended = meter.read();
        std::thread::sleep(Duration::from_millis(5));
        assert_eq!(
            (meter.read().seconds, meter.read().bytes, ended.flowing),
            (ended.seconds, 7, 0)
        );
    }

    #[test]
    fn a_read_waits_until_it_is_let_go() {
        let meter = Meter::new();
        let (one, other) = (meter.wait(), meter.wait());
        drop(one);
        assert!(meter.read().is_waited_for);
        drop(other);
        assert!(!meter.read().is_waited_for);
    }
}

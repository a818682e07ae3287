//! Measures how many bytes arrive for a handle, and over how many connections.

use tokio::time::Instant;

use crate::sync::Mutex;
use crate::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Counts the bytes that arrive for one handle and the connections that deliver them.
#[derive(Debug)]
pub(super) struct ThroughputMeter {
    bytes: AtomicU64,
    waiters: AtomicUsize,
    connections: Mutex<ConnectionTime>,
}

#[derive(Debug)]
struct ConnectionTime {
    active_connections: usize,
    updated_at: Instant,
    /// Time in seconds, up to `updated_at`, in which connections delivered bytes, summed over all
    /// connections.
    delivery_seconds: f64,
}

/// The values of a [`ThroughputMeter`] at one moment.
#[derive(Clone, Copy, Debug)]
pub(super) struct MeterReading {
    pub(super) time: Instant,
    /// Number of bytes that have arrived.
    pub(super) bytes: u64,
    /// Time in seconds in which connections have delivered bytes, summed over all connections. Each
    /// connection counts from its first byte to its last byte. The wait for a reply is not
    /// included, because it does not show the throughput of a connection.
    pub(super) delivery_seconds: f64,
    /// Number of connections that are delivering bytes.
    pub(super) active_connections: usize,
    /// Whether a read is waiting for its bytes.
    pub(super) has_waiter: bool,
}

/// A read that is waiting for its bytes. Dropping this value ends the wait.
#[derive(Debug)]
pub(super) struct Waiter<'a>(&'a ThroughputMeter);

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.waiters.fetch_sub(1, Ordering::Relaxed);
    }
}

impl ThroughputMeter {
    pub(super) fn new() -> Self {
        let connections = ConnectionTime {
            active_connections: 0,
            updated_at: Instant::now(),
            delivery_seconds: 0.0,
        };
        Self {
            bytes: AtomicU64::new(0),
            waiters: AtomicUsize::new(0),
            connections: Mutex::new(connections),
        }
    }

    pub(super) fn add_bytes(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Adds a read that starts to wait for its bytes.
    pub(super) fn add_waiter(&self) -> Waiter<'_> {
        self.waiters.fetch_add(1, Ordering::Relaxed);
        Waiter(self)
    }

    /// Adds a connection that has delivered its first byte.
    pub(super) fn add_connection(&self) {
        let mut connections = self.connections.lock();
        connections.advance(Instant::now());
        connections.active_connections += 1;
    }

    /// Removes a connection that has delivered its last byte.
    pub(super) fn remove_connection(&self) {
        let mut connections = self.connections.lock();
        connections.advance(Instant::now());
        connections.active_connections = connections.active_connections.saturating_sub(1);
    }

    pub(super) fn read(&self) -> MeterReading {
        let time = Instant::now();
        let mut connections = self.connections.lock();
        connections.advance(time);
        MeterReading {
            time,
            bytes: self.bytes.load(Ordering::Relaxed),
            delivery_seconds: connections.delivery_seconds,
            active_connections: connections.active_connections,
            has_waiter: self.waiters.load(Ordering::Relaxed) > 0,
        }
    }
}

impl ConnectionTime {
    fn advance(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.updated_at).as_secs_f64();
        self.delivery_seconds += elapsed * self.active_connections as f64;
        self.updated_at = now;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn advance_time(milliseconds: u64) {
        tokio::time::advance(Duration::from_millis(milliseconds)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn seconds_add_up_while_connections_deliver() {
        let meter = ThroughputMeter::new();
        advance_time(20).await;
        assert_eq!(meter.read().delivery_seconds, 0.0);
        meter.add_connection();
        meter.add_connection();
        advance_time(500).await;
        assert_eq!((meter.read().delivery_seconds, meter.read().active_connections), (1.0, 2));
        meter.remove_connection();
        advance_time(500).await;
        assert_eq!(meter.read().delivery_seconds, 1.5);
        meter.remove_connection();
        meter.add_bytes(7);
        advance_time(500).await;
        assert_eq!((meter.read().delivery_seconds, meter.read().bytes), (1.5, 7));
    }

    #[tokio::test(start_paused = true)]
    async fn read_waits_until_its_waiter_is_dropped() {
        let meter = ThroughputMeter::new();
        let (one, other) = (meter.add_waiter(), meter.add_waiter());
        drop(one);
        assert!(meter.read().has_waiter);
        drop(other);
        assert!(!meter.read().has_waiter);
    }
}

//! Limits the bytes of file contents that are received per second.
//!
//! A transfer waits before it sends a request and before it receives each chunk, so the server is
//! slowed down by flow control. When a chunk has arrived, the next transfer waits until the limit
//! allows more bytes.
//!
//! Interactive transfers wait only for each other. Their bytes also delay the other transfers. So a
//! seek does not wait for a concurrent copy, and both together stay within the limit.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::connection_pool::TrafficClass;

/// Maximum time by which the bytes of other transfers delay a waiting transfer. It is far below the
/// default read deadline of 30 s, so a copy beside long interactive transfers advances and does not
/// fail. The limit is exceeded slightly in this case.
const MAX_DELAY: Duration = Duration::from_secs(5);

/// A limit that several transfers share.
#[derive(Debug)]
pub struct BandwidthLimiter {
    bytes_per_second: u64,
    state: Mutex<State>,
}

/// The earliest times at which transfers may receive more bytes.
#[derive(Debug)]
struct State {
    next_interactive_time: Instant,
    next_bulk_time: Instant,
}

impl State {
    fn next_time(&self, class: TrafficClass) -> Instant {
        match class {
            TrafficClass::Interactive => self.next_interactive_time,
            TrafficClass::Bulk | TrafficClass::Brief => self.next_bulk_time,
        }
    }
}

impl BandwidthLimiter {
    /// Creates a limiter. `bytes_per_second` must not be 0.
    pub fn new(bytes_per_second: u64) -> Self {
        let now = Instant::now();
        let state = State { next_interactive_time: now, next_bulk_time: now };
        Self { bytes_per_second: bytes_per_second.max(1), state: Mutex::new(state) }
    }

    pub fn bytes_per_second(&self) -> u64 {
        self.bytes_per_second
    }

    /// Waits until a transfer may receive bytes. Bytes that other transfers receive in the meantime
    /// extend the wait to at most [`MAX_DELAY`].
    pub(super) async fn wait(&self, class: TrafficClass) {
        let now = Instant::now();
        let latest_time = self.state.lock().next_time(class).max(now + MAX_DELAY);
        loop {
            let next_time = self.state.lock().next_time(class).min(latest_time);
            if next_time <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(next_time).await;
        }
    }

    /// Charges bytes that have arrived.
    pub(super) fn charge(&self, class: TrafficClass, bytes: usize) {
        let time = Duration::from_secs_f64(bytes as f64 / self.bytes_per_second as f64);
        let now = Instant::now();
        let mut state = self.state.lock();
        let next_bulk_time = state.next_bulk_time.max(now) + time;
        if class == TrafficClass::Interactive {
            state.next_interactive_time = state.next_interactive_time.max(now) + time;
            // A longer delay that comes from bulk bytes does not change.
            let max_bulk_time = state.next_bulk_time.max(now + MAX_DELAY);
            state.next_bulk_time = next_bulk_time.min(max_bulk_time);
        } else {
            state.next_bulk_time = next_bulk_time;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const RATE: u64 = 1 << 20;
    const CHUNK: usize = 64 * 1024;

    /// Receives chunks for `time`. Returns the number of bytes.
    async fn receive(limiter: Arc<BandwidthLimiter>, class: TrafficClass, time: Duration) -> u64 {
        let mut bytes = 0;
        let receive_all = async {
            loop {
                limiter.wait(class).await;
                limiter.charge(class, CHUNK);
                bytes += CHUNK as u64;
                tokio::task::yield_now().await;
            }
        };
        let _ = tokio::time::timeout(time, receive_all).await;
        bytes
    }

    fn is_near(bytes: u64, expected: u64) -> bool {
        bytes.abs_diff(expected) <= expected / 10
    }

    #[tokio::test(start_paused = true)]
    async fn transfers_share_the_limit() {
        let limiter = Arc::new(BandwidthLimiter::new(RATE));
        let transfers = (0..4).map(|_| {
            tokio::spawn(receive(limiter.clone(), TrafficClass::Bulk, Duration::from_secs(60)))
        });
        let bytes: Vec<u64> = futures_util::future::join_all(transfers)
            .await
            .into_iter()
            .map(|bytes| bytes.unwrap())
            .collect();
        assert!(is_near(bytes.iter().sum(), 60 * RATE), "{bytes:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn interactive_transfer_does_not_wait_for_a_copy() {
        let limiter = Arc::new(BandwidthLimiter::new(RATE));
        let copy = receive(limiter.clone(), TrafficClass::Bulk, Duration::from_secs(20));
        let copy = tokio::spawn(copy);
        tokio::time::sleep(Duration::from_secs(10)).await;
        limiter.charge(TrafficClass::Bulk, 8 * CHUNK);
        let start = Instant::now();
        let seek = receive(limiter.clone(), TrafficClass::Interactive, Duration::from_secs(2));
        let seek_bytes = seek.await;
        assert!(is_near(seek_bytes, 2 * RATE), "{seek_bytes} in {:?}", start.elapsed());
        let copied_bytes = copy.await.unwrap();
        assert!(is_near(copied_bytes, 18 * RATE), "{copied_bytes}");
    }

    #[tokio::test(start_paused = true)]
    async fn copy_advances_beside_long_interactive_transfers() {
        let limiter = Arc::new(BandwidthLimiter::new(RATE));
        let time = Duration::from_secs(60);
        let players = [(); 3]
            .map(|()| tokio::spawn(receive(limiter.clone(), TrafficClass::Interactive, 2 * time)));
        // A burst makes the bulk transfer wait for the first time.
        limiter.charge(TrafficClass::Interactive, 8 * CHUNK);
        limiter.charge(TrafficClass::Bulk, CHUNK / 2);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let copied_bytes = receive(limiter, TrafficClass::Bulk, time).await;
        players.iter().for_each(|player| player.abort());
        let least_chunks = time.as_secs() / MAX_DELAY.as_secs() - 1;
        assert!(copied_bytes >= least_chunks * CHUNK as u64, "{copied_bytes}");
    }
}

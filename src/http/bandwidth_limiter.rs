//! Limits the bytes of file contents that are received per second.
//!
//! A transfer waits before it sends a request and before it receives each chunk, so the server is
//! slowed down by flow control. When a chunk has arrived, the next transfer waits until the limit
//! allows more bytes.
//!
//! Interactive transfers wait only for each other. Their bytes also delay the other transfers. So a
//! seek does not wait for a concurrent copy. A tenth of the limit is reserved for the other
//! transfers, so both together exceed the limit by a tenth at most.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::connection_pool::TrafficClass;

/// Maximum time by which the bytes of other transfers delay a waiting transfer. It is far below the
/// default read deadline of 30 s, so a copy that runs during long interactive transfers advances
/// and does not fail.
const MAX_DELAY: Duration = Duration::from_secs(5);

/// Divisor of the limit that gives the bandwidth reserved for transfers that are not interactive.
/// Without it, a copy would stop as long as several players use the whole limit.
const RESERVED_DIVISOR: u32 = 10;

/// Maximum time for which transfers that are not interactive repay bytes beyond the limit. Without
/// a bound, a copy would be slow for minutes after an hour of interactive transfers.
const MAX_REPAYMENT: Duration = Duration::from_secs(60);

/// Maximum length of a range that is requested at once although the bandwidth is limited. An `open`
/// waits for a single byte, and its timeout is short.
const MAX_UNLIMITED_LENGTH: u64 = 4096;

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
    /// The time at which the bytes of all transfers are within the limit.
    next_time: Instant,
    /// The time at which the bytes of the transfers that are not interactive are within the
    /// bandwidth that is reserved for them.
    next_reserved_time: Instant,
}

impl State {
    fn next_time(&self, class: TrafficClass) -> Instant {
        match class {
            TrafficClass::Interactive => self.next_interactive_time,
            TrafficClass::Bulk | TrafficClass::Brief => self.next_time.min(self.next_reserved_time),
        }
    }
}

impl BandwidthLimiter {
    /// Creates a limiter. `bytes_per_second` must not be 0.
    pub fn new(bytes_per_second: u64) -> Self {
        let now = Instant::now();
        let state = State { next_interactive_time: now, next_time: now, next_reserved_time: now };
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
        state.next_time = (state.next_time.max(now) + time).min(now + MAX_REPAYMENT);
        if class == TrafficClass::Interactive {
            state.next_interactive_time = state.next_interactive_time.max(now) + time;
        } else {
            // Without interactive transfers, the whole limit is available.
            let next_reserved_time = state.next_reserved_time.max(now) + time * RESERVED_DIVISOR;
            state.next_reserved_time = next_reserved_time.min(state.next_time);
        }
    }
}

/// The bandwidth limiters that apply to a transfer.
#[derive(Clone, Debug)]
pub(super) struct TransferLimiters {
    /// The limiter of all sources and that of the source.
    limiters: [Option<Arc<BandwidthLimiter>>; 2],
    class: TrafficClass,
    /// Whether the transfer never waits, because it is short.
    is_exempt: bool,
}

impl TransferLimiters {
    /// Creates the limiters of a transfer of `length` bytes.
    pub(super) fn new(
        limiters: [Option<&Arc<BandwidthLimiter>>; 2],
        class: TrafficClass,
        length: u64,
    ) -> Self {
        let is_exempt = length <= MAX_UNLIMITED_LENGTH;
        Self { limiters: limiters.map(Option::<&_>::cloned), class, is_exempt }
    }

    /// Continues as a transfer of a whole file, for which no reader is waiting.
    pub(super) fn extend_to_whole_file(&mut self) {
        (self.class, self.is_exempt) = (TrafficClass::Bulk, false);
    }

    /// Waits until the transfer may receive bytes.
    pub(super) async fn wait(&self) {
        if self.is_exempt {
            return;
        }
        for limiter in self.limiters.iter().flatten() {
            limiter.wait(self.class).await;
        }
    }

    /// Charges bytes that have arrived.
    pub(super) fn charge(&self, bytes: usize) {
        for limiter in self.limiters.iter().flatten() {
            limiter.charge(self.class, bytes);
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
    async fn copy_advances_during_long_interactive_transfers() {
        let limiter = Arc::new(BandwidthLimiter::new(RATE));
        let time = Duration::from_secs(60);
        // Bulk transfers are far beyond the limit when the first player starts.
        limiter.charge(TrafficClass::Bulk, 160 * CHUNK);
        let players = [(); 3]
            .map(|()| tokio::spawn(receive(limiter.clone(), TrafficClass::Interactive, time)));
        let copied_bytes = receive(limiter, TrafficClass::Bulk, time).await;
        let mut played_bytes = 0;
        for player in players {
            played_bytes += player.await.unwrap();
        }
        assert!(is_near(played_bytes, time.as_secs() * RATE), "{played_bytes}");
        let reserved_bytes = time.as_secs() * RATE / u64::from(RESERVED_DIVISOR);
        assert!(
            (reserved_bytes / 2..=reserved_bytes * 5 / 4).contains(&copied_bytes),
            "{copied_bytes}"
        );
    }
}

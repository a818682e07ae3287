//! Stops the requests of a source for a limited time: after a requested back-off, or after a
//! refusal.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

use crate::providers::ProviderError;

/// The back-off that a server requested. No call of the source starts before the back-off ends.
#[derive(Default)]
pub(crate) struct Backoff {
    end: Mutex<Option<Instant>>,
}

/// The remaining time of a back-off that ends too late for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BackoffRemaining(pub(crate) Duration);

impl Backoff {
    /// Upper bound for a requested delay. One wrong `Retry-After` must not disable a source until
    /// the next mount. A server that needs a longer delay can request it again.
    const MAX_BACKOFF: Duration = Duration::from_secs(10 * 60);

    /// Minimum time that must remain for a call after the back-off. With less time, the call would
    /// fail with a timeout, which hides the rate limit as the real cause.
    const MIN_CALL_TIMEOUT: Duration = Duration::from_secs(1);

    /// Extends the back-off to `delay` from now, unless it already lasts longer.
    pub(crate) fn extend(&self, delay: Duration) {
        let end = Instant::now() + delay.min(Self::MAX_BACKOFF);
        let mut current_end = self.end.lock();
        *current_end = (*current_end).max(Some(end));
    }

    /// Waits until the back-off ends.
    ///
    /// # Errors
    /// Returns the remaining time at once if it is too long for a call with this deadline.
    pub(crate) async fn wait(&self, deadline: Instant) -> Result<(), BackoffRemaining> {
        loop {
            let end = *self.end.lock();
            let now = Instant::now();
            let Some(end) = end.filter(|end| now < *end) else { return Ok(()) };
            if deadline <= end + Self::MIN_CALL_TIMEOUT {
                return Err(BackoffRemaining(end - now));
            }
            sleep_until(end).await;
        }
    }
}

/// Stores the last refusal until its TTL has passed.
pub(crate) struct RefusalCache {
    ttl: Duration,
    last_refusal: Mutex<Option<(Instant, ProviderError)>>,
}

impl RefusalCache {
    pub(crate) fn new(ttl: Duration) -> Self {
        Self { ttl, last_refusal: Mutex::default() }
    }

    pub(crate) fn get(&self) -> Option<ProviderError> {
        let last_refusal = self.last_refusal.lock();
        last_refusal
            .as_ref()
            .filter(|(recorded_at, _)| recorded_at.elapsed() < self.ttl)
            .map(|(_, error)| error.clone())
    }

    pub(crate) fn record(&self, error: &ProviderError) {
        *self.last_refusal.lock() = Some((Instant::now(), error.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn calls_wait_until_the_longest_back_off_ends() {
        let backoff = Backoff::default();
        let start = Instant::now();
        backoff.extend(5 * SECOND);
        backoff.extend(2 * SECOND);
        backoff.wait(start + 10 * SECOND).await.unwrap();
        // Tokio's timer counts in milliseconds.
        assert!((5 * SECOND..6 * SECOND).contains(&start.elapsed()), "{:?}", start.elapsed());
        backoff.wait(Instant::now()).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn call_without_time_gets_the_remaining_delay() {
        let backoff = Backoff::default();
        backoff.extend(5 * SECOND);
        let deadline = Instant::now() + 6 * SECOND;
        assert_eq!(backoff.wait(deadline).await, Err(BackoffRemaining(5 * SECOND)));
        backoff.extend(Duration::from_secs(24 * 3600));
        assert_eq!(backoff.wait(deadline).await, Err(BackoffRemaining(Backoff::MAX_BACKOFF)));
    }

    #[tokio::test(start_paused = true)]
    async fn refusal_expires() {
        let cache = RefusalCache::new(60 * SECOND);
        assert!(cache.get().is_none());
        cache.record(&ProviderError::credential("wrong password"));
        tokio::time::advance(59 * SECOND).await;
        assert!(cache.get().is_some());
        tokio::time::advance(SECOND).await;
        assert!(cache.get().is_none());
    }
}

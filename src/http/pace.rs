//! How many calls a second an account makes of an interface: as many as its provider allows, reads first.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use parking_lot::Mutex;
use tokio::time::Instant;

/// Calls that may come at once after a pause, one in so many of those allowed a second. A server that counts by the
/// second sees these and a second's worth of the others, so the two together stay below what it allows.
const BURST_SHARE: u32 = 5;

/// A limit of a day is asked about again after this time: one wrong word must not shut a source out until the mount is
/// made anew, and six calls an hour are nothing to a provider that means it.
const BELIEVED: Duration = Duration::from_secs(10 * 60);

/// How often a call that can wait looks whether those that cannot are through.
const GIVE_WAY_EVERY: Duration = Duration::from_millis(20);

/// Who is waiting for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// A program, in a read.
    Read,
    /// Nobody; it goes on in the background.
    Background,
}

/// The calls of one kind that all sources of an account share.
#[derive(Debug)]
pub struct Pace {
    limiter: DefaultDirectRateLimiter,
    reads_waiting: AtomicUsize,
    /// Until when the server wants no call.
    closed_until: Mutex<Option<Instant>>,
}

impl Pace {
    /// At most so many calls in any second.
    pub fn new(allowed: NonZeroU32) -> Self {
        let burst = NonZeroU32::new(allowed.get() / BURST_SHARE).unwrap_or(NonZeroU32::MIN);
        let steady = NonZeroU32::new(allowed.get() - burst.get());
        let quota = match steady {
            Some(steady) => Quota::per_second(steady).allow_burst(burst),
            // One a second: two that come at once would be two in that second.
            None => Quota::per_second(NonZeroU32::MIN),
        };
        Self {
            limiter: RateLimiter::direct(quota),
            reads_waiting: AtomicUsize::new(0),
            closed_until: Mutex::new(None),
        }
    }

    /// Waits for the call's turn. Callers bound the wait.
    ///
    /// # Errors
    /// How long the server still wants to be left alone.
    pub async fn turn(&self, urgency: Urgency) -> Result<(), Duration> {
        if let Some(left) = self.closed_for() {
            return Err(left);
        }
        match urgency {
            Urgency::Read => {
                let _waiting = Waiting::new(&self.reads_waiting);
                self.limiter.until_ready().await;
            }
            Urgency::Background => loop {
                if self.reads_waiting.load(Ordering::Relaxed) == 0 && self.limiter.check().is_ok() {
                    break;
                }
                tokio::time::sleep(GIVE_WAY_EVERY).await;
            },
        }
        Ok(())
    }

    /// The server wants no call for so long, which is believed for [`BELIEVED`].
    pub fn close(&self, wait: Duration) {
        let until = Instant::now() + wait.min(BELIEVED);
        let mut closed = self.closed_until.lock();
        *closed = closed.filter(|known| *known > until).or(Some(until));
    }

    fn closed_for(&self) -> Option<Duration> {
        let mut closed = self.closed_until.lock();
        let left = closed.map(|until| until.saturating_duration_since(Instant::now()));
        if left == Some(Duration::ZERO) {
            *closed = None;
            return None;
        }
        left
    }
}

/// Counts a read that waits, for as long as it does.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn pace(allowed: u32) -> Arc<Pace> {
        Arc::new(Pace::new(NonZeroU32::new(allowed).unwrap()))
    }

    /// The most of `times` in any second.
    fn most_in_a_second(times: &[Instant]) -> usize {
        let within = |from: &Instant| {
            times.iter().filter(|at| **at >= *from && **at < *from + Duration::from_secs(1)).count()
        };
        times.iter().map(within).max().unwrap_or(0)
    }

    #[tokio::test]
    async fn no_second_has_more_calls_than_are_allowed() {
        let pace = pace(20);
        let mut calls = Vec::new();
        for index in 0..50 {
            let urgency = if index % 2 == 0 { Urgency::Read } else { Urgency::Background };
            pace.turn(urgency).await.unwrap();
            calls.push(Instant::now());
        }
        assert!(most_in_a_second(&calls) <= 20, "{}", most_in_a_second(&calls));
        let took = calls.last().unwrap().duration_since(calls[0]);
        assert!(took < Duration::from_secs(5), "far below what is allowed: {took:?}");
    }

    #[tokio::test]
    async fn a_read_overtakes_what_waits_in_the_background() {
        let pace = pace(5);
        while pace.limiter.check().is_ok() {}
        let background: Vec<_> = (0..20)
            .map(|_| {
                let pace = pace.clone();
                tokio::spawn(async move { pace.turn(Urgency::Background).await })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(100)).await;
        for _ in 0..3 {
            pace.turn(Urgency::Read).await.unwrap();
        }
        let through = background.iter().filter(|call| call.is_finished()).count();
        assert!(through <= 3, "{through} of those that can wait went first");
        background.iter().for_each(|call| call.abort());
    }

    #[tokio::test]
    async fn a_server_that_wants_to_be_left_alone_is() {
        let pace = pace(5);
        pace.close(Duration::from_millis(300));
        pace.close(Duration::from_millis(10));
        let left = pace.turn(Urgency::Read).await.unwrap_err();
        assert!(left > Duration::from_millis(100), "{left:?}");
        tokio::time::sleep(Duration::from_millis(400)).await;
        assert_eq!(pace.turn(Urgency::Background).await, Ok(()));
    }
}

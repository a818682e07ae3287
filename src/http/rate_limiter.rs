//! How many calls a second an account makes of an interface: as many as its provider allows, reads first.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, Quota};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::priority::Priority;

/// Calls that may come at once after a pause, one in so many of those allowed a second. What is spread over the second
/// leaves a read a turn soon; all at its beginning would make one that comes next wait for its end.
const BURST_SHARE: u32 = 5;

/// What a server counts a call in.
const SECOND: Duration = Duration::from_secs(1);

/// A limit of a day is asked about again after this time: one wrong word must not shut a source out until the mount is
/// made anew, and six calls an hour are nothing to a provider that means it.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(10 * 60);

/// How often a call that can wait looks whether it may go.
const GIVE_WAY_INTERVAL: Duration = Duration::from_millis(20);

/// How often one that cannot wait does: a tenth of a round trip.
const HURRY_INTERVAL: Duration = Duration::from_millis(5);

/// The calls of one kind that all sources of an account share.
///
/// When a server counts a call nobody here knows: between its sending and its reply, and what was sent apart may arrive
/// together. So a call takes one of as many places as are allowed in a second, from before it is sent until a second
/// after its reply: those that any second of the server has counted all had theirs at once.
#[derive(Debug)]
pub struct RateLimiter {
    /// Spreads the calls.
    limiter: DefaultDirectRateLimiter,
    allowed: usize,
    counted: Mutex<Counted>,
    reads_waiting: AtomicUsize,
    /// Until when the server wants no call.
    closed_until: Mutex<Option<Instant>>,
}

/// The calls that a second may have which ends now.
#[derive(Debug, Default)]
struct Counted {
    under_way: usize,
    /// When those of the last second ended, oldest first.
    ended: VecDeque<Instant>,
}

impl Counted {
    fn at(&mut self, now: Instant) -> usize {
        while self.ended.front().is_some_and(|ended| now.duration_since(*ended) > SECOND) {
            self.ended.pop_front();
        }
        self.under_way + self.ended.len()
    }
}

/// A call's place among those that are counted. Keep it until the reply is there.
#[derive(Debug)]
#[must_use]
pub struct RatePermit<'a>(&'a Mutex<Counted>);

impl Drop for RatePermit<'_> {
    fn drop(&mut self) {
        let mut counted = self.0.lock();
        counted.under_way -= 1;
        counted.ended.push_back(Instant::now());
    }
}

impl RateLimiter {
    /// At most so many calls in any second.
    pub fn new(allowed: NonZeroU32) -> Self {
        let burst = NonZeroU32::new(allowed.get() / BURST_SHARE).unwrap_or(NonZeroU32::MIN);
        Self {
            limiter: governor::RateLimiter::direct(Quota::per_second(allowed).allow_burst(burst)),
            allowed: allowed.get() as usize,
            counted: Mutex::default(),
            reads_waiting: AtomicUsize::new(0),
            closed_until: Mutex::new(None),
        }
    }

    /// Waits for the call's turn. Callers bound the wait.
    ///
    /// # Errors
    /// How long the server still wants to be left alone.
    pub async fn acquire(&self, priority: Priority) -> Result<RatePermit<'_>, Duration> {
        if let Some(left) = self.closed_for() {
            return Err(left);
        }
        let _waiting = (priority.is_for_reader()).then(|| Waiting::new(&self.reads_waiting));
        loop {
            let may_go =
                priority.is_for_reader() || self.reads_waiting.load(Ordering::Relaxed) == 0;
            if let Some(turn) = may_go.then(|| self.try_acquire()).flatten() {
                return Ok(turn);
            }
            tokio::time::sleep(if priority.is_for_reader() {
                HURRY_INTERVAL
            } else {
                GIVE_WAY_INTERVAL
            })
            .await;
        }
    }

    fn try_acquire(&self) -> Option<RatePermit<'_>> {
        let mut counted = self.counted.lock();
        let has_room = counted.at(Instant::now()) < self.allowed;
        (has_room && self.limiter.check().is_ok()).then(|| {
            counted.under_way += 1;
            RatePermit(&self.counted)
        })
    }

    /// The server wants no call for so long, which is believed for [`MAX_RETRY_AFTER`].
    pub fn close(&self, wait: Duration) {
        let until = Instant::now() + wait.min(MAX_RETRY_AFTER);
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

    fn limiter(allowed: u32) -> Arc<RateLimiter> {
        Arc::new(RateLimiter::new(NonZeroU32::new(allowed).unwrap()))
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
        let limiter = limiter(20);
        let mut calls = Vec::new();
        for index in 0..50 {
            let priority = if index % 2 == 0 { Priority::Demand } else { Priority::Background };
            let _permit = limiter.acquire(priority).await.unwrap();
            calls.push(Instant::now());
        }
        assert!(most_in_a_second(&calls) <= 20, "{}", most_in_a_second(&calls));
        let took = calls.last().unwrap().duration_since(calls[0]);
        assert!(took < Duration::from_secs(5), "far below what is allowed: {took:?}");
    }

    #[tokio::test]
    async fn calls_that_arrive_late_and_together_are_not_too_many_either() {
        let limiter = limiter(20);
        let start = Instant::now();
        // A line that lets nothing through but now and then.
        let stall = Duration::from_millis(900);
        let arrivals = (0..60).map(|_| {
            let limiter = limiter.clone();
            tokio::spawn(async move {
                let _permit = limiter.acquire(Priority::Background).await.unwrap();
                let stalls = start.elapsed().div_duration_f64(stall).ceil();
                let arrival = start + stall.mul_f64(stalls);
                tokio::time::sleep_until(arrival).await;
                arrival
            })
        });
        let arrivals =
            futures_util::future::try_join_all(arrivals.collect::<Vec<_>>()).await.unwrap();
        assert!(most_in_a_second(&arrivals) <= 20, "{}", most_in_a_second(&arrivals));
    }

    #[tokio::test]
    async fn a_read_overtakes_what_waits_in_the_background() {
        let limiter = limiter(5);
        while limiter.limiter.check().is_ok() {}
        let background: Vec<_> = (0..20)
            .map(|_| {
                let limiter = limiter.clone();
                tokio::spawn(async move { limiter.acquire(Priority::Background).await.map(drop) })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(100)).await;
        for _ in 0..3 {
            let _permit = limiter.acquire(Priority::Demand).await.unwrap();
        }
        let through = background.iter().filter(|call| call.is_finished()).count();
        assert!(through <= 3, "{through} of those that can wait went first");
        background.iter().for_each(|call| call.abort());
    }

    #[tokio::test]
    async fn a_server_that_wants_to_be_left_alone_is() {
        let limiter = limiter(5);
        limiter.close(Duration::from_millis(300));
        limiter.close(Duration::from_millis(10));
        let left = limiter.acquire(Priority::Demand).await.unwrap_err();
        assert!(left > Duration::from_millis(100), "{left:?}");
        tokio::time::sleep(Duration::from_millis(400)).await;
        assert!(limiter.acquire(Priority::Background).await.is_ok());
    }
}

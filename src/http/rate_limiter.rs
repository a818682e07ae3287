//! Limits the calls per second that the sources of one account send to an API.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::priority::Priority;

/// Divisor that gives the size of a burst: `limit / BURST_DIVISOR` calls can start at once after an
/// idle period. If all calls of a second could start at its beginning, the next reader would have
/// to wait until its end.
const BURST_DIVISOR: u32 = 5;

/// Length of the window in which servers count calls.
const WINDOW: Duration = Duration::from_secs(1);

/// Upper bound for a server-requested retry delay. A single wrong value must not stop a source
/// until the next mount. If the provider really means a daily limit, six calls per hour are
/// negligible.
const MAX_CLOSED_TIME: Duration = Duration::from_secs(10 * 60);

/// Grants permits for calls that count against one limit.
///
/// 1. In any second of its clock, the server counts at most `limit` calls. It counts a call at an
///    unknown time between sending and reply. So a permit is in use from before the call is sent
///    until [`WINDOW`] after the reply, and at most `limit` permits are in use at the same time. If
///    the network delays calls so that they arrive together, the limit still holds.
/// 2. Permits are spread over the second: at most `limit / BURST_DIVISOR` calls start at once.
/// 3. While a reader waits, no background call starts.
/// 4. While a `Retry-After` keeps the limiter closed, calls fail at once.
#[derive(Debug)]
pub struct RateLimiter {
    limit: usize,
    /// Time between two calls at the full rate.
    call_interval: Duration,
    /// Maximum time by which a burst may be ahead of the full rate.
    burst_tolerance: Duration,
    state: Mutex<State>,
    /// Notified when a waiting call may be able to start earlier than expected.
    state_changed: Notify,
}

#[derive(Debug)]
struct State {
    in_flight: usize,
    /// The times at which the calls within the last window ended, oldest first.
    end_times: VecDeque<Instant>,
    /// The time at which the next call is due at the full rate (generic cell rate algorithm).
    next_due: Instant,
    waiting_readers: usize,
    closed_until: Option<Instant>,
}

/// The result of an attempt to start a call.
enum Attempt {
    Started,
    /// The call cannot start before this time.
    NotBefore(Instant),
    /// The call cannot start until another call ends or no reader waits.
    AfterChange,
    /// The server has requested that no call is sent for this long.
    Closed(Duration),
}

/// The permission for one call, which must be held until the reply is complete.
#[derive(Debug)]
#[must_use]
pub struct RatePermit<'a>(&'a RateLimiter);

impl Drop for RatePermit<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.in_flight -= 1;
        state.end_times.push_back(Instant::now());
        drop(state);
        self.0.state_changed.notify_waiters();
    }
}

impl RateLimiter {
    /// Creates a limiter that allows `limit` calls per second.
    pub fn new(limit: NonZeroU32) -> Self {
        let burst = (limit.get() / BURST_DIVISOR).max(1);
        let call_interval = WINDOW / limit.get();
        let state = State {
            in_flight: 0,
            end_times: VecDeque::new(),
            next_due: Instant::now(),
            waiting_readers: 0,
            closed_until: None,
        };
        Self {
            limit: limit.get() as usize,
            call_interval,
            burst_tolerance: call_interval * (burst - 1),
            state: Mutex::new(state),
            state_changed: Notify::new(),
        }
    }

    /// Waits for a permit. The wait has no timeout of its own, so the caller must set one.
    ///
    /// # Errors
    /// The remaining retry delay, if the limiter is closed.
    pub async fn acquire(&self, priority: Priority) -> Result<RatePermit<'_>, Duration> {
        let _waiting_reader = priority.is_for_reader().then(|| WaitingReader::new(self));
        loop {
            let notification = self.state_changed.notified();
            tokio::pin!(notification);
            // The waiter is registered before the attempt. Otherwise a change between the attempt
            // and the registration would be missed.
            notification.as_mut().enable();
            match self.try_start(priority) {
                Attempt::Started => return Ok(RatePermit(self)),
                Attempt::Closed(remaining) => return Err(remaining),
                Attempt::AfterChange => notification.await,
                Attempt::NotBefore(at) => {
                    // The next step is another attempt, whether the time has come or the state has
                    // changed.
                    let _ = tokio::time::timeout_at(at, notification).await;
                }
            }
        }
    }

    fn try_start(&self, priority: Priority) -> Attempt {
        let now = Instant::now();
        let mut state = self.state.lock();
        if let Some(remaining) = state.remaining_delay(now) {
            return Attempt::Closed(remaining);
        }
        if !priority.is_for_reader() && state.waiting_readers > 0 {
            return Attempt::AfterChange;
        }
        while state.end_times.front().is_some_and(|ended| now.duration_since(*ended) > WINDOW) {
            state.end_times.pop_front();
        }
        if state.in_flight + state.end_times.len() >= self.limit {
            return match state.end_times.front() {
                // A call counts until more than the window has passed, so the next call starts a
                // millisecond later.
                Some(ended) => Attempt::NotBefore(*ended + WINDOW + Duration::from_millis(1)),
                None => Attempt::AfterChange,
            };
        }
        let earliest_start = state.next_due.checked_sub(self.burst_tolerance).unwrap_or(now);
        if now < earliest_start {
            return Attempt::NotBefore(earliest_start);
        }
        state.next_due = state.next_due.max(now) + self.call_interval;
        state.in_flight += 1;
        Attempt::Started
    }

    /// Returns the number of calls that count against the limit and the limit.
    #[cfg(test)]
    pub(super) fn load(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.in_flight + state.end_times.len(), self.limit)
    }

    /// Rejects all calls for the time `retry_after`, but at most for [`MAX_CLOSED_TIME`]. An
    /// earlier delay is not shortened.
    pub fn close(&self, retry_after: Duration) {
        let closed_until = Instant::now() + retry_after.min(MAX_CLOSED_TIME);
        let mut state = self.state.lock();
        state.closed_until = state.closed_until.max(Some(closed_until));
        drop(state);
        self.state_changed.notify_waiters();
    }
}

impl State {
    fn remaining_delay(&mut self, now: Instant) -> Option<Duration> {
        self.closed_until = self.closed_until.filter(|until| now < *until);
        self.closed_until.map(|until| until - now)
    }
}

/// Counts one waiting reader in the limiter until this value is dropped.
struct WaitingReader<'a>(&'a RateLimiter);

impl<'a> WaitingReader<'a> {
    fn new(limiter: &'a RateLimiter) -> Self {
        limiter.state.lock().waiting_readers += 1;
        Self(limiter)
    }
}

impl Drop for WaitingReader<'_> {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.waiting_readers -= 1;
        if state.waiting_readers == 0 {
            drop(state);
            self.0.state_changed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::future::try_join_all;

    use super::*;

    fn limiter(limit: u32) -> Arc<RateLimiter> {
        Arc::new(RateLimiter::new(NonZeroU32::new(limit).unwrap()))
    }

    /// Returns the maximum number of `times` within any second.
    fn max_per_second(times: &[Instant]) -> usize {
        let count_after = |from: &Instant| {
            times.iter().filter(|at| **at >= *from && **at < *from + WINDOW).count()
        };
        times.iter().map(count_after).max().unwrap_or(0)
    }

    #[tokio::test(start_paused = true)]
    async fn no_second_exceeds_the_limit() {
        for limit in [1, 2, 4, 20, 80] {
            let limiter = limiter(limit);
            let mut call_times = Vec::new();
            for index in 0..limit * 4 {
                let is_odd = index % 2 == 1;
                let priority = if is_odd { Priority::Background } else { Priority::Demand };
                let _permit = limiter.acquire(priority).await.unwrap();
                call_times.push(Instant::now());
            }
            assert!(
                max_per_second(&call_times) <= limit as usize,
                "{}",
                max_per_second(&call_times)
            );
            let elapsed = call_times.last().unwrap().duration_since(call_times[0]);
            assert!(elapsed < WINDOW * 5, "far below the limit of {limit}: {elapsed:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn calls_that_arrive_together_stay_within_limit() {
        let limiter = limiter(20);
        let start = Instant::now();
        // The connection delivers calls only every 900 ms.
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
        let arrivals = try_join_all(arrivals.collect::<Vec<_>>()).await.unwrap();
        assert!(max_per_second(&arrivals) <= 20, "{}", max_per_second(&arrivals));
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_in_flight_counts_until_its_reply() {
        let limiter = limiter(1);
        let start = Instant::now();
        let permit = limiter.acquire(Priority::Demand).await.unwrap();
        let next_call = tokio::spawn({
            let limiter = limiter.clone();
            async move { limiter.acquire(Priority::Demand).await.map(drop) }
        });
        tokio::time::sleep(WINDOW * 5).await;
        assert!(!next_call.is_finished());
        drop(permit);
        next_call.await.unwrap().unwrap();
        assert!(start.elapsed() >= WINDOW * 6, "{:?}", start.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn burst_is_a_fifth_of_the_limit() {
        let limiter = limiter(20);
        let start = Instant::now();
        let mut start_times = Vec::new();
        for _ in 0..6 {
            let _permit = limiter.acquire(Priority::Background).await.unwrap();
            start_times.push(start.elapsed().as_millis());
        }
        assert_eq!(start_times[..4], [0, 0, 0, 0]);
        assert!(start_times[4] >= 50 && start_times[5] >= 100, "{start_times:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_overtakes_background_calls() {
        let limiter = limiter(5);
        let background_calls: Vec<_> = (0..20)
            .map(|_| {
                let limiter = limiter.clone();
                tokio::spawn(async move { limiter.acquire(Priority::Background).await.map(drop) })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(100)).await;
        let count_before = background_calls.iter().filter(|call| call.is_finished()).count();
        for priority in [Priority::Demand, Priority::Prefetch] {
            let demand_call = tokio::spawn({
                let limiter = limiter.clone();
                async move { limiter.acquire(priority).await.map(drop) }
            });
            demand_call.await.unwrap().unwrap();
            let count_now = background_calls.iter().filter(|call| call.is_finished()).count();
            assert!(count_now <= count_before + 1, "{count_now} background calls started first");
        }
        background_calls.iter().for_each(|call| call.abort());
    }

    #[tokio::test(start_paused = true)]
    async fn canceled_reader_does_not_delay_background_calls() {
        let limiter = limiter(1);
        let permit = limiter.acquire(Priority::Demand).await.unwrap();
        let reader = limiter.acquire(Priority::Demand);
        assert!(tokio::time::timeout(WINDOW, reader).await.is_err());
        drop(permit);
        assert!(limiter.acquire(Priority::Background).await.is_ok());
        assert_eq!(limiter.state.lock().waiting_readers, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn closed_limiter_rejects_calls_during_the_delay() {
        let limiter = limiter(5);
        limiter.close(Duration::from_millis(300));
        limiter.close(Duration::from_millis(10));
        let remaining_delay = limiter.acquire(Priority::Demand).await.unwrap_err();
        assert_eq!(remaining_delay, Duration::from_millis(300));
        tokio::time::advance(Duration::from_millis(300)).await;
        assert!(limiter.acquire(Priority::Background).await.is_ok());
        limiter.close(Duration::from_secs(86_400));
        let remaining_delay = limiter.acquire(Priority::Demand).await.unwrap_err();
        assert_eq!(remaining_delay, MAX_CLOSED_TIME);
    }
}

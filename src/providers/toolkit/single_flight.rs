//! Lets only one caller at a time fetch a value. The other callers wait for the fetch and share its
//! result, even if the result is an error.
//!
//! Lock order: the lock of a flight is taken before any other lock and is held during the fetch.

use std::ops::Deref;
use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};
use tokio::time::Instant;

use crate::providers::ProviderError;

/// A value that only one caller at a time fetches.
#[derive(Default)]
pub(crate) struct SingleFlight<T>(Mutex<State<T>>);

#[derive(Default)]
struct State<T> {
    value: T,
    failure: Option<Failure>,
}

/// The error of the last fetch. All waiters share it. Otherwise each of them would call the failing
/// server in turn and wait for its own timeout.
struct Failure {
    failed_at: Instant,
    retry_at: Instant,
    error: ProviderError,
}

/// The exclusive right to fetch. When it is dropped, the next waiter gets it.
pub(crate) struct Flight<'a, T> {
    waiting_since: Instant,
    state: MutexGuard<'a, State<T>>,
}

impl<T> SingleFlight<T> {
    /// Waits until no other caller is fetching.
    pub(crate) async fn enter(&self) -> Flight<'_, T> {
        let waiting_since = Instant::now();
        Flight { waiting_since, state: self.0.lock().await }
    }

    /// Waits until no other caller is fetching. If another caller is fetching, awaits
    /// `check_breaker` first: if the server is down, the wait would take the whole timeout of the
    /// other caller.
    ///
    /// # Errors
    /// Returns the error of `check_breaker`.
    pub(crate) async fn enter_unless_breaker_open<E>(
        &self,
        check_breaker: impl Future<Output = Result<(), E>>,
    ) -> Result<Flight<'_, T>, E> {
        let waiting_since = Instant::now();
        let state = match self.0.try_lock() {
            Ok(state) => state,
            Err(_locked) => {
                check_breaker.await?;
                self.0.lock().await
            }
        };
        Ok(Flight { waiting_since, state })
    }
}

impl<T> Flight<'_, T> {
    /// Returns the time at which this caller started to wait. A value that arrived later is as new
    /// as a value that the caller would fetch itself.
    pub(crate) fn waiting_since(&self) -> Instant {
        self.waiting_since
    }

    /// Returns the error of the last fetch if this caller waited for that fetch, or if the retry
    /// delay has not passed.
    pub(crate) fn shared_failure(&self) -> Option<&ProviderError> {
        let failure = self.state.failure.as_ref()?;
        let is_shared = self.waiting_since < failure.failed_at || Instant::now() < failure.retry_at;
        is_shared.then_some(&failure.error)
    }

    pub(crate) fn value_mut(&mut self) -> &mut T {
        &mut self.state.value
    }

    /// Stores the fetched value.
    pub(crate) fn succeed(&mut self, value: T) {
        *self.state = State { value, failure: None };
    }

    /// Stores the error of the fetch. Callers that arrive within `retry_delay` get the same error.
    /// If `retry_delay` is zero, only the callers that are already waiting get it.
    pub(crate) fn fail(&mut self, error: ProviderError, retry_delay: Duration) {
        let failed_at = Instant::now();
        self.state.failure = Some(Failure { failed_at, retry_at: failed_at + retry_delay, error });
    }
}

impl<T> Deref for Flight<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.state.value
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const CALL_DURATION: Duration = Duration::from_secs(10);

    #[derive(Default)]
    struct Server {
        flight: SingleFlight<Option<(Instant, usize)>>,
        call_count: AtomicUsize,
    }

    impl Server {
        /// Fetches a number, or returns the number that arrived while this caller waited.
        async fn fetch(
            &self,
            is_down: bool,
            retry_delay: Duration,
        ) -> Result<usize, ProviderError> {
            let mut flight = self.flight.enter().await;
            if let Some((arrived_at, number)) = *flight
                && flight.waiting_since() <= arrived_at
            {
                return Ok(number);
            }
            if let Some(error) = flight.shared_failure() {
                return Err(error.clone());
            }
            let number = self.call_count.fetch_add(1, Ordering::Relaxed) + 1;
            tokio::time::sleep(CALL_DURATION).await;
            if is_down {
                let error = ProviderError::unavailable("down");
                flight.fail(error.clone(), retry_delay);
                return Err(error);
            }
            flight.succeed(Some((Instant::now(), number)));
            Ok(number)
        }

        async fn fetch_concurrently(
            self: &Arc<Self>,
            is_down: bool,
        ) -> Vec<Result<usize, ProviderError>> {
            let callers: Vec<_> = (0..16)
                .map(|_| {
                    let server = self.clone();
                    tokio::spawn(async move { server.fetch(is_down, Duration::ZERO).await })
                })
                .collect();
            let mut results = Vec::new();
            for caller in callers {
                results.push(caller.await.unwrap());
            }
            results
        }
    }

    #[tokio::test(start_paused = true)]
    async fn waiters_share_one_result() {
        let server = Arc::new(Server::default());
        let start = Instant::now();
        let results = server.fetch_concurrently(false).await;
        assert!(results.iter().all(|result| matches!(result, Ok(1))));
        assert_eq!(start.elapsed(), CALL_DURATION);
        tokio::time::advance(CALL_DURATION).await;
        server.fetch(false, Duration::ZERO).await.unwrap();
        assert_eq!(server.call_count.load(Ordering::Relaxed), 2, "a later caller fetches again");
    }

    #[tokio::test(start_paused = true)]
    async fn waiters_share_one_failure() {
        let server = Arc::new(Server::default());
        let start = Instant::now();
        assert!(server.fetch_concurrently(true).await.iter().all(Result::is_err));
        assert_eq!(
            (start.elapsed(), server.call_count.load(Ordering::Relaxed)),
            (CALL_DURATION, 1)
        );
        assert_eq!(server.fetch(false, Duration::ZERO).await.unwrap(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn failure_is_repeated_until_its_retry_delay() {
        let server = Server::default();
        server.fetch(true, CALL_DURATION).await.unwrap_err();
        server.fetch(false, CALL_DURATION).await.unwrap_err();
        assert_eq!(server.call_count.load(Ordering::Relaxed), 1);
        tokio::time::advance(CALL_DURATION).await;
        assert_eq!(server.fetch(false, CALL_DURATION).await.unwrap(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn breaker_is_checked_only_while_another_fetches() {
        let flight = SingleFlight::<()>::default();
        let first_flight = flight.enter_unless_breaker_open(async { Err("down") }).await.unwrap();
        assert_eq!(
            flight.enter_unless_breaker_open(async { Err("down") }).await.err(),
            Some("down")
        );
        drop(first_flight);
        assert!(flight.enter_unless_breaker_open(async { Err("down") }).await.is_ok());
    }
}

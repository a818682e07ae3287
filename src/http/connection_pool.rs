//! Shares the connections to one host fairly between interactive and bulk requests.
//!
//! A seek in a video needs a quarter of a megabyte, and a concurrent backup would occupy every
//! connection. So a free permit goes to an interactive request first. After an interactive request
//! had to wait, one permit is reserved for the next interactive request. At least one of ten
//! consecutive permits goes to a waiting bulk request.
//!
//! A transfer below the minimum rate of [`transfer`](super::transfer) must give up its permit when
//! another request waits, and counts as slow from then on. Slow transfers together get at most half
//! of the permits, and at least one if the pool has two or more. So a server that sends a few bytes
//! at a time does not delay other files, and its own transfers are not starved either.
//!
//! A request that the server refuses (status 429 or 503) reduces the limit to the number of
//! requests that the server accepts. The limit is halved if many requests fail without a refusal
//! (status 408 or another 5xx, no reply, a stall or a broken connection). Both reductions are
//! temporary.
//!
//! Brief requests have their own permits. With shared permits they would wait for seconds until a
//! bulk request ends. They do not slow bulk requests down.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::transfer::Transfer;

/// Number of permits for brief requests, as a multiple of the connection limit. A user who sets a
/// low limit also gets fewer brief requests.
const BRIEF_PERMITS_PER_CONNECTION: usize = 4;

/// Maximum number of permits for brief requests. On an idle line, a search through 2,000
/// transcripts takes 14 s with eight permits and 4 s with 32. Four times 64 connections would be
/// 256 requests at once, which an API would refuse.
const MAX_BRIEF_PERMITS: usize = 32;

/// Returns the maximum number of permits for brief requests to a host with this connection limit.
pub(super) fn max_brief_permits(limit: usize) -> usize {
    limit.saturating_mul(BRIEF_PERMITS_PER_CONNECTION).min(MAX_BRIEF_PERMITS)
}

/// Maximum number of consecutive permits for interactive requests while a bulk request waits. One
/// permit in ten then goes to a bulk request.
const MAX_INTERACTIVE_RUN: u32 = 9;

/// Time for which one permit stays reserved after an interactive request had to wait. A viewer who
/// seeks usually seeks again within seconds.
const RESERVATION_TIMEOUT: Duration = Duration::from_secs(2);

/// The class of a transfer, which depends on how long the transfer occupies its connection. It is
/// independent of the [`Priority`](super::Priority): a long sequential run can be both demand and
/// bulk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrafficClass {
    /// A short transfer for which a reader is waiting: a seek, a header, or the first read of a
    /// file.
    Interactive,
    /// A long transfer, or one for which no reader is waiting yet.
    Bulk,
    /// A transfer of a single round trip: a probe, or a small file that is expected to be read
    /// soon.
    Brief,
}

/// The position at which a request enters the queue of its class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum QueuePosition {
    /// Before all others. For a request that the server refused, or whose lease ended while it
    /// waited.
    First,
    Last,
}

/// Interval at which a waiting request looks for a permit whose reservation has ended, or for a
/// slow transfer that can give up its permit.
const PERMIT_CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// Interval at which a reduced limit grows until it reaches the configured one. Overloads usually
/// last for seconds. With a shorter interval, the overload would return before the server has
/// recovered.
const RECOVERY_INTERVAL: Duration = Duration::from_secs(10);

/// Divisor of the growth: an accepted limit grows by an eighth of itself in each interval. The
/// server has refused more requests before, so faster growth would only cause more refusals.
const ACCEPTED_GROWTH_DIVISOR: usize = 8;

/// Minimum time between two reductions by failures. All requests of a host often fail at once for
/// one reason, and each of them would halve the limit.
const MIN_REDUCTION_INTERVAL: Duration = Duration::from_secs(1);

/// Lower bound of the reduced limit. Without a bound, an outage of several seconds would reduce the
/// limit to one. Eight connections are about as many as a browser opens to one host.
const MIN_REDUCED_LIMIT: usize = 8;

/// The limit is halved if at least one in this number of recent requests fails. On a lossy line, a
/// few requests in a hundred fail with any number of connections. Fewer connections would only be
/// slower.
const OVERLOAD_DIVISOR: u32 = 10;

/// Minimum number of recent failures before the limit is halved. A single failure says nothing
/// about the load.
const MIN_FAILURES: u32 = 2;

/// Number of ended requests after which the counts of recent requests are halved. With 64
/// connections, they describe the last two requests of each.
const MAX_RECENT_REQUESTS: u32 = 128;

/// The connection permits of one host.
#[derive(Debug)]
pub(super) struct ConnectionPool {
    /// Maximum number of concurrent interactive and bulk requests.
    configured_limit: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The permits of interactive and bulk requests.
    long_permits: Permits,
    brief_permits: Permits,
    interactive_waiters: VecDeque<Waiter>,
    bulk_waiters: VecDeque<Waiter>,
    brief_waiters: VecDeque<Waiter>,
    /// Number of consecutive permits that went to interactive requests while a bulk request waited.
    interactive_run: u32,
    /// The last time at which an interactive request found all permits in use.
    last_contention: Option<Instant>,
    reduction: Option<Reduction>,
    recent_requests: RecentRequests,
}

/// A temporary reduction of the limit, because the host or the line is overloaded.
#[derive(Clone, Copy, Debug)]
struct Reduction {
    limit: usize,
    started_at: Instant,
    /// Whether the server accepted this number of requests and refused more.
    is_accepted: bool,
}

impl Reduction {
    /// Returns the limit, which grows after each interval.
    fn current_limit(self) -> usize {
        let intervals = self.started_at.elapsed().as_secs() / RECOVERY_INTERVAL.as_secs();
        if self.is_accepted {
            let growth = self.limit.div_ceil(ACCEPTED_GROWTH_DIVISOR);
            let intervals = usize::try_from(intervals).unwrap_or(usize::MAX);
            return self.limit.saturating_add(growth.saturating_mul(intervals));
        }
        self.limit.saturating_mul(1 << intervals.min(16))
    }
}

/// The recent requests of a host. The counts are halved after [`MAX_RECENT_REQUESTS`].
#[derive(Debug, Default)]
struct RecentRequests {
    ended: u32,
    failed: u32,
}

impl RecentRequests {
    fn record_end(&mut self) {
        self.ended += 1;
        if self.ended >= MAX_RECENT_REQUESTS {
            self.ended /= 2;
            self.failed /= 2;
        }
    }

    /// Records a failure that an overload can cause. Returns whether there are enough failures to
    /// assume an overload.
    fn record_failure(&mut self) -> bool {
        self.failed += 1;
        let is_overload =
            self.failed >= MIN_FAILURES && self.failed * OVERLOAD_DIVISOR >= self.ended;
        if is_overload {
            *self = Self::default();
        }
        is_overload
    }
}

/// The permits of one kind that are in use, and the slow transfers that wait for such a permit.
#[derive(Debug, Default)]
struct Permits {
    in_use: usize,
    /// Number of permits in use by requests that the server has accepted.
    accepted_in_use: usize,
    /// Number of permits in use by transfers that were already slow when they got the permit.
    slow_in_use: usize,
    /// The transfers that hold a permit and can be asked to give it up.
    transfers: Vec<Arc<Transfer>>,
    slow_waiters: VecDeque<Waiter>,
}

#[derive(Debug)]
struct Waiter {
    permit: oneshot::Sender<ConnectionPermit>,
    transfer: Option<Arc<Transfer>>,
}

/// The kind of a permit. It determines which counters include the permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PermitKind {
    is_brief: bool,
    is_slow: bool,
}

/// The use of the permits of a pool, of all classes together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PoolLoad {
    pub(super) in_use: usize,
    pub(super) waiting: usize,
    /// The limit at present, which is reduced after an overload.
    pub(super) limit: usize,
    pub(super) configured_limit: usize,
}

/// The permission to send one request. Dropping it returns the permit to the pool.
#[derive(Debug)]
pub(super) struct ConnectionPermit {
    pool: Option<Arc<ConnectionPool>>,
    kind: PermitKind,
    granted_at: Instant,
    /// Whether the server has accepted the request.
    is_accepted: bool,
    transfer: Option<Arc<Transfer>>,
}

impl ConnectionPool {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { configured_limit: limit.max(1), state: Mutex::default() })
    }

    /// Records a failure that an overload can cause, of a request that got its permit at
    /// `granted_at`. Halves the limit temporarily if many requests fail.
    fn record_failure(&self, granted_at: Instant) {
        let mut state = self.state.lock();
        if state.recent_requests.record_failure() {
            state.halve_limit(self.configured_limit, granted_at);
        }
    }

    /// Records that the server refused a request because it received too many. If it has accepted
    /// requests for at least half of the limit, the limit falls to their number. Otherwise, their
    /// number does not show what the server allows, and the limit is halved.
    fn record_throttling(&self, granted_at: Instant) {
        let mut state = self.state.lock();
        let previous_limit = state.limit(self.configured_limit);
        let accepted_requests = state.long_permits.accepted_in_use;
        if accepted_requests < MIN_REDUCED_LIMIT || accepted_requests < previous_limit / 2 {
            state.halve_limit(self.configured_limit, granted_at);
        } else if !state.has_same_cause(granted_at) {
            state.reduce(accepted_requests.min(previous_limit), true);
        }
    }

    /// Waits for a permit. The wait has no timeout of its own, so the caller must set one. A
    /// canceled waiter leaves the queue. A request without a `transfer` is never asked to give up
    /// its permit.
    pub(super) async fn acquire(
        self: &Arc<Self>,
        class: TrafficClass,
        transfer: Option<&Arc<Transfer>>,
    ) -> Option<ConnectionPermit> {
        self.acquire_from(QueuePosition::Last, class, transfer).await
    }

    /// Waits for a permit like [`acquire`](Self::acquire), from the given position in the queue.
    pub(super) async fn acquire_from(
        self: &Arc<Self>,
        position: QueuePosition,
        class: TrafficClass,
        transfer: Option<&Arc<Transfer>>,
    ) -> Option<ConnectionPermit> {
        let is_slow = transfer.is_some_and(|transfer| transfer.is_slow());
        let kind = PermitKind { is_brief: class == TrafficClass::Brief, is_slow };
        let (sender, mut permit) = oneshot::channel();
        {
            let mut state = self.state.lock();
            let limit = state.limit(self.configured_limit);
            if class == TrafficClass::Interactive && state.long_permits.in_use >= limit {
                state.last_contention = Some(Instant::now());
            }
            let queue = match class {
                _ if is_slow => &mut state.permits(kind).slow_waiters,
                TrafficClass::Interactive => &mut state.interactive_waiters,
                TrafficClass::Bulk => &mut state.bulk_waiters,
                TrafficClass::Brief => &mut state.brief_waiters,
            };
            let waiter = Waiter { permit: sender, transfer: transfer.cloned() };
            match position {
                QueuePosition::First => queue.push_front(waiter),
                QueuePosition::Last => queue.push_back(waiter),
            }
        }
        self.dispatch();
        loop {
            match tokio::time::timeout(PERMIT_CHECK_INTERVAL, &mut permit).await {
                Ok(permit) => return permit.ok(),
                Err(_elapsed) => {
                    // The reservation for an interactive request may have ended in the meantime.
                    self.dispatch();
                    let mut state = self.state.lock();
                    let limit = state.limit(self.configured_limit);
                    state.request_yield(kind, limit);
                }
            }
        }
    }

    fn dispatch(self: &Arc<Self>) {
        loop {
            let next_waiter = {
                let mut state = self.state.lock();
                let limit = state.limit(self.configured_limit);
                state.next_waiter(limit)
            };
            let Some((waiter, kind)) = next_waiter else { return };
            let Waiter { permit: sender, transfer } = waiter;
            if let Some(transfer) = &transfer {
                transfer.start_measurement();
            }
            let permit = ConnectionPermit {
                pool: Some(self.clone()),
                kind,
                granted_at: Instant::now(),
                is_accepted: false,
                transfer,
            };
            // If the waiter was canceled, the permit returns to the pool and is offered to the next
            // waiter.
            if let Err(mut unused_permit) = sender.send(permit) {
                unused_permit.pool = None;
                self.state.lock().release(&unused_permit);
            }
        }
    }

    #[cfg(test)]
    fn in_use(&self) -> usize {
        self.state.lock().long_permits.in_use
    }

    /// Returns the use of the permits of all classes.
    pub(super) fn load(&self) -> PoolLoad {
        let state = self.state.lock();
        let State { long_permits: long, brief_permits: brief, .. } = &*state;
        let queues = [
            &state.interactive_waiters,
            &state.bulk_waiters,
            &state.brief_waiters,
            &long.slow_waiters,
            &brief.slow_waiters,
        ];
        let total_limit = |limit| limit + max_brief_permits(limit);
        PoolLoad {
            in_use: long.in_use + brief.in_use,
            waiting: queues.iter().map(|queue| queue.len()).sum(),
            limit: total_limit(state.limit(self.configured_limit)),
            configured_limit: total_limit(self.configured_limit),
        }
    }
}

/// Returns the maximum number of permits that slow transfers may have while other requests wait.
fn max_slow_permits(limit: usize) -> usize {
    limit / 2
}

impl Permits {
    /// Removes and returns the next slow transfer, if it may start. While other requests wait, it
    /// may start only if no slow transfer has a permit.
    fn next_slow_waiter(
        &mut self,
        limit: usize,
        reserved_permits: usize,
        are_others_waiting: bool,
    ) -> Option<Waiter> {
        let maximum = match are_others_waiting {
            true => max_slow_permits(limit).min(1),
            false => max_slow_permits(limit).max(1),
        };
        if self.in_use >= limit - reserved_permits || self.slow_in_use >= maximum {
            return None;
        }
        let waiter = self.slow_waiters.pop_front()?;
        self.slow_in_use += 1;
        Some(waiter)
    }

    fn add(&mut self, waiter: &Waiter) {
        self.in_use += 1;
        self.transfers.extend(waiter.transfer.clone());
    }
}

impl State {
    /// Returns the current limit, which is lower than `configured_limit` after an overload.
    fn limit(&self, configured_limit: usize) -> usize {
        self.reduction
            .map_or(configured_limit, |reduction| reduction.current_limit().min(configured_limit))
    }

    /// Whether the failure of a request that got its permit at `granted_at` can have the same cause
    /// as the last reduction, so it must not reduce the limit again.
    fn has_same_cause(&self, granted_at: Instant) -> bool {
        self.reduction.is_some_and(|last| {
            granted_at <= last.started_at || last.started_at.elapsed() < MIN_REDUCTION_INTERVAL
        })
    }

    /// Halves the limit because of a request that got its permit at `granted_at`. Requests in
    /// flight continue.
    fn halve_limit(&mut self, configured_limit: usize, granted_at: Instant) {
        if !self.has_same_cause(granted_at) {
            let previous_limit = self.limit(configured_limit);
            let limit = (previous_limit / 2).max(MIN_REDUCED_LIMIT).min(previous_limit);
            self.reduce(limit, false);
        }
    }

    fn reduce(&mut self, limit: usize, is_accepted: bool) {
        tracing::debug!(limit, "the server or the line may be overloaded: fewer connections");
        self.reduction = Some(Reduction { limit, started_at: Instant::now(), is_accepted });
    }

    fn permits(&mut self, kind: PermitKind) -> &mut Permits {
        if kind.is_brief { &mut self.brief_permits } else { &mut self.long_permits }
    }

    /// Removes and returns the waiter that gets the next permit, and the kind of the permit.
    fn next_waiter(&mut self, limit: usize) -> Option<(Waiter, PermitKind)> {
        if let Some((waiter, is_slow)) = self.next_long_waiter(limit) {
            self.long_permits.add(&waiter);
            return Some((waiter, PermitKind { is_brief: false, is_slow }));
        }
        let (waiter, is_slow) = self.next_brief_waiter(max_brief_permits(limit))?;
        self.brief_permits.add(&waiter);
        Some((waiter, PermitKind { is_brief: true, is_slow }))
    }

    fn next_brief_waiter(&mut self, limit: usize) -> Option<(Waiter, bool)> {
        if let Some(waiter) =
            self.brief_permits.next_slow_waiter(limit, 0, !self.brief_waiters.is_empty())
        {
            return Some((waiter, true));
        }
        if self.brief_permits.in_use >= limit {
            return None;
        }
        Some((self.brief_waiters.pop_front()?, false))
    }

    fn next_long_waiter(&mut self, limit: usize) -> Option<(Waiter, bool)> {
        if self.long_permits.in_use >= limit {
            return None;
        }
        let is_bulk_due = self.interactive_run >= MAX_INTERACTIVE_RUN;
        let has_reservation = !is_bulk_due
            && self.last_contention.is_some_and(|at| at.elapsed() < RESERVATION_TIMEOUT);
        // A single connection cannot be reserved.
        let reserved_permits = usize::from(has_reservation && limit > 1);
        let are_others_waiting =
            !self.interactive_waiters.is_empty() || !self.bulk_waiters.is_empty();
        if let Some(waiter) =
            self.long_permits.next_slow_waiter(limit, reserved_permits, are_others_waiting)
        {
            return Some((waiter, true));
        }
        let bulk_can_start =
            self.long_permits.in_use < limit - reserved_permits && !self.bulk_waiters.is_empty();
        let waiter = if (is_bulk_due || self.interactive_waiters.is_empty()) && bulk_can_start {
            self.interactive_run = 0;
            self.bulk_waiters.pop_front()
        } else {
            let bulk_increment = u32::from(!self.bulk_waiters.is_empty());
            self.interactive_run = self.interactive_run.saturating_add(bulk_increment);
            self.interactive_waiters.pop_front()
        };
        Some((waiter?, false))
    }

    /// Asks a transfer below the minimum rate to give up its permit for a waiter of this kind.
    /// Never asks more transfers than there are waiters.
    fn request_yield(&mut self, kind: PermitKind, limit: usize) {
        let count_waiting = |queue: &VecDeque<Waiter>| {
            queue.iter().filter(|waiter| !waiter.permit.is_closed()).count()
        };
        let (limit, other_waiters) = if kind.is_brief {
            (max_brief_permits(limit), count_waiting(&self.brief_waiters))
        } else {
            (limit, count_waiting(&self.interactive_waiters) + count_waiting(&self.bulk_waiters))
        };
        let permits = self.permits(kind);
        let waiters =
            if kind.is_slow { count_waiting(&permits.slow_waiters) } else { other_waiters };
        let yielding_count =
            permits.transfers.iter().filter(|transfer| transfer.must_yield()).count();
        if permits.in_use < limit || yielding_count >= waiters {
            return;
        }
        // Slow transfers take turns with each other. Any other request takes a permit from them
        // only if they have too many permits.
        let spares_slow_transfers = !kind.is_slow && permits.slow_in_use <= max_slow_permits(limit);
        let mut transfers = permits.transfers.iter();
        let slow_transfer = transfers.find(|transfer| {
            !(spares_slow_transfers && transfer.is_slow()) && transfer.can_yield()
        });
        if let Some(transfer) = slow_transfer {
            transfer.request_yield();
        }
    }

    fn release(&mut self, permit: &ConnectionPermit) {
        self.recent_requests.record_end();
        let permits = self.permits(permit.kind);
        permits.in_use -= 1;
        permits.accepted_in_use -= usize::from(permit.is_accepted);
        permits.slow_in_use -= usize::from(permit.kind.is_slow);
        if let Some(transfer) = &permit.transfer {
            permits.transfers.retain(|other| !Arc::ptr_eq(other, transfer));
        }
    }
}

impl ConnectionPermit {
    /// Records that the server has accepted the request.
    pub(super) fn record_acceptance(&mut self) {
        if let Some(pool) = &self.pool
            && !std::mem::replace(&mut self.is_accepted, true)
        {
            pool.state.lock().permits(self.kind).accepted_in_use += 1;
        }
    }

    /// Records that the request failed in a way that an overload can cause.
    pub(super) fn record_failure(&self) {
        if let Some(pool) = &self.pool {
            pool.record_failure(self.granted_at);
        }
    }

    /// Records that the server refused the request because it received too many.
    pub(super) fn record_throttling(&self) {
        if let Some(pool) = &self.pool
            && !self.kind.is_brief
        {
            pool.record_throttling(self.granted_at);
        }
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.take() {
            pool.state.lock().release(self);
            pool.dispatch();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::transfer::MIN_RATE;
    use super::*;

    const CONNECTIONS: usize = 8;

    async fn try_acquire(
        pool: &Arc<ConnectionPool>,
        class: TrafficClass,
    ) -> Option<ConnectionPermit> {
        tokio::time::timeout(Duration::from_millis(20), pool.acquire(class, None))
            .await
            .ok()
            .flatten()
    }

    /// Takes all permits for bulk requests.
    async fn acquire_all(pool: &Arc<ConnectionPool>) -> Vec<ConnectionPermit> {
        let mut permits = Vec::new();
        for _ in 0..CONNECTIONS {
            permits.extend(try_acquire(pool, TrafficClass::Bulk).await);
        }
        permits
    }

    #[tokio::test(start_paused = true)]
    async fn bulk_requests_can_use_all_connections() {
        let pool = ConnectionPool::new(CONNECTIONS);
        let mut permits_in_use = acquire_all(&pool).await;
        assert_eq!(permits_in_use.len(), CONNECTIONS);
        assert!(try_acquire(&pool, TrafficClass::Bulk).await.is_none());
        permits_in_use.pop();
        assert!(try_acquire(&pool, TrafficClass::Bulk).await.is_some());
    }

    fn limit(pool: &ConnectionPool) -> usize {
        pool.state.lock().limit(pool.configured_limit)
    }

    #[tokio::test(start_paused = true)]
    async fn many_failures_halve_the_limit_for_a_while() {
        let pool = ConnectionPool::new(64);
        // Requests that fail together count once.
        let permits = acquire_all(&pool).await;
        permits.iter().for_each(ConnectionPermit::record_failure);
        assert_eq!(limit(&pool), 32);
        tokio::time::advance(2 * MIN_REDUCTION_INTERVAL).await;
        permits.iter().for_each(ConnectionPermit::record_failure);
        assert_eq!(limit(&pool), 32, "they were in flight at the reduction");
        drop(permits);
        for expected in [16, MIN_REDUCED_LIMIT, MIN_REDUCED_LIMIT] {
            tokio::time::advance(MIN_REDUCTION_INTERVAL).await;
            for _ in 0..MIN_FAILURES {
                try_acquire(&pool, TrafficClass::Bulk).await.unwrap().record_failure();
            }
            assert_eq!(limit(&pool), expected);
        }
        let mut permits = Vec::new();
        while let Some(permit) = try_acquire(&pool, TrafficClass::Bulk).await {
            permits.push(permit);
        }
        assert_eq!(permits.len(), MIN_REDUCED_LIMIT);
        for expected in [16, 32, 64, 64] {
            tokio::time::advance(RECOVERY_INTERVAL).await;
            assert_eq!(limit(&pool), expected);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn few_failures_in_a_hundred_keep_the_limit() {
        let pool = ConnectionPool::new(64);
        for number in 0..1000 {
            let permit = try_acquire(&pool, TrafficClass::Bulk).await.unwrap();
            if number % 50 == 0 {
                permit.record_failure();
            }
            tokio::time::advance(MIN_REDUCTION_INTERVAL / 10).await;
        }
        assert_eq!(limit(&pool), 64);
    }

    #[tokio::test(start_paused = true)]
    async fn throttling_reduces_the_limit_to_accepted_requests() {
        let pool = ConnectionPool::new(64);
        let mut permits = Vec::new();
        for _ in 0..40 {
            permits.extend(try_acquire(&pool, TrafficClass::Bulk).await);
        }
        permits.iter_mut().take(33).for_each(ConnectionPermit::record_acceptance);
        for permit in permits.split_off(33) {
            permit.record_throttling();
        }
        assert_eq!(limit(&pool), 33);
        tokio::time::advance(RECOVERY_INTERVAL).await;
        assert_eq!(limit(&pool), 38);
        drop(permits);
        assert_eq!(pool.state.lock().long_permits.accepted_in_use, 0);
        // A refusal of a single request does not show how many the server accepts.
        try_acquire(&pool, TrafficClass::Bulk).await.unwrap().record_throttling();
        assert_eq!(limit(&pool), 19);
    }

    /// The other requests are still in flight at the first refusal, but the server refuses them
    /// too.
    #[tokio::test(start_paused = true)]
    async fn burst_of_refusals_halves_the_limit_once() {
        let pool = ConnectionPool::new(64);
        let mut permits = Vec::new();
        for _ in 0..64 {
            permits.extend(try_acquire(&pool, TrafficClass::Bulk).await);
        }
        for permit in permits {
            permit.record_throttling();
        }
        assert_eq!(limit(&pool), 32);
        tokio::time::advance(RECOVERY_INTERVAL).await;
        assert_eq!(limit(&pool), 64);
    }

    #[tokio::test(start_paused = true)]
    async fn overload_does_not_raise_a_small_limit() {
        let pool = ConnectionPool::new(2);
        try_acquire(&pool, TrafficClass::Bulk).await.unwrap().record_throttling();
        assert_eq!(limit(&pool), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn one_permit_is_reserved_after_an_interactive_wait() {
        let pool = ConnectionPool::new(CONNECTIONS);
        let mut permits_in_use = acquire_all(&pool).await;
        assert!(try_acquire(&pool, TrafficClass::Interactive).await.is_none());
        permits_in_use.pop();
        assert!(try_acquire(&pool, TrafficClass::Bulk).await.is_none());
        assert!(try_acquire(&pool, TrafficClass::Interactive).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_bulk_request_starts_after_the_reservation() {
        let pool = ConnectionPool::new(CONNECTIONS);
        let mut permits_in_use = acquire_all(&pool).await;
        assert!(try_acquire(&pool, TrafficClass::Interactive).await.is_none());
        permits_in_use.pop();
        // No other request begins or ends.
        let limit = RESERVATION_TIMEOUT + PERMIT_CHECK_INTERVAL;
        let bulk_permit = tokio::time::timeout(limit, pool.acquire(TrafficClass::Bulk, None)).await;
        assert!(bulk_permit.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn bulk_requests_get_one_permit_in_ten() {
        let pool = ConnectionPool::new(CONNECTIONS);
        let mut permits_in_use = Vec::new();
        for _ in 0..CONNECTIONS {
            permits_in_use.extend(pool.acquire(TrafficClass::Bulk, None).await);
        }
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = Vec::new();
        for class in std::iter::once(TrafficClass::Bulk)
            .chain(std::iter::repeat_n(TrafficClass::Interactive, 12))
        {
            let (pool, order) = (pool.clone(), order.clone());
            tasks.push(tokio::spawn(async move {
                let permit = pool.acquire(class, None).await;
                order.lock().push(class);
                drop(permit);
            }));
            tokio::task::yield_now().await;
        }
        // Two permits are freed, because one of them stays reserved while interactive requests
        // arrive.
        permits_in_use.truncate(CONNECTIONS - 2);
        for task in tasks {
            task.await.unwrap();
        }
        let order = order.lock().clone();
        assert_eq!(order.iter().filter(|class| **class == TrafficClass::Interactive).count(), 12);
        let bulk_position = order.iter().position(|class| *class == TrafficClass::Bulk).unwrap();
        assert!((1..=11).contains(&bulk_position), "{order:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn brief_requests_have_their_own_permits() {
        let pool = ConnectionPool::new(1);
        let bulk_permit = try_acquire(&pool, TrafficClass::Bulk).await;
        let mut brief_permits = Vec::new();
        for _ in 0..max_brief_permits(1) {
            brief_permits.extend(try_acquire(&pool, TrafficClass::Brief).await);
        }
        assert_eq!(brief_permits.len(), max_brief_permits(1));
        assert!(try_acquire(&pool, TrafficClass::Brief).await.is_none());
        drop(bulk_permit);
        assert!(try_acquire(&pool, TrafficClass::Bulk).await.is_some());
        brief_permits.pop();
        assert!(try_acquire(&pool, TrafficClass::Brief).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn interactive_request_without_wait_reserves_no_permit() {
        let pool = ConnectionPool::new(CONNECTIONS);
        drop(try_acquire(&pool, TrafficClass::Interactive).await);
        let permits_in_use = acquire_all(&pool).await;
        assert_eq!(permits_in_use.len(), CONNECTIONS);
    }

    #[tokio::test(start_paused = true)]
    async fn single_connection_is_never_reserved() {
        let pool = ConnectionPool::new(1);
        let bulk_permit = try_acquire(&pool, TrafficClass::Bulk).await;
        assert!(try_acquire(&pool, TrafficClass::Interactive).await.is_none());
        drop(bulk_permit);
        assert!(try_acquire(&pool, TrafficClass::Bulk).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn canceled_waiters_do_not_keep_their_permits() {
        let pool = ConnectionPool::new(CONNECTIONS);
        let mut permits_in_use = Vec::new();
        for _ in 0..CONNECTIONS {
            permits_in_use.extend(pool.acquire(TrafficClass::Bulk, None).await);
        }
        assert!(try_acquire(&pool, TrafficClass::Bulk).await.is_none());
        assert!(try_acquire(&pool, TrafficClass::Interactive).await.is_none());
        drop(permits_in_use);
        assert_eq!(pool.in_use(), 0);
    }
    const SLOW_CHUNK: usize = 8 * 1024;
    const SLOW_CHUNK_INTERVAL: Duration = Duration::from_secs(5);

    /// Starts `count` transfers from a server that sends `bytes` bytes in each `interval`. A
    /// transfer that has given up its permit requests another one, until the test ends.
    fn start_slow_transfers(
        pool: &Arc<ConnectionPool>,
        count: usize,
        bytes: usize,
        interval: Duration,
    ) {
        for _ in 0..count {
            let pool = pool.clone();
            tokio::spawn(async move {
                let transfer = Arc::new(Transfer::default());
                loop {
                    let permit = pool.acquire(TrafficClass::Bulk, Some(&transfer)).await;
                    let next_chunk = || transfer.wait(tokio::time::sleep(interval));
                    while next_chunk().await.is_some() {
                        transfer.add_bytes(bytes);
                    }
                    drop(permit);
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            });
        }
    }

    /// Waits for a permit for an interactive request. Returns the permit and the duration of the
    /// wait.
    async fn acquire_interactive(pool: &Arc<ConnectionPool>) -> (ConnectionPermit, Duration) {
        let start = Instant::now();
        let transfer = Arc::new(Transfer::default());
        let permit = pool.acquire(TrafficClass::Interactive, Some(&transfer)).await.unwrap();
        (permit, start.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn slow_transfers_yield_to_waiting_requests() {
        for limit in [1, 2, 3, CONNECTIONS] {
            let pool = ConnectionPool::new(limit);
            start_slow_transfers(&pool, 3 * CONNECTIONS, SLOW_CHUNK, SLOW_CHUNK_INTERVAL);
            tokio::time::sleep(Duration::from_secs(60)).await;
            for _ in 0..50 {
                let (permit, waited) = acquire_interactive(&pool).await;
                assert!(waited < Duration::from_secs(6), "{waited:?} with {limit}");
                tokio::time::sleep(Duration::from_millis(100)).await;
                drop(permit);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn interactive_transfers_get_half_of_the_pool() {
        let pool = ConnectionPool::new(CONNECTIONS);
        start_slow_transfers(&pool, 3 * CONNECTIONS, SLOW_CHUNK, SLOW_CHUNK_INTERVAL);
        tokio::time::sleep(Duration::from_secs(60)).await;
        let waiters = (0..CONNECTIONS / 2).map(|_| acquire_interactive(&pool));
        let permits = futures_util::future::join_all(waiters).await;
        for (_, waited) in &permits {
            assert!(*waited < Duration::from_secs(6), "{waited:?}");
        }
        // The interactive transfers keep their permits, and the slow ones keep the remaining
        // permits.
        tokio::time::sleep(Duration::from_secs(60)).await;
        let slow_permits = pool.state.lock().long_permits.slow_in_use;
        assert!((1..=CONNECTIONS / 2).contains(&slow_permits), "{slow_permits}");
    }

    #[tokio::test(start_paused = true)]
    async fn transfers_above_the_minimum_rate_keep_their_connections() {
        let pool = ConnectionPool::new(CONNECTIONS);
        start_slow_transfers(&pool, CONNECTIONS, 2 * MIN_RATE as usize, Duration::from_secs(1));
        tokio::time::sleep(Duration::from_secs(1)).await;
        let result = tokio::time::timeout(Duration::from_secs(60), acquire_interactive(&pool));
        assert!(result.await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn slow_transfers_are_not_starved() {
        let pool = ConnectionPool::new(CONNECTIONS);
        for _ in 0..2 * CONNECTIONS {
            let pool = pool.clone();
            tokio::spawn(async move {
                loop {
                    let permit = pool.acquire(TrafficClass::Interactive, None).await;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    drop(permit);
                }
            });
        }
        let slow_transfer = Arc::new(Transfer::default());
        slow_transfer.request_yield();
        let start = Instant::now();
        let permit = pool.acquire(TrafficClass::Bulk, Some(&slow_transfer)).await;
        assert!(permit.is_some() && start.elapsed() < Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn slow_transfer_keeps_connection_if_no_request_waits() {
        let pool = ConnectionPool::new(1);
        let transfer = Arc::new(Transfer::default());
        let _permit = pool.acquire(TrafficClass::Bulk, Some(&transfer)).await;
        let reply = transfer.wait(std::future::pending::<()>());
        let result = tokio::time::timeout(Duration::from_secs(60), reply).await;
        assert!(result.is_err(), "no request waits");
    }

    #[tokio::test(start_paused = true)]
    async fn slow_brief_transfers_yield_to_brief_requests() {
        let pool = ConnectionPool::new(1);
        let slow_transfers: Vec<_> =
            (0..max_brief_permits(1)).map(|_| Arc::<Transfer>::default()).collect();
        for transfer in slow_transfers {
            let pool = pool.clone();
            tokio::spawn(async move {
                let permit = pool.acquire(TrafficClass::Brief, Some(&transfer)).await;
                let _ = transfer.wait(std::future::pending::<()>()).await;
                drop(permit);
            });
        }
        tokio::task::yield_now().await;
        let transfer = Arc::<Transfer>::default();
        let permit = pool.acquire(TrafficClass::Brief, Some(&transfer));
        assert!(tokio::time::timeout(Duration::from_secs(6), permit).await.is_ok());
    }
}

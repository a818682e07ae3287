//! The connections to one host, shared fairly between interactive and bulk requests.
//!
//! A seek in a video needs a quarter of a megabyte, and a backup beside it would occupy every
//! connection. So a free permit goes to an interactive request first. Once one had to wait, one
//! permit is reserved for the next. At least one of ten consecutive permits goes to a waiting bulk
//! request.
//!
//! Brief requests have permits of their own. They would wait for seconds behind a bulk request, and
//! the bulk request does not lose throughput by them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Brief requests per connection. Eight connections that each carry a transcript of 40 KiB in a
/// round trip of 50 ms move 6 MB/s together, half of what one of them could. A search through 2,000
/// transcripts takes 14 s with eight permits and 4 s with 32, on an idle line.
pub(super) const BRIEF_PER_CONNECTION: usize = 4;

/// Consecutive permits for interactive requests while a bulk request waits: a tenth is left for
/// bulk.
const MAX_INTERACTIVE_RUN: u32 = 9;

/// How long one permit stays reserved after an interactive request had to wait. A viewer who seeks
/// does so again within seconds.
const RESERVATION_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a transfer occupies its connection. It is independent of the
/// [`Priority`](super::Priority): a long sequential run is demand and bulk at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrafficClass {
    /// A few bytes that a reader waits for: a seek, a header, the first read of a file.
    Interactive,
    /// A long run of bytes, or bytes that no reader waits for yet.
    Bulk,
    /// A single round trip: a probe, or a small file that is expected to be read soon.
    Brief,
}

/// The connections of one host.
#[derive(Debug)]
pub(super) struct ConnectionPool {
    /// Maximum of concurrent interactive and bulk requests.
    limit: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Permits of interactive and bulk requests.
    in_use: usize,
    brief_in_use: usize,
    interactive: VecDeque<Waiter>,
    bulk: VecDeque<Waiter>,
    brief: VecDeque<Waiter>,
    /// Consecutive permits for interactive requests while a bulk request waited.
    interactive_run: u32,
    /// When an interactive request last found every connection in use.
    last_contention: Option<Instant>,
}

type Waiter = oneshot::Sender<ConnectionPermit>;

/// Permission for one request. Dropping it returns it to the pool.
#[derive(Debug)]
pub(super) struct ConnectionPermit {
    pool: Option<Arc<ConnectionPool>>,
    is_brief: bool,
}

impl ConnectionPool {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit: limit.max(1), state: Mutex::default() })
    }

    /// Waits for a permit. Callers bound the wait; a canceled waiter leaves the queue.
    pub(super) async fn acquire(self: &Arc<Self>, class: TrafficClass) -> Option<ConnectionPermit> {
        let (waiter, permit) = oneshot::channel();
        {
            let mut state = self.state.lock();
            match class {
                TrafficClass::Interactive => {
                    if state.in_use >= self.limit {
                        state.last_contention = Some(Instant::now());
                    }
                    state.interactive.push_back(waiter);
                }
                TrafficClass::Bulk => state.bulk.push_back(waiter),
                TrafficClass::Brief => state.brief.push_back(waiter),
            }
        }
        self.dispatch();
        permit.await.ok()
    }

    fn dispatch(self: &Arc<Self>) {
        loop {
            let Some((waiter, is_brief)) = self.state.lock().next(self.limit) else { return };
            let permit = ConnectionPermit { pool: Some(self.clone()), is_brief };
            // A canceled waiter returns the permit, which is then offered to the next.
            if let Err(mut unused) = waiter.send(permit) {
                unused.pool = None;
                self.state.lock().release(is_brief);
            }
        }
    }

    #[cfg(test)]
    fn in_use(&self) -> usize {
        self.state.lock().in_use
    }
}

impl State {
    /// Takes the next permit: its waiter, and whether it is for a brief request.
    fn next(&mut self, limit: usize) -> Option<(Waiter, bool)> {
        if let Some(waiter) = self.next_long(limit) {
            return Some((waiter, false));
        }
        if self.brief_in_use >= limit * BRIEF_PER_CONNECTION {
            return None;
        }
        let waiter = self.brief.pop_front()?;
        self.brief_in_use += 1;
        Some((waiter, true))
    }

    fn release(&mut self, is_brief: bool) {
        *if is_brief { &mut self.brief_in_use } else { &mut self.in_use } -= 1;
    }

    fn next_long(&mut self, limit: usize) -> Option<Waiter> {
        if self.in_use >= limit {
            return None;
        }
        let is_bulk_due = self.interactive_run >= MAX_INTERACTIVE_RUN;
        let is_reserved = !is_bulk_due
            && self.last_contention.is_some_and(|at| at.elapsed() < RESERVATION_TIMEOUT);
        // A single connection cannot be reserved.
        let reserved = usize::from(is_reserved && limit > 1);
        let bulk_can_start = self.in_use < limit - reserved && !self.bulk.is_empty();
        let waiter = if (is_bulk_due || self.interactive.is_empty()) && bulk_can_start {
            self.interactive_run = 0;
            self.bulk.pop_front()
        } else {
            let bulk_waits = u32::from(!self.bulk.is_empty());
            self.interactive_run = self.interactive_run.saturating_add(bulk_waits);
            self.interactive.pop_front()
        };
        self.in_use += usize::from(waiter.is_some());
        waiter
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        if let Some(pool) = self.pool.take() {
            pool.state.lock().release(self.is_brief);
            pool.dispatch();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONNECTIONS: usize = 8;

    async fn try_acquire(
        pool: &Arc<ConnectionPool>,
        class: TrafficClass,
    ) -> Option<ConnectionPermit> {
        tokio::time::timeout(Duration::from_millis(20), pool.acquire(class)).await.ok().flatten()
    }

    #[tokio::test(start_paused = true)]
    async fn bulk_alone_gets_every_connection_and_no_more() {
        let pool = ConnectionPool::new(CONNECTIONS);
        let mut held = Vec::new();
        for _ in 0..CONNECTIONS {
            held.extend(try_acquire(&pool, TrafficClass::Bulk).await);
        }
        assert_eq!(held.len(), CONNECTIONS);
        assert!(try_acquire(&pool, TrafficClass::Bulk).await.is_none());
        held.pop();
        assert!(try_acquire(&pool, TrafficClass::Bulk).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn one_permit_is_reserved_after_an_interactive_wait() {
        let pool = ConnectionPool::new(CONNECTIONS);
        let mut held = Vec::new();
        for _ in 0..CONNECTIONS {
            held.extend(try_acquire(&pool, TrafficClass::Bulk).await);
        }
        assert!(try_acquire(&pool, TrafficClass::Interactive).await.is_none());
        held.pop();
        assert!(try_acquire(&pool, TrafficClass::Bulk).await.is_none());
        assert!(try_acquire(&pool, TrafficClass::Interactive).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn interactive_goes_first_and_bulk_gets_a_tenth() {
        let pool = ConnectionPool::new(CONNECTIONS);
        let mut held = Vec::new();
        for _ in 0..CONNECTIONS {
            held.extend(pool.acquire(TrafficClass::Bulk).await);
        }
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut waiting = Vec::new();
        for class in std::iter::once(TrafficClass::Bulk)
            .chain(std::iter::repeat_n(TrafficClass::Interactive, 12))
        {
            let (pool, order) = (pool.clone(), order.clone());
            waiting.push(tokio::spawn(async move {
                let permit = pool.acquire(class).await;
                order.lock().push(class);
                drop(permit);
            }));
            tokio::task::yield_now().await;
        }
        // Two connections, because one stays reserved while interactive requests arrive.
        held.truncate(CONNECTIONS - 2);
        for waiting in waiting {
            waiting.await.unwrap();
        }
        let order = order.lock().clone();
        assert_eq!(order.iter().filter(|class| **class == TrafficClass::Interactive).count(), 12);
        let bulk = order.iter().position(|class| *class == TrafficClass::Bulk).unwrap();
        assert!((1..=11).contains(&bulk), "{order:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn brief_requests_have_their_own_permits() {
        let pool = ConnectionPool::new(1);
        let bulk = try_acquire(&pool, TrafficClass::Bulk).await;
        let mut brief = Vec::new();
        for _ in 0..BRIEF_PER_CONNECTION {
            brief.extend(try_acquire(&pool, TrafficClass::Brief).await);
        }
        assert_eq!(brief.len(), BRIEF_PER_CONNECTION);
        assert!(try_acquire(&pool, TrafficClass::Brief).await.is_none());
        drop(bulk);
        assert!(try_acquire(&pool, TrafficClass::Bulk).await.is_some());
        brief.pop();
        assert!(try_acquire(&pool, TrafficClass::Brief).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn bulk_after_interactive_gets_every_connection() {
        let pool = ConnectionPool::new(CONNECTIONS);
        drop(try_acquire(&pool, TrafficClass::Interactive).await);
        let mut held = Vec::new();
        for _ in 0..CONNECTIONS {
            held.extend(try_acquire(&pool, TrafficClass::Bulk).await);
        }
        assert_eq!(held.len(), CONNECTIONS);
    }

    #[tokio::test(start_paused = true)]
    async fn one_connection_serves_interactive_and_bulk() {
        let pool = ConnectionPool::new(1);
        let bulk = try_acquire(&pool, TrafficClass::Bulk).await;
        assert!(try_acquire(&pool, TrafficClass::Interactive).await.is_none());
        drop(bulk);
        assert!(try_acquire(&pool, TrafficClass::Bulk).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_canceled_waiter_costs_no_permit() {
        let pool = ConnectionPool::new(CONNECTIONS);
        let mut held = Vec::new();
        for _ in 0..CONNECTIONS {
            held.extend(pool.acquire(TrafficClass::Bulk).await);
        }
        assert!(try_acquire(&pool, TrafficClass::Bulk).await.is_none());
        assert!(try_acquire(&pool, TrafficClass::Interactive).await.is_none());
        drop(held);
        assert_eq!(pool.in_use(), 0);
    }
}

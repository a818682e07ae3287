//! Connections to one host, shared fairly between those who look and those who copy.
//!
//! Somebody who seeks in a film waits for a quarter of a megabyte; a backup beside it would keep every place for
//! itself. So a place that comes free goes to an interactive request first, and once one had to wait, a place is kept
//! for the next; but of ten places given in a row at least one goes to a waiting copy.
//!
//! What is over within a round trip has places of its own: it would wait for seconds behind a copy, and the copy
//! would not notice it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// How many brief requests there may be for each place. Eight connections that each carry a transcript of 40 KiB in
/// a round trip of 50 ms move 6 MB/s together, half of what one of them could: a search through 2,000 of them takes
/// 14 s with eight places and 4 s with 32, while the line idles.
pub(super) const BRIEF_PER_CONNECTION: usize = 4;

/// ConnectionPool given to interactive requests in a row while a copy waits: the copy keeps a tenth.
const INTERACTIVE_IN_A_ROW: u32 = 9;

/// How long after an interactive request that had to wait one place stays free for the next. A person who seeks does
/// it again within seconds.
const KEEP_FREE: Duration = Duration::from_secs(2);

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrafficClass {
    /// Somebody waits for a few bytes: a seek, a header, a first look.
    Interactive,
    /// A long run of bytes, or bytes nobody waits for yet.
    Bulk,
    /// Over as soon as it begins: where a link leads, or a small file that somebody is about to come to.
    Brief,
}

/// The places of one host.
#[derive(Debug)]
pub(super) struct ConnectionPool {
    /// Requests of the first two classes under way at once.
    most: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    taken: usize,
    taken_brief: usize,
    interactive: VecDeque<oneshot::Sender<ConnectionPermit>>,
    bulk: VecDeque<oneshot::Sender<ConnectionPermit>>,
    brief: VecDeque<oneshot::Sender<ConnectionPermit>>,
    in_a_row: u32,
    /// When an interactive request last found every place taken.
    kept_waiting: Option<Instant>,
}

/// A place; given back when dropped.
#[derive(Debug)]
pub(super) struct ConnectionPermit {
    places: Option<Arc<ConnectionPool>>,
    is_brief: bool,
}

impl ConnectionPool {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most: most.max(1), state: Mutex::default() })
    }

    /// Waits for a place. Callers bound the wait; giving up leaves the queue.
    pub(super) async fn take(self: &Arc<Self>, class: TrafficClass) -> Option<ConnectionPermit> {
        let (give, given) = oneshot::channel();
        {
            let mut state = self.state.lock();
            match class {
                TrafficClass::Interactive => {
                    if state.taken >= self.most {
                        state.kept_waiting = Some(Instant::now());
                    }
                    state.interactive.push_back(give);
                }
                TrafficClass::Bulk => state.bulk.push_back(give),
                TrafficClass::Brief => state.brief.push_back(give),
            }
        }
        self.hand_out();
        given.await.ok()
    }

    fn hand_out(self: &Arc<Self>) {
        loop {
            let Some((waiting, is_brief)) = self.state.lock().next(self.most) else { return };
            let place = ConnectionPermit { places: Some(self.clone()), is_brief };
            // A waiter that has given up returns the place, which is then offered to the next.
            if let Err(mut unwanted) = waiting.send(place) {
                unwanted.places = None;
                self.state.lock().give_back(is_brief);
            }
        }
    }

    #[cfg(test)]
    fn taken(&self) -> usize {
        self.state.lock().taken
    }
}

impl State {
    /// Who gets the next place, if there is one, and whether it is a brief one.
    fn next(&mut self, most: usize) -> Option<(oneshot::Sender<ConnectionPermit>, bool)> {
        let waiting = self.next_long(most);
        if waiting.is_some() {
            return waiting.map(|waiting| (waiting, false));
        }
        if self.taken_brief >= most * BRIEF_PER_CONNECTION {
            return None;
        }
        let waiting = self.brief.pop_front()?;
        self.taken_brief += 1;
        Some((waiting, true))
    }

    fn give_back(&mut self, is_brief: bool) {
        *if is_brief { &mut self.taken_brief } else { &mut self.taken } -= 1;
    }

    fn next_long(&mut self, most: usize) -> Option<oneshot::Sender<ConnectionPermit>> {
        if self.taken >= most {
            return None;
        }
        let due = self.in_a_row >= INTERACTIVE_IN_A_ROW;
        let keeps_one_free = !due && self.kept_waiting.is_some_and(|at| at.elapsed() < KEEP_FREE);
        // The only place there is cannot be kept free.
        let kept = usize::from(keeps_one_free && most > 1);
        let free_for_bulk = self.taken < most - kept;
        let waiting =
            if (due || self.interactive.is_empty()) && free_for_bulk && !self.bulk.is_empty() {
                self.in_a_row = 0;
                self.bulk.pop_front()
            } else {
                self.in_a_row = self.in_a_row.saturating_add(u32::from(!self.bulk.is_empty()));
                self.interactive.pop_front()
            };
        self.taken += usize::from(waiting.is_some());
        waiting
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        if let Some(places) = self.places.take() {
            places.state.lock().give_back(self.is_brief);
            places.hand_out();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACES: usize = 8;

    async fn take(places: &Arc<ConnectionPool>, class: TrafficClass) -> Option<ConnectionPermit> {
        tokio::time::timeout(Duration::from_millis(20), places.take(class)).await.ok().flatten()
    }

    #[tokio::test]
    async fn a_copy_alone_gets_every_place_and_never_one_more() {
        let places = ConnectionPool::new(PLACES);
        let mut held = Vec::new();
        for _ in 0..PLACES {
            held.extend(take(&places, TrafficClass::Bulk).await);
        }
        assert_eq!(held.len(), PLACES);
        assert!(take(&places, TrafficClass::Bulk).await.is_none());
        held.pop();
        assert!(take(&places, TrafficClass::Bulk).await.is_some());
    }

    #[tokio::test]
    async fn a_place_is_kept_free_for_somebody_who_had_to_wait_before() {
        let places = ConnectionPool::new(PLACES);
        let mut held = Vec::new();
        for _ in 0..PLACES {
            held.extend(take(&places, TrafficClass::Bulk).await);
        }
        assert!(take(&places, TrafficClass::Interactive).await.is_none());
        held.pop();
        assert!(take(&places, TrafficClass::Bulk).await.is_none());
        assert!(take(&places, TrafficClass::Interactive).await.is_some());
    }

    #[tokio::test]
    async fn a_free_place_goes_to_interactive_requests_first_but_a_copy_keeps_a_tenth() {
        let places = ConnectionPool::new(PLACES);
        let mut held = Vec::new();
        for _ in 0..PLACES {
            held.extend(places.take(TrafficClass::Bulk).await);
        }
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut waiting = Vec::new();
        for class in std::iter::once(TrafficClass::Bulk)
            .chain(std::iter::repeat_n(TrafficClass::Interactive, 12))
        {
            let (places, order) = (places.clone(), order.clone());
            waiting.push(tokio::spawn(async move {
                let place = places.take(class).await;
                order.lock().push(class);
                drop(place);
            }));
            tokio::task::yield_now().await;
        }
        // Two at once, for one stays free for interactive requests as long as they come.
        held.truncate(PLACES - 2);
        for waiting in waiting {
            waiting.await.unwrap();
        }
        let order = order.lock().clone();
        assert_eq!(order.iter().filter(|class| **class == TrafficClass::Interactive).count(), 12);
        let copy = order.iter().position(|class| *class == TrafficClass::Bulk).unwrap();
        assert!((1..=11).contains(&copy), "{order:?}");
    }

    #[tokio::test]
    async fn brief_requests_neither_wait_for_a_copy_nor_take_its_places() {
        let places = ConnectionPool::new(1);
        let copy = take(&places, TrafficClass::Bulk).await;
        let mut brief = Vec::new();
        for _ in 0..BRIEF_PER_CONNECTION {
            brief.extend(take(&places, TrafficClass::Brief).await);
        }
        assert_eq!(brief.len(), BRIEF_PER_CONNECTION);
        assert!(take(&places, TrafficClass::Brief).await.is_none());
        drop(copy);
        assert!(take(&places, TrafficClass::Bulk).await.is_some());
        brief.pop();
        assert!(take(&places, TrafficClass::Brief).await.is_some());
    }

    #[tokio::test]
    async fn a_copy_that_begins_with_a_look_gets_every_place() {
        let places = ConnectionPool::new(PLACES);
        drop(take(&places, TrafficClass::Interactive).await);
        let mut held = Vec::new();
        for _ in 0..PLACES {
            held.extend(take(&places, TrafficClass::Bulk).await);
        }
        assert_eq!(held.len(), PLACES);
    }

    #[tokio::test]
    async fn one_place_alone_serves_both_who_look_and_who_copy() {
        let places = ConnectionPool::new(1);
        let copy = take(&places, TrafficClass::Bulk).await;
        assert!(take(&places, TrafficClass::Interactive).await.is_none());
        drop(copy);
        assert!(take(&places, TrafficClass::Bulk).await.is_some());
    }

    #[tokio::test]
    async fn a_waiter_that_gives_up_costs_no_place() {
        let places = ConnectionPool::new(PLACES);
        let mut held = Vec::new();
        for _ in 0..PLACES {
            held.extend(places.take(TrafficClass::Bulk).await);
        }
        assert!(take(&places, TrafficClass::Bulk).await.is_none());
        assert!(take(&places, TrafficClass::Interactive).await.is_none());
        drop(held);
        assert_eq!(places.taken(), 0);
    }
}

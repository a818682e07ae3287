//! Connections to one host, shared fairly between those who look and those who copy.
//!
//! Somebody who seeks in a film waits for a quarter of a megabyte; a backup beside it would keep every place for
//! itself. So a place that comes free goes to an interactive request first, and while there are such requests
//! one place is kept for them; but of ten places given in a row at least one goes to a waiting copy.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Requests under way at once to one host. Browsers open six; providers throttle by account, and one connection
/// is often slower than the line, so a few more pay off and many more only queue.
pub const PLACES: usize = 8;

/// Places given to interactive requests in a row while a copy waits: the copy keeps a tenth.
const INTERACTIVE_IN_A_ROW: u32 = 9;

/// How long after an interactive request one place stays free for the next. A person who seeks does it again
/// within seconds.
const KEEP_FREE: Duration = Duration::from_secs(2);

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Somebody waits for a few bytes: a seek, a header, a first look.
    Interactive,
    /// A long run of bytes, or bytes nobody waits for yet.
    Bulk,
}

/// The places of one host.
#[derive(Debug, Default)]
pub(super) struct Places {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    taken: usize,
    interactive: VecDeque<oneshot::Sender<Place>>,
    bulk: VecDeque<oneshot::Sender<Place>>,
    in_a_row: u32,
    last_interactive: Option<Instant>,
}

/// A place; given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Option<Arc<Places>>,
}

impl Places {
    /// Waits for a place. Callers bound the wait; giving up leaves the queue.
    pub(super) async fn take(self: &Arc<Self>, class: Class) -> Option<Place> {
        let (give, given) = oneshot::channel();
        {
            let mut state = self.state.lock();
            match class {
                Class::Interactive => {
                    state.last_interactive = Some(Instant::now());
                    state.interactive.push_back(give);
                }
                Class::Bulk => state.bulk.push_back(give),
            }
        }
        self.hand_out();
        given.await.ok()
    }

    fn hand_out(self: &Arc<Self>) {
        loop {
            let Some(waiting) = self.state.lock().next() else { return };
            let place = Place { places: Some(self.clone()) };
            // A waiter that has given up returns the place, which is then offered to the next.
            if let Err(mut unwanted) = waiting.send(place) {
                unwanted.places = None;
                self.state.lock().taken -= 1;
            }
        }
    }

    #[cfg(test)]
    fn taken(&self) -> usize {
        self.state.lock().taken
    }
}

impl State {
    /// Who gets the next place, if there is one.
    fn next(&mut self) -> Option<oneshot::Sender<Place>> {
        if self.taken >= PLACES {
            return None;
        }
        let due = self.in_a_row >= INTERACTIVE_IN_A_ROW;
        let keeps_one_free = !due && self.last_interactive.is_some_and(|at| at.elapsed() < KEEP_FREE);
        let free_for_bulk = self.taken < PLACES - usize::from(keeps_one_free);
        let waiting = if (due || self.interactive.is_empty()) && free_for_bulk && !self.bulk.is_empty() {
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

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(places) = self.places.take() {
            places.state.lock().taken -= 1;
            places.hand_out();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn take(places: &Arc<Places>, class: Class) -> Option<Place> {
        tokio::time::timeout(Duration::from_millis(20), places.take(class)).await.ok().flatten()
    }

    #[tokio::test]
    async fn a_copy_alone_gets_every_place_and_never_one_more() {
        let places = Arc::new(Places::default());
        let mut held = Vec::new();
        for _ in 0..PLACES {
            held.extend(take(&places, Class::Bulk).await);
        }
        assert_eq!(held.len(), PLACES);
        assert!(take(&places, Class::Bulk).await.is_none());
        held.pop();
        assert!(take(&places, Class::Bulk).await.is_some());
    }

    #[tokio::test]
    async fn a_place_is_kept_free_for_somebody_who_seeks() {
        let places = Arc::new(Places::default());
        drop(take(&places, Class::Interactive).await);
        let mut held = Vec::new();
        for _ in 0..PLACES {
            held.extend(take(&places, Class::Bulk).await);
        }
        assert_eq!(held.len(), PLACES - 1);
        assert!(take(&places, Class::Interactive).await.is_some());
    }

    #[tokio::test]
    async fn a_free_place_goes_to_interactive_requests_first_but_a_copy_keeps_a_tenth() {
        let places = Arc::new(Places::default());
        let mut held = Vec::new();
        for _ in 0..PLACES {
            held.extend(places.take(Class::Bulk).await);
        }
        let order = Arc::new(Mutex::new(Vec::new()));
        let mut waiting = Vec::new();
        for class in std::iter::once(Class::Bulk).chain(std::iter::repeat_n(Class::Interactive, 12)) {
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
        assert_eq!(order.iter().filter(|class| **class == Class::Interactive).count(), 12);
        let copy = order.iter().position(|class| *class == Class::Bulk).unwrap();
        assert!((1..=11).contains(&copy), "{order:?}");
    }

    #[tokio::test]
    async fn a_waiter_that_gives_up_costs_no_place() {
        let places = Arc::new(Places::default());
        let mut held = Vec::new();
        for _ in 0..PLACES {
            held.extend(places.take(Class::Bulk).await);
        }
        assert!(take(&places, Class::Bulk).await.is_none());
        assert!(take(&places, Class::Interactive).await.is_none());
        drop(held);
        assert_eq!(places.taken(), 0);
    }
}

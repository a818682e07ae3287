//! How many connections one reader gets.

/// The gain that makes more connections worth keeping. Two that share one line bring nothing; two where each
/// is held back by the server or by its round trips bring nearly twice. A fifth is far from both.
const WORTH: f64 = 1.2;

/// By how much the number grows first, and after that. From one it takes a round trip to learn whether more would help;
/// a copy of a few hundred megabytes that asks for two, four and eight in turn is half done by then.
pub(super) const FIRST_GROWTH: usize = 4;
const GROWTH: usize = 2;

/// Measurements before more connections are tried again after they had brought nothing: lines change by the
/// minute, not by the megabyte.
const REST: u32 = 64;

/// Connections for one sequential reader: begins with one, grows while its throughput does, and gives back what did
/// not help.
#[derive(Debug)]
pub(super) struct ConcurrencyController {
    now: usize,
    /// The most there may be at the moment, and at all.
    limit: usize,
    most: usize,
    /// How many there were before the number grew and what they would bring together, in bytes a second, while it is
    /// not decided whether more help.
    before: Option<(usize, f64)>,
    rest: u32,
}

impl ConcurrencyController {
    /// Begins with `first`, which an earlier reader of the same source may have found out.
    pub(super) fn new(first: usize, most: usize) -> Self {
        let most = most.max(1);
        Self { now: first.clamp(1, most), limit: most, most, before: None, rest: 0 }
    }

    pub(super) fn now(&self) -> usize {
        self.now
    }

    /// Bounds the number while others take their share.
    pub(super) fn limit(&mut self, most: usize) {
        self.limit = most.clamp(1, self.most);
        if self.now > self.limit {
            self.now = self.limit;
            self.before = None;
        }
    }

    /// The number that has proved useful, unless it is bounded by others.
    pub(super) fn found(&self) -> Option<usize> {
        (self.limit == self.most).then_some(self.now)
    }

    /// Takes a measurement made while the reader had to wait: bytes, and the seconds in which connections brought
    /// them, added up. What one of them brings times their number is what they could bring together.
    pub(super) fn measured(&mut self, bytes: u64, seconds: f64) {
        let rate = self.now as f64 * bytes as f64 / seconds.max(1e-6);
        if let Some((fewer, before)) = self.before.take()
            && rate < before * WORTH
        {
            self.now = fewer;
            self.rest = REST;
            return;
        }
        if self.rest > 0 {
            self.rest -= 1;
        } else if self.now < self.limit {
            self.before = Some((self.now, rate));
            let growth = if self.now == 1 { FIRST_GROWTH } else { GROWTH };
            self.now = (self.now * growth).min(self.limit);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    fn settle(lanes: &mut ConcurrencyController, rate: impl Fn(usize) -> u64, measurements: usize) {
        for _ in 0..measurements {
            lanes.measured(rate(lanes.now()), lanes.now() as f64);
        }
    }

    #[test]
    fn connections_that_are_the_limit_are_added_up_to_the_cap() {
        let mut lanes = ConcurrencyController::new(1, 8);
        settle(&mut lanes, |now| now as u64 * 12 * MIB, 3);
        assert_eq!(lanes.now(), 8);
        settle(&mut lanes, |now| now as u64 * 12 * MIB, 30);
        assert_eq!(lanes.now(), 8);
    }

    #[test]
    fn a_line_that_one_connection_fills_keeps_one() {
        let mut lanes = ConcurrencyController::new(1, 8);
        settle(&mut lanes, |_| 100 * MIB, 2);
        assert_eq!(lanes.now(), 1);
        settle(&mut lanes, |_| 100 * MIB, REST as usize);
        assert_eq!(lanes.now(), 1);
    }

    #[test]
    fn a_line_that_four_connections_fill_settles_on_four() {
        let mut lanes = ConcurrencyController::new(1, 8);
        settle(&mut lanes, |now| now.min(4) as u64 * 10 * MIB, 4);
        assert_eq!(lanes.now(), 4);
    }

    #[test]
    fn others_that_take_their_share_bound_the_connections_and_leave_no_trace() {
        let mut lanes = ConcurrencyController::new(8, 8);
        lanes.limit(2);
        assert_eq!((lanes.now(), lanes.found()), (2, None));
        settle(&mut lanes, |now| now as u64 * 12 * MIB, 5);
        assert_eq!(lanes.now(), 2);
        lanes.limit(100);
        settle(&mut lanes, |now| now as u64 * 12 * MIB, 3);
        assert_eq!((lanes.now(), lanes.found()), (8, Some(8)));
    }

    #[test]
    fn what_an_earlier_reader_found_out_is_where_the_next_begins() {
        assert_eq!(ConcurrencyController::new(8, 8).now(), 8);
        assert_eq!(ConcurrencyController::new(0, 8).now(), 1);
        assert_eq!(ConcurrencyController::new(64, 4).now(), 4);
    }
}

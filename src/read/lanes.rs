//! How many connections one reader gets.

use std::time::Duration;

/// The gain that makes twice the connections worth keeping. Two that share one line bring nothing; two where each
/// is held back by the server or by its round trips bring nearly twice. A fifth is far from both.
const WORTH: f64 = 1.2;

/// Measurements before more connections are tried again after they had brought nothing: lines change by the
/// minute, not by the megabyte.
const REST: u32 = 64;

/// Connections for one sequential reader: begins with one, doubles while its throughput grows, and gives back
/// what did not help.
#[derive(Debug)]
pub(super) struct Lanes {
    now: usize,
    most: usize,
    /// Bytes a second with half as many, while it is not decided whether the doubling helped.
    with_half: Option<f64>,
    rest: u32,
}

impl Lanes {
    /// Begins with `first`, which an earlier reader of the same source may have found out.
    pub(super) fn new(first: usize, most: usize) -> Self {
        let most = most.max(1);
        Self { now: first.clamp(1, most), most, with_half: None, rest: 0 }
    }

    pub(super) fn now(&self) -> usize {
        self.now
    }

    /// Takes a measurement made while the reader had to wait.
    pub(super) fn measured(&mut self, bytes: u64, took: Duration) {
        let rate = bytes as f64 / took.as_secs_f64().max(1e-6);
        if let Some(before) = self.with_half.take()
            && rate < before * WORTH
        {
            self.now = (self.now / 2).max(1);
            self.rest = REST;
            return;
        }
        if self.rest > 0 {
            self.rest -= 1;
        } else if self.now < self.most {
            self.with_half = Some(rate);
            self.now = (self.now * 2).min(self.most);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    fn settle(lanes: &mut Lanes, rate: impl Fn(usize) -> u64, measurements: usize) {
        for _ in 0..measurements {
            lanes.measured(rate(lanes.now()), Duration::from_secs(1));
        }
    }

    #[test]
    fn connections_that_are_the_limit_are_added_up_to_the_cap() {
        let mut lanes = Lanes::new(1, 8);
        settle(&mut lanes, |now| now as u64 * 12 * MIB, 3);
        assert_eq!(lanes.now(), 8);
        settle(&mut lanes, |now| now as u64 * 12 * MIB, 30);
        assert_eq!(lanes.now(), 8);
    }

    #[test]
    fn a_line_that_one_connection_fills_keeps_one() {
        let mut lanes = Lanes::new(1, 8);
        settle(&mut lanes, |_| 100 * MIB, 2);
        assert_eq!(lanes.now(), 1);
        settle(&mut lanes, |_| 100 * MIB, REST as usize);
        assert_eq!(lanes.now(), 1);
    }

    #[test]
    fn a_line_that_four_connections_fill_settles_on_four() {
        let mut lanes = Lanes::new(1, 8);
        settle(&mut lanes, |now| now.min(4) as u64 * 10 * MIB, 4);
        assert_eq!(lanes.now(), 4);
    }

    #[test]
    fn what_an_earlier_reader_found_out_is_where_the_next_begins() {
        assert_eq!(Lanes::new(8, 8).now(), 8);
        assert_eq!(Lanes::new(0, 8).now(), 1);
        assert_eq!(Lanes::new(64, 4).now(), 4);
    }
}

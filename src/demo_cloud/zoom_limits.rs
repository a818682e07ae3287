//! Zoom's limits of calls a second, pooled for the whole account ("Rate limits" in its API reference).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How Zoom weighs a call; its API reference names the label of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ZoomLabel {
    /// One thing.
    Light,
    /// A page of a list.
    Medium,
}

/// Calls that an account may make in any second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZoomLimits {
    /// Of the label [`ZoomLabel::Light`].
    pub light: usize,
    /// Of the label [`ZoomLabel::Medium`].
    pub medium: usize,
}

impl ZoomLimits {
    /// Those of a Pro plan.
    pub const PRO: Self = Self { light: 30, medium: 20 };

    fn of(self, label: ZoomLabel) -> usize {
        match label {
            ZoomLabel::Light => self.light,
            ZoomLabel::Medium => self.medium,
        }
    }
}

impl ZoomLabel {
    /// The label of a call below `/v2`.
    fn of(path: &str) -> Self {
        let segments: Vec<&str> = path.strip_prefix("/v2/").unwrap_or(path).split('/').collect();
        match segments.as_slice() {
            ["users"] | ["users" | "accounts", _, "recordings"] => Self::Medium,
            ["past_meetings", _, "instances" | "participants"] => Self::Medium,
            _ => Self::Light,
        }
    }
}

/// Counts the calls of the last second, in whichever moment that began: no client that keeps to it can fail the real
/// one, however that counts.
#[derive(Debug)]
pub(super) struct Counter {
    limits: Option<ZoomLimits>,
    light: Mutex<Counted>,
    medium: Mutex<Counted>,
}

#[derive(Debug, Default)]
struct Counted {
    /// When the calls of the last second came, oldest first.
    last_second: VecDeque<Instant>,
    most: usize,
}

impl Counter {
    pub(super) fn new(limits: Option<ZoomLimits>) -> Self {
        Self { limits, light: Mutex::default(), medium: Mutex::default() }
    }

    /// Counts a call; false if it is one too many.
    pub(super) fn admit(&self, path: &str) -> bool {
        let label = ZoomLabel::of(path);
        let allowed = self.limits.map_or(usize::MAX, |limits| limits.of(label));
        self.of(label).lock().admit(Instant::now(), allowed)
    }

    /// The most calls that any second has seen, those that were refused included.
    pub(super) fn most(&self, label: ZoomLabel) -> usize {
        self.of(label).lock().most
    }

    fn of(&self, label: ZoomLabel) -> &Mutex<Counted> {
        match label {
            ZoomLabel::Light => &self.light,
            ZoomLabel::Medium => &self.medium,
        }
    }
}

impl Counted {
    fn admit(&mut self, now: Instant, allowed: usize) -> bool {
        while self
            .last_second
            .front()
            .is_some_and(|at| now.duration_since(*at) >= Duration::from_secs(1))
        {
            self.last_second.pop_front();
        }
        self.last_second.push_back(now);
        self.most = self.most.max(self.last_second.len());
        self.last_second.len() <= allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_call_too_many_in_any_second_is_refused() {
        let mut counted = Counted::default();
        let start = Instant::now();
        let mut at = |milliseconds| counted.admit(start + Duration::from_millis(milliseconds), 2);
        assert!(at(0) && at(900) && !at(999) && !at(1500));
        assert!(at(2000), "the calls of the second before are forgotten");
        assert_eq!(counted.most, 3);
    }

    #[test]
    fn lists_weigh_more_than_single_things() {
        for path in ["/v2/users", "/v2/users/me/recordings", "/v2/accounts/me/recordings"] {
            assert_eq!(ZoomLabel::of(path), ZoomLabel::Medium, "{path}");
        }
        for path in ["/v2/meetings/1/recordings", "/v2/past_meetings/u%3D%3D", "/v2/users/me"] {
            assert_eq!(ZoomLabel::of(path), ZoomLabel::Light, "{path}");
        }
    }
}

//! Zoom's limits on calls per second, shared by the whole account ("Rate limits" in its API
//! reference).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The label of a call in Zoom's API reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ZoomLabel {
    /// A single object.
    Light,
    /// A page of a list.
    Medium,
}

/// Calls per second that an account may make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZoomLimits {
    pub light: usize,
    pub medium: usize,
}

impl ZoomLimits {
    /// The limits of a Pro plan.
    pub const PRO: Self = Self { light: 30, medium: 20 };

    fn of(self, label: ZoomLabel) -> usize {
        match label {
            ZoomLabel::Light => self.light,
            ZoomLabel::Medium => self.medium,
        }
    }
}

impl ZoomLabel {
    /// Returns the label of a call below `/v2`.
    fn of(path: &str) -> Self {
        let segments: Vec<&str> = path.strip_prefix("/v2/").unwrap_or(path).split('/').collect();
        match segments.as_slice() {
            ["users"] | ["users" | "accounts", _, "recordings"] => Self::Medium,
            ["past_meetings", _, "instances" | "participants"] => Self::Medium,
            _ => Self::Light,
        }
    }
}

/// Counts calls in a sliding second: a client within this limit is also within the real one,
/// regardless of how Zoom counts.
#[derive(Debug)]
pub(super) struct CallCounter {
    limits: Option<ZoomLimits>,
    light: Mutex<SlidingWindow>,
    medium: Mutex<SlidingWindow>,
}

#[derive(Debug, Default)]
struct SlidingWindow {
    /// Arrival times within the last second, oldest first.
    last_second: VecDeque<Instant>,
    max_seen: usize,
}

impl CallCounter {
    pub(super) fn new(limits: Option<ZoomLimits>) -> Self {
        Self { limits, light: Mutex::default(), medium: Mutex::default() }
    }

    /// Counts a call. Returns false if it exceeds the limit.
    pub(super) fn admit(&self, path: &str) -> bool {
        let label = ZoomLabel::of(path);
        let allowed = self.limits.map_or(usize::MAX, |limits| limits.of(label));
        self.of(label).lock().admit(Instant::now(), allowed)
    }

    /// Returns the highest number of calls in any second, rejected ones included.
    pub(super) fn max_seen(&self, label: ZoomLabel) -> usize {
        self.of(label).lock().max_seen
    }

    fn of(&self, label: ZoomLabel) -> &Mutex<SlidingWindow> {
        match label {
            ZoomLabel::Light => &self.light,
            ZoomLabel::Medium => &self.medium,
        }
    }
}

impl SlidingWindow {
    fn admit(&mut self, now: Instant, allowed: usize) -> bool {
        while self
            .last_second
            .front()
            .is_some_and(|at| now.duration_since(*at) >= Duration::from_secs(1))
        {
            self.last_second.pop_front();
        }
        self.last_second.push_back(now);
        self.max_seen = self.max_seen.max(self.last_second.len());
        self.last_second.len() <= allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_over_the_limit_are_rejected() {
        let mut counted = SlidingWindow::default();
        let start = Instant::now();
        let mut at = |milliseconds| counted.admit(start + Duration::from_millis(milliseconds), 2);
        assert!(at(0) && at(900) && !at(999) && !at(1500));
        assert!(at(2000), "the calls of the second before are forgotten");
        assert_eq!(counted.max_seen, 3);
    }

    #[test]
    fn lists_have_a_heavier_label() {
        for path in ["/v2/users", "/v2/users/me/recordings", "/v2/accounts/me/recordings"] {
            assert_eq!(ZoomLabel::of(path), ZoomLabel::Medium, "{path}");
        }
        for path in ["/v2/meetings/1/recordings", "/v2/past_meetings/u%3D%3D", "/v2/users/me"] {
            assert_eq!(ZoomLabel::of(path), ZoomLabel::Light, "{path}");
        }
    }
}

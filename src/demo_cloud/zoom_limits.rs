//! Zoom's limits on calls per second. They apply to the whole account ("Rate limits" in the API
//! reference).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The rate limit label of a call in Zoom's API reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ZoomLabel {
    /// A call for a single object.
    Light,
    /// A call for a page of a list.
    Medium,
}

/// Limits on the calls per second of one account, one limit for each label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ZoomLimits {
    pub light: usize,
    pub medium: usize,
}

impl ZoomLimits {
    /// The limits of a Pro plan.
    pub const PRO: Self = Self { light: 30, medium: 20 };

    fn limit(self, label: ZoomLabel) -> usize {
        match label {
            ZoomLabel::Light => self.light,
            ZoomLabel::Medium => self.medium,
        }
    }
}

impl ZoomLabel {
    /// Returns the label of a call from its path.
    fn from_path(path: &str) -> Self {
        let segments: Vec<&str> = path.strip_prefix("/v2/").unwrap_or(path).split('/').collect();
        match segments.as_slice() {
            ["users"] | ["users" | "accounts", _, "recordings"] => Self::Medium,
            ["past_meetings", _, "instances" | "participants"] => Self::Medium,
            _ => Self::Light,
        }
    }
}

/// Counts the calls in a sliding window of one second. A client that stays within this limit also
/// stays within the real one, regardless of how Zoom counts.
#[derive(Debug)]
pub(super) struct CallCounter {
    limits: Option<ZoomLimits>,
    light: Mutex<SlidingWindow>,
    medium: Mutex<SlidingWindow>,
}

#[derive(Debug, Default)]
struct SlidingWindow {
    /// Arrival times of the calls in the last second, oldest first.
    last_second: VecDeque<Instant>,
    max_calls_per_second: usize,
}

impl CallCounter {
    pub(super) fn new(limits: Option<ZoomLimits>) -> Self {
        Self { limits, light: Mutex::default(), medium: Mutex::default() }
    }

    /// Counts a call. Returns `false` if the call exceeds the limit.
    pub(super) fn admit(&self, path: &str) -> bool {
        let label = ZoomLabel::from_path(path);
        let limit = self.limits.map_or(usize::MAX, |limits| limits.limit(label));
        self.window(label).lock().admit(Instant::now(), limit)
    }

    /// Returns the highest number of calls in any second, including rejected calls.
    pub(super) fn max_calls_per_second(&self, label: ZoomLabel) -> usize {
        self.window(label).lock().max_calls_per_second
    }

    fn window(&self, label: ZoomLabel) -> &Mutex<SlidingWindow> {
        match label {
            ZoomLabel::Light => &self.light,
            ZoomLabel::Medium => &self.medium,
        }
    }
}

impl SlidingWindow {
    fn admit(&mut self, now: Instant, limit: usize) -> bool {
        while self
            .last_second
            .front()
            .is_some_and(|time| now.duration_since(*time) >= Duration::from_secs(1))
        {
            self.last_second.pop_front();
        }
        self.last_second.push_back(now);
        self.max_calls_per_second = self.max_calls_per_second.max(self.last_second.len());
        self.last_second.len() <= limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_over_the_limit_are_rejected() {
        let mut window = SlidingWindow::default();
        let start = Instant::now();
        let mut admit_at =
            |milliseconds| window.admit(start + Duration::from_millis(milliseconds), 2);
        assert!(admit_at(0) && admit_at(900) && !admit_at(999) && !admit_at(1500));
        assert!(admit_at(2000), "calls before the last second do not count");
        assert_eq!(window.max_calls_per_second, 3);
    }

    #[test]
    fn list_calls_have_the_medium_label() {
        for path in ["/v2/users", "/v2/users/me/recordings", "/v2/accounts/me/recordings"] {
            assert_eq!(ZoomLabel::from_path(path), ZoomLabel::Medium, "{path}");
        }
        for path in ["/v2/meetings/1/recordings", "/v2/past_meetings/u%3D%3D", "/v2/users/me"] {
            assert_eq!(ZoomLabel::from_path(path), ZoomLabel::Light, "{path}");
        }
    }
}

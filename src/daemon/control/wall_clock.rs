//! Times as people around here read them.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Where people are, and when they look.
#[derive(Clone, Debug)]
pub(in crate::daemon) struct WallClock {
    pub(super) zone: TimeZone,
    pub(super) now: Timestamp,
}

impl WallClock {
    /// That of this system.
    pub(in crate::daemon) fn here(now: Timestamp) -> Self {
        Self { zone: TimeZone::try_system().unwrap_or(TimeZone::UTC), now }
    }

    /// The time of day, with the day where it is not today's.
    pub(super) fn show(&self, at: Timestamp) -> String {
        let (at, now) = (self.zone.to_datetime(at), self.zone.to_datetime(self.now));
        let format = if at.date() == now.date() { "%H:%M:%S" } else { "%Y-%m-%d %H:%M:%S" };
        at.strftime(format).to_string()
    }

    /// The day and the minute.
    pub(in crate::daemon) fn day_and_time(&self, at: Timestamp) -> String {
        self.zone.to_datetime(at).strftime("%Y-%m-%d %H:%M").to_string()
    }
}

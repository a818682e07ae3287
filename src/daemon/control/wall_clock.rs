//! Times as people around here read them.

use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};

/// Where people are, and when they look.
#[derive(Clone, Debug)]
pub(crate) struct WallClock {
    pub(crate) zone: TimeZone,
    pub(crate) now: Timestamp,
}

impl WallClock {
    /// That of this system.
    pub(crate) fn here(now: Timestamp) -> Self {
        Self { zone: TimeZone::try_system().unwrap_or(TimeZone::UTC), now }
    }

    /// The time of day with its offset from UTC, as `ls --full-time` and `date -R` write it; with the day where it is not
    /// today's.
    pub(crate) fn show(&self, at: Timestamp) -> String {
        let (at, now) = (self.read(at), self.read(self.now));
        let format = if at.date() == now.date() { "%H:%M:%S %z" } else { "%Y-%m-%d %H:%M:%S %z" };
        at.strftime(format).to_string()
    }

    /// The day and the minute, with the offset.
    pub(crate) fn day_and_time(&self, at: Timestamp) -> String {
        self.read(at).strftime("%Y-%m-%d %H:%M %z").to_string()
    }

    fn read(&self, at: Timestamp) -> ZonedDateTime {
        at.to_zoned_datetime(self.zone.clone())
    }
}

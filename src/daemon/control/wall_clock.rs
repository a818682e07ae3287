//! Formats times in the time zone of the system, for text output.

use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};

/// A time zone and the current time.
#[derive(Clone, Debug)]
pub(crate) struct WallClock {
    pub(crate) zone: TimeZone,
    pub(crate) now: Timestamp,
}

impl WallClock {
    /// Creates a clock in the time zone of the system.
    pub(crate) fn system(now: Timestamp) -> Self {
        Self { zone: TimeZone::try_system().unwrap_or(TimeZone::UTC), now }
    }

    /// Formats a time of day with its offset from UTC, as `ls --full-time` and `date -R` do.
    /// Includes the date unless it is today.
    pub(crate) fn format(&self, at: Timestamp) -> String {
        let (at, now) = (self.to_zoned(at), self.to_zoned(self.now));
        let format = if at.date() == now.date() { "%H:%M:%S %z" } else { "%Y-%m-%d %H:%M:%S %z" };
        at.strftime(format).to_string()
    }

    /// Formats the date, the minute and the offset.
    pub(crate) fn format_date_and_minute(&self, at: Timestamp) -> String {
        self.to_zoned(at).strftime("%Y-%m-%d %H:%M %z").to_string()
    }

    fn to_zoned(&self, at: Timestamp) -> ZonedDateTime {
        at.to_zoned_datetime(self.zone.clone())
    }
}

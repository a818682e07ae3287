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
    pub(crate) fn format(&self, time: Timestamp) -> String {
        let (time, now) = (self.to_zoned(time), self.to_zoned(self.now));
        let format = if time.date() == now.date() { "%H:%M:%S %z" } else { "%Y-%m-%d %H:%M:%S %z" };
        time.strftime(format).to_string()
    }

    /// Formats the date, the minute and the offset.
    pub(crate) fn format_date_and_minute(&self, time: Timestamp) -> String {
        self.to_zoned(time).strftime("%Y-%m-%d %H:%M %z").to_string()
    }

    fn to_zoned(&self, time: Timestamp) -> ZonedDateTime {
        time.to_zoned_datetime(self.zone.clone())
    }
}

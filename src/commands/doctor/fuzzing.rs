//! Functions for the fuzz targets.

use std::time::{Duration, SystemTime};

/// Returns the difference between the clock `now` and the `Date` header of a server.
pub fn clock_offset(date: &str, now: SystemTime) -> Option<Duration> {
    super::source::clock_offset(date, now)
}

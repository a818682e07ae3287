//! Functions for the fuzz targets.

use std::time::{Duration, SystemTime};

/// Returns the offset of the clock from the `Date` header of a server.
pub fn clock_offset(date: &str, now: SystemTime) -> Option<Duration> {
    super::source::clock_offset(date, now)
}

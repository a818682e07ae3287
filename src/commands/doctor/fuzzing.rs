//! What the fuzz targets reach of this room: the date that a host says it is.

use std::time::{Duration, SystemTime};

/// How far the clock is off by a host's `Date`.
pub fn skew(date: &str, now: SystemTime) -> Option<Duration> {
    super::source::skew(date, now)
}

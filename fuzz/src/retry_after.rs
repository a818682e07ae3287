//! `Retry-After` and `Date`: no delay exceeds two days, and every time is valid.

use std::time::{Duration, SystemTime};

use meetfs::fuzzing::{doctor, http};

pub fn check(data: &[u8]) {
    for now in [0, 1_795_000_000, 4_000_000_000_u64] {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(now);
        let wait = http::parse_retry_after(&[(b"retry-after", data)], now);
        if let Ok(date) = std::str::from_utf8(data) {
            doctor::clock_offset(date, now);
        }
        assert!(wait.is_none_or(|wait| wait <= Duration::from_secs(2 * 24 * 3600)), "{wait:?}");
    }
}

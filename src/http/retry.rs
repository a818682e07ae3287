//! How long to wait before asking again.

use std::time::{Duration, SystemTime};

use backon::{BackoffBuilder, ExponentialBuilder};
use jiff::Timestamp;
use reqwest::header::{HeaderMap, RETRY_AFTER};

/// Waits between tries: 0.2 s doubling to 5 s with jitter, so that a hiccup costs a fifth of a second and many
/// clients of one failing server do not return in step. Ends after `tries`.
pub fn backoff(tries: usize) -> impl Iterator<Item = Duration> + Send {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(200))
        .with_max_delay(Duration::from_secs(5))
        .with_factor(2.0)
        .with_jitter()
        .with_max_times(tries)
        .build()
}

/// How long a 429 without `Retry-After` asks for: Zoom's per-second limit clears within one or two seconds and
/// says nothing (ZoomNet, `Http429RetryStrategy`); the jitter keeps parallel calls from meeting again.
pub fn unstated_wait() -> Duration {
    Duration::from_millis(1000 + fastrand::u64(0..1000))
}

/// Reads `Retry-After` in all three forms seen: seconds and HTTP date (RFC 9110, 10.2.3), and the ISO 8601 time
/// that Zoom sends with its daily limit. A time that has passed is no wait at all.
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // What is too long for a number is too long for a wait.
        return Some(value.parse().map_or(MAX_LENGTH, Duration::from_secs).min(MAX_LENGTH));
    }
    let then = httpdate::parse_http_date(value)
        .ok()
        .or_else(|| SystemTime::try_from(value.parse::<Timestamp>().ok()?).ok())?;
    Some(then.duration_since(now).unwrap_or_default().min(MAX_LENGTH))
}

/// No wait that is taken at its word is longer: Zoom's longest limit is that of a day. A time beyond it would only
/// overflow the clock it is added to.
const MAX_LENGTH: Duration = Duration::from_secs(2 * 24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(value: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, value.parse().unwrap());
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000);
        retry_after(&headers, now)
    }

    #[test]
    fn every_form_of_retry_after_is_read() {
        assert_eq!(parsed("7"), Some(Duration::from_secs(7)));
        let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_030);
        assert_eq!(parsed(&httpdate::fmt_http_date(then)), Some(Duration::from_secs(30)));
        let iso = Timestamp::from_second(1_790_000_045).unwrap().to_string();
        assert_eq!(parsed(&iso), Some(Duration::from_secs(45)));
    }

    #[test]
    fn a_time_that_has_passed_is_no_wait_and_nonsense_is_none() {
        assert_eq!(parsed("2020-01-01T00:00:00Z"), Some(Duration::ZERO));
        assert_eq!(parsed("soon"), None);
        assert_eq!(parsed("18446744073709551615"), Some(MAX_LENGTH));
        assert_eq!(parsed("99999999999999999999"), Some(MAX_LENGTH));
        assert_eq!(parsed("9000-01-01T00:00:00Z"), Some(MAX_LENGTH));
        assert_eq!(parsed("-3"), None);
    }

    #[test]
    fn backoff_ends_and_never_passes_its_cap() {
        let waits: Vec<_> = backoff(12).collect();
        assert_eq!(waits.len(), 12);
        assert!(waits.iter().all(|wait| *wait <= Duration::from_secs(10)));
    }
}

//! Computes how long to wait before a retry.

use std::time::{Duration, SystemTime};

use backon::{BackoffBuilder, ExponentialBuilder};
use jiff::Timestamp;
use reqwest::header::{HeaderMap, RETRY_AFTER};

/// Upper bound for a delay in a header. A longer delay could overflow when it is added to a time.
/// The longest documented limit of a provider is one day.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(2 * 24 * 60 * 60);

/// Returns `attempts` delays, which double from 0.2 s to 5 s and have jitter. A short failure costs
/// only a fifth of a second, and the clients of a failing server do not all retry at the same time.
pub fn backoff(attempts: usize) -> impl Iterator<Item = Duration> + Send {
    ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(200))
        .with_max_delay(Duration::from_secs(5))
        .with_factor(2.0)
        .with_jitter()
        .with_max_times(attempts)
        .build()
}

/// Returns the delay after a 429 without `Retry-After`. Limits per second allow calls again after
/// one or two seconds. Jitter separates parallel calls.
pub fn default_retry_after() -> Duration {
    Duration::from_millis(1000 + fastrand::u64(0..1000))
}

/// Parses `Retry-After` in the three forms that are in use: seconds and an HTTP date (RFC 9110,
/// 10.2.3), and the ISO 8601 time that some APIs send with daily limits. A time in the past gives a
/// delay of zero.
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // A number that overflows is replaced by the maximum.
        let delay = value.parse().map_or(MAX_RETRY_AFTER, Duration::from_secs);
        return Some(delay.min(MAX_RETRY_AFTER));
    }
    let then = httpdate::parse_http_date(value)
        .ok()
        .or_else(|| SystemTime::try_from(value.parse::<Timestamp>().ok()?).ok())?;
    Some(then.duration_since(now).unwrap_or_default().min(MAX_RETRY_AFTER))
}

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
    fn retry_after_is_read_in_all_forms() {
        assert_eq!(parsed("7"), Some(Duration::from_secs(7)));
        let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_030);
        assert_eq!(parsed(&httpdate::fmt_http_date(then)), Some(Duration::from_secs(30)));
        let iso = Timestamp::from_second(1_790_000_045).unwrap().to_string();
        assert_eq!(parsed(&iso), Some(Duration::from_secs(45)));
    }

    #[test]
    fn past_times_are_zero_and_invalid_values_are_ignored() {
        assert_eq!(parsed("2020-01-01T00:00:00Z"), Some(Duration::ZERO));
        assert_eq!(parsed("soon"), None);
        assert_eq!(parsed("18446744073709551615"), Some(MAX_RETRY_AFTER));
        assert_eq!(parsed("99999999999999999999"), Some(MAX_RETRY_AFTER));
        assert_eq!(parsed("9000-01-01T00:00:00Z"), Some(MAX_RETRY_AFTER));
        assert_eq!(parsed("-3"), None);
    }

    #[test]
    fn backoff_is_finite_and_bounded() {
        let delays: Vec<_> = backoff(12).collect();
        assert_eq!(delays.len(), 12);
        assert!(delays.iter().all(|delay| *delay <= Duration::from_secs(10)));
    }
}

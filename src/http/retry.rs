//! Computes the delay before a retry.

use std::time::{Duration, SystemTime};

use backon::{BackoffBuilder, ExponentialBuilder};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::rfc2822;
use jiff::tz::TimeZone;
use reqwest::header::{HeaderMap, RETRY_AFTER};

/// Upper bound for the delay in a header. Adding a longer delay to a time could overflow. The
/// longest documented limit of a provider lasts one day.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(2 * 24 * 60 * 60);

/// Smallest number in a header that is read as a Unix time; here a time in 2001. A smaller number
/// is a delay in seconds.
const MIN_UNIX_TIME: Duration = Duration::from_secs(1_000_000_000);

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

/// Returns the delay after status 429 without a `Retry-After` header. Servers that count calls per
/// second accept calls again after one or two seconds. Jitter spreads parallel calls.
pub fn default_retry_after() -> Duration {
    Duration::from_millis(1000 + fastrand::u64(0..1000))
}

/// Returns the delay in the `Retry-After` header. The standard allows seconds or an HTTP date (RFC
/// 9110, 10.2.3). APIs also send fractions of seconds, seconds since 1970, an ISO 8601 time (UTC if
/// it has no offset), an e-mail date (RFC 5322), or several values. If there are several values,
/// the longest delay counts. A time in the past is a delay of zero.
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let values = headers.get_all(RETRY_AFTER).iter().filter_map(|value| value.to_str().ok());
    let delays = values.filter_map(|value| {
        let single_value = parse_delay(value.trim(), now);
        single_value
            .or_else(|| value.split(',').filter_map(|part| parse_delay(part.trim(), now)).max())
    });
    delays.max().map(|delay| delay.min(MAX_RETRY_AFTER))
}

fn parse_delay(value: &str, now: SystemTime) -> Option<Duration> {
    if let Some(seconds) = parse_seconds(value) {
        return Some(match SystemTime::UNIX_EPOCH.checked_add(seconds) {
            Some(time) if MIN_UNIX_TIME <= seconds => time.duration_since(now).unwrap_or_default(),
            _ => seconds,
        });
    }
    let time = httpdate::parse_http_date(value).ok().or_else(|| {
        let timestamp = value.parse::<Timestamp>().ok();
        let mail_date = || Some(rfc2822::parse(value).ok()?.timestamp());
        let utc_date = || TimeZone::UTC.to_timestamp(value.parse::<DateTime>().ok()?).ok();
        SystemTime::try_from(timestamp.or_else(mail_date).or_else(utc_date)?).ok()
    })?;
    Some(time.duration_since(now).unwrap_or_default())
}

/// Parses digits with an optional fraction, and rounds up to whole seconds.
fn parse_seconds(value: &str) -> Option<Duration> {
    let (whole, fraction) = value.split_once('.').unwrap_or((value, "0"));
    let are_digits =
        |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !are_digits(whole) || !are_digits(fraction) {
        return None;
    }
    // A number that overflows is longer than the maximum.
    let seconds = whole.parse().map_or(Duration::MAX, Duration::from_secs);
    let has_fraction = fraction.bytes().any(|digit| digit != b'0');
    Some(seconds.saturating_add(Duration::from_secs(u64::from(has_fraction))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_value(value: &str) -> Option<Duration> {
        let mut headers = HeaderMap::new();
        headers.insert(RETRY_AFTER, value.parse().unwrap());
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_000);
        retry_after(&headers, now)
    }

    #[test]
    fn standard_forms_are_parsed() {
        assert_eq!(parse_value("7"), Some(Duration::from_secs(7)));
        let http_date = SystemTime::UNIX_EPOCH + Duration::from_secs(1_790_000_030);
        assert_eq!(parse_value(&httpdate::fmt_http_date(http_date)), Some(Duration::from_secs(30)));
        let iso_date = Timestamp::from_second(1_790_000_045).unwrap().to_string();
        assert_eq!(parse_value(&iso_date), Some(Duration::from_secs(45)));
    }

    #[test]
    fn nonstandard_forms_are_parsed() {
        // `parse_value` uses the time 2026-09-21 14:13:20 UTC.
        for (value, expected) in [
            ("Monday, 21-Sep-26 14:13:50 GMT", 30),
            ("Mon Sep 21 14:13:50 2026", 30),
            ("Mon, 21 Sep 2026 16:13:50 +0200", 30),
            ("2026-09-21T14:13:50", 30),
            ("2026-09-21 14:13:50", 30),
            ("2026-09-21T16:13:50.000+02:00", 30),
            ("1790000030", 30),
            ("1.2", 2),
            ("30.0", 30),
            ("0", 0),
            (" 5 ", 5),
            ("5, 30", 30),
        ] {
            assert_eq!(parse_value(value), Some(Duration::from_secs(expected)), "{value}");
        }
        let mut headers = HeaderMap::new();
        for value in ["soon", "3", "2"] {
            headers.append(RETRY_AFTER, value.parse().unwrap());
        }
        assert_eq!(retry_after(&headers, SystemTime::now()), Some(Duration::from_secs(3)));
    }

    #[test]
    fn past_times_are_zero_and_invalid_values_are_ignored() {
        assert_eq!(parse_value("2020-01-01T00:00:00Z"), Some(Duration::ZERO));
        assert_eq!(parse_value("soon"), None);
        assert_eq!(parse_value("18446744073709551615"), Some(MAX_RETRY_AFTER));
        assert_eq!(parse_value("99999999999999999999"), Some(MAX_RETRY_AFTER));
        assert_eq!(parse_value("9000-01-01T00:00:00Z"), Some(MAX_RETRY_AFTER));
        assert_eq!(parse_value("-3"), None);
    }

    #[test]
    fn backoff_is_finite_and_bounded() {
        let delays: Vec<_> = backoff(12).collect();
        assert_eq!(delays.len(), 12);
        assert!(delays.iter().all(|delay| *delay <= Duration::from_secs(10)));
    }
}

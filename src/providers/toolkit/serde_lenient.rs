//! Deserializes single JSON values of varying types: providers send numbers as strings, strings as
//! numbers, null, or values of another type. A value that cannot be read is `None`, never an error.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use url::Url;

use crate::model::SecretUrl;

/// Deserializes a string. An empty string becomes `None`, and a number becomes its digits.
pub(crate) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(as_text(&Value::deserialize(deserializer)?))
}

/// Deserializes an integer, which may be written as a string or with a fraction of zero.
pub(crate) fn integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    Ok(as_integer(&Value::deserialize(deserializer)?))
}

/// Deserializes a time. A time without an offset is in UTC, like all times of these APIs.
pub(crate) fn time<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Timestamp>, D::Error> {
    Ok(as_text(&Value::deserialize(deserializer)?).and_then(|text| as_time(&text)))
}

/// Deserializes an absolute URL.
pub(crate) fn url<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SecretUrl>, D::Error> {
    let text = as_text(&Value::deserialize(deserializer)?);
    Ok(text.and_then(|text| Url::parse(&text).ok()).map(SecretUrl::new))
}

/// Converts a JSON value to a string as [`text`] does.
pub(crate) fn as_text(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    (!text.is_empty()).then_some(text)
}

/// Converts a JSON value to an integer as [`integer`] does.
pub(crate) fn as_integer(value: &Value) -> Option<i64> {
    let float = match value {
        Value::Number(number) => match number.as_i64() {
            Some(integer) => return Some(integer),
            None => number.as_f64()?,
        },
        Value::String(text) => match text.trim().parse::<i64>() {
            Ok(integer) => return Some(integer),
            Err(_) => text.trim().parse::<f64>().ok()?,
        },
        _ => return None,
    };
    /// 2^53, above which a double cannot represent every integer.
    const MAX_EXACT_INTEGER: f64 = 9_007_199_254_740_992.0;
    (float.fract() == 0.0 && float.abs() <= MAX_EXACT_INTEGER).then_some(float as i64)
}

/// Parses a time as [`time`] does.
pub(crate) fn as_time(text: &str) -> Option<Timestamp> {
    text.parse::<Timestamp>().ok().or_else(|| {
        let datetime = text.parse::<DateTime>().ok()?;
        TimeZone::UTC.to_timestamp(datetime).ok()
    })
}

/// Returns the string in the first field of `names` that contains one.
pub(crate) fn first_text(object: &Map<String, Value>, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| object.get(*name).and_then(as_text))
}

/// Returns the start (in UTC) of the day that `text` begins with.
pub(crate) fn start_of_day(text: &str) -> Option<Timestamp> {
    let day: Date = text.get(..10)?.parse().ok()?;
    TimeZone::UTC.to_timestamp(day.to_datetime(Time::midnight())).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn integers_are_read_from_every_form() {
        for (value, number) in [
            (json!(5), Some(5)),
            (json!("5"), Some(5)),
            (json!(" 5 "), Some(5)),
            (json!(5.0), Some(5)),
            (json!("5.0"), Some(5)),
            (json!(-1), Some(-1)),
            (json!(5.5), None),
            (json!(1e300), None),
            (json!("NaN"), None),
            (json!(u64::MAX), None),
            (json!(null), None),
            (json!([5]), None),
            (json!(""), None),
        ] {
            assert_eq!(as_integer(&value), number, "{value}");
        }
    }

    #[test]
    fn times_are_read_with_and_without_an_offset() {
        let expected = "2026-10-06T07:00:11Z".parse().ok();
        assert_eq!(as_time("2026-10-06T07:00:11Z"), expected);
        assert_eq!(as_time("2026-10-06T09:00:11+02:00"), expected);
        assert_eq!(as_time("2026-10-06 07:00:11"), expected);
        for invalid in ["", "soon", "9999-99-99T00:00:00Z", "99999999999999"] {
            assert_eq!(as_time(invalid), None, "{invalid}");
        }
    }
}

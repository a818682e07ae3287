//! Deserializes single JSON values of varying types: providers send numbers as strings, strings as
//! numbers, null, or values of another type. A value that cannot be read is `None`, never an error.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};
use url::Url;

use crate::model::SecretUrl;

/// Reads a string. An empty string is `None`. A number is read as its digits.
pub(crate) fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(as_text(&Value::deserialize(deserializer)?))
}

/// Reads an integer, possibly written as a string or with a fraction of zero.
pub(crate) fn integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    Ok(as_integer(&Value::deserialize(deserializer)?))
}

/// Reads a time. A time without an offset is in UTC, as are all times of these APIs.
pub(crate) fn time<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Timestamp>, D::Error> {
    Ok(as_text(&Value::deserialize(deserializer)?).and_then(|text| as_time(&text)))
}

/// Reads an absolute URL.
pub(crate) fn url<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<SecretUrl>, D::Error> {
    let text = as_text(&Value::deserialize(deserializer)?);
    Ok(text.and_then(|text| Url::parse(&text).ok()).map(SecretUrl::new))
}

/// Does the same as [`text`].
pub(crate) fn as_text(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.trim().to_owned(),
        Value::Number(number) => number.to_string(),
        _ => return None,
    };
    (!text.is_empty()).then_some(text)
}

/// Does the same as [`integer`].
pub(crate) fn as_integer(value: &Value) -> Option<i64> {
    let fraction = match value {
        Value::Number(number) => match number.as_i64() {
            Some(whole) => return Some(whole),
            None => number.as_f64()?,
        },
        Value::String(text) => match text.trim().parse::<i64>() {
            Ok(whole) => return Some(whole),
            Err(_) => text.trim().parse::<f64>().ok()?,
        },
        _ => return None,
    };
    /// 2^53. Above this limit, a double cannot represent every integer.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    (fraction.fract() == 0.0 && fraction.abs() <= EXACT).then_some(fraction as i64)
}

/// Does the same as [`time`].
pub(crate) fn as_time(text: &str) -> Option<Timestamp> {
    text.parse::<Timestamp>().ok().or_else(|| {
        let naive = text.parse::<DateTime>().ok()?;
        TimeZone::UTC.to_timestamp(naive).ok()
    })
}

/// Returns the text of the first field in `names` that has one.
pub(crate) fn first_text(object: &Map<String, Value>, names: &[&str]) -> Option<String> {
    names.iter().find_map(|name| object.get(*name).and_then(as_text))
}

/// Returns the start (in UTC) of the day that `text` begins with.
pub(crate) fn day_begins(text: &str) -> Option<Timestamp> {
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
        for nonsense in ["", "soon", "9999-99-99T00:00:00Z", "99999999999999"] {
            assert_eq!(as_time(nonsense), None, "{nonsense}");
        }
    }
}

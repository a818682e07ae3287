//! Durations on the command line.

use std::time::Duration;

use jiff::{Span, SpanRelativeTo};

/// Parses a duration with a unit, such as `10s` or `7d`. A day has 24 hours.
pub(super) fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    if text.parse::<f64>().is_ok_and(|number| number > 0.0) {
        return Err(format!("the number has no unit\nhint: Write {text}s, {text}h or {text}d."));
    }
    text.parse::<Span>()
        .and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()))
        .ok()
        .and_then(|duration| Duration::try_from(duration).ok())
        .ok_or_else(|| "not a duration\nhint: Write a duration such as 30s, 12h or 7d.".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duration_can_be_in_days_or_weeks() {
        let hours = |count: u64| Ok(Duration::from_secs(count * 3600));
        assert_eq!(["12h", "7d", "1w", "0s"].map(parse_duration), [12, 168, 168, 0].map(hours));
        for invalid in ["", "soon", "-1d"] {
            assert!(parse_duration(invalid).is_err(), "{invalid}");
        }
        let message = "the number has no unit\nhint: Write 7s, 7h or 7d.".to_owned();
        assert_eq!(parse_duration("7"), Err(message));
    }
}

//! Sorts and merges the errors of days that could not be listed.

use crate::model::DaySpan;
use crate::providers::{ErrorClass, ProviderError};

/// Returns the error that the user can best act on.
pub(crate) fn most_actionable_error(failed: &[(DaySpan, ProviderError)]) -> Option<&ProviderError> {
    failed.iter().map(|(_, error)| error).min_by_key(|error| match error.class() {
        ErrorClass::Credential => 0,
        ErrorClass::NotAllowed => 1,
        ErrorClass::NotFound | ErrorClass::Changed => 2,
        ErrorClass::RateLimited { .. } | ErrorClass::Unavailable | ErrorClass::Down => 3,
    })
}

/// Merges overlapping spans with the same error, so each cause is reported only once.
pub(crate) fn merge_overlapping(
    mut failed: Vec<(DaySpan, ProviderError)>,
) -> Vec<(DaySpan, ProviderError)> {
    failed.sort_by_cached_key(|(days, error)| (error.to_string(), days.from, days.to));
    let mut merged_spans: Vec<(DaySpan, ProviderError)> = Vec::new();
    for (days, error) in failed {
        match merged_spans.last_mut() {
            Some((last, cause)) if days.from <= last.to && *cause == error => {
                last.to = last.to.max(days.to);
            }
            _ => merged_spans.push((days, error)),
        }
    }
    merged_spans
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn overlapping_spans_with_the_same_error_are_merged() {
        let unavailable_error = || ProviderError::unavailable("down");
        let span = |from, to| DaySpan { from: date(2026, 1, from), to: date(2026, 1, to) };
        let failed = merge_overlapping(vec![
            (span(20, 30), unavailable_error()),
            (span(1, 5), unavailable_error()),
            (span(10, 20), unavailable_error()),
            (span(5, 10), ProviderError::not_found("gone")),
        ]);
        let days: Vec<_> = failed.iter().map(|(days, error)| (*days, error.to_string())).collect();
        let expected = [(span(1, 5), "down"), (span(10, 30), "down"), (span(5, 10), "gone")]
            .map(|(d, e)| (d, e.to_string()));
        assert_eq!(days, expected);
    }
}

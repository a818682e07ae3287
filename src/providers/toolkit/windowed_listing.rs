//! Lists a span of days in windows, for providers that limit the number of days in one query.
//!
//! Input: a span, and a future for each window. Output: the items, and the days whose listing is
//! incomplete. A window that fails, partly or completely, does not affect the others. If several
//! consecutive windows cannot reach the provider, the remaining windows are skipped ([`fan_out`]).
//! The module does not know what a provider lists or how it divides a list into pages; see
//! [`PageGuard`](super::page_guard::PageGuard).

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;
use std::sync::OnceLock;

use jiff::ToSpan;
use jiff::civil::Date;
use thiserror::Error;

use super::fan_out::{FanOutLimits, JobOutcome, StopReason, fan_out};
use super::listing_failures;
use crate::model::DaySpan;
use crate::providers::ProviderError;
use crate::providers::listing_progress::ListingCounter;

/// The days that two adjacent windows have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overlap {
    None,
    /// One day. The date of an item and the end of a window may be in different time zones, so an
    /// item near midnight could otherwise be missing in both windows.
    OneDay,
}

/// Divides `span` into windows, newest first. `first_day` returns the first day of the longest
/// window that ends on the given day.
pub(crate) fn windows(
    span: DaySpan,
    first_day: impl Fn(Date) -> Date,
    overlap: Overlap,
) -> Vec<DaySpan> {
    let mut windows = Vec::new();
    let mut to = span.to;
    while span.from <= to {
        let from = first_day(to).max(span.from);
        windows.push(DaySpan { from, to });
        let next = match overlap {
            Overlap::None => from.saturating_sub(1.day()),
            Overlap::OneDay => from,
        };
        if from == span.from || next == to {
            break;
        }
        to = next;
    }
    windows
}

/// The result of one window.
pub(crate) struct WindowReport<T> {
    /// Whether at least one page was received.
    pub(crate) has_page: bool,
    pub(crate) items: Vec<T>,
    /// The days whose listing is incomplete, each with the error. An item that is missing on such a
    /// day may still exist.
    pub(crate) failed: Vec<(DaySpan, ProviderError)>,
    /// Whether the provider replied with a refusal.
    pub(crate) is_refused: bool,
}

impl<T> Default for WindowReport<T> {
    fn default() -> Self {
        Self { has_page: false, items: Vec::new(), failed: Vec::new(), is_refused: false }
    }
}

impl<T> WindowReport<T> {
    fn outcome(&self) -> JobOutcome {
        let mut errors = self.failed.iter().map(|(_, error)| error);
        match errors.find(|error| error.is_transient()) {
            Some(error) if !self.has_page && !self.is_refused => {
                JobOutcome::Unreachable(error.clone())
            }
            _ => JobOutcome::Answered,
        }
    }
}

/// Runs the future of each window and passes each item to `on_item`. The span in the same tuple
/// contains the days that are incomplete if the window is skipped.
///
/// Returns the days whose listing is incomplete, each with the error.
///
/// # Errors
/// If no page of any window was received, returns the error that the user can best act on.
pub(crate) async fn list_windows<T>(
    counter: &ListingCounter,
    concurrency: usize,
    windows: Vec<(DaySpan, impl Future<Output = WindowReport<T>>)>,
    mut on_item: impl FnMut(T),
) -> Result<Vec<(DaySpan, ProviderError)>, ProviderError> {
    let window_count = windows.len();
    counter.begin(window_count);
    let (mut failed, mut windows_without_page) = (Vec::new(), 0);
    let limits =
        FanOutLimits { concurrency, max_consecutive_failures: concurrency, deadline: None };
    let unfinished = fan_out(limits, windows, |_days, report: WindowReport<T>| {
        let outcome = report.outcome();
        counter.record_list(report.items.len());
        windows_without_page += usize::from(!report.has_page);
        failed.extend(report.failed);
        report.items.into_iter().for_each(&mut on_item);
        outcome
    })
    .await;
    if let Some(unfinished) = unfinished
        && let StopReason::Failure(error) = unfinished.reason
    {
        windows_without_page += unfinished.keys.len();
        failed.extend(unfinished.keys.into_iter().map(|days| (days, error.clone())));
    }
    let failed = listing_failures::merge_overlapping(failed);
    match listing_failures::most_actionable_error(&failed) {
        Some(error) if windows_without_page == window_count => Err(error.clone()),
        _ => Ok(failed),
    }
}

/// Stores an error that applies to all windows of a list. The remaining windows need not be
/// requested.
pub(crate) struct PermanentFailure<'a> {
    list_error: OnceLock<ProviderError>,
    /// The error of a refused credential, which applies to all lists of the source.
    credential_error: &'a OnceLock<ProviderError>,
}

impl<'a> PermanentFailure<'a> {
    pub(crate) fn new(credential_error: &'a OnceLock<ProviderError>) -> Self {
        Self { list_error: OnceLock::new(), credential_error }
    }

    pub(crate) fn get(&self) -> Option<&ProviderError> {
        self.list_error.get().or_else(|| self.credential_error.get())
    }

    /// Stores `error`, unless the request for another window might succeed.
    pub(crate) fn record(&self, error: &ProviderError) {
        if error.is_credential() {
            drop(self.credential_error.set(error.clone()));
        } else if error.is_refusal() {
            self.record_for_list(error);
        }
    }

    /// Stores `error`, which every later window of the list would also return.
    pub(crate) fn record_for_list(&self, error: &ProviderError) {
        drop(self.list_error.set(error.clone()));
    }
}

/// The reason why some days of a window could not be listed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum UncoveredDays {
    #[error("the provider repeatedly listed fewer days than requested")]
    TooManyRanges,
    #[error("the provider listed other days than requested")]
    OtherDays,
}

/// The ranges of days to request for one window. Several ranges are needed if the provider lists
/// fewer days than requested.
#[derive(Debug)]
pub(crate) struct RangeQueue {
    pending: Vec<DaySpan>,
    requested_count: usize,
}

impl RangeQueue {
    /// Maximum number of ranges of one window. A window has about 30 days, and more than one range
    /// for each day is never needed.
    const MAX_RANGES: usize = 30;

    pub(crate) fn new(window: DaySpan) -> Self {
        Self { pending: vec![window], requested_count: 0 }
    }

    /// Returns the next range. The result next to it is an error if the range must not be
    /// requested.
    pub(crate) fn next(&mut self) -> Option<(DaySpan, Result<(), UncoveredDays>)> {
        let range = self.pending.pop()?;
        self.requested_count += 1;
        let is_allowed = self.requested_count <= Self::MAX_RANGES;
        Some((range, is_allowed.then_some(()).ok_or(UncoveredDays::TooManyRanges)))
    }

    /// Queues the days of `requested_days` that are not in `covered_days`.
    pub(crate) fn record(
        &mut self,
        requested_days: DaySpan,
        covered_days: DaySpan,
        today: Date,
    ) -> Result<(), UncoveredDays> {
        self.pending.extend(
            uncovered_ranges(requested_days, covered_days, today)
                .ok_or(UncoveredDays::OtherDays)?,
        );
        Ok(())
    }
}

/// Returns the days of `requested_days` that are not in `covered_days`, as ranges that are shorter
/// than `requested_days`. Returns `None` if the two have no day in common.
///
/// Days after `today` need not be covered, because a server may end its range at the present day.
pub(crate) fn uncovered_ranges(
    requested_days: DaySpan,
    covered_days: DaySpan,
    today: Date,
) -> Option<Vec<DaySpan>> {
    if requested_days.from >= today {
        return Some(Vec::new());
    }
    if covered_days.to < requested_days.from
        || requested_days.to < covered_days.from
        || covered_days.to < covered_days.from
    {
        return None;
    }
    let mut ranges = Vec::new();
    if requested_days.from < covered_days.from {
        // The range overlaps with `covered_days` by one day, as windows do, unless the same range
        // would be requested again.
        let to = if covered_days.from < requested_days.to {
            covered_days.from
        } else {
            covered_days.from.saturating_sub(1.day())
        };
        ranges.push(DaySpan { from: requested_days.from, to });
    }
    if covered_days.to < requested_days.to.min(today) {
        let from = if requested_days.from < covered_days.to {
            covered_days.to
        } else {
            covered_days.to.saturating_add(1.day())
        };
        ranges.push(DaySpan { from, to: requested_days.to });
    }
    Some(ranges)
}

/// Keeps only the item with the highest rank for each key, regardless of the order of the items.
pub(crate) fn keep_highest_ranked<K: Eq + Hash, T, R: Ord>(
    items: &mut HashMap<K, T>,
    key: K,
    item: T,
    rank: impl Fn(&T) -> R,
) {
    match items.entry(key) {
        Entry::Vacant(entry) => {
            entry.insert(item);
        }
        Entry::Occupied(mut entry) => {
            if rank(&item) > rank(entry.get()) {
                entry.insert(item);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;
    use crate::providers::listing_progress::ListingProgress;

    fn span(from: Date, to: Date) -> DaySpan {
        DaySpan { from, to }
    }

    fn first_day_of_month(to: Date) -> Date {
        to.saturating_sub(29.days())
    }

    #[test]
    fn windows_cover_a_span_exactly() {
        let last_day = date(2026, 11, 23);
        for days in (0..=120).chain([365, 730, 731]) {
            let complete_span = span(last_day.saturating_sub(days.days()), last_day);
            for overlap in [Overlap::None, Overlap::OneDay] {
                let windows = windows(complete_span, first_day_of_month, overlap);
                assert_eq!(windows.first().unwrap().to, complete_span.to);
                assert_eq!(windows.last().unwrap().from, complete_span.from);
                for window in &windows {
                    assert!(
                        window.from <= window.to && (window.to - window.from).get_days() <= 29,
                        "{window:?}"
                    );
                }
                for pair in windows.windows(2) {
                    let gap = i64::from(overlap == Overlap::None);
                    assert_eq!(pair[0].from.saturating_sub(gap.days()), pair[1].to, "{days}");
                }
                if overlap == Overlap::None {
                    assert_eq!(windows.len() as i64, days / 30 + 1);
                }
            }
        }
    }

    #[test]
    fn windows_stop_at_the_date_limits() {
        for overlap in [Overlap::None, Overlap::OneDay] {
            assert_eq!(windows(span(Date::MIN, Date::MIN), first_day_of_month, overlap).len(), 1);
            let reversed_span = span(date(2026, 1, 2), date(2026, 1, 1));
            assert!(windows(reversed_span, first_day_of_month, overlap).is_empty());
            let first_days = span(Date::MIN, Date::MIN.saturating_add(70.days()));
            assert_eq!(windows(first_days, first_day_of_month, overlap).len(), 3);
            // A window that cannot move back ends the list, because it would be repeated otherwise.
            let days = span(date(2026, 1, 1), date(2026, 1, 2));
            assert!(windows(days, |to| to, overlap).len() <= 2);
        }
    }

    #[test]
    fn uncovered_days_are_requested_in_shorter_ranges() {
        let today = date(2026, 11, 23);
        let requested_days = span(date(2026, 10, 1), date(2026, 10, 30));
        for from in 0..30 {
            for to in from..30 {
                let covered_days = span(
                    requested_days.from.saturating_add(from.days()),
                    requested_days.from.saturating_add(to.days()),
                );
                let ranges = uncovered_ranges(requested_days, covered_days, today).unwrap();
                let mut day = requested_days.from;
                while day <= requested_days.to {
                    assert!(
                        covered_days.contains(day)
                            || ranges.iter().any(|range| range.contains(day)),
                        "{day}"
                    );
                    day = day.saturating_add(1.day());
                }
                for range in ranges {
                    assert!(
                        range.from <= range.to && range != requested_days,
                        "{covered_days:?} leaves {range:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn future_days_need_not_be_covered() {
        let requested_days = span(date(2026, 10, 25), date(2026, 11, 23));
        let until_yesterday = span(requested_days.from, date(2026, 11, 22));
        assert_eq!(
            uncovered_ranges(requested_days, until_yesterday, date(2026, 11, 22)),
            Some(vec![])
        );
        assert_eq!(
            uncovered_ranges(requested_days, until_yesterday, requested_days.to).unwrap().len(),
            1
        );
        let other_days = span(date(2025, 1, 1), date(2025, 1, 30));
        assert_eq!(uncovered_ranges(requested_days, other_days, requested_days.to), None);
    }

    #[test]
    fn ranges_of_a_window_are_limited() {
        let window = span(date(2026, 1, 1), date(2026, 12, 31));
        let mut queue = RangeQueue::new(window);
        let mut allowed_count = 0;
        while let Some((range, range_check)) = queue.next() {
            if range_check == Err(UncoveredDays::TooManyRanges) {
                break;
            }
            allowed_count += 1;
            queue.record(range, span(range.from, range.from), Date::MAX).unwrap();
        }
        assert_eq!(allowed_count, RangeQueue::MAX_RANGES);
    }

    fn days(first: i8, last: i8) -> DaySpan {
        span(date(2026, 1, first), date(2026, 1, last))
    }

    async fn window_report(
        items: &[u8],
        has_page: bool,
        failed: Vec<(DaySpan, ProviderError)>,
    ) -> WindowReport<u8> {
        WindowReport { has_page, items: items.to_vec(), failed, is_refused: false }
    }

    fn unavailable_error() -> ProviderError {
        ProviderError::unavailable("down")
    }

    #[tokio::test]
    async fn failed_window_does_not_affect_the_others() {
        let windows = vec![
            (days(20, 31), window_report(&[1, 2], true, vec![])),
            (days(10, 19), window_report(&[], false, vec![(days(8, 19), unavailable_error())])),
            (days(1, 9), window_report(&[3], true, vec![(days(1, 9), unavailable_error())])),
        ];
        let (mut items, counter) = (Vec::new(), ListingCounter::default());
        assert_eq!(counter.progress(), None);
        let failed = list_windows(&counter, 2, windows, |item| items.push(item)).await.unwrap();
        let progress = ListingProgress { lists: 3, done_lists: 3, entries: 3 };
        assert_eq!(counter.progress(), Some(progress));
        items.sort_unstable();
        assert_eq!(items, [1, 2, 3]);
        assert_eq!(failed.len(), 1, "adjacent days with the same error are one span: {failed:?}");
        assert_eq!(failed[0].0, days(1, 19));
    }

    #[tokio::test]
    async fn windows_of_unreachable_provider_are_skipped() {
        let unreachable_window = |first, last| {
            (
                days(first, last),
                window_report(&[], false, vec![(days(first, last), unavailable_error())]),
            )
        };
        let windows = vec![
            (days(30, 31), window_report(&[1], true, vec![])),
            unreachable_window(20, 29),
            unreachable_window(10, 19),
            (days(5, 9), window_report(&[2], true, vec![])),
            (days(1, 4), window_report(&[3], true, vec![])),
        ];
        let (mut items, counter) = (Vec::new(), ListingCounter::default());
        let failed = list_windows(&counter, 2, windows, |item| items.push(item)).await.unwrap();
        let failed_days: Vec<bool> = (1..=31)
            .map(|day| failed.iter().any(|(days, _)| days.contains(date(2026, 1, day))))
            .collect();
        assert!(items.len() < 3 && failed_days[9..29].iter().all(|is_failed| *is_failed));
        assert!(failed_days[0], "the days of a skipped window are incomplete");
        let result = list_windows(
            &counter,
            2,
            vec![unreachable_window(1, 9), unreachable_window(10, 19), unreachable_window(20, 29)],
            |_| {},
        )
        .await;
        assert!(result.is_err());
    }

    #[test]
    fn refusal_of_one_list_does_not_affect_others() {
        let credential_error = OnceLock::new();
        let (first_list, second_list) =
            (PermanentFailure::new(&credential_error), PermanentFailure::new(&credential_error));
        first_list.record(&unavailable_error());
        assert!(first_list.get().is_none());
        first_list.record(&ProviderError::not_allowed("no"));
        assert!(first_list.get().is_some() && second_list.get().is_none());
        first_list.record(&ProviderError::credential("wrong"));
        assert!(second_list.get().is_some());
    }

    #[test]
    fn highest_rank_wins_in_any_order() {
        for order in [[1, 2, 3], [3, 2, 1], [2, 3, 1]] {
            let mut items = HashMap::new();
            for item in order {
                keep_highest_ranked(&mut items, "key", item, |item| *item);
            }
            assert_eq!(items["key"], 3);
        }
    }
}

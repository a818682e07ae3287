//! Spans of days cut as Zoom's listing takes them.

use jiff::ToSpan;
use jiff::civil::Date;

use crate::model::DaySpan;

/// The earliest first day of a window that ends on `to`. Zoom lists one month at most and shortens anything longer
/// without an error (zoom/api issue 36). Nobody says whether its month is of 30 days or of the calendar, so a
/// window is neither longer than 30 days nor than the calendar's month, which in March is less.
fn reach(to: Date) -> Date {
    to.saturating_sub(29.days()).max(to.saturating_sub(1.month()))
}

/// Windows of at most 30 days that cover `span`, newest first.
///
/// Neighbours share a day: a meeting near midnight may be dated by another clock than the one that the window's
/// end is read with (transloadit/uppy pull request 2525).
pub(crate) fn windows(span: DaySpan) -> Vec<DaySpan> {
    let mut windows = Vec::new();
    let mut to = span.to;
    while span.from <= to {
        let from = reach(to).max(span.from);
        windows.push(DaySpan { from, to });
        if from == span.from || from == to {
            break;
        }
        to = from;
    }
    windows
}

/// What of `asked` the server left out when it says that it listed `listed`; each rest is shorter than `asked`.
/// `None` where the two have no day in common.
///
/// Days after `today` are not missed: a server may well end its range with the present.
pub(crate) fn rests(asked: DaySpan, listed: DaySpan, today: Date) -> Option<Vec<DaySpan>> {
    if asked.from >= today {
        return Some(Vec::new());
    }
    if listed.to < asked.from || asked.to < listed.from || listed.to < listed.from {
        return None;
    }
    let mut rests = Vec::new();
    if asked.from < listed.from {
        // Overlapping by a day like windows, unless that would ask for the same again.
        let to = if listed.from < asked.to { listed.from } else { day_before(listed.from) };
        rests.push(DaySpan { from: asked.from, to });
    }
    if listed.to < asked.to.min(today) {
        let from = if asked.from < listed.to { listed.to } else { day_after(listed.to) };
        rests.push(DaySpan { from, to: asked.to });
    }
    Some(rests)
}

fn day_before(day: Date) -> Date {
    day.saturating_sub(1.day())
}

fn day_after(day: Date) -> Date {
    day.saturating_add(1.day())
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn span(from: Date, to: Date) -> DaySpan {
        DaySpan { from, to }
    }

    #[test]
    fn windows_cover_a_span_exactly_overlap_by_a_day_and_reach_thirty_days() {
        let last = date(2026, 11, 23);
        for days in (0..=120).chain([365, 730, 731]) {
            let whole = span(last.saturating_sub(days.days()), last);
            let windows = windows(whole);
            assert_eq!(windows.first().unwrap().to, whole.to);
            assert_eq!(windows.last().unwrap().from, whole.from);
            for window in &windows {
                assert!(
                    window.from <= window.to && (window.to - window.from).get_days() <= 29,
                    "{window:?}"
                );
            }
            for pair in windows.windows(2) {
                assert_eq!(pair[0].from, pair[1].to, "{days}");
            }
            // As long as may be, all but the oldest, so that there are as few as may be.
            for window in windows.iter().rev().skip(1) {
                let month_back = window.to.saturating_sub(1.month());
                let reaches =
                    (window.to - window.from).get_days() == 29 || window.from == month_back;
                assert!(reaches, "{window:?}");
            }
        }
    }

    #[test]
    fn a_span_at_the_ends_of_time_ends() {
        assert_eq!(windows(span(Date::MIN, Date::MIN)).len(), 1);
        assert!(windows(span(date(2026, 1, 2), date(2026, 1, 1))).is_empty());
        assert!(!windows(span(Date::MIN, Date::MIN.saturating_add(70.days()))).is_empty());
    }

    #[test]
    fn a_shortened_range_leaves_rests_that_cover_it_and_shrink() {
        let today = date(2026, 11, 23);
        let asked = span(date(2026, 10, 1), date(2026, 10, 30));
        for from in 0..30 {
            for to in from..30 {
                let listed = span(
                    asked.from.saturating_add(from.days()),
                    asked.from.saturating_add(to.days()),
                );
                let rests = rests(asked, listed, today).unwrap();
                let mut day = asked.from;
                while day <= asked.to {
                    assert!(
                        listed.contains(day) || rests.iter().any(|rest| rest.contains(day)),
                        "{day}"
                    );
                    day = day_after(day);
                }
                for rest in rests {
                    assert!(rest.from <= rest.to && rest != asked, "{listed:?} leaves {rest:?}");
                }
            }
        }
    }

    #[test]
    fn the_future_is_not_missed_and_other_days_are_told_apart() {
        let asked = span(date(2026, 10, 25), date(2026, 11, 23));
        let until_yesterday = span(asked.from, date(2026, 11, 22));
        assert_eq!(rests(asked, until_yesterday, date(2026, 11, 22)), Some(vec![]));
        assert_eq!(rests(asked, until_yesterday, asked.to).unwrap().len(), 1);
        assert_eq!(rests(asked, span(date(2025, 1, 1), date(2025, 1, 30)), asked.to), None);
    }
}

//! The schedule: the only place that names the meetings of an account. Recordings are requested per
//! meeting.

use std::collections::HashMap;
use std::time::Duration;

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan};

use super::api::Api;
use super::wire::{Entry, Page};
use crate::http::Priority;
use crate::model::DaySpan;
use crate::providers::ProviderError;
use crate::providers::toolkit::page_guard::{PageGuard, PageLimits};

/// Timeout of one page with its retries. A user waits at a prompt for the first page.
const PAGE_TIMEOUT: Duration = Duration::from_secs(30);

/// A hundred thousand meetings, or fifty pages without another meeting, are a schedule without an
/// end. A series has entries on many pages.
const LIMITS: PageLimits = PageLimits { max_pages: 1000, max_pages_without_new_items: 50 };

/// The meetings of a span of days.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    entries: HashMap<String, Vec<Entry>>,
}

impl Schedule {
    /// Returns each meeting with its newest day, newest first; those of one day by their ids.
    pub(crate) fn meetings(&self) -> Vec<(Option<Date>, &str)> {
        let mut meetings: Vec<_> = self
            .entries
            .keys()
            .map(|meeting| (self.newest_day(meeting), meeting.as_str()))
            .collect();
        meetings.sort_by(|one, other| other.0.cmp(&one.0).then_with(|| one.1.cmp(other.1)));
        meetings
    }

    pub(crate) fn newest_day(&self, meeting: &str) -> Option<Date> {
        self.entries.get(meeting)?.iter().filter_map(|entry| entry.date).max()
    }

    /// Returns the scheduled start of a meeting on `day`. Of several it is the earliest, which
    /// later bookings do not change.
    pub(crate) fn start(&self, meeting: &str, day: Date) -> Option<Timestamp> {
        let entries = self.entries.get(meeting)?;
        entries.iter().filter(|entry| entry.date == Some(day)).filter_map(|entry| entry.start).min()
    }

    /// Returns the days of a meeting, each with its neighbors: it is not documented in which time
    /// zone either the schedule or a session is dated.
    pub(crate) fn days(&self, meeting: &str) -> Vec<DaySpan> {
        let dates = self.entries.get(meeting).into_iter().flatten().filter_map(|entry| entry.date);
        dates
            .map(|day| DaySpan {
                from: day.saturating_sub(1.day()),
                to: day.saturating_add(1.day()),
            })
            .collect()
    }

    fn add(&mut self, entries: Vec<Entry>) {
        for entry in entries {
            self.entries.entry(entry.meeting.clone()).or_default().push(entry);
        }
    }
}

/// Requests the schedule of `span` and a day more on both sides. Also returns why it is incomplete,
/// if it is.
pub(crate) async fn fetch(api: &Api, span: DaySpan) -> (Schedule, Option<ProviderError>) {
    let mut schedule = Schedule::default();
    let error = fetch_pages(api, span, &mut schedule).await.err();
    (schedule, error)
}

async fn fetch_pages(
    api: &Api,
    span: DaySpan,
    schedule: &mut Schedule,
) -> Result<(), ProviderError> {
    let from = span.from.saturating_sub(1.day()).to_string();
    let to = span.to.saturating_add(1.day()).to_string();
    let mut guard = PageGuard::new(LIMITS);
    let (mut page, mut last_page) = (1, 1);
    // A longer schedule is cut without an error: a listing requests the recordings of far fewer
    // meetings.
    while page <= last_page && guard.begin_page().is_ok() {
        let number = page.to_string();
        let mut query = vec![("tab", "previous"), ("from", from.as_str()), ("to", to.as_str())];
        if page > 1 {
            query.push(("page", number.as_str()));
        }
        let reply = api
            .get(&["schedules"], &query, PAGE_TIMEOUT, Priority::Background)
            .await
            .map_err(|error| error.into_provider_error("the schedule"))?;
        let read = Page::read(reply).ok_or_else(|| {
            ProviderError::unavailable("Rapatin sent a schedule without meetings; check api_url")
        })?;
        // The next page in its place would be the same as the last one, and meetings be missing.
        if let Some(other) = read.number.filter(|number| *number != page) {
            return Err(ProviderError::unavailable(format!(
                "Rapatin sent page {other} of the schedule in place of page {page}"
            )));
        }
        last_page = read.pages.unwrap_or(last_page);
        guard.record_items(read.entries.iter().map(|entry| entry.meeting.as_str()));
        schedule.add(read.entries);
        page += 1;
        if page <= last_page {
            guard.follow(&page.to_string()).map_err(|error| {
                ProviderError::unavailable(format!(
                    "Rapatin {error} (the schedule); it may be passing"
                ))
            })?;
        }
    }
    Ok(())
}

//! Requests the schedule, the only list of an account's meetings. Recordings are requested per
//! meeting.

use std::collections::HashMap;
use std::time::Duration;

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan};

use super::api::Api;
use super::wire::{Page, ScheduleEntry};
use crate::http::Priority;
use crate::model::DaySpan;
use crate::providers::ProviderError;
use crate::providers::toolkit::page_guard::{PageGuard, PageLimits};

/// Timeout of the request for one page, including retries. A user at a prompt may wait for the
/// first page.
const PAGE_TIMEOUT: Duration = Duration::from_secs(30);

/// The limits beyond which a schedule counts as endless: a thousand pages, or fifty consecutive
/// pages without a new meeting. The entries of one series can fill many pages.
const LIMITS: PageLimits = PageLimits { max_pages: 1000, max_pages_without_new_items: 50 };

/// The scheduled meetings of a span of days.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    entries: HashMap<String, Vec<ScheduleEntry>>,
}

impl Schedule {
    /// Returns each meeting with its newest day, newest first. Meetings of the same day are sorted
    /// by id.
    pub(crate) fn meetings(&self) -> Vec<(Option<Date>, &str)> {
        let mut meetings: Vec<_> = self
            .entries
            .keys()
            .map(|meeting| (self.newest_day(meeting), meeting.as_str()))
            .collect();
        meetings.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(b.1)));
        meetings
    }

    pub(crate) fn newest_day(&self, meeting: &str) -> Option<Date> {
        self.entries.get(meeting)?.iter().filter_map(|entry| entry.date).max()
    }

    /// Returns the scheduled start of a meeting on `day`. If there are several, this is the
    /// earliest one, because later bookings do not change it.
    pub(crate) fn start(&self, meeting: &str, day: Date) -> Option<Timestamp> {
        let entries = self.entries.get(meeting)?;
        entries.iter().filter(|entry| entry.date == Some(day)).filter_map(|entry| entry.start).min()
    }

    /// Returns the days of a meeting, each extended by the day before and the day after. The time
    /// zones of the dates in schedules and sessions are not documented.
    pub(crate) fn days(&self, meeting: &str) -> Vec<DaySpan> {
        let dates = self.entries.get(meeting).into_iter().flatten().filter_map(|entry| entry.date);
        dates
            .map(|day| DaySpan {
                from: day.saturating_sub(1.day()),
                to: day.saturating_add(1.day()),
            })
            .collect()
    }

    fn add_entries(&mut self, entries: Vec<ScheduleEntry>) {
        for entry in entries {
            self.entries.entry(entry.meeting.clone()).or_default().push(entry);
        }
    }
}

/// Requests the schedule of `span`, extended by one day on each side. If the schedule is
/// incomplete, also returns the error.
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
    // A longer schedule is truncated without an error, because a listing requests the recordings of
    // far fewer meetings.
    while page <= last_page && guard.begin_page().is_ok() {
        let page_text = page.to_string();
        let mut query = vec![("tab", "previous"), ("from", from.as_str()), ("to", to.as_str())];
        if page > 1 {
            query.push(("page", page_text.as_str()));
        }
        let reply = api
            .get(&["schedules"], &query, PAGE_TIMEOUT, Priority::Background)
            .await
            .map_err(|error| error.into_provider_error("the schedule"))?;
        let parsed_page = Page::parse(reply).ok_or_else(|| {
            ProviderError::unavailable("Rapatin sent a schedule without a list of meetings")
                .with_hint("Check api_url.")
        })?;
        // If the server ignored `page`, it would return the first page again, and meetings would be
        // missing.
        if let Some(number) = parsed_page.page_number.filter(|number| *number != page) {
            return Err(ProviderError::unavailable(format!(
                "Rapatin sent page {number} of the schedule instead of page {page}"
            )));
        }
        last_page = parsed_page.page_count.unwrap_or(last_page);
        guard.record_items(parsed_page.entries.iter().map(|entry| entry.meeting.as_str()));
        schedule.add_entries(parsed_page.entries);
        page += 1;
        if page <= last_page {
            guard.check_next_page(&page.to_string()).map_err(|error| {
                ProviderError::unavailable(format!(
                    "cannot list the schedule completely: {error}; this may be temporary"
                ))
            })?;
        }
    }
    Ok(())
}

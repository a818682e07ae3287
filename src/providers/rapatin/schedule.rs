//! Which meetings there were. Recordings can be asked for by meeting alone, and this is where meetings are named.

use std::collections::HashMap;
use std::time::Duration;

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan};

use super::api::Api;
use super::wire::{Entry, Page};
use crate::http::Priority;
use crate::model::DaySpan;
use crate::providers::ProviderError;

/// Bound on one page with its retries. Somebody waits at a prompt for the first of them, and after half a minute would
/// rather be told.
const PAGE_TIMEOUT: Duration = Duration::from_secs(30);

/// Pages of one schedule; a hundred thousand meetings are a server that counts in circles.
const PAGES: i64 = 1000;

/// Pages in a row that bring no other meeting, until the schedule is taken for one without an end. Meetings of a series
/// have entries on many of them.
const BARREN_PAGES: u32 = 50;

/// The meetings of a span of days.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    /// By the meetings' ids.
    entries: HashMap<String, Vec<Entry>>,
}

impl Schedule {
    /// Each meeting with its newest day, newest first; those of one day by their ids.
    pub(crate) fn meetings(&self) -> Vec<(Option<Date>, &str)> {
        let mut meetings: Vec<_> =
            self.entries.keys().map(|meeting| (self.newest(meeting), meeting.as_str())).collect();
        meetings.sort_by(|one, other| other.0.cmp(&one.0).then_with(|| one.1.cmp(other.1)));
        meetings
    }

    /// The newest day that a meeting stands on.
    pub(crate) fn newest(&self, meeting: &str) -> Option<Date> {
        self.entries.get(meeting)?.iter().filter_map(|entry| entry.date).max()
    }

    /// When a meeting was to begin on that day. Of several times the earliest, which others that are booked later
    /// do not change.
    pub(crate) fn start(&self, meeting: &str, day: Date) -> Option<Timestamp> {
        let entries = self.entries.get(meeting)?;
        entries.iter().filter(|entry| entry.date == Some(day)).filter_map(|entry| entry.start).min()
    }

    /// The days that a meeting stands on, each with its neighbours: nobody says by which clock either is dated.
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

/// Asks for the schedule of `span`, a day more on both sides. Says besides why it is not whole, if it is not.
pub(crate) async fn ask(api: &Api, span: DaySpan) -> (Schedule, Option<ProviderError>) {
    let mut schedule = Schedule::default();
    let from = span.from.saturating_sub(1.day()).to_string();
    let to = span.to.saturating_add(1.day()).to_string();
    let (mut page, mut pages) = (1, 1);
    let mut barren = 0;
    while page <= pages {
        let number = page.to_string();
        let mut query = vec![("tab", "previous"), ("from", from.as_str()), ("to", to.as_str())];
        if page > 1 {
            query.push(("page", number.as_str()));
        }
        let reply = api.get(&["schedules"], &query, PAGE_TIMEOUT, Priority::Background).await;
        let read = reply.map_err(|error| error.about("the schedule")).and_then(|reply| {
            Page::read(reply).ok_or_else(|| {
                ProviderError::unavailable(
                    "Rapatin sent a schedule without meetings; check api_url",
                )
            })
        });
        match read {
            Ok(read) => {
                pages = read.pages.unwrap_or(pages).min(PAGES);
                let known = schedule.entries.len();
                schedule.add(read.entries);
                barren = if schedule.entries.len() == known { barren + 1 } else { 0 };
                if barren >= BARREN_PAGES && page < pages {
                    let why = "Rapatin's schedule has one page after the other with no other meeting on them; it may be passing";
                    return (schedule, Some(ProviderError::unavailable(why)));
                }
            }
            Err(error) => return (schedule, Some(error)),
        }
        page += 1;
    }
    (schedule, None)
}

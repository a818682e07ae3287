//! Lists the meetings of a span of days.

use std::collections::HashMap;
use std::sync::OnceLock;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use xxhash_rust::xxh3::xxh3_64;

use super::api::{Api, ApiError, unexpected};
use super::mapping::{self, MappedMeeting};
use super::pages::Pages;
use super::recording_owner::RecordingOwner;
use super::wire::{self, Page};
use crate::model::{Availability, DaySpan, Meeting, MeetingId, SourceName};
use crate::providers::ProviderError;
use crate::providers::toolkit::page_guard::{EndlessList, ListingBudget, PageLimits};
use crate::providers::toolkit::windowed_listing::{
    Overlap, PermanentFailure, RangeQueue, WindowReport, keep_highest, list_windows, windows,
};

/// Windows in flight. A free account may send two such calls a second; more than a few in flight
/// only reach that limit sooner.
const WINDOW_CONCURRENCY: usize = 4;

/// 300,000 meetings in a month, or ten pages without a new one, are a list without an end.
const PAGE_LIMITS: PageLimits = PageLimits { max_pages: 1000, max_pages_without_new_items: 10 };

/// Memory of a listed meeting that is known, of a new one without metadata and files, and of a
/// file with its download URL.
const KNOWN_MEMORY: usize = 128;
const NEW_MEMORY: usize = 1024;
const FILE_MEMORY: usize = 640;

/// A listed meeting. In a large archive, most have not changed since the last listing.
pub(crate) enum ListedEntry {
    /// Unchanged; its download URLs are stored.
    Known { id: MeetingId, start: Timestamp, rank: EntryRank },
    /// New or changed.
    New(Box<MappedMeeting>),
}

impl ListedEntry {
    fn id(&self) -> &MeetingId {
        match self {
            Self::Known { id, .. } => id,
            Self::New(mapped) => &mapped.meeting.id,
        }
    }

    /// Returns an estimate of its memory.
    fn memory(&self) -> usize {
        match self {
            Self::Known { .. } => KNOWN_MEMORY,
            Self::New(mapped) => {
                let Meeting { metadata, files, .. } = &mapped.meeting;
                NEW_MEMORY + metadata.as_str().len() + files.len() * FILE_MEMORY
            }
        }
    }

    fn rank(&self) -> EntryRank {
        match self {
            Self::Known { rank, .. } => *rank,
            Self::New(mapped) => EntryRank::of(&mapped.meeting, false),
        }
    }
}

/// Orders two entries of one meeting, independently of their order of arrival.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EntryRank {
    files: usize,
    ready: usize,
    bytes: u128,
    end: Timestamp,
    /// The entries are equal in all that matters: the one that is shown stays.
    is_known: bool,
    /// Makes the choice deterministic.
    text: u64,
}

impl EntryRank {
    pub(crate) fn of(meeting: &Meeting, is_known: bool) -> Self {
        let files = &meeting.files;
        Self {
            files: files.len(),
            ready: files.iter().filter(|file| file.availability == Availability::Ready).count(),
            bytes: files.iter().filter_map(|file| file.declared_size).map(u128::from).sum(),
            end: meeting.end,
            is_known,
            text: xxh3_64(meeting.metadata.as_str().as_bytes()),
        }
    }
}

/// The meetings of a span of days.
pub(crate) struct ListedMeetings {
    /// Each meeting once.
    pub(crate) meetings: Vec<ListedEntry>,
    /// The days whose list is incomplete.
    pub(crate) failed: Vec<(DaySpan, ProviderError)>,
}

/// Lists the meetings of all `owners` on the days of `span`. `take` receives each meeting as soon
/// as it is listed.
///
/// # Errors
/// Returns the error that a user can do most about if no window brought a page.
pub(crate) async fn list(
    api: &Api,
    source: &SourceName,
    owners: &[RecordingOwner],
    span: DaySpan,
    take: &(dyn Fn(MappedMeeting) -> ListedEntry + Sync),
) -> Result<ListedMeetings, ProviderError> {
    let (of_credential, budget) = (OnceLock::new(), ListingBudget::default());
    let listers: Vec<_> = owners
        .iter()
        .map(|owner| Lister {
            api,
            source,
            owner,
            take,
            budget: &budget,
            failure: PermanentFailure::new(&of_credential),
        })
        .collect();
    let mut jobs = Vec::new();
    for window in windows(span, earliest_day, Overlap::OneDay) {
        for lister in &listers {
            jobs.push((window, lister.list(window)));
        }
    }
    let mut meetings = HashMap::new();
    let failed = list_windows(WINDOW_CONCURRENCY, jobs, |listed: ListedEntry| {
        keep_highest(&mut meetings, listed.id().clone(), listed, ListedEntry::rank);
    })
    .await?;
    Ok(ListedMeetings { meetings: meetings.into_values().collect(), failed })
}

/// Returns the first day of the longest window that ends on `to`. Zoom lists one month at most and
/// shortens anything longer without an error (zoom/api issue 36). It is not documented whether its
/// month has 30 days or is one of the calendar, so a window is neither longer than 30 days nor than
/// the calendar's month, which in March is shorter.
fn earliest_day(to: Date) -> Date {
    to.saturating_sub(29.days()).max(to.saturating_sub(1.month()))
}

/// Lists the windows of one user or of the account.
struct Lister<'a> {
    api: &'a Api,
    source: &'a SourceName,
    owner: &'a RecordingOwner,
    take: &'a (dyn Fn(MappedMeeting) -> ListedEntry + Sync),
    budget: &'a ListingBudget,
    failure: PermanentFailure<'a>,
}

impl Lister<'_> {
    async fn list(&self, window: DaySpan) -> WindowReport<ListedEntry> {
        let mut report = WindowReport::default();
        let mut ranges = RangeQueue::new(window);
        while let Some((range, is_allowed)) = ranges.next() {
            let covered = match (self.failure.get(), is_allowed) {
                (Some(failure), _) => Err(failure.clone()),
                (None, Err(error)) => Err(self.invalid_reply_error(&error.to_string())),
                (None, Ok(())) => self.list_range(range, &mut report).await,
            };
            let today = TimeZone::UTC.to_datetime(Timestamp::now()).date();
            let outcome = covered.and_then(|covered| {
                ranges
                    .record(range, covered, today)
                    .map_err(|error| self.invalid_reply_error(&error.to_string()))
            });
            if let Err(error) = outcome {
                self.failure.record(&error);
                report.failed.push((range, error));
            }
        }
        report
    }

    /// Lists all pages of a range. Returns the days that the server covered.
    async fn list_range(
        &self,
        range: DaySpan,
        report: &mut WindowReport<ListedEntry>,
    ) -> Result<DaySpan, ProviderError> {
        let (path, subject) = (self.owner.path(), self.owner.subject());
        let (from, to) = (range.from.to_string(), range.to.to_string());
        let query = [("from", from.as_str()), ("to", to.as_str())];
        let mut pages = Pages::new(self.api, &path, query, &subject, PAGE_LIMITS);
        let mut covered = None;
        loop {
            let reply = match pages.next().await {
                Ok(Some(reply)) => reply,
                Err(ApiError::Refused(refusal)) if self.owner.has_nothing(&refusal) => {
                    report.has_page = true;
                    break;
                }
                Ok(None) => break,
                Err(error) => {
                    let error = error.into_provider_error(&subject);
                    if pages.has_no_end() {
                        self.failure.record_for_list(&error);
                    }
                    return Err(error);
                }
            };
            let page = Page::read(reply.object)
                .ok_or_else(|| pages.unexpected("sent a listing without meetings"))?;
            covered.get_or_insert_with(|| page.covers(range));
            report.has_page = true;
            if page.unreadable > 0 {
                // Any known meeting may be among these, so none of the range may count as deleted.
                let what = format!("listed {} meetings that cannot be read", page.unreadable);
                report.failed.push((range, pages.unexpected(&what)));
            }
            pages.record_items(page.meetings.iter().map(wire::Meeting::uuid));
            let meetings =
                page.meetings.into_iter().map(|entry| mapping::meeting(self.source, entry));
            let meetings: Vec<_> = meetings.map(self.take).collect();
            let memory = meetings.iter().map(ListedEntry::memory).sum();
            report.items.extend(meetings);
            self.budget.spend(memory).map_err(|error| self.endless(error))?;
        }
        Ok(covered.unwrap_or(range))
    }

    /// Returns the error of a list without an end. After some, other windows would not end either.
    fn endless(&self, endless: EndlessList) -> ProviderError {
        let error = self.invalid_reply_error(&endless.to_string());
        if endless.is_of_whole_list() {
            self.failure.record_for_list(&error);
        }
        error
    }

    fn invalid_reply_error(&self, what: &str) -> ProviderError {
        unexpected(&what, &self.owner.subject())
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use serde_json::json;

    use super::*;

    fn mapped(files: serde_json::Value) -> MappedMeeting {
        let entry = json!({"uuid": "u==", "recording_files": files});
        mapping::meeting(&SourceName::new("acme").unwrap(), wire::Meeting::read(entry).unwrap())
    }

    #[test]
    fn fuller_entry_wins_in_any_order() {
        let file = |id: &str, status: &str| json!({"id": id, "file_type": "MP4", "status": status, "download_url": "https://zoom.us/x"});
        let accounts = [
            json!([file("a", "completed")]),
            json!([file("a", "completed"), file("b", "processing")]),
            json!([file("a", "completed"), file("b", "completed")]),
        ];
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [2, 0, 1]] {
            let mut meetings = HashMap::new();
            for index in order {
                let listed = ListedEntry::New(Box::new(mapped(accounts[index].clone())));
                keep_highest(&mut meetings, listed.id().clone(), listed, ListedEntry::rank);
            }
            let Some(ListedEntry::New(kept)) = meetings.into_values().next() else {
                panic!("none is known")
            };
            let ready =
                kept.meeting.files.iter().filter(|file| file.availability == Availability::Ready);
            assert_eq!((kept.meeting.files.len(), ready.count()), (2, 2), "{order:?}");
        }
    }

    #[test]
    fn windows_reach_back_a_month_or_thirty_days() {
        for days in (0..=120).chain([365, 730, 731]) {
            let to = date(2026, 11, 23);
            let span = DaySpan { from: to.saturating_sub(days.days()), to };
            let windows = windows(span, earliest_day, Overlap::OneDay);
            for pair in windows.windows(2) {
                assert_eq!(pair[0].from, pair[1].to, "{days}");
            }
            // All but the oldest are as long as possible, so that there are as few as possible.
            for window in windows.iter().rev().skip(1) {
                let length = (window.to - window.from).get_days();
                let month_back = window.to.saturating_sub(1.month());
                assert!(length == 29 || window.from == month_back, "{window:?}");
            }
            assert!(windows.iter().all(|window| (window.to - window.from).get_days() <= 29));
        }
    }
}

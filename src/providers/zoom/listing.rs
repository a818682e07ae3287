//! Lists the meetings of a span of days.

use std::collections::HashMap;
use std::sync::OnceLock;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use xxhash_rust::xxh3::xxh3_64;

use super::api::{Api, ApiError, incomplete_list_error};
use super::mapping::{self, MappedMeeting};
use super::metadata::MEETING_HOST_FIELD;
use super::pages::Pages;
use super::recording_owner::RecordingOwner;
use super::wire::{self, Page};
use crate::model::{Availability, DaySpan, Meeting, MeetingId, SourceName, current_time};
use crate::providers::listing_progress::ListingCounter;
use crate::providers::toolkit::page_guard::{EndlessList, ListingBudget, PageLimits};
use crate::providers::toolkit::refused_users::{UserReplies, take_refused_users};
use crate::providers::toolkit::windowed_listing::{
    Overlap, PermanentFailure, RangeQueue, WindowReport, keep_highest_ranked, list_windows, windows,
};
use crate::providers::{ProviderError, RefusedUsers};

/// Number of windows that are listed at the same time. A free account may send two such requests
/// per second, so more windows would only reach this limit sooner.
const WINDOW_CONCURRENCY: usize = 4;

/// Limits of one list. A month with more than 300,000 meetings (1000 pages), or ten consecutive
/// pages without a new meeting, counts as an endless list.
const PAGE_LIMITS: PageLimits = PageLimits { max_pages: 1000, max_pages_without_new_items: 10 };

/// Estimated memory of a listed meeting that has not changed, in bytes.
const UNCHANGED_MEETING_BYTES: usize = 128;

/// Estimated memory of a new meeting without its metadata and files, in bytes.
const NEW_MEETING_BYTES: usize = 1024;

/// Estimated memory of a file and its download URL, in bytes.
const FILE_BYTES: usize = 640;

/// A listed meeting. In a large archive, most meetings have not changed since the last listing.
pub(crate) enum ListedEntry {
    /// The meeting has not changed. Its download URLs are stored.
    Unchanged { id: MeetingId, start: Timestamp, rank: EntryRank },
    /// The meeting is new or has changed.
    New(Box<MappedMeeting>),
}

impl ListedEntry {
    fn id(&self) -> &MeetingId {
        match self {
            Self::Unchanged { id, .. } => id,
            Self::New(mapped) => &mapped.meeting.id,
        }
    }

    /// Returns the estimated memory of the entry in bytes.
    fn estimated_memory(&self) -> usize {
        match self {
            Self::Unchanged { .. } => UNCHANGED_MEETING_BYTES,
            Self::New(mapped) => {
                let Meeting { metadata, files, .. } = &mapped.meeting;
                NEW_MEETING_BYTES + metadata.as_str().len() + files.len() * FILE_BYTES
            }
        }
    }

    fn rank(&self) -> EntryRank {
        match self {
            Self::Unchanged { rank, .. } => *rank,
            Self::New(mapped) => EntryRank::of(&mapped.meeting, false),
        }
    }
}

/// The rank of an entry. If a meeting has several entries, the entry with the highest rank is kept,
/// regardless of the order in which the entries arrive.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EntryRank {
    file_count: usize,
    ready_count: usize,
    total_size: u128,
    end: Timestamp,
    /// Whether the meeting is unchanged. If two entries are otherwise equal, the unchanged one is
    /// kept.
    is_unchanged: bool,
    /// Hash of the metadata. It makes the choice between otherwise equal entries deterministic.
    metadata_hash: u64,
}

impl EntryRank {
    pub(crate) fn of(meeting: &Meeting, is_unchanged: bool) -> Self {
        let files = &meeting.files;
        Self {
            file_count: files.len(),
            ready_count: files
                .iter()
                .filter(|file| file.availability == Availability::Ready)
                .count(),
            total_size: files.iter().filter_map(|file| file.declared_size).map(u128::from).sum(),
            end: meeting.end,
            is_unchanged,
            metadata_hash: xxh3_64(meeting.metadata.as_str().as_bytes()),
        }
    }
}

/// The result of listing a span of days.
pub(crate) struct ListedMeetings {
    /// The meetings, each once.
    pub(crate) meetings: Vec<ListedEntry>,
    /// The days that were not listed completely, with the reason.
    pub(crate) failed: Vec<(DaySpan, ProviderError)>,
    pub(crate) refused_users: Option<RefusedUsers>,
}

/// Lists the meetings of all `owners` on the days of `span`. Calls `classify` for each meeting as
/// soon as it is listed.
///
/// # Errors
/// If no page could be listed, returns the error that is most useful to the user.
pub(crate) async fn list(
    api: &Api,
    source: &SourceName,
    owners: &[RecordingOwner],
    span: DaySpan,
    classify: &(dyn Fn(MappedMeeting) -> ListedEntry + Sync),
    counter: &ListingCounter,
) -> Result<ListedMeetings, ProviderError> {
    let (credential_failure, budget) = (OnceLock::new(), ListingBudget::default());
    let listers: Vec<_> = owners
        .iter()
        .map(|owner| Lister {
            api,
            source,
            owner,
            classify,
            budget: &budget,
            failure: PermanentFailure::new(&credential_failure),
            replies: UserReplies::default(),
        })
        .collect();
    let mut jobs = Vec::new();
    for window in windows(span, earliest_day, Overlap::OneDay) {
        for lister in &listers {
            jobs.push((window, lister.list(window)));
        }
    }
    let mut meetings = HashMap::new();
    let mut failed_days = list_windows(counter, WINDOW_CONCURRENCY, jobs, |listed: ListedEntry| {
        keep_highest_ranked(&mut meetings, listed.id().clone(), listed, ListedEntry::rank);
    })
    .await?;
    let replies = listers.iter().map(|lister| &lister.replies);
    let refused_users = take_refused_users(&mut failed_days, replies, MEETING_HOST_FIELD);
    let meetings = meetings.into_values().collect();
    Ok(ListedMeetings { meetings, failed: failed_days, refused_users })
}

/// Returns the first day of the longest window that ends on `to`. Zoom lists at most one month, and
/// shortens a longer window without an error (zoom/api issue 36). Zoom does not document whether a
/// month has 30 days or is a calendar month, so the window is not longer than either of them.
fn earliest_day(to: Date) -> Date {
    to.saturating_sub(29.days()).max(to.saturating_sub(1.month()))
}

/// Lists the recordings of one owner, window by window.
struct Lister<'a> {
    api: &'a Api,
    source: &'a SourceName,
    owner: &'a RecordingOwner,
    classify: &'a (dyn Fn(MappedMeeting) -> ListedEntry + Sync),
    budget: &'a ListingBudget,
    failure: PermanentFailure<'a>,
    replies: UserReplies,
}

impl Lister<'_> {
    async fn list(&self, window: DaySpan) -> WindowReport<ListedEntry> {
        let mut report = WindowReport::default();
        let mut ranges = RangeQueue::new(window);
        while let Some((range, range_check)) = ranges.next() {
            let covered_days = match (self.failure.get(), range_check) {
                (Some(failure), _) => Err(failure.clone()),
                (None, Err(error)) => Err(self.incomplete_list_error(&error.to_string())),
                (None, Ok(())) => self.list_range(range, &mut report).await,
            };
            let today = TimeZone::UTC.to_datetime(current_time()).date();
            let outcome = covered_days.and_then(|covered_days| {
                ranges
                    .record(range, covered_days, today)
                    .map_err(|error| self.incomplete_list_error(&error.to_string()))
            });
            if let Err(error) = outcome {
                self.failure.record(&error);
                report.failed.push((range, error));
            }
        }
        report
    }

    /// Lists all pages of a range. Returns the days that the reply covers.
    async fn list_range(
        &self,
        range: DaySpan,
        report: &mut WindowReport<ListedEntry>,
    ) -> Result<DaySpan, ProviderError> {
        let (path, subject) = (self.owner.path(), self.owner.subject());
        let (from, to) = (range.from.to_string(), range.to.to_string());
        let query = [("from", from.as_str()), ("to", to.as_str())];
        let mut pages = Pages::new(self.api, &path, query, &subject, PAGE_LIMITS);
        let mut covered_days = None;
        loop {
            let reply = match pages.next().await {
                Ok(Some(reply)) => reply,
                Err(ApiError::Refused(refusal)) if self.owner.has_no_recordings(&refusal) => {
                    report.has_page = true;
                    break;
                }
                Ok(None) => break,
                Err(error) => {
                    let is_refusal_of_user = match &error {
                        ApiError::Refused(refusal) => refusal.can_concern_one_user(),
                        ApiError::Failed(_) => false,
                    };
                    let error = error.into_provider_error(&subject);
                    if is_refusal_of_user {
                        report.is_refused = true;
                        self.replies.record_refusal(&error);
                    }
                    if pages.is_endless_for_all_days() {
                        self.failure.record_for_list(&error);
                    }
                    return Err(error);
                }
            };
            let page = Page::parse(reply.object)
                .ok_or_else(|| pages.incomplete_list_error("the reply has no list of meetings"))?;
            covered_days.get_or_insert_with(|| page.covered_days(range));
            report.has_page = true;
            let hosts = page.meetings.iter().filter_map(|meeting| meeting.host_email.as_deref());
            self.replies.record_page(hosts.chain(self.owner.email()));
            if page.unreadable_count > 0 {
                // An unreadable entry may be a known meeting, so no meeting of the range may count
                // as deleted.
                let problem = format!("{} meetings cannot be read", page.unreadable_count);
                report.failed.push((range, pages.incomplete_list_error(&problem)));
            }
            pages.record_items(page.meetings.iter().map(wire::Meeting::uuid));
            let meetings =
                page.meetings.into_iter().map(|entry| mapping::map_meeting(self.source, entry));
            let meetings: Vec<_> = meetings.map(self.classify).collect();
            let memory = meetings.iter().map(ListedEntry::estimated_memory).sum();
            report.items.extend(meetings);
            self.budget.spend(memory).map_err(|error| self.endless_list_error(error))?;
        }
        Ok(covered_days.unwrap_or(range))
    }

    /// Returns the error of an endless list. If the other windows would be endless as well, records
    /// the error for the whole list.
    fn endless_list_error(&self, cause: EndlessList) -> ProviderError {
        let error = self.incomplete_list_error(&cause.to_string());
        if cause.applies_to_all_days() {
            self.failure.record_for_list(&error);
        }
        error
    }

    fn incomplete_list_error(&self, problem: &str) -> ProviderError {
        incomplete_list_error(&problem, &self.owner.subject())
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use serde_json::json;

    use super::*;

    fn map_files(files: serde_json::Value) -> MappedMeeting {
        let entry = json!({"uuid": "u==", "recording_files": files});
        mapping::map_meeting(
            &SourceName::new("acme").unwrap(),
            wire::Meeting::parse(entry).unwrap(),
        )
    }

    #[test]
    fn higher_ranked_entry_wins_in_any_order() {
        let file = |id: &str, status: &str| json!({"id": id, "file_type": "MP4", "status": status, "download_url": "https://zoom.us/x"});
        let entries = [
            json!([file("a", "completed")]),
            json!([file("a", "completed"), file("b", "processing")]),
            json!([file("a", "completed"), file("b", "completed")]),
        ];
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [2, 0, 1]] {
            let mut meetings = HashMap::new();
            for index in order {
                let listed = ListedEntry::New(Box::new(map_files(entries[index].clone())));
                keep_highest_ranked(&mut meetings, listed.id().clone(), listed, ListedEntry::rank);
            }
            let Some(ListedEntry::New(entry)) = meetings.into_values().next() else {
                panic!("the entry is not new")
            };
            let ready_files =
                entry.meeting.files.iter().filter(|file| file.availability == Availability::Ready);
            assert_eq!((entry.meeting.files.len(), ready_files.count()), (2, 2), "{order:?}");
        }
    }

    #[test]
    fn windows_cover_at_most_a_month() {
        for days in (0..=120).chain([365, 730, 731]) {
            let last_day = date(2026, 11, 23);
            let span = DaySpan { from: last_day.saturating_sub(days.days()), to: last_day };
            let windows = windows(span, earliest_day, Overlap::OneDay);
            for pair in windows.windows(2) {
                assert_eq!(pair[0].from, pair[1].to, "{days}");
            }
            // All windows except the oldest are as long as possible, which minimizes their number.
            for window in windows.iter().rev().skip(1) {
                let length = (window.to - window.from).get_days();
                let one_month_earlier = window.to.saturating_sub(1.month());
                assert!(length == 29 || window.from == one_month_earlier, "{window:?}");
            }
            assert!(windows.iter().all(|window| (window.to - window.from).get_days() <= 29));
        }
    }
}

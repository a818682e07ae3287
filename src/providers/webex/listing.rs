//! Lists the recordings of a span of days and the recordings in the recycle bin.

use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

use jiff::ToSpan;
use jiff::civil::Date;

use super::api::Api;
use super::mapping::{self, Removal};
use super::metadata::MEETING_HOST_FIELD;
use super::pages::Pages;
use super::paging::MAX_PAGE_SIZE;
use super::refusal;
use super::wire::{self, Page};
use crate::model::{DaySpan, Meeting, SourceName};
use crate::providers::listing_progress::ListingCounter;
use crate::providers::toolkit::page_guard::ListingBudget;
use crate::providers::toolkit::refused_users::{UserReplies, take_refused_users};
use crate::providers::toolkit::windowed_listing::{
    Overlap, PermanentFailure, WindowReport, keep_highest_ranked, list_windows, windows,
};
use crate::providers::{ProviderError, RefusedUsers};

/// Number of days in one query. This is the maximum of the administrator's list ("List Recordings
/// For an Admin"). The owner's list accepts more days, but that would not be faster, because a page
/// has at most a hundred entries.
const WINDOW_DAYS: i64 = 30;

/// Maximum number of windows that are requested concurrently. Four requests hide the round trips of
/// a first listing of two years. More requests could exceed the rate limit, which Webex does not
/// publish.
const WINDOW_CONCURRENCY: usize = 4;

/// Maximum number of days between the start of a recording and the creation of its file. Webex does
/// not document which of the two times a query compares. The creation takes up to a day, and has
/// taken longer. A recording that is missing from complete days counts as deleted, so a failed
/// window marks too many days as incomplete rather than too few.
const MAX_CREATION_DELAY_DAYS: i64 = 7;

/// Estimated memory of a listed recording without its metadata, in bytes.
const RECORDING_BASE_BYTES: usize = 2048;

/// A list of recordings in the API: those of the token's owner, of the site or of one user.
#[derive(Clone)]
pub(crate) struct RecordingList {
    path: &'static str,
    meeting_host: Option<String>,
    scope: &'static str,
    /// Whether the list contains the recordings in the recycle bin instead of the available ones.
    is_trash: bool,
}

/// Returns the lists that together contain the recordings of a source.
pub(crate) fn recording_lists(meeting_hosts: &[String], is_admin: bool) -> Vec<RecordingList> {
    let path = if is_admin { "/admin/recordings" } else { "/recordings" };
    let scope = refusal::recordings_scope(is_admin || !meeting_hosts.is_empty());
    let list = |meeting_host| RecordingList { path, meeting_host, scope, is_trash: false };
    if meeting_hosts.is_empty() {
        return vec![list(None)];
    }
    meeting_hosts.iter().map(|host| list(Some(host.clone()))).collect()
}

/// Returns the lists of the recycle bins of the users whose recordings `lists` contains.
pub(crate) fn trash_lists(lists: &[RecordingList]) -> Vec<RecordingList> {
    lists.iter().map(|list| RecordingList { is_trash: true, ..list.clone() }).collect()
}

impl RecordingList {
    fn subject(&self) -> String {
        let content = if self.is_trash { "deleted recordings" } else { "recordings" };
        match &self.meeting_host {
            Some(meeting_host) => format!("the list of {content} of {meeting_host}"),
            None => format!("the list of {content}"),
        }
    }

    /// Whether a recording belongs to the list. A purged recording belongs to no list. A recording
    /// with an unknown status counts as available.
    fn contains(&self, recording: &wire::Recording) -> bool {
        match mapping::removal(recording) {
            None => !self.is_trash,
            Some(Removal::Trashed) => self.is_trash,
            Some(Removal::Purged) => false,
        }
    }

    /// Returns the e-mail address of the meeting host that a request for a single recording must
    /// contain. Returns `None` for the list of the token's owner. `listed_host` is the host in the
    /// listing.
    fn meeting_host_of(&self, listed_host: Option<&str>) -> Option<String> {
        let lists_other_users = self.meeting_host.is_some() || self.path != "/recordings";
        if !lists_other_users {
            return None;
        }
        self.meeting_host.clone().or_else(|| listed_host.map(str::to_owned))
    }
}

pub(crate) struct ListedRecording {
    pub(crate) meeting: Meeting,
    /// The e-mail address of the meeting host, if a request for this recording must contain it.
    pub(crate) meeting_host: Option<String>,
}

impl ListedRecording {
    /// Returns the estimated memory of the recording in bytes.
    fn estimated_bytes(&self) -> usize {
        RECORDING_BASE_BYTES + self.meeting.metadata.as_str().len()
    }

    /// Returns the rank of an entry among the entries of the same recording. An entry with more
    /// metadata ranks higher. If the amount of metadata is the same, the choice is arbitrary but
    /// does not depend on the order of the entries.
    fn rank(&self) -> impl Ord + use<> {
        let metadata = &self.meeting.metadata;
        (metadata.to_map().len(), metadata.as_str().to_owned(), self.meeting_host.clone())
    }
}

pub(crate) struct RecordingListing {
    /// The recordings without duplicates.
    pub(crate) recordings: Vec<ListedRecording>,
    /// The days whose listing is incomplete, each with the error.
    pub(crate) failed: Vec<(DaySpan, ProviderError)>,
    pub(crate) refused_users: Option<RefusedUsers>,
}

/// Lists the recordings of `lists` on the days of `span`.
///
/// # Errors
/// If no page of any list could be requested, returns the error that the user can best act on.
pub(crate) async fn list(
    api: &Api,
    source: &SourceName,
    lists: &[RecordingList],
    span: DaySpan,
    counter: &ListingCounter,
) -> Result<RecordingListing, ProviderError> {
    let (credential_failure, budget) = (OnceLock::new(), ListingBudget::default());
    let listers: Vec<_> = lists
        .iter()
        .map(|list| Lister {
            api,
            source,
            list,
            budget: &budget,
            failure: PermanentFailure::new(&credential_failure),
            replies: UserReplies::default(),
        })
        .collect();
    let mut jobs = Vec::new();
    for window in windows_of(span) {
        for lister in &listers {
            let incomplete_span = incomplete_days(window, span);
            jobs.push((incomplete_span, lister.list(window, incomplete_span)));
        }
    }
    let mut recordings = HashMap::new();
    let mut failed = list_windows(counter, WINDOW_CONCURRENCY, jobs, |listed: ListedRecording| {
        keep_highest_ranked(
            &mut recordings,
            listed.meeting.id.clone(),
            listed,
            ListedRecording::rank,
        );
    })
    .await?;
    let replies = listers.iter().map(|lister| &lister.replies);
    let refused_users = take_refused_users(&mut failed, replies, MEETING_HOST_FIELD);
    let recordings = recordings.into_values().collect();
    Ok(RecordingListing { recordings, failed, refused_users })
}

/// Splits `span` into windows, newest first.
pub(crate) fn windows_of(span: DaySpan) -> Vec<DaySpan> {
    windows(span, |to| to.saturating_sub((WINDOW_DAYS - 1).days()), Overlap::None)
}

/// Returns the days of `span` whose listing is incomplete if the request for `window` fails. These
/// are the days on which a recording in the window may have begun.
fn incomplete_days(window: DaySpan, span: DaySpan) -> DaySpan {
    DaySpan {
        from: window.from.saturating_sub(MAX_CREATION_DELAY_DAYS.days()).max(span.from),
        to: window.to,
    }
}

/// Formats the beginning of a UTC day for a query.
pub(crate) fn format_midnight(day: Date) -> String {
    format!("{day}T00:00:00Z")
}

/// The e-mail addresses of meeting hosts that one list may contain.
///
/// Webex can omit the `hostEmail` filter from the URL of the next page. Recordings of other meeting
/// hosts would then replace those of the requested one. A later page may therefore contain only the
/// requested address and the addresses of the first page. A meeting host can have several
/// addresses.
struct AllowedMeetingHosts<'a> {
    requested_meeting_host: Option<&'a str>,
    first_page_meeting_hosts: Option<HashSet<String>>,
}

impl AllowedMeetingHosts<'_> {
    /// Checks the meeting hosts of the recordings on the next page.
    fn check(&mut self, recordings: &[wire::Recording]) -> Result<(), ()> {
        let Some(requested_meeting_host) = self.requested_meeting_host else { return Ok(()) };
        let mut meeting_hosts =
            recordings.iter().filter_map(|recording| recording.host_email.as_deref());
        let Some(first_page_meeting_hosts) = &self.first_page_meeting_hosts else {
            self.first_page_meeting_hosts =
                Some(meeting_hosts.map(str::to_ascii_lowercase).collect());
            return Ok(());
        };
        let is_allowed = |meeting_host: &str| {
            meeting_host.eq_ignore_ascii_case(requested_meeting_host)
                || first_page_meeting_hosts.contains(&meeting_host.to_ascii_lowercase())
        };
        if meeting_hosts.all(is_allowed) { Ok(()) } else { Err(()) }
    }
}

/// Lists the windows of one list.
struct Lister<'a> {
    api: &'a Api,
    source: &'a SourceName,
    list: &'a RecordingList,
    budget: &'a ListingBudget,
    failure: PermanentFailure<'a>,
    replies: UserReplies,
}

impl Lister<'_> {
    async fn list(
        &self,
        window: DaySpan,
        incomplete_span: DaySpan,
    ) -> WindowReport<ListedRecording> {
        let mut report = WindowReport::default();
        let mut unreadable_error = None;
        let outcome = match self.failure.get() {
            Some(failure) => Err(failure.clone()),
            None => self.list_pages(window, &mut report, &mut unreadable_error).await,
        };
        if let Err(error) = &outcome {
            self.failure.record(error);
        }
        let error = outcome.err().or(unreadable_error);
        report.failed.extend(error.map(|error| (incomplete_span, error)));
        report
    }

    /// Lists all pages of a window. If some entries cannot be read, `unreadable_error` is set.
    async fn list_pages(
        &self,
        window: DaySpan,
        report: &mut WindowReport<ListedRecording>,
        unreadable_error: &mut Option<ProviderError>,
    ) -> Result<(), ProviderError> {
        let [from, to] = [window.from, window.to.saturating_add(1.day())].map(format_midnight);
        let max = MAX_PAGE_SIZE.to_string();
        let mut query = vec![("max", max.as_str()), ("from", &from), ("to", &to)];
        query.extend(self.list.meeting_host.as_deref().map(|host| ("hostEmail", host)));
        query.extend(self.list.is_trash.then_some(("status", "deleted")));
        let first_url = self.api.url(self.list.path, &query)?;
        let mut pages = Pages::new(self.api, self.list.subject(), self.list.scope, first_url);
        let mut allowed_meeting_hosts = AllowedMeetingHosts {
            requested_meeting_host: self.list.meeting_host.as_deref(),
            first_page_meeting_hosts: None,
        };
        loop {
            let result = pages.next().await;
            if let Err(error) = &result
                && pages.is_endless_for_all_days()
            {
                self.failure.record_for_list(error);
            }
            if let Err(error) = &result
                && pages.is_user_refused
                && self.list.meeting_host.is_some()
            {
                report.is_refused = true;
                self.replies.record_refusal(error);
            }
            let Some(reply) = result? else { return Ok(()) };
            let page = Page::parse(reply).ok_or_else(|| {
                pages.incomplete_list_error("the reply has no list of recordings")
            })?;
            report.has_page = true;
            let page_hosts =
                page.recordings.iter().filter_map(|recording| recording.host_email.as_deref());
            self.replies.record_page(page_hosts.chain(self.list.meeting_host.as_deref()));
            if page.unreadable_count > 0 {
                // Any known recording may be among the unreadable ones, so no recording of the
                // window may count as deleted.
                let count = page.unreadable_count;
                *unreadable_error = Some(
                    pages.incomplete_list_error(&format!("{count} recordings cannot be read")),
                );
            }
            allowed_meeting_hosts.check(&page.recordings).map_err(|()| {
                pages.incomplete_list_error(
                    "a later page contains recordings of another meeting host",
                )
            })?;
            pages.record_items(page.recordings.iter().map(wire::Recording::id));
            let matching_recordings =
                page.recordings.iter().filter(|recording| self.list.contains(recording));
            let listed_recordings: Vec<_> = matching_recordings
                .map(|recording| ListedRecording {
                    meeting: mapping::map_recording(self.source, recording),
                    meeting_host: self.list.meeting_host_of(recording.host_email.as_deref()),
                })
                .collect();
            let listed_bytes = listed_recordings.iter().map(ListedRecording::estimated_bytes).sum();
            report.items.extend(listed_recordings);
            if let Err(reason) = self.budget.spend(listed_bytes) {
                let error = pages.endless_error(reason);
                self.failure.record_for_list(&error);
                return Err(error);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn failed_window_makes_earlier_days_incomplete() {
        let span = |from, to| DaySpan { from, to };
        let complete_span = span(date(2026, 1, 1), date(2026, 3, 31));
        let window = span(date(2026, 2, 1), date(2026, 2, 28));
        assert_eq!(
            incomplete_days(window, complete_span),
            span(date(2026, 1, 25), date(2026, 2, 28))
        );
        let first_window = span(date(2026, 1, 3), date(2026, 1, 31));
        assert_eq!(incomplete_days(first_window, complete_span).from, complete_span.from);
    }

    #[test]
    fn windows_have_thirty_days() {
        let complete_span = DaySpan { from: date(2026, 9, 25), to: date(2026, 11, 23) };
        let windows = windows_of(complete_span);
        let lengths: Vec<_> =
            windows.iter().map(|window| (window.to - window.from).get_days() + 1).collect();
        assert_eq!(lengths, [30, 30]);
        assert_eq!(windows[1].to, date(2026, 10, 24));
    }

    #[test]
    fn configuration_determines_the_requested_lists() {
        let meeting_hosts = ["ana@example.org".to_owned(), "bo@example.org".to_owned()];
        let lists = |meeting_hosts: &[String], is_admin| -> Vec<_> {
            recording_lists(meeting_hosts, is_admin)
                .into_iter()
                .map(|list| (list.path, list.meeting_host.is_some(), list.scope))
                .collect()
        };
        assert_eq!(lists(&[], false), [("/recordings", false, "meeting:recordings_read")]);
        assert_eq!(
            lists(&[], true),
            [("/admin/recordings", false, "meeting:admin_recordings_read")]
        );
        assert_eq!(
            lists(&meeting_hosts, false),
            [("/recordings", true, "meeting:admin_recordings_read"); 2]
        );
        assert_eq!(
            lists(&meeting_hosts, true),
            [("/admin/recordings", true, "meeting:admin_recordings_read"); 2]
        );
    }
}

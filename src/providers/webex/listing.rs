//! Lists the recordings of a span of days, and those in the recycle bin.

use std::collections::{HashMap, HashSet};
use std::sync::OnceLock;

use jiff::ToSpan;
use jiff::civil::Date;

use super::api::Api;
use super::mapping::{self, Removal};
use super::pages::Pages;
use super::paging::MAX_PAGE;
use super::refusal;
use super::wire::{self, Page};
use crate::model::{DaySpan, Meeting, SourceName};
use crate::providers::ProviderError;
use crate::providers::toolkit::page_guard::ListingBudget;
use crate::providers::toolkit::windowed_listing::{
    Overlap, PermanentFailure, WindowReport, keep_highest, list_windows, windows,
};

/// Days of one query: the maximum of the administrator's list ("List Recordings For an Admin"). The
/// owner's list takes more, but pages of a hundred entries make longer windows no faster.
const WINDOW_DAYS: i64 = 30;

/// Windows in flight: enough to hide the round trips of a first listing of two years, and few
/// enough not to exceed a limit that Webex does not publish.
const WINDOW_CONCURRENCY: usize = 4;

/// How long before its window a recording may have begun. It is not documented whether a query
/// compares the beginning of a recording or the creation of its file, which takes Webex up to a day
/// and has taken longer. A recording unseen on complete days counts as deleted, so a failed window
/// makes too many days incomplete rather than too few.
const MAX_CREATION_DELAY_DAYS: i64 = 7;

/// Memory of a recording without its metadata.
const RECORDING_MEMORY: usize = 2048;

/// One list of recordings.
#[derive(Clone)]
pub(crate) struct RecordingList {
    path: &'static str,
    host: Option<String>,
    scope: &'static str,
    /// Whether it lists the recycle bin.
    is_trash: bool,
}

/// Returns the lists that make up a source.
pub(crate) fn recording_lists(hosts: &[String], admin: bool) -> Vec<RecordingList> {
    let path = if admin { "/admin/recordings" } else { "/recordings" };
    let scope = refusal::scope(admin || !hosts.is_empty());
    let list = |host| RecordingList { path, host, scope, is_trash: false };
    if hosts.is_empty() {
        return vec![list(None)];
    }
    hosts.iter().map(|host| list(Some(host.clone()))).collect()
}

/// Returns the lists of the recycle bins of the same users.
pub(crate) fn trash_lists(lists: &[RecordingList]) -> Vec<RecordingList> {
    lists.iter().map(|list| RecordingList { is_trash: true, ..list.clone() }).collect()
}

impl RecordingList {
    fn subject(&self) -> String {
        let what = if self.is_trash { "deleted recordings" } else { "recordings" };
        match &self.host {
            Some(host) => format!("the list of the {what} of {host}"),
            None => format!("the list of {what}"),
        }
    }

    /// A purged recording belongs to no list; one with an unknown status counts as available.
    fn contains(&self, recording: &wire::Recording) -> bool {
        match mapping::removal(recording) {
            None => !self.is_trash,
            Some(Removal::Trashed) => self.is_trash,
            Some(Removal::Purged) => false,
        }
    }

    /// Returns the host to name in a request for a single recording. For the list of the token's
    /// owner it is `None`.
    fn host_of(&self, listed: Option<&str>) -> Option<String> {
        let is_for_others = self.host.is_some() || self.path != "/recordings";
        if !is_for_others {
            return None;
        }
        self.host.clone().or_else(|| listed.map(str::to_owned))
    }
}

pub(crate) struct ListedRecording {
    pub(crate) meeting: Meeting,
    /// Its host, if a request for this recording must name one.
    pub(crate) host: Option<String>,
}

impl ListedRecording {
    /// Returns an estimate of its memory.
    fn memory(&self) -> usize {
        RECORDING_MEMORY + self.meeting.metadata.as_str().len()
    }

    /// Ranks two entries of one recording regardless of their order of arrival: the one with more
    /// metadata, and among equal ones an arbitrary but stable choice.
    fn rank(&self) -> impl Ord + use<> {
        let metadata = &self.meeting.metadata;
        (metadata.to_map().len(), metadata.as_str().to_owned(), self.host.clone())
    }
}

pub(crate) struct RecordingListing {
    /// Each recording once.
    pub(crate) recordings: Vec<ListedRecording>,
    /// The days that were not listed whole.
    pub(crate) failed: Vec<(DaySpan, ProviderError)>,
}

/// Lists the recordings of `lists` on the days of `span`.
///
/// # Errors
/// Returns the error that a user can do most about if no list brought a page.
pub(crate) async fn list(
    api: &Api,
    source: &SourceName,
    lists: &[RecordingList],
    span: DaySpan,
) -> Result<RecordingListing, ProviderError> {
    let (of_credential, budget) = (OnceLock::new(), ListingBudget::default());
    let listers: Vec<_> = lists
        .iter()
        .map(|list| Lister {
            api,
            source,
            list,
            budget: &budget,
            failure: PermanentFailure::new(&of_credential),
        })
        .collect();
    let mut jobs = Vec::new();
    for window in windows_of(span) {
        for lister in &listers {
            let incomplete = incomplete_days(window, span);
            jobs.push((incomplete, lister.list(window, incomplete)));
        }
    }
    let mut recordings = HashMap::new();
    let failed = list_windows(WINDOW_CONCURRENCY, jobs, |listed: ListedRecording| {
        keep_highest(&mut recordings, listed.meeting.id.clone(), listed, ListedRecording::rank);
    })
    .await?;
    Ok(RecordingListing { recordings: recordings.into_values().collect(), failed })
}

/// Cuts `span` into windows, newest first.
pub(crate) fn windows_of(span: DaySpan) -> Vec<DaySpan> {
    windows(span, |to| to.saturating_sub((WINDOW_DAYS - 1).days()), Overlap::None)
}

/// Returns the days of `span` on which a recording may have begun that a failed window would have
/// listed.
fn incomplete_days(window: DaySpan, span: DaySpan) -> DaySpan {
    DaySpan {
        from: window.from.saturating_sub(MAX_CREATION_DELAY_DAYS.days()).max(span.from),
        to: window.to,
    }
}

/// Formats the beginning of a UTC day.
pub(crate) fn midnight(day: Date) -> String {
    format!("{day}T00:00:00Z")
}

/// The e-mail addresses of meeting hosts that may occur in one list.
///
/// Webex can drop the `hostEmail` filter on a next page. Recordings of other hosts would then
/// replace those of the requested host. So a later page may contain only the requested address and
/// the addresses of the first page. A host can have several addresses.
struct ListedHosts<'a> {
    requested: Option<&'a str>,
    first_page: Option<HashSet<String>>,
}

impl ListedHosts<'_> {
    /// Checks the recordings of the next page.
    fn check(&mut self, recordings: &[wire::Recording]) -> Result<(), ()> {
        let Some(requested) = self.requested else { return Ok(()) };
        let mut hosts = recordings.iter().filter_map(|recording| recording.host_email.as_deref());
        let Some(known) = &self.first_page else {
            self.first_page = Some(hosts.map(str::to_ascii_lowercase).collect());
            return Ok(());
        };
        let is_known = |host: &str| {
            host.eq_ignore_ascii_case(requested) || known.contains(&host.to_ascii_lowercase())
        };
        if hosts.all(is_known) { Ok(()) } else { Err(()) }
    }
}

/// Lists the windows of one list.
struct Lister<'a> {
    api: &'a Api,
    source: &'a SourceName,
    list: &'a RecordingList,
    budget: &'a ListingBudget,
    failure: PermanentFailure<'a>,
}

impl Lister<'_> {
    async fn list(&self, window: DaySpan, incomplete: DaySpan) -> WindowReport<ListedRecording> {
        let mut report = WindowReport::default();
        let mut unreadable = None;
        let outcome = match self.failure.get() {
            Some(failure) => Err(failure.clone()),
            None => self.list_pages(window, &mut report, &mut unreadable).await,
        };
        if let Err(error) = &outcome {
            self.failure.record(error);
        }
        let error = outcome.err().or(unreadable);
        report.failed.extend(error.map(|error| (incomplete, error)));
        report
    }

    /// Lists all pages of a window. Entries that could not be read are reported in `unreadable`.
    async fn list_pages(
        &self,
        window: DaySpan,
        report: &mut WindowReport<ListedRecording>,
        unreadable: &mut Option<ProviderError>,
    ) -> Result<(), ProviderError> {
        let [from, to] = [window.from, window.to.saturating_add(1.day())].map(midnight);
        let max = MAX_PAGE.to_string();
        let mut query = vec![("max", max.as_str()), ("from", &from), ("to", &to)];
        query.extend(self.list.host.as_deref().map(|host| ("hostEmail", host)));
        query.extend(self.list.is_trash.then_some(("status", "deleted")));
        let first = self.api.url(self.list.path, &query)?;
        let mut pages = Pages::new(self.api, self.list.subject(), self.list.scope, first);
        let mut hosts = ListedHosts { requested: self.list.host.as_deref(), first_page: None };
        loop {
            let next = pages.next().await;
            if let Err(error) = &next
                && pages.has_no_end()
            {
                self.failure.record_for_list(error);
            }
            let Some(reply) = next? else { return Ok(()) };
            let page =
                Page::read(reply).ok_or_else(|| pages.bad_reply("sent a list without items"))?;
            report.has_page = true;
            if page.unreadable > 0 {
                // Any known recording may be among these, so none of the window may count as
                // deleted.
                let count = page.unreadable;
                *unreadable = Some(
                    pages.bad_reply(&format!("listed {count} recordings that cannot be read")),
                );
            }
            hosts.check(&page.recordings).map_err(|()| {
                pages.bad_reply("listed recordings of another host on a later page")
            })?;
            pages.record_items(page.recordings.iter().map(wire::Recording::id));
            let present = page.recordings.iter().filter(|recording| self.list.contains(recording));
            let listed: Vec<_> = present
                .map(|recording| ListedRecording {
                    meeting: mapping::meeting(self.source, recording),
                    host: self.list.host_of(recording.host_email.as_deref()),
                })
                .collect();
            let memory = listed.iter().map(ListedRecording::memory).sum();
            report.items.extend(listed);
            if let Err(endless) = self.budget.spend(memory) {
                let error = pages.end(endless);
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
        let whole = span(date(2026, 1, 1), date(2026, 3, 31));
        let window = span(date(2026, 2, 1), date(2026, 2, 28));
        assert_eq!(incomplete_days(window, whole), span(date(2026, 1, 25), date(2026, 2, 28)));
        let first = span(date(2026, 1, 3), date(2026, 1, 31));
        assert_eq!(incomplete_days(first, whole).from, whole.from);
    }

    #[test]
    fn windows_have_thirty_days() {
        let whole = DaySpan { from: date(2026, 9, 25), to: date(2026, 11, 23) };
        let windows = windows_of(whole);
        let lengths: Vec<_> = windows.iter().map(|it| (it.to - it.from).get_days() + 1).collect();
        assert_eq!(lengths, [30, 30]);
        assert_eq!(windows[1].to, date(2026, 10, 24));
    }

    #[test]
    fn lists_are_of_the_owner_site_or_hosts() {
        let hosts = ["ana@example.org".to_owned(), "bo@example.org".to_owned()];
        let lists = |hosts: &[String], admin| -> Vec<_> {
            recording_lists(hosts, admin)
                .into_iter()
                .map(|list| (list.path, list.host.is_some(), list.scope))
                .collect()
        };
        assert_eq!(lists(&[], false), [("/recordings", false, "meeting:recordings_read")]);
        assert_eq!(
            lists(&[], true),
            [("/admin/recordings", false, "meeting:admin_recordings_read")]
        );
        assert_eq!(
            lists(&hosts, false),
            [("/recordings", true, "meeting:admin_recordings_read"); 2]
        );
        assert_eq!(
            lists(&hosts, true),
            [("/admin/recordings", true, "meeting:admin_recordings_read"); 2]
        );
    }
}

//! All recordings of a span: windows of days, pages of a window, and what to do when one of them fails.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::OnceLock;

use futures_util::{StreamExt, stream};
use jiff::ToSpan;
use jiff::civil::Date;

use super::api::Api;
use super::mapping::{self, Gone};
use super::pages::Pages;
use super::paging::MAX_PAGE;
use super::refusal;
use super::wire::{self, Page};
use crate::model::{DaySpan, Meeting, MeetingId, SourceName};
use crate::providers::ProviderError;
use crate::providers::toolkit::listing_failures;

/// Days that one question may span: what the administrator's list takes at most ("List Recordings For an Admin"). The
/// owner's takes more, and pages of a hundred are the shorter way there as well.
const WINDOW_DAYS: i64 = 30;

/// Windows asked for at once: enough to hide the round trips of a first listing of two years, few enough not to meet
/// a limit that nobody knows.
const WINDOWS_AT_ONCE: usize = 4;

/// Windows that may fail in a row, each after its retries, before the others are not asked for any more. An
/// archive of two years has 25: with a cloud that is down, they would fail one after the other for minutes.
const FAILURES_IN_A_ROW: usize = WINDOWS_AT_ONCE;

/// Pages in a row that bring no recording which the window has not shown yet, until the list is taken for one without an
/// end.
const BARREN_PAGES: u32 = 10;

/// How long before its window a recording may have begun. Nobody says whether a window is one of beginnings or of the
/// files that were made of them, which takes Webex up to a day and has taken it longer; of a window that failed, too
/// many days are called incomplete rather than too few, for what is unseen on complete ones is taken for deleted.
const MADE_LATER_DAYS: i64 = 7;

/// One list of recordings.
#[derive(Clone)]
pub(crate) struct Shelf {
    path: &'static str,
    host: Option<String>,
    scope: &'static str,
    /// Of what lies in the recycle bin in place of what is there.
    is_bin: bool,
}

/// The lists that a source consists of.
pub(crate) fn shelves(hosts: &[String], admin: bool) -> Vec<Shelf> {
    let path = if admin { "/admin/recordings" } else { "/recordings" };
    let scope = refusal::scope(admin || !hosts.is_empty());
    if hosts.is_empty() {
        return vec![Shelf { path, host: None, scope, is_bin: false }];
    }
    hosts
        .iter()
        .map(|host| Shelf { path, host: Some(host.clone()), scope, is_bin: false })
        .collect()
}

/// The lists of what lies in the recycle bin of the same people.
pub(crate) fn bins(shelves: &[Shelf]) -> Vec<Shelf> {
    shelves.iter().map(|shelf| Shelf { is_bin: true, ..shelf.clone() }).collect()
}

impl Shelf {
    fn subject(&self) -> String {
        let what = if self.is_bin { "deleted recordings" } else { "recordings" };
        match &self.host {
            Some(host) => format!("the list of the {what} of {host}"),
            None => format!("the list of {what}"),
        }
    }

    /// Whether a recording belongs on it. What was purged belongs on none; an unknown status is one that is there.
    fn holds(&self, recording: &wire::Recording) -> bool {
        match mapping::gone(recording) {
            None => !self.is_bin,
            Some(Gone::Deleted) => self.is_bin,
            Some(Gone::Purged) => false,
        }
    }
}

/// A recording as it was listed.
pub(crate) struct Listed {
    pub(crate) meeting: Meeting,
    /// Whose it is, where that has to be said when it is asked for by itself.
    pub(crate) host: Option<String>,
}

/// What a listing found.
pub(crate) struct Found {
    /// Each recording once.
    pub(crate) recordings: Vec<Listed>,
    /// The days that were not listed whole.
    pub(crate) failed: Vec<(DaySpan, ProviderError)>,
}

/// Lists the recordings on all `shelves` on the days of `span`.
///
/// # Errors
/// Where everything failed: the reason that a person can do most about.
pub(crate) async fn list(
    api: &Api,
    source: &SourceName,
    shelves: &[Shelf],
    span: DaySpan,
) -> Result<Found, ProviderError> {
    let for_all = OnceLock::new();
    let listers: Vec<_> = shelves
        .iter()
        .map(|shelf| Lister { api, source, shelf, verdict: OnceLock::new(), for_all: &for_all })
        .collect();
    let mut unfinished = BTreeMap::new();
    let mut jobs = Vec::new();
    for window in windows(span) {
        for lister in &listers {
            let number = jobs.len();
            unfinished.insert(number, window);
            jobs.push(async move { (number, window, lister.window(window).await) });
        }
    }
    let asked = jobs.len();
    let mut done = stream::iter(jobs).buffer_unordered(WINDOWS_AT_ONCE);
    let mut recordings = HashMap::new();
    let (mut failed, mut failed_whole, mut in_a_row) = (Vec::new(), 0, 0);
    while let Some((number, days, window)) = done.next().await {
        unfinished.remove(&number);
        failed_whole += usize::from(!window.listed);
        for listed in window.recordings {
            keep_fuller(&mut recordings, listed);
        }
        let Some(error) = window.failure else {
            in_a_row = 0;
            continue;
        };
        let is_out_of_reach = !window.listed && error.is_transient();
        in_a_row = if is_out_of_reach { in_a_row + 1 } else { 0 };
        failed.push((incomplete(days, span), error.clone()));
        if in_a_row == FAILURES_IN_A_ROW {
            // Those under way are given up as well: each would wait as long as those that failed.
            failed_whole += unfinished.len();
            failed.extend(
                std::mem::take(&mut unfinished)
                    .into_values()
                    .map(|days| (incomplete(days, span), error.clone())),
            );
            break;
        }
    }
    let failed = listing_failures::merge_adjacent(failed);
    if failed_whole == asked
        && let Some(error) = listing_failures::most_actionable(&failed)
    {
        return Err(error.clone());
    }
    Ok(Found { recordings: recordings.into_values().collect(), failed })
}

/// Windows that cover `span`, newest first.
pub(crate) fn windows(span: DaySpan) -> Vec<DaySpan> {
    let mut windows = Vec::new();
    let mut to = span.to;
    while span.from <= to {
        let from = to.saturating_sub((WINDOW_DAYS - 1).days()).max(span.from);
        windows.push(DaySpan { from, to });
        let before = from.saturating_sub(1.day());
        if before == from {
            break;
        }
        to = before;
    }
    windows
}

/// The days of `span` on which a recording may have begun that a failed window would have listed.
fn incomplete(window: DaySpan, span: DaySpan) -> DaySpan {
    DaySpan {
        from: window.from.saturating_sub(MADE_LATER_DAYS.days()).max(span.from),
        to: window.to,
    }
}

/// One shelf's listing.
struct Lister<'a> {
    api: &'a Api,
    source: &'a SourceName,
    shelf: &'a Shelf,
    /// What Webex said of this shelf for good; its other windows need not ask.
    verdict: OnceLock<ProviderError>,
    /// What it said of the credential, which holds for every shelf.
    for_all: &'a OnceLock<ProviderError>,
}

/// What one window brought.
#[derive(Default)]
struct Window {
    /// Whether at least one page of it came.
    listed: bool,
    recordings: Vec<Listed>,
    failure: Option<ProviderError>,
}

impl Lister<'_> {
    async fn window(&self, window: DaySpan) -> Window {
        let mut found = Window::default();
        let outcome = match self.verdict.get().or_else(|| self.for_all.get()) {
            Some(verdict) => Err(verdict.clone()),
            None => self.pages(window, &mut found).await,
        };
        if let Err(error) = outcome {
            if error.is_credential() {
                drop(self.for_all.set(error.clone()));
            } else if error.is_refusal() {
                drop(self.verdict.set(error.clone()));
            }
            found.failure = Some(error);
        }
        found
    }

    async fn pages(&self, window: DaySpan, found: &mut Window) -> Result<(), ProviderError> {
        let [from, to] = [window.from, window.to.saturating_add(1.day())].map(midnight);
        let most = MAX_PAGE.to_string();
        let mut query = vec![("max", most.as_str()), ("from", &from), ("to", &to)];
        query.extend(self.shelf.host.as_deref().map(|host| ("hostEmail", host)));
        query.extend(self.shelf.is_bin.then_some(("status", "deleted")));
        let first = self.api.address(self.shelf.path, &query)?;
        let mut pages = Pages::new(self.api, self.shelf.subject(), self.shelf.scope, first);
        let (mut shown, mut barren) = (HashSet::new(), 0);
        while let Some(reply) = pages.next().await? {
            let page = Page::read(reply).ok_or_else(|| pages.odd("sent a list without items"))?;
            found.listed = true;
            if page.unreadable > 0 {
                // Nobody knows which recordings these are: none of those known may be taken for deleted.
                let count = page.unreadable;
                found.failure =
                    Some(pages.odd(&format!("listed {count} recordings that cannot be read")));
            }
            let known = shown.len();
            shown.extend(page.recordings.iter().map(|recording| recording.id().to_owned()));
            barren = if shown.len() == known { barren + 1 } else { 0 };
            let present = page.recordings.iter().filter(|recording| self.shelf.holds(recording));
            found.recordings.extend(present.map(|recording| Listed {
                meeting: mapping::meeting(self.source, recording),
                host: self.host_of(recording.host_email.as_deref()),
            }));
            if barren >= BARREN_PAGES && pages.has_more() {
                return Err(
                    pages.odd("names one next page after the other with nothing new on them")
                );
            }
        }
        Ok(())
    }

    /// Whom to name when a recording is asked for by itself: nobody where the list is that of the token's owner.
    fn host_of(&self, listed: Option<&str>) -> Option<String> {
        let of_others = self.shelf.host.is_some() || self.shelf.path != "/recordings";
        if of_others { self.shelf.host.clone().or_else(|| listed.map(str::to_owned)) } else { None }
    }
}

/// The beginning of a UTC day.
pub(crate) fn midnight(day: Date) -> String {
    format!("{day}T00:00:00Z")
}

/// Keeps one account of each recording: the fuller one, whichever came first.
fn keep_fuller(recordings: &mut HashMap<MeetingId, Listed>, new: Listed) {
    match recordings.entry(new.meeting.id.clone()) {
        Entry::Vacant(place) => drop(place.insert(new)),
        Entry::Occupied(mut place) => {
            if fullness(&new) > fullness(place.get()) {
                place.insert(new);
            }
        }
    }
}

/// Orders two accounts of one recording without regard to their order of arrival.
fn fullness(listed: &Listed) -> impl Ord + use<> {
    let facts = &listed.meeting.metadata;
    // Equal by now in all that counts; the text only makes the choice the same every time.
    (facts.to_map().len(), facts.as_str().to_owned(), listed.host.clone())
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn span(from: Date, to: Date) -> DaySpan {
        DaySpan { from, to }
    }

    #[test]
    fn windows_cover_a_span_exactly_and_reach_thirty_days() {
        let last = date(2026, 11, 23);
        for days in (0..=120).chain([365, 730, 731]) {
            let whole = span(last.saturating_sub(days.days()), last);
            let windows = windows(whole);
            assert_eq!((windows[0].to, windows.last().unwrap().from), (whole.to, whole.from));
            assert_eq!(windows.len() as i64, days / WINDOW_DAYS + 1);
            for window in &windows {
                assert!(
                    window.from <= window.to && (window.to - window.from).get_days() <= 29,
                    "{window:?}"
                );
            }
            for pair in windows.windows(2) {
                assert_eq!(pair[0].from.saturating_sub(1.day()), pair[1].to, "{days}");
            }
        }
    }

    #[test]
    fn a_span_at_the_ends_of_time_ends() {
        assert_eq!(windows(span(Date::MIN, Date::MIN)).len(), 1);
        assert!(windows(span(date(2026, 1, 2), date(2026, 1, 1))).is_empty());
        assert_eq!(windows(span(Date::MIN, Date::MIN.saturating_add(70.days()))).len(), 3);
    }

    #[test]
    fn a_failed_window_makes_the_days_before_it_incomplete_as_well() {
        let whole = span(date(2026, 1, 1), date(2026, 3, 31));
        let window = span(date(2026, 2, 1), date(2026, 2, 28));
        assert_eq!(incomplete(window, whole), span(date(2026, 1, 25), date(2026, 2, 28)));
        let first = span(date(2026, 1, 3), date(2026, 1, 31));
        assert_eq!(incomplete(first, whole).from, whole.from);
    }

    #[test]
    fn a_shelf_is_the_owners_the_sites_or_one_for_each_host() {
        let hosts = ["ana@example.org".to_owned(), "bo@example.org".to_owned()];
        let paths = |hosts: &[String], admin| -> Vec<_> {
            shelves(hosts, admin)
                .into_iter()
                .map(|shelf| (shelf.path, shelf.host.is_some(), shelf.scope))
                .collect()
        };
        assert_eq!(paths(&[], false), [("/recordings", false, "meeting:recordings_read")]);
        assert_eq!(
            paths(&[], true),
            [("/admin/recordings", false, "meeting:admin_recordings_read")]
        );
        assert_eq!(
            paths(&hosts, false),
            [("/recordings", true, "meeting:admin_recordings_read"); 2]
        );
        assert_eq!(
            paths(&hosts, true),
            [("/admin/recordings", true, "meeting:admin_recordings_read"); 2]
        );
    }
}

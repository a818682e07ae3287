//! All meetings of a span: windows of days, pages of a window, and what to do when one of them fails.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::OnceLock;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use xxhash_rust::xxh3::xxh3_64;

use super::api::{Api, ApiError, RateLimitLabel};
use super::mapping::{self, Mapped};
use super::users::Whose;
use super::windows::{rests, windows};
use super::wire::Page;
use crate::http::Priority;
use crate::model::{Availability, DaySpan, Meeting, MeetingId, SourceName};
use crate::providers::ProviderError;
use crate::providers::toolkit::listing_failures;

/// Windows asked for at once. A free account may make two such calls a second; more than a few in flight would
/// only meet that limit sooner.
const WINDOWS_AT_ONCE: usize = 4;

/// The most Zoom puts on a page.
const PAGE_SIZE: &str = "300";

/// Bound on one page with its retries: a rate limit of a few seconds and two bad replies fit in. Somebody waits
/// at a prompt for the first of them, and after half a minute would rather be told.
const PAGE_TIMEOUT: Duration = Duration::from_secs(30);

/// Windows that may fail in a row, each after its retries, before the others are not asked for any more. An
/// archive of two years has 26: with a cloud that is down, they would fail one after the other for minutes.
const FAILURES_IN_A_ROW: usize = WINDOWS_AT_ONCE;

/// Pages of one range; 300,000 meetings in a month are a server that counts in circles.
const PAGES: usize = 1000;

/// Pages in a row that bring no meeting which the range has not shown yet, until the list is taken for one without an end.
/// A page may well be empty behind a filter of the server's; ten of them are a server that counts in circles.
const BARREN_PAGES: u32 = 10;

/// How often a range begins anew after its page token died. Tokens live 15 minutes, so that one dies at all is
/// rare; three times in a row is something else.
const RESTARTS: usize = 3;

/// Ranges that one window may fall into when the server shortens what is asked: one a day is the most that
/// makes sense.
const RANGES: usize = 30;

/// A meeting as a listing holds it: of a large archive, little has changed since the last one.
pub(crate) enum Listed {
    /// It is as it is known already, and its links are in place.
    Known { id: MeetingId, start: Timestamp, fullness: Fullness },
    /// It is new, or not as it is known.
    New(Box<Mapped>),
}

impl Listed {
    fn id(&self) -> &MeetingId {
        match self {
            Self::Known { id, .. } => id,
            Self::New(mapped) => &mapped.meeting.id,
        }
    }

    fn fullness(&self) -> Fullness {
        match self {
            Self::Known { fullness, .. } => *fullness,
            Self::New(mapped) => Fullness::of(&mapped.meeting, false),
        }
    }
}

/// Orders two accounts of one meeting without regard to their order of arrival.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Fullness {
    files: usize,
    ready: usize,
    bytes: u128,
    end: Timestamp,
    /// Equal by now in all that counts: what is shown already stays.
    is_known: bool,
    /// Only makes the choice the same every time.
    text: u64,
}

impl Fullness {
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

/// What a listing found.
pub(crate) struct Found {
    /// Each meeting once.
    pub(crate) meetings: Vec<Listed>,
    /// The days that were not listed whole.
    pub(crate) failed: Vec<(DaySpan, ProviderError)>,
}

/// Lists the meetings of all of `whose` on the days of `span`; `take` is what becomes of each as soon as it is listed.
///
/// # Errors
/// Where everything failed: the reason that a person can do most about.
pub(crate) async fn list(
    api: &Api,
    source: &SourceName,
    whose: &[Whose],
    span: DaySpan,
    take: &(dyn Fn(Mapped) -> Listed + Sync),
) -> Result<Found, ProviderError> {
    let verdict = OnceLock::new();
    let listers: Vec<_> = whose
        .iter()
        .map(|whose| Lister {
            api,
            source,
            whose,
            take,
            verdict: OnceLock::new(),
            for_all: &verdict,
        })
        .collect();
    let mut unfinished = BTreeMap::new();
    let mut jobs = Vec::new();
    for window in windows(span) {
        for lister in &listers {
            let number = jobs.len();
            unfinished.insert(number, window);
            jobs.push(async move { (number, lister.window(window).await) });
        }
    }
    let asked = jobs.len();
    let mut done = stream::iter(jobs).buffer_unordered(WINDOWS_AT_ONCE);
    let mut meetings = HashMap::new();
    let (mut failed, mut failed_whole, mut in_a_row) = (Vec::new(), 0, 0);
    while let Some((number, window)) = done.next().await {
        unfinished.remove(&number);
        failed_whole += usize::from(!window.listed);
        in_a_row = if window.is_out_of_reach() { in_a_row + 1 } else { 0 };
        if in_a_row == FAILURES_IN_A_ROW
            && let Some((_, error)) = window.failed.first()
        {
            // Those under way are given up as well: each would wait as long as those that failed.
            failed_whole += unfinished.len();
            failed.extend(
                std::mem::take(&mut unfinished).into_values().map(|days| (days, error.clone())),
            );
            failed.extend(window.failed);
            break;
        }
        failed.extend(window.failed);
        for meeting in window.meetings {
            keep_fuller(&mut meetings, meeting);
        }
    }
    let failed = listing_failures::merge_adjacent(failed);
    if failed_whole == asked
        && let Some(error) = listing_failures::most_actionable(&failed)
    {
        return Err(error.clone());
    }
    Ok(Found { meetings: meetings.into_values().collect(), failed })
}

/// The listing of one user, or of the account.
struct Lister<'a> {
    api: &'a Api,
    source: &'a SourceName,
    whose: &'a Whose,
    take: &'a (dyn Fn(Mapped) -> Listed + Sync),
    /// What Zoom said of them for good; their other windows need not ask.
    verdict: OnceLock<ProviderError>,
    /// What it said of the credential, which holds for everybody.
    for_all: &'a OnceLock<ProviderError>,
}

/// What one window brought.
#[derive(Default)]
struct Window {
    /// Whether at least one page of it came.
    listed: bool,
    meetings: Vec<Listed>,
    failed: Vec<(DaySpan, ProviderError)>,
}

impl Window {
    /// Whether nothing of it came for a reason that other windows would meet as well.
    fn is_out_of_reach(&self) -> bool {
        !self.listed && self.failed.iter().any(|(_, error)| error.is_transient())
    }
}

impl Lister<'_> {
    async fn window(&self, window: DaySpan) -> Window {
        let mut found = Window::default();
        let mut todo = vec![window];
        let mut ranges = 0;
        while let Some(range) = todo.pop() {
            ranges += 1;
            let listed = match self.verdict.get().or_else(|| self.for_all.get()) {
                Some(verdict) => Err(verdict.clone()),
                None if ranges > RANGES => {
                    Err(self.odd("keeps shortening the days that are asked for"))
                }
                None => self.range(range, &mut found).await,
            };
            let left = listed.and_then(|listed| {
                rests(range, listed, TimeZone::UTC.to_datetime(Timestamp::now()).date())
                    .ok_or_else(|| self.odd("listed other days than were asked for"))
            });
            match left {
                Ok(rests) => todo.extend(rests),
                Err(error) => {
                    if error.is_credential() {
                        drop(self.for_all.set(error.clone()));
                    } else if error.is_refusal() {
                        drop(self.verdict.set(error.clone()));
                    }
                    found.failed.push((range, error));
                }
            }
        }
        found
    }

    /// All pages of a range; says which days the server listed.
    async fn range(&self, range: DaySpan, found: &mut Window) -> Result<DaySpan, ProviderError> {
        let path = self.whose.path();
        let (from, to) = (range.from.to_string(), range.to.to_string());
        let mut covered = None;
        let mut token: Option<String> = None;
        let mut restarts = 0;
        let (mut seen, mut barren) = (HashSet::new(), 0);
        for _ in 0..PAGES {
            let mut query =
                vec![("from", from.as_str()), ("to", to.as_str()), ("page_size", PAGE_SIZE)];
            if let Some(token) = &token {
                query.push(("next_page_token", token));
            }
            let reply = match self
                .api
                .get((RateLimitLabel::Medium, Priority::Background), &path, &query, PAGE_TIMEOUT)
                .await
            {
                // A range that had begun is refused: its token died (15 minutes), not the user's permission.
                Err(ApiError::Refused(refusal)) if token.is_some() && refusal.is_of_request() => {
                    if restarts == RESTARTS {
                        return Err(self.odd("refuses the page tokens it gives"));
                    }
                    restarts += 1;
                    token = None;
                    (seen, barren) = (HashSet::new(), 0);
                    tracing::debug!(source = %self.source, %from, ?refusal, "listing this range anew");
                    continue;
                }
                reply => reply.map_err(|error| error.about(&self.whose.subject()))?,
            };
            let page =
                Page::read(reply).ok_or_else(|| self.odd("sent a listing without meetings"))?;
            let covers = *covered.get_or_insert_with(|| page.covers(range));
            found.listed = true;
            if page.unreadable > 0 {
                // Nobody knows which meetings these are: none of those known may be taken for deleted.
                let count = page.unreadable;
                let error = self.odd(&format!("listed {count} meetings that cannot be read"));
                found.failed.push((range, error));
            }
            let known = seen.len();
            seen.extend(page.meetings.iter().map(|entry| entry.uuid().to_owned()));
            barren = if seen.len() == known { barren + 1 } else { 0 };
            let meetings =
                page.meetings.into_iter().map(|entry| mapping::meeting(self.source, entry));
            found.meetings.extend(meetings.map(self.take));
            match page.next {
                None => return Ok(covers),
                Some(next) if token.as_ref() == Some(&next) => {
                    return Err(self.odd("names the same next page again and again"));
                }
                Some(_) if barren >= BARREN_PAGES => {
                    return Err(
                        self.odd("names one next page after the other with nothing new on them")
                    );
                }
                next => token = next,
            }
        }
        Err(self.odd("has no last page"))
    }

    fn odd(&self, what: &str) -> ProviderError {
        ProviderError::unavailable(format!(
            "Zoom {what} ({}); it may be passing",
            self.whose.subject()
        ))
    }
}

/// Keeps one account of each meeting: the fuller one, whichever came first.
fn keep_fuller(meetings: &mut HashMap<MeetingId, Listed>, new: Listed) {
    match meetings.entry(new.id().clone()) {
        Entry::Vacant(place) => drop(place.insert(new)),
        Entry::Occupied(mut place) => {
            if new.fullness() > place.get().fullness() {
                place.insert(new);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::providers::zoom::wire;

    fn mapped(files: serde_json::Value) -> Mapped {
        let entry = json!({"uuid": "u==", "recording_files": files});
        mapping::meeting(&SourceName::new("acme").unwrap(), wire::Meeting::read(entry).unwrap())
    }

    #[test]
    fn the_fuller_account_wins_whichever_comes_first() {
        let file = |id: &str, status: &str| json!({"id": id, "file_type": "MP4", "status": status, "download_url": "https://zoom.us/x"});
        let accounts = [
            json!([file("a", "completed")]),
            json!([file("a", "completed"), file("b", "processing")]),
            json!([file("a", "completed"), file("b", "completed")]),
        ];
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [2, 0, 1]] {
            let mut meetings = HashMap::new();
            for index in order {
                keep_fuller(&mut meetings, Listed::New(Box::new(mapped(accounts[index].clone()))));
            }
            let Some(Listed::New(kept)) = meetings.into_values().next() else {
                panic!("none is known")
            };
            let ready =
                kept.meeting.files.iter().filter(|file| file.availability == Availability::Ready);
            assert_eq!((kept.meeting.files.len(), ready.count()), (2, 2), "{order:?}");
        }
    }
}

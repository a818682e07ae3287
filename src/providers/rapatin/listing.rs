//! All sessions of a span: which meetings there were, the recordings of each, and what to do when one of them fails.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::api::Api;
use super::mapping::{self, Mapped};
use super::schedule::{self, Schedule};
use super::starts::Starts;
use super::wire::{Session, Sessions, State};
use crate::http::Priority;
use crate::model::{DaySpan, Meeting, MeetingId, SourceName};
use crate::providers::toolkit::listing_failures::{merge_adjacent, most_actionable};
use crate::providers::{ErrorClass, ProviderError};

/// Meetings asked about at once. Rapatin's limits are not known; a few calls in flight hide the round trips to Jakarta
/// and look like one busy person.
const AT_ONCE: usize = 4;

/// Bound on one meeting's recordings, retries included, as for any call that somebody may be waiting for.
const MEETING_TIMEOUT: Duration = Duration::from_secs(30);

/// Bound on asking about all meetings. The first listing keeps a mount waiting, and the newest meetings come first:
/// what has not come by then is asked for by the next listing, a minute later.
const ALL_TIMEOUT: Duration = Duration::from_secs(120);

/// Meetings of a schedule that one listing asks about, the newest first. Rapatin keeps recordings for days (`delete_on`
/// is four days after the meeting in its documentation), so those behind a thousand newer ones have none.
const MEETINGS: usize = 1000;

/// Age in days at which a meeting without recordings will get none any more: processing takes three days at the worst
/// (Zoom), and two weeks leave room for a meeting that went on under the same id. Such a meeting is not asked about
/// again, or an old schedule would cost hundreds of calls at every listing.
const SETTLED: i64 = 14;

/// Meetings that may fail in a row, each after its retries, before the others are not asked about any more: with a
/// cloud that is down, they would fail one after the other for minutes.
const FAILURES_IN_A_ROW: usize = AT_ONCE;

/// What a listing found.
pub(crate) struct Found {
    /// Each session once.
    pub(crate) meetings: Vec<Mapped>,
    /// The days that were not listed whole.
    pub(crate) failed: Vec<(DaySpan, ProviderError)>,
}

/// Lists one source.
pub(crate) struct Lister {
    source: SourceName,
    /// Ids of meetings that are asked about whether they stand in the schedule or not.
    configured: Vec<String>,
    starts: Starts,
    known: Mutex<Known>,
}

/// What earlier listings found out about meetings.
#[derive(Default)]
struct Known {
    /// Those that had recordings when they were last asked about. They are asked about again whatever the schedule
    /// says: that of a week may leave out a meeting that is in a year's, and its sessions of this week would come and
    /// go with the span that is listed.
    holding: BTreeSet<String>,
    /// Old meetings of the schedule that have no recordings.
    settled: HashSet<String>,
}

impl Lister {
    pub(crate) fn new(source: SourceName, configured: Vec<String>) -> Self {
        Self { source, configured, starts: Starts::default(), known: Mutex::default() }
    }

    /// Takes in what an earlier run listed.
    pub(crate) fn recall(&self, listed: &[Arc<Meeting>]) {
        self.starts.recall(listed);
        let holding = listed.iter().filter_map(|meeting| meeting.metadata.text("meeting_id"));
        self.known.lock().holding.extend(holding);
    }

    /// Lists the sessions of the days of `span`.
    ///
    /// # Errors
    /// Where everything failed: the reason that a person can do most about.
    pub(crate) async fn list(&self, api: &Api, span: DaySpan) -> Result<Found, ProviderError> {
        let (schedule, unscheduled) = schedule::ask(api, span).await;
        if let Some(error) = &unscheduled
            && error.is_credential()
        {
            return Err(error.clone());
        }
        let settled =
            TimeZone::UTC.to_datetime(Timestamp::now()).date().saturating_sub(SETTLED.days());
        let asked = self.meetings(&schedule, settled);
        let replies = ask_all(api, &asked).await;
        let schedule_is_whole = unscheduled.is_none();
        let came = replies.iter().filter(|(_, reply)| reply.is_ok()).count();

        let mut failed: Vec<_> = unscheduled.map(|error| (span, error)).into_iter().collect();
        let mut sessions = HashMap::new();
        for (meeting, reply) in replies {
            match reply {
                Ok(listed) => {
                    if listed.unreadable > 0 {
                        // Nobody knows which sessions these are: none of those known may be taken for deleted.
                        let why = format!(
                            "Rapatin listed {} sessions of meeting {meeting} that cannot be read; it may be passing",
                            listed.unreadable
                        );
                        failed.push((span, ProviderError::unavailable(why)));
                    }
                    let is_empty =
                        listed.sessions.iter().all(|session| session.state() == State::Deleted);
                    self.note(
                        meeting,
                        is_empty,
                        is_empty && !is_newer(schedule.newest(meeting), settled),
                    );
                    for session in listed.sessions {
                        keep_one(&mut sessions, meeting, session);
                    }
                }
                // A schedule may show meetings of others; where only some are refused, these are none of the account's.
                Err(error)
                    if error.class() == ErrorClass::NotAllowed
                        && came > 0
                        && !self.is_configured(meeting) =>
                {
                    tracing::debug!(source = %self.source, "left out: {error}");
                }
                Err(error) => {
                    let days = schedule.days(meeting);
                    if self.is_configured(meeting) || days.is_empty() {
                        // Nobody says when it was held.
                        failed.push((span, error));
                    } else {
                        let days = days.into_iter().filter_map(|days| overlap(days, span));
                        failed.extend(days.map(|days| (days, error.clone())));
                    }
                }
            }
        }
        if came == 0
            && let Some(worst) = most_actionable(&failed)
        {
            return Err(worst.clone());
        }
        let meetings = self.mapped(sessions, span, |meeting, session| {
            self.starts.of(meeting, session, &schedule, schedule_is_whole)
        });
        if failed.is_empty() {
            let listed = meetings.iter().map(|mapped| mapped.meeting.id.clone()).collect();
            self.starts.keep(span, &listed);
        }
        Ok(Found { meetings, failed: merge_adjacent(failed) })
    }

    /// The meetings to ask about: those of the configuration, those that have recordings, and then those of the
    /// schedule, newest first.
    fn meetings(&self, schedule: &Schedule, settled: Date) -> Vec<String> {
        let known = self.known.lock();
        let scheduled = schedule.meetings();
        let scheduled = scheduled
            .iter()
            .filter(|(day, meeting)| is_newer(*day, settled) || !known.settled.contains(*meeting))
            .map(|(_, meeting)| *meeting)
            .take(MEETINGS);
        let mut taken = HashSet::new();
        let all = self.configured.iter().chain(&known.holding).map(String::as_str).chain(scheduled);
        all.filter(|meeting| taken.insert(*meeting)).map(str::to_owned).collect()
    }

    fn is_configured(&self, meeting: &str) -> bool {
        self.configured.iter().any(|configured| configured == meeting)
    }

    /// Notes what a meeting had: nothing if it `is_empty`, and nothing for ever if it `is_settled` as well.
    fn note(&self, meeting: &str, is_empty: bool, is_settled: bool) {
        /// A full note costs calls and no recording.
        const NOTED: usize = 10 * MEETINGS;
        let mut known = self.known.lock();
        if !is_empty {
            known.holding.insert(meeting.to_owned());
            return;
        }
        known.holding.remove(meeting);
        if is_settled && known.settled.len() < NOTED {
            known.settled.insert(meeting.to_owned());
        }
    }

    /// The sessions of the days of `span`. Others are left out: a meeting that is held again and again brings those
    /// of every day, also of days before the first that the source is to show.
    fn mapped(
        &self,
        sessions: HashMap<MeetingId, (String, Session)>,
        span: DaySpan,
        start: impl Fn(&str, &Session) -> Timestamp,
    ) -> Vec<Mapped> {
        let mut mapped = Vec::new();
        for (meeting, session) in sessions.into_values() {
            if session.state() == State::Deleted {
                continue;
            }
            let start = start(&meeting, &session);
            let is_dated = session.recorded_on.is_some();
            if !is_dated || span.contains(TimeZone::UTC.to_datetime(start).date()) {
                mapped.push(mapping::session(&self.source, &meeting, session, start));
            }
        }
        mapped
    }
}

/// Asks for the recordings of every meeting, a few at once and within a bound. Those that were given up have the
/// reason in common.
async fn ask_all<'m>(
    api: &Api,
    meetings: &'m [String],
) -> Vec<(&'m str, Result<Sessions, ProviderError>)> {
    let deadline = Instant::now() + ALL_TIMEOUT;
    let mut unfinished: BTreeSet<&str> = BTreeSet::new();
    let mut jobs = Vec::new();
    for meeting in meetings {
        unfinished.insert(meeting);
        jobs.push(async move {
            (meeting.as_str(), api.recordings(meeting, MEETING_TIMEOUT, Priority::Background).await)
        });
    }
    let mut done = stream::iter(jobs).buffer_unordered(AT_ONCE);
    let mut replies = Vec::new();
    let mut in_a_row = 0;
    let given_up = loop {
        let (meeting, reply) = match tokio::time::timeout_at(deadline, done.next()).await {
            Ok(Some(done)) => done,
            Ok(None) => break None,
            Err(_elapsed) => {
                let seconds = ALL_TIMEOUT.as_secs();
                break Some(ProviderError::unavailable(format!(
                    "Rapatin did not show the recordings of all meetings within {seconds} s"
                )));
            }
        };
        unfinished.remove(meeting);
        let failure = reply.as_ref().err().cloned();
        replies.push((meeting, reply));
        in_a_row = if failure.as_ref().is_some_and(ProviderError::is_transient) {
            in_a_row + 1
        } else {
            0
        };
        // What is said of the credential holds for every meeting.
        if in_a_row == FAILURES_IN_A_ROW
            || failure.as_ref().is_some_and(ProviderError::is_credential)
        {
            break failure;
        }
    };
    if let Some(error) = given_up {
        replies.extend(unfinished.into_iter().map(|meeting| (meeting, Err(error.clone()))));
    }
    replies
}

/// Whether a meeting may still get recordings.
fn is_newer(day: Option<Date>, settled: Date) -> bool {
    day.is_none_or(|day| day > settled)
}

fn overlap(one: DaySpan, other: DaySpan) -> Option<DaySpan> {
    let both = DaySpan { from: one.from.max(other.from), to: one.to.min(other.to) };
    (both.from <= both.to).then_some(both)
}

/// Keeps one account of each session: the fuller one, and of equals the one of the smaller id, whichever came first.
fn keep_one(sessions: &mut HashMap<MeetingId, (String, Session)>, meeting: &str, session: Session) {
    let rank = |meeting: &str, session: &Session| {
        (std::cmp::Reverse(session.files.len()), meeting.to_owned())
    };
    match sessions.entry(MeetingId::from(session.uuid())) {
        Entry::Vacant(place) => {
            place.insert((meeting.to_owned(), session));
        }
        Entry::Occupied(mut place) => {
            let (known, account) = place.get();
            if rank(meeting, &session) < rank(known, account) {
                place.insert((meeting.to_owned(), session));
            }
        }
    }
}

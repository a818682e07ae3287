//! Lists the sessions of a span of days: requests the schedule, then the recordings of each
//! meeting.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::api::Api;
use super::mapping::{self, MappedSession};
use super::schedule::{self, Schedule};
use super::start_times::StartTimes;
use super::wire::{Session, Sessions, State};
use crate::http::Priority;
use crate::model::{DaySpan, Meeting, MeetingId, SourceName, current_time};
use crate::providers::toolkit::fan_out::{FanOutLimits, JobOutcome, StopReason, fan_out};
use crate::providers::toolkit::listing_failures::{merge_overlapping, most_actionable_error};
use crate::providers::toolkit::windowed_listing::keep_highest_ranked;
use crate::providers::{ErrorClass, ProviderError};

/// Maximum number of meetings that are requested concurrently. Rapatin publishes no rate limit.
/// Four concurrent calls hide the round trips to Jakarta and still look like one user.
const MEETING_CONCURRENCY: usize = 4;

/// Timeout of the request for the recordings of one meeting, including retries.
const MEETING_TIMEOUT: Duration = Duration::from_secs(30);

/// Timeout of the requests for the recordings of all meetings. The first listing delays a mount.
/// The newest meetings are requested first, and the next listing, a minute later, requests the
/// remaining ones.
const LISTING_TIMEOUT: Duration = Duration::from_secs(120);

/// Maximum number of scheduled meetings that one listing requests, newest first. Rapatin keeps
/// recordings for days (`delete_on` is four days after the meeting in its documentation), so a
/// meeting that is followed by a thousand newer ones has no recordings.
const MAX_MEETINGS: usize = 1000;

/// Age in days after which a meeting without recordings is not requested any more. Zoom processes a
/// recording within three days. Two weeks also cover a meeting that continued later under the same
/// id. Without this limit, an old schedule would cause hundreds of calls per listing.
const MAX_EMPTY_MEETING_AGE_DAYS: i64 = 14;

pub(crate) struct SessionListing {
    /// The sessions without duplicates.
    pub(crate) sessions: Vec<MappedSession>,
    /// The days whose listing is incomplete, each with the error.
    pub(crate) failed: Vec<(DaySpan, ProviderError)>,
}

/// Lists the sessions of one source.
pub(crate) struct Lister {
    source: SourceName,
    /// Ids of meetings to request in addition to the schedule.
    configured_meetings: Vec<String>,
    start_times: StartTimes,
    history: Mutex<MeetingHistory>,
}

/// Meetings with and without recordings, as found by earlier listings.
#[derive(Default)]
struct MeetingHistory {
    /// Meetings that had recordings when they were last requested. They are requested again even if
    /// the schedule does not contain them. The schedule of a week may lack a meeting that the
    /// schedule of a year contains, and its sessions would appear and disappear depending on the
    /// listed span.
    meetings_with_recordings: BTreeSet<String>,
    /// Old scheduled meetings without recordings. They are not requested again.
    settled_meetings: HashSet<String>,
}

impl MeetingHistory {
    /// Maximum number of settled meetings to store. Old meetings beyond this number are requested
    /// again in every listing.
    const MAX_SETTLED_MEETINGS: usize = 10 * MAX_MEETINGS;

    fn record(&mut self, meeting: &str, is_empty: bool, is_old: bool) {
        if !is_empty {
            self.meetings_with_recordings.insert(meeting.to_owned());
            return;
        }
        self.meetings_with_recordings.remove(meeting);
        if is_old && self.settled_meetings.len() < Self::MAX_SETTLED_MEETINGS {
            self.settled_meetings.insert(meeting.to_owned());
        }
    }
}

impl Lister {
    pub(crate) fn new(source: SourceName, configured_meetings: Vec<String>) -> Self {
        Self {
            source,
            configured_meetings,
            start_times: StartTimes::default(),
            history: Mutex::default(),
        }
    }

    /// Restores the start times and the meetings with recordings from the listing of an earlier
    /// run.
    pub(crate) fn restore(&self, listed: &[Arc<Meeting>]) {
        self.start_times.restore(listed);
        let meetings = listed.iter().filter_map(|meeting| meeting.metadata.text("meeting_id"));
        self.history.lock().meetings_with_recordings.extend(meetings);
    }

    /// Lists the sessions of the days of `span`.
    ///
    /// # Errors
    /// If no meeting could be requested, returns the error that the user can best act on.
    pub(crate) async fn list(
        &self,
        api: &Api,
        span: DaySpan,
    ) -> Result<SessionListing, ProviderError> {
        let (schedule, schedule_error) = schedule::fetch(api, span).await;
        if let Some(error) = &schedule_error
            && error.is_credential()
        {
            return Err(error.clone());
        }
        let last_settled_day = TimeZone::UTC
            .to_datetime(current_time())
            .date()
            .saturating_sub(MAX_EMPTY_MEETING_AGE_DAYS.days());
        let meetings = self.meetings_to_request(&schedule, last_settled_day);
        let replies = fetch_recordings(api, &meetings).await;
        let schedule_is_complete = schedule_error.is_none();
        let has_reply = replies.iter().any(|(_, reply)| reply.is_ok());

        let mut failed: Vec<_> = schedule_error.map(|error| (span, error)).into_iter().collect();
        let mut sessions = HashMap::new();
        for (meeting, reply) in replies {
            match reply {
                Ok(listed) => {
                    if listed.unreadable_count > 0 {
                        // Any known session may be among the unreadable ones, so no session may
                        // count as deleted.
                        let message = format!(
                            "{} sessions in Rapatin's reply for meeting {meeting} cannot be read; \
                             this may be temporary",
                            listed.unreadable_count
                        );
                        failed.push((span, ProviderError::unavailable(message)));
                    }
                    let is_empty =
                        listed.sessions.iter().all(|session| session.state() == State::Deleted);
                    let is_old =
                        !may_get_recordings(schedule.newest_day(meeting), last_settled_day);
                    self.history.lock().record(meeting, is_empty, is_old);
                    for session in listed.sessions {
                        let id = MeetingId::from(session.uuid());
                        keep_highest_ranked(&mut sessions, id, (meeting, session), rank);
                    }
                }
                // A schedule may contain meetings of other accounts. If Rapatin refuses only some
                // meetings, the refused ones belong to other accounts.
                Err(error)
                    if error.class() == ErrorClass::NotAllowed
                        && has_reply
                        && !self.is_configured(meeting) =>
                {
                    tracing::debug!(source = %self.source, "skipped a meeting: {error}");
                }
                Err(error) => {
                    let days = schedule.days(meeting);
                    if self.is_configured(meeting) || days.is_empty() {
                        // The day of the meeting is unknown.
                        failed.push((span, error));
                    } else {
                        let days = days.into_iter().filter_map(|days| overlap(days, span));
                        failed.extend(days.map(|days| (days, error.clone())));
                    }
                }
            }
        }
        if !has_reply && let Some(error) = most_actionable_error(&failed) {
            return Err(error.clone());
        }
        let sessions = self.map_sessions(sessions.into_values(), span, |meeting, session| {
            self.start_times.start_of(meeting, session, &schedule, schedule_is_complete)
        });
        if failed.is_empty() {
            let listed_ids = sessions.iter().map(|mapped| mapped.meeting.id.clone()).collect();
            self.start_times.remove_unlisted(span, &listed_ids);
        }
        Ok(SessionListing { sessions, failed: merge_overlapping(failed) })
    }

    /// Returns the meetings to request: the configured meetings, then those with recordings, then
    /// those of the schedule, newest first.
    fn meetings_to_request(&self, schedule: &Schedule, last_settled_day: Date) -> Vec<String> {
        let history = self.history.lock();
        let scheduled_meetings = schedule.meetings();
        let scheduled_ids = scheduled_meetings
            .iter()
            .filter(|(day, meeting)| {
                may_get_recordings(*day, last_settled_day)
                    || !history.settled_meetings.contains(*meeting)
            })
            .map(|(_, meeting)| *meeting)
            .take(MAX_MEETINGS);
        let mut unique_meetings = HashSet::new();
        let configured_meetings = self.configured_meetings.iter().map(String::as_str);
        let meetings_with_recordings = history.meetings_with_recordings.iter().map(String::as_str);
        let meetings = configured_meetings.chain(meetings_with_recordings).chain(scheduled_ids);
        meetings.filter(|meeting| unique_meetings.insert(*meeting)).map(str::to_owned).collect()
    }

    fn is_configured(&self, meeting: &str) -> bool {
        self.configured_meetings.iter().any(|configured| configured == meeting)
    }

    /// Maps the sessions of the days of `span`. The reply for a recurring meeting contains the
    /// sessions of all days, including days outside the span.
    fn map_sessions<'m>(
        &self,
        sessions: impl Iterator<Item = (&'m str, Session)>,
        span: DaySpan,
        start_of: impl Fn(&str, &Session) -> Timestamp,
    ) -> Vec<MappedSession> {
        let mut mapped_sessions = Vec::new();
        for (meeting, session) in sessions {
            if session.state() == State::Deleted {
                continue;
            }
            let start = start_of(meeting, &session);
            let has_day = session.recorded_on.is_some();
            if !has_day || span.contains(TimeZone::UTC.to_datetime(start).date()) {
                mapped_sessions.push(mapping::map_session(&self.source, meeting, session, start));
            }
        }
        mapped_sessions
    }
}

/// Requests the recordings of each meeting. If the requests stop early, all remaining meetings get
/// the same error.
async fn fetch_recordings<'m>(
    api: &Api,
    meetings: &'m [String],
) -> Vec<(&'m str, Result<Sessions, ProviderError>)> {
    let limits = FanOutLimits {
        concurrency: MEETING_CONCURRENCY,
        max_consecutive_failures: MEETING_CONCURRENCY,
        deadline: Some(Instant::now() + LISTING_TIMEOUT),
    };
    let mut jobs = Vec::new();
    for meeting in meetings {
        jobs.push((
            meeting.as_str(),
            api.list_recordings(meeting, MEETING_TIMEOUT, Priority::Background),
        ));
    }
    let mut replies = Vec::new();
    let unfinished_jobs =
        fan_out(limits, jobs, |meeting, reply: Result<Sessions, ProviderError>| {
            let outcome = match &reply {
                Err(error) if error.is_credential() => JobOutcome::Fatal(error.clone()),
                Err(error) if error.is_transient() => JobOutcome::Unreachable(error.clone()),
                _ => JobOutcome::Answered,
            };
            replies.push((meeting, reply));
            outcome
        })
        .await;
    if let Some(unfinished_jobs) = unfinished_jobs {
        let error = match unfinished_jobs.reason {
            StopReason::Failure(error) => error,
            StopReason::Deadline => ProviderError::unavailable(format!(
                "Rapatin did not return the recordings of all meetings within {} s",
                LISTING_TIMEOUT.as_secs()
            )),
        };
        replies
            .extend(unfinished_jobs.keys.into_iter().map(|meeting| (meeting, Err(error.clone()))));
    }
    replies
}

fn may_get_recordings(day: Option<Date>, last_settled_day: Date) -> bool {
    day.is_none_or(|day| day > last_settled_day)
}

fn overlap(a: DaySpan, b: DaySpan) -> Option<DaySpan> {
    let overlap = DaySpan { from: a.from.max(b.from), to: a.to.min(b.to) };
    (overlap.from <= overlap.to).then_some(overlap)
}

/// Returns the rank of an entry among the entries of the same session. An entry with more files
/// ranks higher. If the number of files is the same, the smallest meeting id ranks highest. The
/// rank does not depend on the order of the entries.
fn rank((meeting, session): &(&str, Session)) -> impl Ord + use<> {
    (session.files.len(), Reverse((*meeting).to_owned()))
}

//! Determines when sessions began.
//!
//! Rapatin returns the day of a session but not its time. The schedule has times, but its entries
//! are moved and deleted, and a session may have no entry. The name of a meeting directory contains
//! the start time, and every backup copies a renamed directory again. A session therefore keeps the
//! start time of its first listing, even after a restart.
//!
//! If the schedule could not be requested, the start time of a new session is not stored.
//! Otherwise, one failed request would determine the name of a directory for weeks.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::Time;
use jiff::tz::TimeZone;
use parking_lot::Mutex;

use super::schedule::Schedule;
use super::wire::Session;
use crate::model::{DaySpan, Meeting, MeetingId};

/// The start time of each session in its first listing.
#[derive(Default)]
pub(crate) struct StartTimes(Mutex<HashMap<MeetingId, Timestamp>>);

impl StartTimes {
    /// Restores the start times from the listing of an earlier run.
    pub(crate) fn restore(&self, listed: &[Arc<Meeting>]) {
        self.0.lock().extend(listed.iter().map(|meeting| (meeting.id.clone(), meeting.start)));
    }

    /// Returns when a session of `meeting` began: the stored time, else the scheduled time on the
    /// day of the session, else the beginning of that day (UTC). Returns the epoch if the day is
    /// unknown.
    pub(crate) fn start_of(
        &self,
        meeting: &str,
        session: &Session,
        schedule: &Schedule,
        schedule_is_complete: bool,
    ) -> Timestamp {
        let id = MeetingId::from(session.uuid());
        let mut starts = self.0.lock();
        if let Some(start) = starts.get(&id) {
            return *start;
        }
        let scheduled_start = session.recorded_on.and_then(|day| schedule.start(meeting, day));
        let midnight =
            || TimeZone::UTC.to_timestamp(session.recorded_on?.to_datetime(Time::midnight())).ok();
        let start = scheduled_start.or_else(midnight).unwrap_or(Timestamp::UNIX_EPOCH);
        if scheduled_start.is_some() || schedule_is_complete {
            starts.insert(id, start);
        }
        start
    }

    /// Removes the sessions in `span` that a complete listing no longer contains. This bounds the
    /// size of the table.
    pub(crate) fn remove_unlisted(&self, span: DaySpan, listed: &HashSet<MeetingId>) {
        self.0.lock().retain(|id, start| {
            !span.contains(TimeZone::UTC.to_datetime(*start).date()) || listed.contains(id)
        });
    }
}

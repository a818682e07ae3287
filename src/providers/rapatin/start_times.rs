//! When sessions began.
//!
//! Rapatin dates a session by its day and not by its time. The schedule has a time, but its entries
//! are moved and deleted, and a session may have none. A directory is named by its time, and a
//! renamed directory is copied again by every backup. A session therefore keeps the time of its
//! first listing, also over a restart.
//!
//! Without the schedule, a session gets a time that is not kept: one failed request would otherwise
//! name a directory for weeks.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::Time;
use jiff::tz::TimeZone;
use parking_lot::Mutex;

use super::schedule::Schedule;
use super::wire::Session;
use crate::model::{DaySpan, Meeting, MeetingId};

/// The times of the first listing of each session.
#[derive(Default)]
pub(crate) struct StartTimes(Mutex<HashMap<MeetingId, Timestamp>>);

impl StartTimes {
    /// Restores the times that an earlier run listed.
    pub(crate) fn restore(&self, listed: &[Arc<Meeting>]) {
        self.0.lock().extend(listed.iter().map(|meeting| (meeting.id.clone(), meeting.start)));
    }

    /// Returns when a session of `meeting` began: its first listed time, else the scheduled time of
    /// its day, else the beginning of its day (UTC). It is the epoch if the day is unknown.
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
        let scheduled = session.recorded_on.and_then(|day| schedule.start(meeting, day));
        let midnight =
            || TimeZone::UTC.to_timestamp(session.recorded_on?.to_datetime(Time::midnight())).ok();
        let start = scheduled.or_else(midnight).unwrap_or(Timestamp::UNIX_EPOCH);
        if scheduled.is_some() || schedule_is_complete {
            starts.insert(id, start);
        }
        start
    }

    /// Forgets sessions of the days of `span` that a complete listing did not name, so that no more
    /// is kept than is listed.
    pub(crate) fn retain(&self, span: DaySpan, listed: &HashSet<MeetingId>) {
        self.0.lock().retain(|id, start| {
            !span.contains(TimeZone::UTC.to_datetime(*start).date()) || listed.contains(id)
        });
    }
}

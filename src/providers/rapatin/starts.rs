//! When sessions began.
//!
//! Rapatin says on which day a session was recorded and not when. The schedule knows a time, but not for ever: entries
//! are moved and deleted, and a session may have none. A directory is named by its time, and one whose name changes is
//! copied again by every backup, so a session keeps the time that it was first listed with, also after a restart.
//!
//! A schedule that could not be had says nothing about a session. What is shown for want of it is not kept, or a
//! moment's failure would name a directory for weeks.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use jiff::civil::Time;
use jiff::tz::TimeZone;
use parking_lot::Mutex;

use super::schedule::Schedule;
use super::wire::Session;
use crate::model::{DaySpan, Meeting, MeetingId};

/// The times that sessions were first listed with.
#[derive(Default)]
pub(crate) struct Starts(Mutex<HashMap<MeetingId, Timestamp>>);

impl Starts {
    /// Takes in the times that an earlier run listed sessions with.
    pub(crate) fn recall(&self, listed: &[Arc<Meeting>]) {
        self.0.lock().extend(listed.iter().map(|meeting| (meeting.id.clone(), meeting.start)));
    }

    /// When the session of `meeting` began: as it was said first, else as the schedule has it for the day, else at
    /// the beginning of the day (UTC). The epoch where not even the day is known.
    pub(crate) fn of(
        &self,
        meeting: &str,
        session: &Session,
        schedule: &Schedule,
        schedule_is_whole: bool,
    ) -> Timestamp {
        let id = MeetingId::from(session.uuid());
        let mut known = self.0.lock();
        if let Some(start) = known.get(&id) {
            return *start;
        }
        let scheduled = session.recorded_on.and_then(|day| schedule.start(meeting, day));
        let beginning =
            || TimeZone::UTC.to_timestamp(session.recorded_on?.to_datetime(Time::midnight())).ok();
        let start = scheduled.or_else(beginning).unwrap_or(Timestamp::UNIX_EPOCH);
        if scheduled.is_some() || schedule_is_whole {
            known.insert(id, start);
        }
        start
    }

    /// Forgets sessions of the days of `span` that a whole listing did not name, so that what is kept is never more
    /// than what is listed.
    pub(crate) fn keep(&self, span: DaySpan, listed: &HashSet<MeetingId>) {
        self.0.lock().retain(|id, start| {
            !span.contains(TimeZone::UTC.to_datetime(*start).date()) || listed.contains(id)
        });
    }
}

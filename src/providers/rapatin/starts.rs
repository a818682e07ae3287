//! When sessions began.
//!
//! Rapatin says on which day a session was recorded and not when. The schedule knows a time, but not for ever: entries
//! are moved and deleted, a session may have none, and at times the schedule cannot be had at all. A folder is named
//! by its time, and one whose name changes is copied again by every backup, so a session keeps the time that it was
//! first listed with for as long as the mount lives. After that only an entry that was moved or deleted since its
//! meeting was held can make a difference, and with it the session stands at the beginning of its day.

use std::collections::{HashMap, HashSet};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use parking_lot::Mutex;

use super::schedule::Schedule;
use super::wire::Session;
use crate::model::{DaySpan, MeetingId};

/// The times that sessions were first listed with.
#[derive(Default)]
pub(super) struct Starts(Mutex<HashMap<MeetingId, Timestamp>>);

impl Starts {
    /// When the session of `meeting` began: as it was said first, else as the schedule has it for the day, else at
    /// the beginning of the day (UTC). The epoch where not even the day is known.
    pub(super) fn of(&self, meeting: &str, session: &Session, schedule: &Schedule) -> Timestamp {
        let found = || {
            let day = session.recorded_on?;
            let beginning =
                || TimeZone::UTC.to_timestamp(day.to_datetime(jiff::civil::Time::midnight())).ok();
            schedule.start(meeting, day).or_else(beginning)
        };
        let id = MeetingId::from(session.uuid());
        *self.0.lock().entry(id).or_insert_with(|| found().unwrap_or(Timestamp::UNIX_EPOCH))
    }

    /// Forgets sessions of the days of `span` that a whole listing did not name, so that what is kept is never more
    /// than what is listed.
    pub(super) fn keep(&self, span: DaySpan, listed: &HashSet<MeetingId>) {
        self.0.lock().retain(|id, start| {
            !span.contains(TimeZone::UTC.to_datetime(*start).date()) || listed.contains(id)
        });
    }
}

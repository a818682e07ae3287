//! The links of the newest listings.

use std::collections::HashMap;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use parking_lot::Mutex;

use super::Link;
use crate::model::{DaySpan, FileId, FileKey, MeetingId};

/// The links of all listed meetings of a source.
#[derive(Default)]
pub(in crate::providers) struct KeptLinks(Mutex<HashMap<MeetingId, Kept>>);

/// The links of one listed meeting.
struct Kept {
    /// The UTC day it began.
    day: Date,
    links: Box<[Link]>,
}

impl KeptLinks {
    /// Takes over a listing of `span`: each meeting with its start and its links. If it was `whole`, meetings of these
    /// days that it does not name are forgotten, so what is kept is never more than what is listed.
    pub(in crate::providers) fn learn(
        &self,
        span: DaySpan,
        whole: bool,
        listed: impl Iterator<Item = (MeetingId, Timestamp, Vec<Link>)>,
    ) {
        let mut kept = self.0.lock();
        if whole {
            kept.retain(|_, meeting| !span.contains(meeting.day));
        }
        for (id, start, links) in listed {
            let day = TimeZone::UTC.to_datetime(start).date();
            kept.insert(id, Kept { day, links: links.into_boxed_slice() });
        }
    }

    /// Puts newer links in the place of those of a listed meeting.
    pub(in crate::providers) fn replace(&self, meeting: &MeetingId, links: Vec<Link>) {
        if let Some(kept) = self.0.lock().get_mut(meeting) {
            kept.links = links.into_boxed_slice();
        }
    }

    /// Whether a meeting has been listed, with or without links.
    pub(in crate::providers) fn has(&self, meeting: &MeetingId) -> bool {
        self.0.lock().contains_key(meeting)
    }

    /// The newest link of a file, if its meeting has been listed.
    pub(in crate::providers) fn of(&self, file: &FileId) -> Option<Link> {
        link_of(&self.0.lock().get(&file.meeting)?.links, &file.key)
    }
}

/// The link of the file with that key.
pub(in crate::providers) fn link_of(links: &[Link], key: &FileKey) -> Option<Link> {
    links.iter().find(|link| link.key == *key).cloned()
}

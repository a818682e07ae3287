//! The links of the newest listings.

use std::collections::HashMap;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use parking_lot::Mutex;
use secrecy::{ExposeSecret, SecretString};

use super::Link;
use crate::model::{BodyKind, DaySpan, FileId, FileKey, MeetingId, SecretUrl};

/// The links of all listed meetings of a source.
#[derive(Default)]
pub(in crate::providers) struct KeptLinks(Mutex<HashMap<MeetingId, Kept>>);

/// The links of one listed meeting.
struct Kept {
    /// The UTC day it began.
    day: Date,
    links: Box<[KeptLink]>,
}

/// A link as it takes the least memory: a large archive has a hundred thousand, of which a few are ever followed.
struct KeptLink {
    key: FileKey,
    address: SecretString,
    body: BodyKind,
}

impl From<Link> for KeptLink {
    fn from(link: Link) -> Self {
        let Link { key, address, body } = link;
        Self { key, address: address.expose().as_str().into(), body }
    }
}

impl KeptLink {
    fn link(&self) -> Option<Link> {
        let address = SecretUrl::new(self.address.expose_secret().parse().ok()?);
        Some(Link { key: self.key.clone(), address, body: self.body })
    }
}

impl KeptLinks {
    /// Takes over a listing of `span`: each meeting with its start and its links, or with none of them where they are in
    /// place by [`put`](Self::put). If it was `whole`, meetings of these days that it does not name are forgotten, so
    /// what is kept is never more than what is listed.
    pub(in crate::providers) fn learn(
        &self,
        span: DaySpan,
        whole: bool,
        listed: impl Iterator<Item = (MeetingId, Timestamp, Option<Vec<Link>>)>,
    ) {
        let mut kept = self.0.lock();
        let mut before = HashMap::new();
        if whole {
            before.extend(kept.extract_if(|_, meeting| span.contains(meeting.day)));
        }
        for (id, start, links) in listed {
            let day = TimeZone::UTC.to_datetime(start).date();
            let links = match links {
                Some(links) => boxed(links),
                None => match before.remove(&id) {
                    Some(kept) => kept.links,
                    None => continue,
                },
            };
            kept.insert(id, Kept { day, links });
        }
    }

    /// Puts the links of a meeting in place that is being listed.
    pub(in crate::providers) fn put(&self, id: &MeetingId, start: Timestamp, links: Vec<Link>) {
        let kept = Kept { day: TimeZone::UTC.to_datetime(start).date(), links: boxed(links) };
        self.0.lock().insert(id.clone(), kept);
    }

    /// Puts newer links in the place of those of a listed meeting.
    pub(in crate::providers) fn replace(&self, meeting: &MeetingId, links: Vec<Link>) {
        if let Some(kept) = self.0.lock().get_mut(meeting) {
            kept.links = boxed(links);
        }
    }

    /// Whether a meeting has been listed, with or without links.
    pub(in crate::providers) fn has(&self, meeting: &MeetingId) -> bool {
        self.0.lock().contains_key(meeting)
    }

    /// The newest link of a file, if its meeting has been listed.
    pub(in crate::providers) fn of(&self, file: &FileId) -> Option<Link> {
        let kept = self.0.lock();
        let links = &kept.get(&file.meeting)?.links;
        links.iter().find(|link| link.key == file.key)?.link()
    }
}

fn boxed(links: Vec<Link>) -> Box<[KeptLink]> {
    links.into_iter().map(KeptLink::from).collect()
}

/// The link of the file with that key.
pub(in crate::providers) fn link_of(links: &[Link], key: &FileKey) -> Option<Link> {
    links.iter().find(|link| link.key == *key).cloned()
}

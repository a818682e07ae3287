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
pub(crate) struct KeptLinks(Mutex<HashMap<MeetingId, Kept>>);

/// The links of one listed meeting.
struct Kept {
    /// The UTC day it began.
    day: Date,
    links: PackedLinks,
}

/// Links as they take the least memory: a large archive has a hundred thousand, of which a few are ever followed. Those of
/// a meeting begin alike, and each in a text of its own would take half as much again.
struct PackedLinks {
    links: Box<[PackedLink]>,
    /// What all addresses begin with, and behind that the rest of each.
    addresses: SecretString,
    /// Length of what they begin with, in bytes.
    common: usize,
}

struct PackedLink {
    key: FileKey,
    /// Where the rest of its address ends in the text; it begins where that of the link before ends.
    end: u32,
    body: BodyKind,
}

impl PackedLinks {
    fn of(links: Vec<Link>) -> Self {
        let mut texts = links.iter().map(|link| link.address.expose().as_str());
        let first = texts.next().unwrap_or_default();
        let common = texts.fold(first.len(), |common, text| {
            let alike =
                first.bytes().zip(text.bytes()).take_while(|(one, other)| one == other).count();
            common.min(alike)
        });
        let rest_of = |link: &'_ Link| link.address.expose().as_str().len() - common;
        // Not a byte more: what is moved to grow leaves a copy behind.
        let mut text = String::with_capacity(common + links.iter().map(rest_of).sum::<usize>());
        text.push_str(first.get(..common).unwrap_or_default());
        let packed = links.into_iter().map(|Link { key, address, body }| {
            text.push_str(address.expose().as_str().get(common..).unwrap_or_default());
            // Behind four gigabytes nothing is found, and the link is asked for anew.
            PackedLink { key, end: u32::try_from(text.len()).unwrap_or(u32::MAX), body }
        });
        let links = packed.collect();
        Self { links, addresses: text.into(), common }
    }

    fn of_file(&self, key: &FileKey) -> Option<Link> {
        let place = self.links.iter().position(|link| link.key == *key)?;
        let link = self.links.get(place)?;
        let before = place.checked_sub(1).and_then(|before| self.links.get(before));
        let start = before.map_or(self.common, |before| before.end as usize);
        let text = self.addresses.expose_secret();
        let address = [text.get(..self.common)?, text.get(start..link.end as usize)?].concat();
        Some(Link {
            key: link.key.clone(),
            address: SecretUrl::new(address.parse().ok()?),
            body: link.body,
        })
    }
}

impl KeptLinks {
    /// Takes over a listing of `span`: each meeting with its start and its links, or with none of them where they are in
    /// place by [`put`](Self::put). If it was `whole`, meetings of these days that it does not name are forgotten, so
    /// what is kept is never more than what is listed.
    pub(crate) fn learn(
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
                Some(links) => PackedLinks::of(links),
                None => match before.remove(&id) {
                    Some(kept) => kept.links,
                    None => continue,
                },
            };
            kept.insert(id, Kept { day, links });
        }
    }

    /// Puts the links of a meeting in place that is being listed.
    pub(crate) fn put(&self, id: &MeetingId, start: Timestamp, links: Vec<Link>) {
        let kept =
            Kept { day: TimeZone::UTC.to_datetime(start).date(), links: PackedLinks::of(links) };
        self.0.lock().insert(id.clone(), kept);
    }

    /// Puts newer links in the place of those of a listed meeting.
    pub(crate) fn replace(&self, meeting: &MeetingId, links: Vec<Link>) {
        if let Some(kept) = self.0.lock().get_mut(meeting) {
            kept.links = PackedLinks::of(links);
        }
    }

    /// Whether a meeting has been listed, with or without links.
    pub(crate) fn has(&self, meeting: &MeetingId) -> bool {
        self.0.lock().contains_key(meeting)
    }

    /// The newest link of a file, if its meeting has been listed.
    pub(crate) fn of(&self, file: &FileId) -> Option<Link> {
        self.0.lock().get(&file.meeting)?.links.of_file(&file.key)
    }
}

/// The link of the file with that key.
pub(crate) fn link_of(links: &[Link], key: &FileKey) -> Option<Link> {
    links.iter().find(|link| link.key == *key).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(key: &str, address: &str) -> Link {
        Link {
            key: key.into(),
            address: SecretUrl::new(address.parse().unwrap()),
            body: BodyKind::Opaque,
        }
    }

    #[test]
    fn each_file_gets_its_own_address_back() {
        for addresses in [
            &[
                "https://zoom.us/rec/download/abc",
                "https://zoom.us/rec/download/abd?x=1",
                "https://zoom.us/rec/download/ab",
            ][..],
            &["https://zoom.us/a", "https://zoom.us/a"],
            &["https://zoom.us/a", "http://zoomgov.com/%C3%A9"],
            &["https://zoom.us/only"],
            &[],
        ] {
            let links =
                addresses.iter().enumerate().map(|(key, address)| link(&key.to_string(), address));
            let packed = PackedLinks::of(links.collect());
            for (key, address) in addresses.iter().enumerate() {
                let found = packed.of_file(&key.to_string().as_str().into()).unwrap();
                assert_eq!(found.address.expose().as_str(), *address);
            }
            assert!(packed.of_file(&"other".into()).is_none());
        }
    }
}

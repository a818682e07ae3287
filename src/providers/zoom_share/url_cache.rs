//! The download URLs of the newest listings.

use std::collections::HashMap;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use parking_lot::Mutex;
use secrecy::{ExposeSecret, SecretString};

use super::download_url::{DownloadUrl, ListedUrl, UrlLookup};
use crate::model::{BodyKind, DaySpan, FileId, FileKey, MeetingId, SecretUrl, Version};

/// The download URLs of all listed meetings of a source.
#[derive(Default)]
pub(crate) struct DownloadUrlCache(Mutex<HashMap<MeetingId, MeetingUrls>>);

/// The download URLs of one listed meeting.
struct MeetingUrls {
    /// The UTC day of its start.
    day: Date,
    urls: PackedUrls,
}

/// Download URLs in little memory: a large archive has a hundred thousand, and few are ever used.
/// Those of one meeting have a common prefix; one string for each would take half as much again.
struct PackedUrls {
    entries: Box<[PackedUrl]>,
    /// The common prefix of all URLs, followed by the rest of each.
    text: SecretString,
    /// Length of the common prefix in bytes.
    prefix: usize,
}

struct PackedUrl {
    key: FileKey,
    version: Version,
    /// End of the URL in `text`, without the common prefix. It starts where the previous one ends.
    end: u32,
    body: BodyKind,
}

impl PackedUrls {
    fn of(urls: Vec<ListedUrl>) -> Self {
        let mut texts = urls.iter().map(|listed| listed.url.url.expose().as_str());
        let first = texts.next().unwrap_or_default();
        let prefix = texts.fold(first.len(), |prefix, text| {
            let common =
                first.bytes().zip(text.bytes()).take_while(|(one, other)| one == other).count();
            prefix.min(common)
        });
        let rest_of = |listed: &'_ ListedUrl| listed.url.url.expose().as_str().len() - prefix;
        // The exact capacity: a string that grows leaves copies of the secrets in memory.
        let mut text = String::with_capacity(prefix + urls.iter().map(rest_of).sum::<usize>());
        text.push_str(first.get(..prefix).unwrap_or_default());
        let entries =
            urls.into_iter().map(|ListedUrl { url: DownloadUrl { key, url, body }, facts }| {
                text.push_str(url.expose().as_str().get(prefix..).unwrap_or_default());
                // Beyond four gigabytes nothing is found, and the URL is requested again.
                let end = u32::try_from(text.len()).unwrap_or(u32::MAX);
                PackedUrl { key, version: facts.version(), end, body }
            });
        let entries = entries.collect();
        Self { entries, text: text.into(), prefix }
    }

    fn lookup(&self, key: &FileKey, version: Version) -> UrlLookup {
        let Some(index) = self.entries.iter().position(|entry| entry.key == *key) else {
            return UrlLookup::Missing;
        };
        if self.entries.get(index).is_some_and(|entry| entry.version != version) {
            return UrlLookup::OtherVersion;
        }
        self.unpacked(index).map_or(UrlLookup::Missing, UrlLookup::Found)
    }

    fn unpacked(&self, index: usize) -> Option<DownloadUrl> {
        let entry = self.entries.get(index)?;
        let previous = index.checked_sub(1).and_then(|previous| self.entries.get(previous));
        let start = previous.map_or(self.prefix, |previous| previous.end as usize);
        let text = self.text.expose_secret();
        let url = [text.get(..self.prefix)?, text.get(start..entry.end as usize)?].concat();
        Some(DownloadUrl {
            key: entry.key.clone(),
            url: SecretUrl::new(url.parse().ok()?),
            body: entry.body,
        })
    }
}

impl DownloadUrlCache {
    /// Stores a listing of `span`: each meeting with its start and its URLs, or without URLs if
    /// [`insert`](Self::insert) has stored them already. If the listing `is_complete`, meetings of
    /// these days that it does not contain are removed, so the cache never holds more than what is
    /// listed.
    pub(crate) fn store(
        &self,
        span: DaySpan,
        is_complete: bool,
        listed: impl Iterator<Item = (MeetingId, Timestamp, Option<Vec<ListedUrl>>)>,
    ) {
        let mut cached = self.0.lock();
        let mut previous = HashMap::new();
        if is_complete {
            previous.extend(cached.extract_if(|_, meeting| span.contains(meeting.day)));
        }
        for (id, start, urls) in listed {
            let day = TimeZone::UTC.to_datetime(start).date();
            let urls = match urls {
                Some(urls) => PackedUrls::of(urls),
                None => match previous.remove(&id) {
                    Some(previous) => previous.urls,
                    None => continue,
                },
            };
            cached.insert(id, MeetingUrls { day, urls });
        }
    }

    /// Stores the URLs of a meeting during a listing.
    pub(crate) fn insert(&self, id: &MeetingId, start: Timestamp, urls: Vec<ListedUrl>) {
        let day = TimeZone::UTC.to_datetime(start).date();
        self.0.lock().insert(id.clone(), MeetingUrls { day, urls: PackedUrls::of(urls) });
    }

    /// Replaces the URLs of a listed meeting.
    pub(crate) fn replace(&self, meeting: &MeetingId, urls: Vec<ListedUrl>) {
        if let Some(cached) = self.0.lock().get_mut(meeting) {
            cached.urls = PackedUrls::of(urls);
        }
    }

    /// Whether a meeting is listed, with or without URLs.
    pub(crate) fn contains(&self, meeting: &MeetingId) -> bool {
        self.0.lock().contains_key(meeting)
    }

    /// Finds the newest URL of a version of a file, if its meeting is listed. The version is the
    /// listed one: the URL of another one may lead to other bytes.
    pub(crate) fn lookup(&self, file: &FileId, version: Version) -> UrlLookup {
        let cached = self.0.lock();
        let meeting = cached.get(&file.meeting);
        meeting.map_or(UrlLookup::Missing, |meeting| meeting.urls.lookup(&file.key, version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::toolkit::version_facts::VersionFacts;

    fn listed(key: &str, url: &str) -> ListedUrl {
        ListedUrl {
            url: DownloadUrl {
                key: key.into(),
                url: SecretUrl::new(url.parse().unwrap()),
                body: BodyKind::Opaque,
            },
            facts: facts(1),
        }
    }

    fn facts(size: u64) -> VersionFacts {
        VersionFacts { size: Some(size), time: None, kind: String::new() }
    }

    #[test]
    fn packed_urls_are_unpacked_exactly() {
        for urls in [
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
            let all = urls.iter().enumerate().map(|(key, url)| listed(&key.to_string(), url));
            let packed = PackedUrls::of(all.collect());
            for (key, url) in urls.iter().enumerate() {
                let key = key.to_string().as_str().into();
                let UrlLookup::Found(found) = packed.lookup(&key, facts(1).version()) else {
                    panic!("{url} is missing")
                };
                assert_eq!(found.url.expose().as_str(), *url);
                let other = packed.lookup(&key, facts(2).version());
                assert!(matches!(other, UrlLookup::OtherVersion));
            }
            let other = packed.lookup(&"other".into(), facts(1).version());
            assert!(matches!(other, UrlLookup::Missing));
        }
    }
}

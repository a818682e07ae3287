//! Stores the download URLs of the newest listings.

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
    /// The UTC day on which the meeting started.
    day: Date,
    urls: PackedUrls,
}

/// The download URLs of one meeting, packed to save memory. A large archive has a hundred thousand
/// URLs, and few of them are ever used. The URLs of one meeting have a common prefix. One string
/// per URL would need 50 % more memory.
struct PackedUrls {
    entries: Box<[PackedUrl]>,
    /// The common prefix of all URLs, followed by the suffix of each URL.
    text: SecretString,
    /// Length of the common prefix in bytes.
    prefix_len: usize,
}

struct PackedUrl {
    key: FileKey,
    version: Version,
    /// End of the suffix of this URL in `text`. The suffix starts where the previous suffix ends.
    end: u32,
    body: BodyKind,
}

impl PackedUrls {
    fn of(urls: Vec<ListedUrl>) -> Self {
        let mut texts = urls.iter().map(|listed| listed.url.url.expose().as_str());
        let first_text = texts.next().unwrap_or_default();
        let prefix_len = texts.fold(first_text.len(), |prefix_len, text| {
            let common_len = first_text
                .bytes()
                .zip(text.bytes())
                .take_while(|(one, other)| one == other)
                .count();
            prefix_len.min(common_len)
        });
        let suffix_len =
            |listed: &'_ ListedUrl| listed.url.url.expose().as_str().len() - prefix_len;
        // The capacity is exact, because a string that grows leaves copies of the secrets in
        // memory.
        let mut text =
            String::with_capacity(prefix_len + urls.iter().map(suffix_len).sum::<usize>());
        text.push_str(first_text.get(..prefix_len).unwrap_or_default());
        let entries =
            urls.into_iter().map(|ListedUrl { url: DownloadUrl { key, url, body }, facts }| {
                text.push_str(url.expose().as_str().get(prefix_len..).unwrap_or_default());
                // If the text exceeds four gigabytes, the URL is not found and is requested again.
                let end = u32::try_from(text.len()).unwrap_or(u32::MAX);
                PackedUrl { key, version: facts.version(), end, body }
            });
        let entries = entries.collect();
        Self { entries, text: text.into(), prefix_len }
    }

    fn lookup(&self, key: &FileKey, version: Version) -> UrlLookup {
        let Some(index) = self.entries.iter().position(|entry| entry.key == *key) else {
            return UrlLookup::Missing;
        };
        if self.entries.get(index).is_some_and(|entry| entry.version != version) {
            return UrlLookup::OtherVersion;
        }
        self.unpack(index).map_or(UrlLookup::Missing, UrlLookup::Found)
    }

    fn unpack(&self, index: usize) -> Option<DownloadUrl> {
        let entry = self.entries.get(index)?;
        let previous_entry =
            index.checked_sub(1).and_then(|previous_index| self.entries.get(previous_index));
        let start = previous_entry.map_or(self.prefix_len, |entry| entry.end as usize);
        let text = self.text.expose_secret();
        let url = [text.get(..self.prefix_len)?, text.get(start..entry.end as usize)?].concat();
        Some(DownloadUrl {
            key: entry.key.clone(),
            url: SecretUrl::new(url.parse().ok()?),
            body: entry.body,
        })
    }
}

impl DownloadUrlCache {
    /// Stores the URLs of a listing of `span`. Each entry consists of a meeting, its start and its
    /// URLs. The URLs are `None` if [`insert`](Self::insert) has already stored them. If the
    /// listing `is_complete`, removes all other meetings of these days, so the cache contains only
    /// listed meetings.
    pub(crate) fn store(
        &self,
        span: DaySpan,
        is_complete: bool,
        listed_meetings: impl Iterator<Item = (MeetingId, Timestamp, Option<Vec<ListedUrl>>)>,
    ) {
        let mut meetings = self.0.lock();
        let mut previous_meetings = HashMap::new();
        if is_complete {
            previous_meetings.extend(meetings.extract_if(|_, meeting| span.contains(meeting.day)));
        }
        for (id, start, urls) in listed_meetings {
            let day = TimeZone::UTC.to_datetime(start).date();
            let urls = match urls {
                Some(urls) => PackedUrls::of(urls),
                None => match previous_meetings.remove(&id) {
                    Some(previous_meeting) => previous_meeting.urls,
                    None => continue,
                },
            };
            meetings.insert(id, MeetingUrls { day, urls });
        }
    }

    /// Stores the URLs of a meeting during a listing.
    pub(crate) fn insert(&self, id: &MeetingId, start: Timestamp, urls: Vec<ListedUrl>) {
        let day = TimeZone::UTC.to_datetime(start).date();
        self.0.lock().insert(id.clone(), MeetingUrls { day, urls: PackedUrls::of(urls) });
    }

    /// Replaces the URLs of a listed meeting.
    pub(crate) fn replace(&self, meeting: &MeetingId, urls: Vec<ListedUrl>) {
        if let Some(meeting) = self.0.lock().get_mut(meeting) {
            meeting.urls = PackedUrls::of(urls);
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.lock().len()
    }

    /// Whether a meeting is listed, even if it has no URLs.
    pub(crate) fn contains(&self, meeting: &MeetingId) -> bool {
        self.0.lock().contains_key(meeting)
    }

    /// Finds the newest URL of the listed version of a file. A URL of another version is not
    /// returned, because it may serve other bytes.
    pub(crate) fn lookup(&self, file: &FileId, version: Version) -> UrlLookup {
        let meetings = self.0.lock();
        let meeting = meetings.get(&file.meeting);
        meeting.map_or(UrlLookup::Missing, |meeting| meeting.urls.lookup(&file.key, version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::toolkit::version_facts::VersionFacts;

    fn listed_url(key: &str, url: &str) -> ListedUrl {
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
            let entries =
                urls.iter().enumerate().map(|(key, url)| listed_url(&key.to_string(), url));
            let packed_urls = PackedUrls::of(entries.collect());
            for (key, url) in urls.iter().enumerate() {
                let key = key.to_string().as_str().into();
                let UrlLookup::Found(found) = packed_urls.lookup(&key, facts(1).version()) else {
                    panic!("{url} is missing")
                };
                assert_eq!(found.url.expose().as_str(), *url);
                let result = packed_urls.lookup(&key, facts(2).version());
                assert!(matches!(result, UrlLookup::OtherVersion));
            }
            let result = packed_urls.lookup(&"other".into(), facts(1).version());
            assert!(matches!(result, UrlLookup::Missing));
        }
    }
}

//! The download URLs of the newest listings.

use std::collections::HashMap;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use parking_lot::Mutex;
use secrecy::{ExposeSecret, SecretString};

use super::download_url::DownloadUrl;
use crate::model::{BodyKind, DaySpan, FileId, FileKey, MeetingId, SecretUrl};

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
    /// End of the URL in `text`, without the common prefix. It starts where the previous one ends.
    end: u32,
    body: BodyKind,
}

impl PackedUrls {
    fn of(urls: Vec<DownloadUrl>) -> Self {
        let mut texts = urls.iter().map(|url| url.url.expose().as_str());
        let first = texts.next().unwrap_or_default();
        let prefix = texts.fold(first.len(), |prefix, text| {
            let common =
                first.bytes().zip(text.bytes()).take_while(|(one, other)| one == other).count();
            prefix.min(common)
        });
        let rest_of = |url: &'_ DownloadUrl| url.url.expose().as_str().len() - prefix;
        // The exact capacity: a string that grows leaves copies of the secrets in memory.
        let mut text = String::with_capacity(prefix + urls.iter().map(rest_of).sum::<usize>());
        text.push_str(first.get(..prefix).unwrap_or_default());
        let entries = urls.into_iter().map(|DownloadUrl { key, url, body }| {
            text.push_str(url.expose().as_str().get(prefix..).unwrap_or_default());
            // Beyond four gigabytes nothing is found, and the URL is requested again.
            PackedUrl { key, end: u32::try_from(text.len()).unwrap_or(u32::MAX), body }
        });
        let entries = entries.collect();
        Self { entries, text: text.into(), prefix }
    }

    fn of_file(&self, key: &FileKey) -> Option<DownloadUrl> {
        let index = self.entries.iter().position(|entry| entry.key == *key)?;
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
        listed: impl Iterator<Item = (MeetingId, Timestamp, Option<Vec<DownloadUrl>>)>,
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
    pub(crate) fn insert(&self, id: &MeetingId, start: Timestamp, urls: Vec<DownloadUrl>) {
        let day = TimeZone::UTC.to_datetime(start).date();
        self.0.lock().insert(id.clone(), MeetingUrls { day, urls: PackedUrls::of(urls) });
    }

    /// Replaces the URLs of a listed meeting.
    pub(crate) fn replace(&self, meeting: &MeetingId, urls: Vec<DownloadUrl>) {
        if let Some(cached) = self.0.lock().get_mut(meeting) {
            cached.urls = PackedUrls::of(urls);
        }
    }

    /// Whether a meeting is listed, with or without URLs.
    pub(crate) fn contains(&self, meeting: &MeetingId) -> bool {
        self.0.lock().contains_key(meeting)
    }

    /// Returns the newest URL of a file, if its meeting is listed.
    pub(crate) fn get(&self, file: &FileId) -> Option<DownloadUrl> {
        self.0.lock().get(&file.meeting)?.urls.of_file(&file.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn download_url(key: &str, url: &str) -> DownloadUrl {
        DownloadUrl {
            key: key.into(),
            url: SecretUrl::new(url.parse().unwrap()),
            body: BodyKind::Opaque,
        }
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
            let listed =
                urls.iter().enumerate().map(|(key, url)| download_url(&key.to_string(), url));
            let packed = PackedUrls::of(listed.collect());
            for (key, url) in urls.iter().enumerate() {
                let found = packed.of_file(&key.to_string().as_str().into()).unwrap();
                assert_eq!(found.url.expose().as_str(), *url);
            }
            assert!(packed.of_file(&"other".into()).is_none());
        }
    }
}

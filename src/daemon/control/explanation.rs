//! Explains a file or directory of a mount: what it is, where its bytes are, why its last read
//! failed, and what a read costs. Sends no request to a provider.

use std::fmt::Write;

use bytesize::ByteSize;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::count_text::pluralize;
use super::wall_clock::WallClock;
use crate::daemon::archive::Archive;
use crate::model::ErrorReport;
use crate::read::{FileStatus, Recording};
use crate::tree::{Content, Ino, Node, NodeProperties, Snapshot};

/// What a daemon knows about a file or directory. Sizes are in bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Explanation {
    /// Path relative to the mountpoint.
    pub path: String,
    /// The kind, as in the attribute `user.meetfs.kind`, or `directory`.
    pub kind: String,
    /// The name of the source; `None` for the root directory.
    pub source: Option<String>,
    pub provider: Option<String>,
    pub meeting_id: Option<String>,
    pub file_id: Option<String>,
    pub start: Option<Timestamp>,
    /// Duration in seconds.
    pub duration: Option<i64>,
    /// Time at which the provider deletes the file or meeting.
    pub expires: Option<Timestamp>,
    /// The size; `None` for a directory.
    pub size: Option<u64>,
    /// The state of a recording file; `None` for other files.
    pub recording: Option<RecordingExplanation>,
}

/// The state of a recording file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RecordingExplanation {
    /// Whether the server has confirmed the listed size.
    pub is_size_confirmed: bool,
    pub bytes_in_memory: u64,
    pub bytes_on_disk: u64,
    /// Number of bytes that are in memory or on disk.
    pub cached_bytes: u64,
    /// The cached share in percent, rounded down.
    pub cached_percent: u64,
    /// Whether the download URL is known and has not expired.
    pub has_download_url: bool,
    /// The time at which the download URL expires, if the provider states it.
    pub download_url_expires: Option<Timestamp>,
    pub failure: Option<FailureExplanation>,
    /// Minimum number of requests for a read of the whole file.
    pub missing_requests: u64,
    /// Number of bytes that a read of the whole file fetches.
    pub missing_bytes: u64,
}

/// The last failed read of a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct FailureExplanation {
    #[serde(flatten)]
    pub error: ErrorReport,
    /// The time from which a read sends requests again. It can be in the past.
    #[serde(rename = "next")]
    pub next_attempt: Timestamp,
}

/// Explains the file or directory at a path relative to the mountpoint. Returns `None` if it does
/// not exist.
pub(super) fn explain(archive: &Archive, path: &str) -> Option<Explanation> {
    let snapshot = archive.tree.current();
    let node = find(&snapshot, path)?;
    let properties = NodeProperties::of(&snapshot, node);
    let recording = match &node.content {
        Content::Recording { id, version, size, body } => {
            Some(Recording { id: id.clone(), version: *version, size: *size, body: *body })
        }
        _ => None,
    };
    let recording =
        recording.map(|it| RecordingExplanation::of(&archive.engine.file_status(&it), it.size));
    let provider = archive.provider_names().remove(&properties.source);
    Some(Explanation {
        path: path.to_owned(),
        kind: properties.kind.to_owned(),
        source: provider.is_some().then_some(properties.source),
        provider,
        meeting_id: properties.meeting,
        file_id: properties.file,
        start: properties.start,
        duration: properties.duration,
        expires: properties.expires,
        size: (!node.is_directory()).then(|| node.size()),
        recording,
    })
}

fn find<'a>(snapshot: &'a Snapshot, path: &str) -> Option<&'a Node> {
    let names = path.split('/').filter(|name| !name.is_empty());
    let mut node = snapshot.node(Ino::ROOT)?;
    for name in names {
        node = snapshot.lookup(node.ino, name)?;
    }
    Some(node)
}

impl RecordingExplanation {
    fn of(status: &FileStatus, size: u64) -> Self {
        let FileStatus { cached, is_size_confirmed, has_lease, lease_expiry, failure } = status;
        let missing_bytes = size.saturating_sub(cached.total);
        let lease_requests = u64::from(!has_lease);
        Self {
            is_size_confirmed: *is_size_confirmed,
            bytes_in_memory: cached.in_memory,
            bytes_on_disk: cached.on_disk,
            cached_bytes: cached.total,
            cached_percent: cached.percent(size),
            has_download_url: *has_lease,
            download_url_expires: *lease_expiry,
            failure: failure.as_ref().and_then(|(retry_at, error)| {
                let next_attempt = to_timestamp(*retry_at)?;
                Some(FailureExplanation { error: ErrorReport::of(error), next_attempt })
            }),
            missing_requests: if missing_bytes == 0 { 0 } else { cached.gaps + lease_requests },
            missing_bytes,
        }
    }
}

/// Converts a time of the monotonic clock.
fn to_timestamp(time: Instant) -> Option<Timestamp> {
    let (now, wall_time) = (Instant::now(), Timestamp::now());
    match time.checked_duration_since(now) {
        Some(wait) => wall_time.checked_add(wait).ok(),
        None => wall_time.checked_sub(now.saturating_duration_since(time)).ok(),
    }
}

impl Explanation {
    /// Formats the explanation as text. `path` is the path that the user has given.
    pub(crate) fn as_text(&self, path: &str, wall_clock: &WallClock) -> String {
        let mut text = format!("{path}\n");
        let mut line = |name: &str, value: &str| {
            // Writing to a string does not fail.
            let _ = writeln!(text, "  {name:<8}{value}");
        };
        let origin = match (&self.provider, &self.source) {
            (Some(provider), Some(source)) => format!(", provider {provider}, source {source}"),
            _ => String::new(),
        };
        line("kind", &format!("{}{origin}", self.kind));
        if let Some(meeting_id) = &self.meeting_id {
            let file_id = self.file_id.as_ref().map_or(String::new(), |id| format!(", file {id}"));
            line("ids", &format!("meeting {meeting_id}{file_id}"));
        }
        if let Some(start) = self.start {
            let duration = self.duration.map_or(String::new(), |it| format!(", {it} s"));
            line("start", &format!("{}{duration}", wall_clock.format_date_and_minute(start)));
        }
        if let Some(expires) = self.expires {
            line("expires", &wall_clock.format_date_and_minute(expires));
        }
        match (self.size, &self.recording) {
            (Some(size), None) => {
                line("size", &ByteSize(size).to_string());
                line("cost", "no request");
            }
            (Some(size), Some(recording)) => recording.write(size, &mut line, wall_clock),
            (None, _) => {}
        }
        text
    }
}

impl RecordingExplanation {
    fn write(&self, size: u64, line: &mut impl FnMut(&str, &str), wall_clock: &WallClock) {
        let confirmation = match self.is_size_confirmed {
            true => "confirmed by the server",
            false => "listed, not confirmed by the server yet",
        };
        line("size", &format!("{}, {confirmation}", ByteSize(size)));
        line(
            "cached",
            &format!(
                "{} %: {} in memory, {} on disk",
                self.cached_percent,
                ByteSize(self.bytes_in_memory),
                ByteSize(self.bytes_on_disk)
            ),
        );
        let url = match (self.has_download_url, self.download_url_expires) {
            (false, _) => "not known".to_owned(),
            (true, None) => "known".to_owned(),
            (true, Some(expires)) => format!("known until {}", wall_clock.format(expires)),
        };
        line("url", &url);
        if let Some(failure) = &self.failure {
            let state = match failure.next_attempt > wall_clock.now {
                true => format!("open until {}", wall_clock.format(failure.next_attempt)),
                false => "half-open, the next read tries again".to_owned(),
            };
            line("breaker", &format!("{state}: {}", failure.error.sentence()));
        }
        let cost = match self.missing_requests {
            0 => "no request".to_owned(),
            requests => format!(
                "at least {} and {} for the whole file",
                pluralize(requests, "request"),
                ByteSize(self.missing_bytes)
            ),
        };
        line("cost", &cost);
    }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    #[test]
    fn text_explains_a_failing_file() {
        let timestamp = |text: &str| text.parse::<Timestamp>().unwrap();
        let error = ErrorReport {
            error: "no answer".into(),
            caused_by: Vec::new(),
            hint: Some("Wait.".into()),
            kind: "unavailable".into(),
        };
        let recording = RecordingExplanation {
            is_size_confirmed: false,
            bytes_in_memory: 1024,
            bytes_on_disk: 0,
            cached_bytes: 1024,
            cached_percent: 50,
            has_download_url: true,
            download_url_expires: Some(timestamp("2026-10-06T08:00:00Z")),
            failure: Some(FailureExplanation {
                error,
                next_attempt: timestamp("2026-10-06T07:05:00Z"),
            }),
            missing_requests: 1,
            missing_bytes: 1024,
        };
        let explanation = Explanation {
            path: "acme/2026/a/b.mp4".into(),
            kind: "video".into(),
            source: Some("acme".into()),
            provider: Some("zoom".into()),
            meeting_id: Some("m".into()),
            file_id: Some("f".into()),
            start: Some(timestamp("2026-10-05T07:00:00Z")),
            duration: Some(60),
            expires: Some(timestamp("2027-10-05T07:00:00Z")),
            size: Some(2048),
            recording: Some(recording),
        };
        let wall_clock = WallClock { zone: TimeZone::UTC, now: timestamp("2026-10-06T07:00:00Z") };
        assert_eq!(
            explanation.as_text("/mnt/acme/2026/a/b.mp4", &wall_clock),
            "/mnt/acme/2026/a/b.mp4\n  \
               kind    video, provider zoom, source acme\n  \
               ids     meeting m, file f\n  \
               start   2026-10-05 07:00 +0000, 60 s\n  \
               expires 2027-10-05 07:00 +0000\n  \
               size    2.0 KiB, listed, not confirmed by the server yet\n  \
               cached  50 %: 1.0 KiB in memory, 0 B on disk\n  \
               url     known until 08:00:00 +0000\n  \
               breaker open until 07:05:00 +0000: no answer. Wait.\n  \
               cost    at least 1 request and 1.0 KiB for the whole file\n"
        );
        let json = serde_json::to_value(&explanation).unwrap();
        assert_eq!(json["recording"]["failure"]["error"], "no answer");
        assert_eq!(serde_json::from_value::<Explanation>(json).unwrap(), explanation);
    }
}

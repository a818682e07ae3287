//! The state of a mount, as JSON for programs and as text for people.
//!
//! The JSON is also the reply on the control socket. A command must be able to read the reply of a
//! daemon of another version, so fields that are added later have a default.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use bytesize::ByteSize;
use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::activity_report::{
    ConnectionsReport, MemoryReport, ReadsReport, RequestsReport, ScannersReport,
};
use super::count_text::{pluralize, pluralize_as};
use super::error::dead_mount_hint;
use super::wall_clock::WallClock;
use crate::catalog::{RefreshState, SourceCounts};
use crate::daemon::archive::Archive;
use crate::daemon::log_location::LogLocation;
use crate::daemon::source::Source;
use crate::http::DownHost;
use crate::model::{ErrorKind, ErrorReport};
use crate::providers::ErrorClass;
use crate::read::FailingFile;
use crate::tree::SourceTotals;

/// The state of one mount.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct MountReport {
    pub mountpoint: String,
    /// The error of a dead mount, or of a daemon that does not answer. `None` for a live mount.
    #[serde(rename = "dead", default)]
    pub dead_mount_error: Option<ErrorReport>,
    /// Process id of the daemon. `None` for a dead mount, like `version` and `mounted_at`.
    pub pid: Option<u32>,
    /// Version of the daemon.
    pub version: Option<String>,
    /// Time at which the file system was mounted.
    #[serde(rename = "since")]
    pub mounted_at: Option<Timestamp>,
    /// Device number, as in stat(2) on a file of the mount.
    #[serde(default)]
    pub device: Option<u64>,
    /// The programs and mounts that keep the daemon running after an unmount.
    #[serde(rename = "held_by", default)]
    pub holders: Option<String>,
    /// The sources of the mount, ordered by name.
    pub sources: Vec<SourceReport>,
    /// Whether the report answers a `refresh` that did not finish in time.
    #[serde(default)]
    pub is_unfinished: bool,
    /// The HTTP servers whose circuit breaker is open.
    #[serde(rename = "down", default)]
    pub hosts_down: Vec<DownHostReport>,
    /// The files whose reads fail at once because an earlier read failed, grouped by source.
    #[serde(rename = "failing", default)]
    pub failing_files: Vec<FailingFilesReport>,
    /// `None` for a dead mount, like `memory`.
    #[serde(default)]
    pub reads: Option<ReadsReport>,
    /// `None` if scanners are not limited, and for a dead mount.
    #[serde(default)]
    pub scanners: Option<ScannersReport>,
    /// The connections to each host that has been contacted.
    #[serde(default)]
    pub connections: Vec<ConnectionsReport>,
    #[serde(default)]
    pub memory: Option<MemoryReport>,
    /// The disk cache; `None` if it is off.
    pub disk: Option<DiskReport>,
    /// The reason why nothing is stored in the cache directory.
    #[serde(default)]
    pub cache_error: Option<ErrorReport>,
    /// Where the daemon writes its log. `None` for a dead mount.
    #[serde(default)]
    pub log: Option<LogLocation>,
}

/// An HTTP server whose circuit breaker is open.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct DownHostReport {
    /// Scheme and host.
    pub host: String,
    /// The sources whose API is on this host; empty for a download host.
    pub sources: Vec<String>,
    /// Time of the first failure.
    #[serde(rename = "since")]
    pub failing_since: Timestamp,
    /// Time from which the next read contacts the host again. Refreshes contact the host on their
    /// own schedule.
    #[serde(rename = "next")]
    pub next_probe: Timestamp,
}

/// Files of one source whose reads fail at once, because an earlier read has failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct FailingFilesReport {
    /// The configured name of the source.
    pub source: String,
    #[serde(rename = "files")]
    pub file_count: u64,
    /// Time of the next attempt to read one of the files.
    #[serde(rename = "next")]
    pub next_attempt: Timestamp,
    /// The error of the file whose next attempt comes first.
    #[serde(flatten)]
    pub error: ErrorReport,
}

/// The state of one source of a mount.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SourceReport {
    /// The configured name.
    pub name: String,
    /// The provider, as in the configuration.
    pub provider: String,
    #[serde(flatten)]
    pub totals: SourceTotals,
    #[serde(flatten)]
    pub counts: SourceCounts,
    /// The reason why the recycle bin is incomplete.
    pub trash_error: Option<ErrorReport>,
    /// The reason why late transcripts could not be looked up.
    #[serde(rename = "late_error", default)]
    pub late_files_error: Option<ErrorReport>,
    /// Whether a refresh is running.
    pub is_refreshing: bool,
    /// Time of the last refresh.
    #[serde(rename = "listed")]
    pub listed_at: Option<Timestamp>,
    /// Time of the last complete refresh.
    #[serde(rename = "listed_whole")]
    pub fully_listed_at: Option<Timestamp>,
    /// Time of the next refresh.
    #[serde(rename = "next")]
    pub next_refresh_at: Option<Timestamp>,
    /// The reason why the last refresh failed.
    pub error: Option<ErrorReport>,
    /// Time at which the last refresh failed.
    #[serde(rename = "failed")]
    pub failed_at: Option<Timestamp>,
    /// Days that could not be listed; the tree shows their previous listing.
    #[serde(rename = "incomplete")]
    pub incomplete_days: Vec<IncompleteDays>,
    /// Users that the provider refuses to list, although it lists other users.
    #[serde(default)]
    pub refused_users: Vec<RefusedUser>,
    /// Number of refreshes since the mount started.
    #[serde(default)]
    pub refreshes: u64,
    /// Number of refreshes since the mount started that failed or did not list all days.
    #[serde(default)]
    pub failed_refreshes: u64,
    #[serde(default)]
    pub requests: RequestsReport,
}

/// A user that the provider refuses to list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RefusedUser {
    /// The error, which names the user.
    #[serde(flatten)]
    pub error: ErrorReport,
    /// Whether the provider knows the user, so that recordings can be missing.
    pub is_known: bool,
}

/// Days that could not be listed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct IncompleteDays {
    /// First day, UTC.
    pub from: Date,
    /// Last day, UTC.
    pub to: Date,
    #[serde(flatten)]
    pub error: ErrorReport,
}

/// The state of the disk cache.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct DiskReport {
    pub directory: String,
    /// Limit in bytes.
    pub limit: u64,
    /// Disk space that the cache uses, in bytes.
    pub used: u64,
    /// Number of file versions with at least one block.
    pub files: u64,
    /// Whether blocks are written. False if the disk is full, read-only or failing.
    pub is_written: bool,
    /// Number of blocks that were not written since the mount started.
    pub skipped_blocks: u64,
    /// Number of blocks with a wrong checksum since the mount started.
    pub damaged_blocks: u64,
    /// Number of blocks that were loaded from disk since the mount started.
    #[serde(default)]
    pub hits: u64,
    /// Number of blocks, or parts of blocks, that were fetched because they were not on disk.
    #[serde(default)]
    pub misses: u64,
    /// Number of blocks that were evicted since the mount started.
    #[serde(default)]
    pub evicted_blocks: u64,
}

impl MountReport {
    /// Collects the state of an archive and its mount. Takes long for a large archive, so do not
    /// call it on an async worker.
    pub(crate) fn of(
        archive: &Archive,
        mountpoint: &Path,
        device: u64,
        mounted_at: Timestamp,
    ) -> Self {
        let reads = Some(ReadsReport::of(archive));
        Self { reads, ..Self::without_files(archive, mountpoint, device, mounted_at) }
    }

    /// Returns the state of a mount without the list of its open files.
    pub(super) fn without_files(
        archive: &Archive,
        mountpoint: &Path,
        device: u64,
        mounted_at: Timestamp,
    ) -> Self {
        let snapshot = archive.tree.current();
        let sources = archive.sources().map(|(source, counts)| {
            SourceReport::of(source, snapshot.source_totals(&source.config.name), counts)
        });
        let mut sources: Vec<_> = sources.collect();
        sources.sort_by(|a, b| a.name.cmp(&b.name));
        let lookups = archive.engine.disk_lookups();
        let disk = archive.disk().map(|disk| DiskReport {
            directory: disk.directory.to_string_lossy().into_owned(),
            limit: disk.limit,
            used: disk.used_bytes,
            files: disk.files,
            is_written: disk.is_writing,
            skipped_blocks: disk.skipped_blocks,
            damaged_blocks: disk.damaged_blocks,
            hits: lookups.hits,
            misses: lookups.misses,
            evicted_blocks: disk.evicted_blocks,
        });
        Self {
            mountpoint: mountpoint.to_string_lossy().into_owned(),
            dead_mount_error: None,
            pid: Some(std::process::id()),
            version: Some(env!("CARGO_PKG_VERSION").into()),
            mounted_at: Some(mounted_at),
            device: Some(device),
            holders: None,
            sources,
            is_unfinished: false,
            hosts_down: archive
                .client()
                .hosts_down()
                .into_iter()
                .map(|host| DownHostReport::of(host, archive))
                .collect(),
            failing_files: FailingFilesReport::of(archive),
            reads: Some(ReadsReport::without_files(archive)),
            scanners: ScannersReport::of(&archive.scanner_limiter),
            connections: archive
                .client()
                .connections()
                .into_iter()
                .map(ConnectionsReport::of)
                .collect(),
            memory: Some(MemoryReport::of(archive)),
            disk,
            cache_error: archive.unwritable_cache().map(|error| ErrorReport::of(error)),
            log: LogLocation::of_this_process(),
        }
    }

    /// Returns the report of a dead mount. Its JSON has the same keys as any other report.
    pub(crate) fn for_dead_mount(mountpoint: &Path) -> Self {
        let error = ErrorReport {
            error: "its daemon has died".to_owned(),
            caused_by: Vec::new(),
            hint: Some(dead_mount_hint(mountpoint)),
            kind: ErrorKind::Unavailable.name().into(),
        };
        Self::for_unanswered_request(mountpoint, error)
    }

    /// Returns the report of a mount whose daemon did not answer.
    pub(crate) fn for_unanswered_request(mountpoint: &Path, error: ErrorReport) -> Self {
        Self {
            mountpoint: mountpoint.to_string_lossy().into_owned(),
            dead_mount_error: Some(error),
            pid: None,
            version: None,
            mounted_at: None,
            device: None,
            holders: None,
            sources: Vec::new(),
            is_unfinished: false,
            hosts_down: Vec::new(),
            failing_files: Vec::new(),
            reads: None,
            scanners: None,
            connections: Vec::new(),
            memory: None,
            disk: None,
            cache_error: None,
            log: None,
        }
    }

    /// Formats the report as text.
    pub(crate) fn as_text(&self, wall_clock: &WallClock) -> String {
        if let Some(error) = &self.dead_mount_error {
            return format!("{}  DEAD: {}\n", self.mountpoint, error.sentence());
        }
        let or_unknown = |known: Option<String>| known.unwrap_or_else(|| "?".to_owned());
        let mut text = format!(
            "{}  process {}, since {}, meetfs {}\n",
            self.mountpoint,
            or_unknown(self.pid.map(|pid| pid.to_string())),
            or_unknown(self.mounted_at.map(|time| wall_clock.format(time))),
            or_unknown(self.version.clone()),
        );
        if let Some(holders) = &self.holders {
            // Writing to a string does not fail.
            let _ = writeln!(text, "  NOT MOUNTED HERE, in use elsewhere: {holders}");
        }
        for source in &self.sources {
            source.write(&mut text, wall_clock);
        }
        for host in &self.hosts_down {
            let sources = if host.sources.is_empty() {
                String::new()
            } else {
                format!(" ({})", host.sources.join(", "))
            };
            // Writing to a string does not fail.
            let _ = writeln!(
                text,
                "  DOWN    {}{sources}: failing since {}; reads fail until the retry at {}",
                host.host,
                wall_clock.format(host.failing_since),
                wall_clock.format(host.next_probe)
            );
        }
        for failing_files in &self.failing_files {
            let _ = writeln!(
                text,
                "  FAILING {}: {} cannot be read, next attempt at {}: {}",
                failing_files.source,
                pluralize(failing_files.file_count, "file"),
                wall_clock.format(failing_files.next_attempt),
                failing_files.error.sentence()
            );
        }
        for connections in &self.connections {
            connections.write(&mut text);
        }
        if let Some(reads) = &self.reads {
            reads.write(&mut text);
        }
        if let Some(scanners) = &self.scanners {
            scanners.write(&mut text);
        }
        if let Some(memory) = &self.memory {
            memory.write(&mut text);
        }
        if let Some(disk) = &self.disk {
            let state =
                if disk.is_written { "" } else { "; NOT WRITABLE: full, read-only or failing" };
            let _ = writeln!(
                text,
                "  cache   {} of {} in {}{state}; {}, {}, {} evicted",
                ByteSize(disk.used),
                ByteSize(disk.limit),
                disk.directory,
                pluralize(disk.hits, "hit"),
                pluralize_as(disk.misses, "miss", "misses"),
                pluralize(disk.evicted_blocks, "block")
            );
            if disk.skipped_blocks > 0 {
                let _ = writeln!(
                    text,
                    "          not written, because the disk was full, failing or slow: {}",
                    pluralize(disk.skipped_blocks, "block")
                );
            }
            if disk.damaged_blocks > 0 {
                let _ = writeln!(
                    text,
                    "          damaged, fetched again: {}",
                    pluralize(disk.damaged_blocks, "block")
                );
            }
        }
        if let Some(error) = &self.cache_error {
            let _ = writeln!(text, "  cache   NOT USED: {}", error.sentence());
        }
        text
    }
}

impl FailingFilesReport {
    fn of(archive: &Archive) -> Vec<Self> {
        let (now, wall_time) = (Instant::now(), Timestamp::now());
        let mut by_source: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for file in archive.engine.failing_files() {
            by_source.entry(file.id.source.to_string()).or_default().push(file);
        }
        let report = |(source, files): (String, Vec<FailingFile>)| {
            let next_file = files.iter().min_by_key(|file| file.retry_at)?;
            let next_attempt =
                wall_time.checked_add(next_file.retry_at.saturating_duration_since(now)).ok()?;
            Some(Self {
                source,
                file_count: files.len() as u64,
                next_attempt,
                error: ErrorReport::of(&next_file.error),
            })
        };
        by_source.into_iter().filter_map(report).collect()
    }
}

impl DownHostReport {
    fn of(DownHost { host, failing_since, next_probe }: DownHost, archive: &Archive) -> Self {
        let uses_host = |source: &Source| {
            let urls = &source.provider.descriptor().base_urls;
            urls.iter().any(|url| url.origin().ascii_serialization() == host)
        };
        let sources =
            archive.sources().map(|(source, _)| source).filter(|source| uses_host(source));
        let mut sources: Vec<_> = sources.map(|source| source.config.name.to_string()).collect();
        sources.sort();
        Self { host, sources, failing_since, next_probe }
    }
}

impl SourceReport {
    fn of(source: &Source, totals: SourceTotals, counts: SourceCounts) -> Self {
        let RefreshState {
            is_running,
            listed_at,
            fully_listed_at,
            last_failure,
            incomplete_days,
            next_refresh_at,
            trash_error,
            late_files_error,
            refused_users,
            completed_refreshes,
            failed_refreshes,
            ..
        } = source.state.borrow().clone();
        let incomplete_days = incomplete_days.into_iter().map(|(days, error)| IncompleteDays {
            from: days.from,
            to: days.to,
            error: ErrorReport::of(&error),
        });
        Self {
            name: source.config.name.to_string(),
            provider: source.config.provider.name().into(),
            totals,
            counts,
            trash_error: trash_error.as_ref().map(|error| ErrorReport::of(error)),
            late_files_error: late_files_error.as_ref().map(|error| ErrorReport::of(error)),
            is_refreshing: is_running,
            listed_at,
            fully_listed_at,
            next_refresh_at,
            error: last_failure.as_ref().map(|(_, error)| ErrorReport::of(error)),
            failed_at: last_failure.map(|(time, _)| time),
            incomplete_days: incomplete_days.collect(),
            refused_users: refused_users
                .iter()
                .map(|error| RefusedUser {
                    error: ErrorReport::of(error),
                    is_known: error.class() != ErrorClass::NotFound,
                })
                .collect(),
            refreshes: completed_refreshes,
            failed_refreshes,
            requests: RequestsReport::of(&source.request_counters),
        }
    }

    /// Whether the last refresh failed, or did not list all recordings.
    pub(crate) fn is_incomplete(&self) -> bool {
        self.error.is_some()
            || !self.incomplete_days.is_empty()
            || self.refused_users.iter().any(|user| user.is_known)
    }

    fn write(&self, text: &mut String, wall_clock: &WallClock) {
        let (totals, counts) = (&self.totals, &self.counts);
        let format_time = |time: Option<Timestamp>| {
            time.map_or_else(|| "never".to_owned(), |time| wall_clock.format(time))
        };
        let mut line = |text_line: std::fmt::Arguments<'_>| {
            // Writing to a string does not fail.
            let _ = writeln!(text, "{text_line}");
        };
        line(format_args!(
            "  {}  {}, {}, {}, {}",
            self.name,
            self.provider,
            pluralize(totals.meetings, "meeting"),
            pluralize(totals.files, "file"),
            ByteSize(totals.bytes)
        ));
        if totals.unavailable_files > 0 {
            line(format_args!(
                "          not downloadable, replaced by notes: {}",
                pluralize(totals.unavailable_files, "file")
            ));
        }
        if let Some(hidden) = describe_hidden(totals.processing_meetings, totals.processing_files) {
            line(format_args!("          still being processed, not shown yet: {hidden}"));
        }
        if totals.empty_meetings > 0 {
            line(format_args!(
                "          without recordings, not shown: {}",
                pluralize(totals.empty_meetings, "meeting")
            ));
        }
        if let Some(hidden) = describe_hidden(counts.hidden_meetings, counts.hidden_files) {
            line(format_args!("          hidden by the configuration: {hidden}"));
        }
        if counts.retained_meetings > 0 {
            line(format_args!(
                "          deleted by the provider, served from the cache: {}",
                pluralize(counts.retained_meetings, "meeting")
            ));
        }
        if totals.trashed_meetings > 0 {
            line(format_args!(
                "          in the recycle bin: {}",
                pluralize(totals.trashed_meetings, "meeting")
            ));
        }
        let next_refresh = match (self.is_refreshing, self.next_refresh_at) {
            (true, _) => "refreshing now".to_owned(),
            (false, time) => format!("next {}", format_time(time)),
        };
        // Before the first refresh of this run, the time is that of the stored listing.
        match self.listed_at.or(self.fully_listed_at) {
            None if totals.meetings > 0 => line(format_args!(
                "          INCOMPLETE: this mount has not listed all recordings yet, {next_refresh}"
            )),
            listed_at => {
                line(format_args!("          listed {}, {next_refresh}", format_time(listed_at)));
            }
        }
        if let Some(error) = &self.error {
            let failed_at = format_time(self.failed_at);
            line(format_args!("          FAILED {failed_at}: {}", error.sentence()));
        }
        if let Some(error) = &self.trash_error {
            line(format_args!("          recycle bin incomplete: {}", error.sentence()));
        }
        if let Some(error) = &self.late_files_error {
            line(format_args!("          late transcripts missing: {}", error.sentence()));
        }
        for user in &self.refused_users {
            line(format_args!("          NOT LISTED: {}", user.error.sentence()));
        }
        for days in &self.incomplete_days {
            let IncompleteDays { from, to, error } = days;
            line(format_args!("          INCOMPLETE {from} to {to}: {}", error.sentence()));
        }
    }
}

/// Describes meetings and files of other meetings that are not shown. Returns `None` if there are
/// none.
fn describe_hidden(meetings: u64, files: u64) -> Option<String> {
    match (meetings, files) {
        (0, 0) => None,
        (meetings, 0) => Some(pluralize(meetings, "meeting")),
        (0, files) => Some(pluralize(files, "file")),
        (meetings, files) => Some(format!(
            "{}, and {} of other meetings",
            pluralize(meetings, "meeting"),
            pluralize(files, "file")
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use jiff::tz::TimeZone;

    use super::super::activity_report::{OpenFileReport, ScannerReport};
    use super::*;

    fn error(message: &str) -> ErrorReport {
        ErrorReport {
            error: message.to_owned(),
            caused_by: Vec::new(),
            hint: None,
            kind: ErrorKind::Unavailable.name().into(),
        }
    }

    fn report() -> MountReport {
        let timestamp = |text: &str| text.parse::<Timestamp>().unwrap();
        let source = SourceReport {
            name: "acme".into(),
            provider: "zoom".into(),
            totals: SourceTotals {
                meetings: 1,
                files: 1200,
                bytes: 3 << 30,
                unavailable_files: 2,
                processing_meetings: 1,
                processing_files: 4,
                empty_meetings: 5,
                trashed_meetings: 3,
            },
            counts: SourceCounts { hidden_meetings: 2, hidden_files: 0, retained_meetings: 1 },
            trash_error: Some(error("no scope")),
            late_files_error: Some(error("no scope either")),
            is_refreshing: false,
            listed_at: Some(timestamp("2026-10-06T07:00:00Z")),
            fully_listed_at: None,
            next_refresh_at: Some(timestamp("2026-10-06T07:05:00Z")),
            error: Some(error("the secret is wrong")),
            failed_at: Some(timestamp("2026-10-06T07:00:01Z")),
            incomplete_days: vec![IncompleteDays {
                from: "2026-01-01".parse().unwrap(),
                to: "2026-01-30".parse().unwrap(),
                error: error("out of reach"),
            }],
            refused_users: vec![RefusedUser { error: error("no access to bo"), is_known: true }],
            refreshes: 7,
            failed_refreshes: 1,
            requests: RequestsReport::default(),
        };
        MountReport {
            mountpoint: "/mnt/m".into(),
            dead_mount_error: None,
            pid: Some(42),
            version: Some("1.2.3".into()),
            mounted_at: Some(timestamp("2026-10-04T22:00:00Z")),
            device: Some(52),
            holders: Some("cat (process 7) uses it".into()),
            sources: vec![source],
            is_unfinished: false,
            hosts_down: vec![DownHostReport {
                host: "https://api.zoom.us".into(),
                sources: vec!["acme".into()],
                failing_since: timestamp("2026-10-06T06:59:00Z"),
                next_probe: timestamp("2026-10-06T07:03:05Z"),
            }],
            failing_files: vec![FailingFilesReport {
                source: "acme".into(),
                file_count: 2,
                next_attempt: timestamp("2026-10-06T07:05:00Z"),
                error: error("the bytes did not arrive within the deadline"),
            }],
            reads: Some(ReadsReport {
                open_files: 2,
                bytes: 5 << 20,
                failures: 1,
                files: vec![OpenFileReport {
                    path: "acme/2026/a/b.mp4".into(),
                    pid: Some(9),
                    command: Some("mpv".into()),
                    size: 1000,
                    bytes_read: 2048,
                    bytes_per_second: 1024,
                    cached_bytes: 509,
                }],
            }),
            scanners: Some(ScannersReport {
                limit: 1 << 20,
                programs: vec![ScannerReport {
                    program: "file".into(),
                    fetched_bytes: 3 << 20,
                    refused_reads: 1,
                }],
            }),
            connections: vec![
                ConnectionsReport {
                    host: "https://api.zoom.us".into(),
                    in_use: 3,
                    waiting: 1,
                    limit: 8,
                    configured_limit: 96,
                },
                ConnectionsReport {
                    host: "https://idle.zoom.us".into(),
                    limit: 96,
                    configured_limit: 96,
                    ..ConnectionsReport::default()
                },
            ],
            memory: Some(MemoryReport {
                limit: 4 << 20,
                used: 1 << 20,
                reserved: 1 << 20,
                hits: 1,
                misses: 2,
                evicted_blocks: 0,
            }),
            disk: Some(DiskReport {
                directory: "/cache".into(),
                limit: 2 << 30,
                used: 1 << 30,
                is_written: true,
                skipped_blocks: 1,
                damaged_blocks: 2,
                evicted_blocks: 1,
                ..DiskReport::default()
            }),
            cache_error: None,
            log: None,
        }
    }

    #[test]
    fn text_shows_counts_errors_and_retries() {
        let zone = TimeZone::get("Asia/Kolkata").unwrap();
        let wall_clock = WallClock { zone, now: "2026-10-06T07:03:00Z".parse().unwrap() };
        assert_eq!(
            report().as_text(&wall_clock),
            "/mnt/m  process 42, since 2026-10-05 03:30:00 +0530, meetfs 1.2.3\n  \
               NOT MOUNTED HERE, in use elsewhere: cat (process 7) uses it\n  \
               acme  zoom, 1 meeting, 1200 files, 3.0 GiB\n          \
                       not downloadable, replaced by notes: 2 files\n          \
                       still being processed, not shown yet: 1 meeting, and 4 files of other meetings\n          \
                       without recordings, not shown: 5 meetings\n          \
                       hidden by the configuration: 2 meetings\n          \
                       deleted by the provider, served from the cache: 1 meeting\n          \
                       in the recycle bin: 3 meetings\n          \
                       listed 12:30:00 +0530, next 12:35:00 +0530\n          \
                       FAILED 12:30:01 +0530: the secret is wrong\n          \
                        recycle bin incomplete: no scope\n          \
                        late transcripts missing: no scope either\n          \
                        NOT LISTED: no access to bo\n          \
                        INCOMPLETE 2026-01-01 to 2026-01-30: out of reach\n  \
                DOWN    https://api.zoom.us (acme): failing since 12:29:00 +0530; \
                 reads fail until the retry at 12:33:05 +0530\n  \
                FAILING acme: 2 files cannot be read, next attempt at 12:35:00 +0530: \
                 the bytes did not arrive within the deadline\n  \
                host    https://api.zoom.us: 3 of 8 connections (reduced from 96), 1 request waiting\n  \
                reading acme/2026/a/b.mp4: mpv (process 9), 2.0 KiB read, 50 % cached, 1.0 KiB/s\n  \
                reading 1 other file\n  \
                errors  1 failed read\n  \
                scanner file: 3.0 MiB fetched, 1 read refused by the limit of 1.0 MiB\n  \
                memory  2.0 MiB of 4.0 MiB; 1 hit, 2 misses, 0 blocks evicted\n  \
                cache   1.0 GiB of 2.0 GiB in /cache; 0 hits, 0 misses, 1 block evicted\n          \
                        not written, because the disk was full, failing or slow: 1 block\n          \
                        damaged, fetched again: 2 blocks\n"
        );
    }

    /// Adds the paths of the fields of an object and of the objects in it.
    fn add_fields(value: &serde_json::Value, prefix: &str, fields: &mut BTreeSet<String>) {
        match value {
            serde_json::Value::Object(object) => {
                for (key, value) in object {
                    let field = format!("{prefix}{key}");
                    add_fields(value, &format!("{field}."), fields);
                    fields.insert(field);
                }
            }
            serde_json::Value::Array(items) => {
                items.iter().for_each(|item| add_fields(item, prefix, fields));
            }
            _ => {}
        }
    }

    #[test]
    fn documentation_has_every_field() {
        let mut fields = BTreeSet::new();
        add_fields(&serde_json::to_value(report()).unwrap(), "", &mut fields);
        let rows = include_str!("../../../docs/status.md");
        let rows: Vec<_> = rows.lines().filter_map(|line| line.strip_prefix("| `")).collect();
        let is_documented = |field: &str| {
            let (parent, name) = field.rsplit_once('.').unwrap_or(("", field));
            let has_own_row = |row: &&str| {
                row.contains(&format!("`{field}`")) || row.starts_with(&format!("{field}`"))
            };
            let is_in_row_of_parent = |row: &&str| {
                row.starts_with(&format!("{parent}`")) && row.contains(&format!("`{name}`"))
            };
            let is_of_an_error = ["error", "caused_by", "hint", "kind"].contains(&name);
            rows.iter().any(|row| has_own_row(row) || is_in_row_of_parent(row)) || is_of_an_error
        };
        let undocumented: Vec<_> = fields.iter().filter(|field| !is_documented(field)).collect();
        assert_eq!(undocumented, ["sources.requests"; 1], "of {}", fields.len());
    }

    #[test]
    fn report_survives_a_round_trip() {
        let text = serde_json::to_string(&report()).unwrap();
        assert_eq!(serde_json::from_str::<MountReport>(&text).unwrap(), report());
        assert!(report().sources[0].is_incomplete());
        let json = serde_json::to_value(report()).unwrap();
        assert_eq!(json["sources"][0]["error"]["error"], "the secret is wrong");
        // The fields of an error about days, a user or files are part of their object.
        let days = &json["sources"][0]["incomplete"][0];
        assert_eq!(days["from"], "2026-01-01");
        assert_eq!(
            (&days["error"], &days["kind"]),
            (&"out of reach".into(), &"unavailable".into())
        );
    }
}

//! How a mount is doing: for a program as JSON, for a person as text.

use std::fmt::Write;
use std::path::Path;

use bytesize::ByteSize;
use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::absent::about_dead;
use super::wall_clock::WallClock;
use crate::catalog::{RefreshState, SourceCounts};
use crate::daemon::archive::Archive;
use crate::daemon::source::Source;
use crate::http::DownHost;

/// One mount.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct MountReport {
    /// Where it is.
    pub mountpoint: String,
    /// What became of it, and what to do, where its daemon has died; `None` where one serves it.
    #[serde(default)]
    pub dead: Option<String>,
    /// Process id of its daemon; `None` of a dead mount, as the next two.
    pub pid: Option<u32>,
    /// Version of its daemon.
    pub version: Option<String>,
    /// Since when it is mounted.
    pub since: Option<Timestamp>,
    /// Its sources, by name.
    pub sources: Vec<SourceReport>,
    /// Whether it answers a refresh that had not ended in time.
    #[serde(default)]
    pub is_unfinished: bool,
    /// Hosts that are down, which reads are not sent to.
    #[serde(default)]
    pub down: Vec<DownReport>,
    /// What is kept on disk; `None` where nothing is.
    pub disk: Option<DiskReport>,
}

/// A host that has not answered for a while.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct DownReport {
    /// Scheme and host.
    pub host: String,
    /// The sources that ask it first of all; none for one that only holds files.
    pub sources: Vec<String>,
    /// Since when nothing good was heard of it.
    pub since: Timestamp,
    /// From when on the next read tries it; listings try it at their own time.
    pub next: Timestamp,
}

/// One source of a mount.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SourceReport {
    /// The configured name.
    pub name: String,
    /// Its provider, as in the configuration.
    pub provider: String,
    /// Meetings that are shown.
    pub meetings: u64,
    /// Recording files that are shown and can be read.
    pub files: u64,
    /// Their bytes, as far as known.
    pub bytes: u64,
    /// Meetings that the filter hides.
    pub hidden_meetings: u64,
    /// Files of other meetings that the filter hides.
    pub hidden_files: u64,
    /// Meetings of which something is shown though it was deleted upstream.
    pub kept_deleted: u64,
    /// Meetings that are shown in the recycle bin.
    pub in_trash: u64,
    /// Why the recycle bin could not be listed, or not whole; `None` if it could, or is not shown.
    pub trash_error: Option<String>,
    /// Why transcripts that are made late could not be looked for; `None` if they could.
    #[serde(default)]
    pub late_error: Option<String>,
    /// Whether it is being listed now.
    pub is_refreshing: bool,
    /// When something was listed last.
    pub listed: Option<Timestamp>,
    /// When everything was listed last.
    pub listed_whole: Option<Timestamp>,
    /// When it will be listed next.
    pub next: Option<Timestamp>,
    /// Why the last listing failed; `None` if it did not.
    pub error: Option<String>,
    /// When it failed.
    pub failed: Option<Timestamp>,
    /// Days that could not be listed; what was known of them is shown.
    pub incomplete: Vec<IncompleteDays>,
}

/// Days that could not be listed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct IncompleteDays {
    /// The first, UTC.
    pub from: Date,
    /// The last, UTC.
    pub to: Date,
    /// Why.
    pub error: String,
}

/// The blocks on disk.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct DiskReport {
    /// Their directory.
    pub directory: String,
    /// The most bytes that may be held.
    pub limit: u64,
    /// Bytes held.
    pub held: u64,
    /// File versions of which something is held.
    pub files: u64,
    /// Whether blocks are written: not while the disk is full or broken.
    pub is_written: bool,
    /// Blocks that were not kept, since the mount began.
    pub skipped_blocks: u64,
    /// Blocks that were found wrong, since the mount began.
    pub damaged_blocks: u64,
}

impl MountReport {
    /// How an archive is doing that has been mounted since then.
    pub(crate) fn of(archive: &Archive, mountpoint: &Path, since: Timestamp) -> Self {
        let mut sources: Vec<_> =
            archive.sources().map(|(source, counts)| SourceReport::of(source, counts)).collect();
        sources.sort_by(|a, b| a.name.cmp(&b.name));
        let disk = archive.disk().map(|disk| DiskReport {
            directory: disk.directory.to_string_lossy().into_owned(),
            limit: disk.limit,
            held: disk.held,
            files: disk.files,
            is_written: disk.writing,
            skipped_blocks: disk.skipped,
            damaged_blocks: disk.damaged,
        });
        Self {
            mountpoint: mountpoint.to_string_lossy().into_owned(),
            dead: None,
            pid: Some(std::process::id()),
            version: Some(env!("CARGO_PKG_VERSION").into()),
            since: Some(since),
            sources,
            is_unfinished: false,
            down: archive
                .client()
                .hosts_down()
                .into_iter()
                .map(|host| DownReport::of(host, archive))
                .collect(),
            disk,
        }
    }

    /// One that a daemon has left behind. It has every key that others have, for programs that look at all.
    pub(crate) fn of_dead(mountpoint: &Path) -> Self {
        Self {
            mountpoint: mountpoint.to_string_lossy().into_owned(),
            dead: Some(about_dead(mountpoint)),
            pid: None,
            version: None,
            since: None,
            sources: Vec::new(),
            is_unfinished: false,
            down: Vec::new(),
            disk: None,
        }
    }

    /// For a person, with times as the clock on the wall shows them.
    pub(crate) fn as_text(&self, wall: &WallClock) -> String {
        if let Some(why) = &self.dead {
            return format!("{}  DEAD: {why}\n", self.mountpoint);
        }
        let or_unknown = |known: Option<String>| known.unwrap_or_else(|| "?".to_owned());
        let mut text = format!(
            "{}  process {}, since {}, meetfs {}\n",
            self.mountpoint,
            or_unknown(self.pid.map(|pid| pid.to_string())),
            or_unknown(self.since.map(|since| wall.show(since))),
            or_unknown(self.version.clone()),
        );
        for source in &self.sources {
            source.write(&mut text, wall);
        }
        for down in &self.down {
            let sources = if down.sources.is_empty() {
                String::new()
            } else {
                format!(" ({})", down.sources.join(", "))
            };
            let _a_string_takes_all = writeln!(
                text,
                "  DOWN    {}{sources} has not answered since {}; reads fail at once, the next one after {} tries it",
                down.host,
                wall.show(down.since),
                wall.show(down.next)
            );
        }
        if let Some(disk) = &self.disk {
            let state =
                if disk.is_written { "" } else { "; NOT WRITTEN: full, read-only or broken" };
            let _a_string_takes_all = writeln!(
                text,
                "  cache   {} of {} in {}{state}",
                ByteSize(disk.held),
                ByteSize(disk.limit),
                disk.directory
            );
        }
        text
    }
}

impl DownReport {
    fn of(DownHost { host, since, next }: DownHost, archive: &Archive) -> Self {
        let asks = |source: &Source| {
            let addresses = source.provider.base_urls();
            addresses.iter().any(|address| address.origin().ascii_serialization() == host)
        };
        let sources = archive.sources().map(|(source, _)| source).filter(|source| asks(source));
        let mut sources: Vec<_> = sources.map(|source| source.settings.name.to_string()).collect();
        sources.sort();
        Self { host, sources, since, next }
    }
}

impl SourceReport {
    fn of(source: &Source, counts: SourceCounts) -> Self {
        let RefreshState {
            is_running,
            listed_at,
            fully_listed_at,
            last_failure,
            incomplete_days,
            next_at,
            trash_error,
            late_files_error,
            ..
        } = source.state.borrow().clone();
        let incomplete = incomplete_days.into_iter().map(|(days, error)| IncompleteDays {
            from: days.from,
            to: days.to,
            error: error.to_string(),
        });
        Self {
            name: source.settings.name.to_string(),
            provider: source.settings.provider.name().into(),
            meetings: counts.meetings,
            files: counts.files,
            bytes: counts.bytes,
            hidden_meetings: counts.hidden_meetings,
            hidden_files: counts.hidden_files,
            kept_deleted: counts.kept_deleted,
            in_trash: counts.in_trash,
            trash_error: trash_error.map(|error| error.to_string()),
            late_error: late_files_error.map(|error| error.to_string()),
            is_refreshing: is_running,
            listed: listed_at,
            listed_whole: fully_listed_at,
            next: next_at,
            error: last_failure.as_ref().map(|(_, error)| error.to_string()),
            failed: last_failure.map(|(at, _)| at),
            incomplete: incomplete.collect(),
        }
    }

    /// Whether the last listing failed, in whole or in part.
    pub(crate) fn is_troubled(&self) -> bool {
        self.error.is_some() || !self.incomplete.is_empty()
    }

    fn write(&self, text: &mut String, wall: &WallClock) {
        let at =
            |time: Option<Timestamp>| time.map_or_else(|| "never".to_owned(), |at| wall.show(at));
        let mut line = |what: std::fmt::Arguments<'_>| {
            let _a_string_takes_all = writeln!(text, "{what}");
        };
        line(format_args!(
            "  {}  {}, {} in {}, {}",
            self.name,
            self.provider,
            counted(self.meetings, "meeting"),
            counted(self.files, "file"),
            ByteSize(self.bytes)
        ));
        if self.hidden_meetings + self.hidden_files > 0 {
            line(format_args!(
                "          hidden by the filter: {} and {} of others",
                counted(self.hidden_meetings, "meeting"),
                counted(self.hidden_files, "file")
            ));
        }
        if self.kept_deleted > 0 {
            line(format_args!(
                "          kept from the cache after it was deleted upstream: {}",
                counted(self.kept_deleted, "meeting")
            ));
        }
        if self.in_trash > 0 {
            line(format_args!(
                "          in the recycle bin: {}",
                counted(self.in_trash, "meeting")
            ));
        }
        let next = match (self.is_refreshing, self.next) {
            (true, _) => "being listed now".to_owned(),
            (false, next) => format!("next {}", at(next)),
        };
        // What an earlier run listed is as old as that.
        line(format_args!("          listed {}, {next}", at(self.listed.or(self.listed_whole))));
        if let Some(error) = &self.error {
            line(format_args!("          FAILED {}: {error}", at(self.failed)));
        }
        if let Some(error) = &self.trash_error {
            line(format_args!("          the recycle bin is incomplete: {error}"));
        }
        if let Some(error) = &self.late_error {
            line(format_args!("          transcripts that are made late do not show: {error}"));
        }
        for days in &self.incomplete {
            line(format_args!("          INCOMPLETE {} to {}: {}", days.from, days.to, days.error));
        }
    }
}

fn counted(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::*;

    fn report() -> MountReport {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let source = SourceReport {
            name: "acme".into(),
            provider: "zoom".into(),
            meetings: 1,
            files: 1200,
            bytes: 3 << 30,
            hidden_meetings: 2,
            hidden_files: 0,
            kept_deleted: 1,
            in_trash: 3,
            trash_error: Some("no scope".into()),
            late_error: Some("no scope either".into()),
            is_refreshing: false,
            listed: Some(at("2026-10-06T07:00:00Z")),
            listed_whole: None,
            next: Some(at("2026-10-06T07:05:00Z")),
            error: Some("the secret is wrong".into()),
            failed: Some(at("2026-10-06T07:00:01Z")),
            incomplete: vec![IncompleteDays {
                from: "2026-01-01".parse().unwrap(),
                to: "2026-01-30".parse().unwrap(),
                error: "out of reach".into(),
            }],
        };
        MountReport {
            mountpoint: "/mnt/m".into(),
            dead: None,
            pid: Some(42),
            version: Some("1.2.3".into()),
            since: Some(at("2026-10-04T22:00:00Z")),
            sources: vec![source],
            is_unfinished: false,
            down: vec![DownReport {
                host: "https://api.zoom.us".into(),
                sources: vec!["acme".into()],
                since: at("2026-10-06T06:59:00Z"),
                next: at("2026-10-06T07:03:05Z"),
            }],
            disk: None,
        }
    }

    #[test]
    fn a_person_reads_what_is_there_what_failed_and_when_it_is_tried_again() {
        let zone = TimeZone::get("Asia/Kolkata").unwrap();
        let wall = WallClock { zone, now: "2026-10-06T07:03:00Z".parse().unwrap() };
        assert_eq!(
            report().as_text(&wall),
            "/mnt/m  process 42, since 2026-10-05 03:30:00 +0530, meetfs 1.2.3\n  \
               acme  zoom, 1 meeting in 1200 files, 3.0 GiB\n          \
                       hidden by the filter: 2 meetings and 0 files of others\n          \
                       kept from the cache after it was deleted upstream: 1 meeting\n          \
                       in the recycle bin: 3 meetings\n          \
                       listed 12:30:00 +0530, next 12:35:00 +0530\n          \
                       FAILED 12:30:01 +0530: the secret is wrong\n          \
                        the recycle bin is incomplete: no scope\n          \
                        transcripts that are made late do not show: no scope either\n          \
                        INCOMPLETE 2026-01-01 to 2026-01-30: out of reach\n  \
                DOWN    https://api.zoom.us (acme) has not answered since 12:29:00 +0530; reads fail at once, the next one after 12:33:05 +0530 tries it\n"
        );
    }

    #[test]
    fn what_a_daemon_says_is_what_a_client_reads() {
        let text = serde_json::to_string(&report()).unwrap();
        assert_eq!(serde_json::from_str::<MountReport>(&text).unwrap(), report());
        assert!(report().sources[0].is_troubled());
    }
}

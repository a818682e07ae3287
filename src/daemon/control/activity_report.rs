//! The parts of a report that count what a mount does: reads, caches, connections and requests.

use std::cmp::Reverse;
use std::fmt::Write;

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

use super::count_text::{pluralize, pluralize_as};
use crate::daemon::archive::Archive;
use crate::http::{CodeClass, HostConnections, Operation, RequestCounters};
use crate::vfs::{OpenFileStatus, ReaderProcess, ScannerLimiter};

/// Open files, and the reads since the mount started that reached the daemon.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ReadsReport {
    pub open_files: u64,
    /// Number of bytes that programs have read.
    pub bytes: u64,
    /// Number of reads that failed.
    pub failures: u64,
    /// The open recording files. If there are many, those that are read fastest.
    pub files: Vec<OpenFileReport>,
}

/// An open recording file. Sizes are in bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct OpenFileReport {
    /// Path relative to the mountpoint.
    pub path: String,
    /// The process that opened the file or read it last, and the name of its program. `None` if the
    /// process has ended or is in another PID namespace.
    pub pid: Option<u32>,
    pub command: Option<String>,
    pub size: u64,
    pub bytes_read: u64,
    pub bytes_per_second: u64,
    /// Number of bytes that are in memory or on disk.
    pub cached_bytes: u64,
}

/// The limit for scanners, and their reads since the mount started.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ScannersReport {
    /// Maximum number of bytes of each file that are fetched for one process.
    pub limit: u64,
    /// The programs that have read bytes that were not cached, ordered by name.
    pub programs: Vec<ScannerReport>,
}

/// The reads of all processes of one program.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ScannerReport {
    pub program: String,
    /// Number of bytes that were fetched for the program.
    pub fetched_bytes: u64,
    /// Number of reads that failed because of the limit.
    pub refused_reads: u64,
}

/// Maximum number of open files in a report. Each takes a millisecond if it is large.
const MAX_LISTED_FILES: usize = 100;

/// The memory cache. Sizes are in bytes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct MemoryReport {
    pub limit: u64,
    pub used: u64,
    /// Memory that is reserved for running fetches.
    pub reserved: u64,
    /// Number of reads whose bytes were all in memory.
    pub hits: u64,
    /// Number of reads that waited for the disk or the server.
    pub misses: u64,
    pub evicted_blocks: u64,
}

/// The connections to one host.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ConnectionsReport {
    /// Scheme and host.
    pub host: String,
    /// Number of requests in flight.
    pub in_use: u64,
    /// Number of requests that wait for a connection.
    pub waiting: u64,
    /// Maximum number of requests in flight at present.
    pub limit: u64,
    /// Maximum number of requests in flight while the host is not overloaded.
    pub configured_limit: u64,
}

/// The requests to the provider of a source since the mount started.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct RequestsReport {
    /// The number of requests of each operation and outcome, without those that are 0.
    pub sent: Vec<RequestCount>,
    /// The number of retries of each operation, without those that are 0.
    pub retries: Vec<RetryCount>,
    /// Number of bytes of files that have arrived.
    pub fetched_bytes: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RequestCount {
    pub operation: String,
    /// The class of the status code, such as `2xx`, or `none` if no reply arrived.
    pub code: String,
    pub count: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RetryCount {
    pub operation: String,
    pub count: u64,
}

impl ReadsReport {
    pub(super) fn of(archive: &Archive) -> Self {
        let mut files = archive.handles.open_recordings();
        files.sort_by_key(|file| Reverse((file.bytes_per_second, file.bytes_read, file.ino)));
        files.truncate(MAX_LISTED_FILES);
        let files = files.iter().map(|file| OpenFileReport::of(file, archive)).collect();
        Self { files, ..Self::without_files(archive) }
    }

    /// Returns the totals without a list of the open files.
    pub(super) fn without_files(archive: &Archive) -> Self {
        let counts = archive.handles.read_counts();
        Self {
            open_files: archive.handles.open_file_count() as u64,
            bytes: counts.bytes,
            failures: counts.failures,
            files: Vec::new(),
        }
    }

    pub(super) fn write(&self, text: &mut String) {
        for file in &self.files {
            let reader = match (&file.command, file.pid) {
                (Some(command), Some(pid)) => format!("{command} (process {pid})"),
                _ => "unknown process".to_owned(),
            };
            // Writing to a string does not fail.
            let _ = writeln!(
                text,
                "  reading {}: {reader}, {} read, {} % cached, {}/s",
                file.path,
                ByteSize(file.bytes_read),
                percent(file.cached_bytes, file.size),
                ByteSize(file.bytes_per_second)
            );
        }
        let hidden = self.open_files.saturating_sub(self.files.len() as u64);
        if hidden > 0 {
            let _ = writeln!(text, "  reading {}", pluralize(hidden, "other file"));
        }
        if self.failures > 0 {
            let _ = writeln!(text, "  errors  {}", pluralize(self.failures, "failed read"));
        }
    }
}

impl OpenFileReport {
    fn of(file: &OpenFileStatus, archive: &Archive) -> Self {
        let process = ReaderProcess::of_thread(file.reader.0);
        let (pid, command) = process.map(|process| (process.id, process.program)).unzip();
        Self {
            path: archive.tree.path_of(file.ino),
            pid,
            command,
            size: file.file.content().recording.size,
            bytes_read: file.bytes_read,
            bytes_per_second: file.bytes_per_second,
            cached_bytes: archive.engine.cached_bytes(&file.file.content().recording).total,
        }
    }
}

impl ScannersReport {
    /// Returns `None` if scanners are not limited.
    pub(super) fn of(limiter: &ScannerLimiter) -> Option<Self> {
        let programs = limiter.counts().into_iter().map(|(program, counts)| ScannerReport {
            program: program.to_owned(),
            fetched_bytes: counts.fetched_bytes,
            refused_reads: counts.refused_reads,
        });
        Some(Self { limit: limiter.limit()?, programs: programs.collect() })
    }

    pub(super) fn write(&self, text: &mut String) {
        for scanner in &self.programs {
            // Writing to a string does not fail.
            let _ = writeln!(
                text,
                "  scanner {}: {} fetched, {} refused by the limit of {}",
                scanner.program,
                ByteSize(scanner.fetched_bytes),
                pluralize(scanner.refused_reads, "read"),
                ByteSize(self.limit)
            );
        }
    }

    /// Returns the number of bytes that were fetched for all programs.
    pub(crate) fn fetched_bytes(&self) -> u64 {
        self.programs.iter().map(|scanner| scanner.fetched_bytes).sum()
    }

    /// Returns the number of refused reads of all programs.
    pub(crate) fn refused_reads(&self) -> u64 {
        self.programs.iter().map(|scanner| scanner.refused_reads).sum()
    }
}

/// Returns the share of `part` in `whole`, rounded down. An empty file is complete.
pub(super) fn percent(part: u64, whole: u64) -> u64 {
    let percent = u128::from(part) * 100 / u128::from(whole.max(1));
    if whole == 0 { 100 } else { u64::try_from(percent).unwrap_or(100) }
}

impl MemoryReport {
    pub(super) fn of(archive: &Archive) -> Self {
        let (status, counts) = (archive.engine.memory_status(), archive.handles.read_counts());
        Self {
            limit: status.budget,
            used: status.cached_bytes,
            reserved: status.reserved_bytes,
            hits: counts.memory_hits,
            misses: counts.memory_misses,
            evicted_blocks: status.evicted_blocks,
        }
    }

    pub(super) fn write(&self, text: &mut String) {
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "  memory  {} of {}; {}, {}, {} evicted",
            ByteSize(self.used + self.reserved),
            ByteSize(self.limit),
            pluralize(self.hits, "hit"),
            pluralize_as(self.misses, "miss", "misses"),
            pluralize(self.evicted_blocks, "block")
        );
    }
}

impl ConnectionsReport {
    pub(super) fn of(connections: HostConnections) -> Self {
        let HostConnections { host, in_use, waiting, limit, configured_limit } = connections;
        Self {
            host,
            in_use: in_use as u64,
            waiting: waiting as u64,
            limit: limit as u64,
            configured_limit: configured_limit as u64,
        }
    }

    pub(super) fn write(&self, text: &mut String) {
        // An idle host needs no line.
        if self.in_use == 0 && self.waiting == 0 && self.limit == self.configured_limit {
            return;
        }
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "  host    {}: {} of {}",
            self.host,
            self.in_use,
            pluralize(self.limit, "connection")
        );
        if self.limit < self.configured_limit {
            let _ = write!(text, " (reduced from {})", self.configured_limit);
        }
        let _ = match self.waiting {
            0 => writeln!(text),
            waiting => writeln!(text, ", {} waiting", pluralize(waiting, "request")),
        };
    }
}

impl RequestsReport {
    pub(super) fn of(counters: &RequestCounters) -> Self {
        let pairs = Operation::ALL
            .into_iter()
            .flat_map(|operation| CodeClass::ALL.map(|code| (operation, code)));
        let sent = pairs.map(|(operation, code)| RequestCount {
            operation: operation.name().to_owned(),
            code: code.name().to_owned(),
            count: counters.requests(operation, code),
        });
        let retries = Operation::ALL.into_iter().map(|operation| RetryCount {
            operation: operation.name().to_owned(),
            count: counters.retries(operation),
        });
        Self {
            sent: sent.filter(|sent| sent.count > 0).collect(),
            retries: retries.filter(|retries| retries.count > 0).collect(),
            fetched_bytes: counters.fetched_bytes(),
        }
    }

    /// Returns the number of requests of an operation that had this outcome.
    pub(crate) fn sent(&self, operation: Operation, code: CodeClass) -> u64 {
        let has_labels =
            |sent: &&RequestCount| sent.operation == operation.name() && sent.code == code.name();
        self.sent.iter().find(has_labels).map_or(0, |sent| sent.count)
    }

    /// Returns the number of retries of an operation.
    pub(crate) fn retries(&self, operation: Operation) -> u64 {
        let mut retries = self.retries.iter();
        retries.find(|retries| retries.operation == operation.name()).map_or(0, |it| it.count)
    }
}

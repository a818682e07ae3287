//! The parts of a report that count what a mount does: reads, caches, connections and requests.

use serde::{Deserialize, Serialize};

use crate::daemon::archive::Archive;
use crate::http::{CodeClass, HostConnections, Operation, RequestCounters};

/// Open files, and the reads since the mount started that reached the daemon.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct ReadsReport {
    pub open_files: u64,
    /// Number of bytes that programs have read.
    pub bytes: u64,
    /// Number of reads that failed.
    pub failures: u64,
}

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
        let counts = archive.handles.read_counts();
        Self {
            open_files: archive.handles.open_file_count() as u64,
            bytes: counts.bytes,
            failures: counts.failures,
        }
    }
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

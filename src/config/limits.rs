//! Defaults and permitted ranges of the settings that have a flag.

use std::time::Duration;

/// Default time after which a read fails. It is long enough to detect a stalled connection and to
/// fetch the remaining bytes over a new one.
pub const DEFAULT_READ_DEADLINE: &str = "30s";
/// Default of the maximum number of connections to one server. Many servers limit the rate of each
/// connection. From such a server, copies of four files take four to six times as long with 8
/// connections as with 64. The servers of downloads are content delivery networks, which accept
/// this many connections from one address. More connections would gain nothing, because the memory
/// has no space for their chunks.
pub const DEFAULT_CONNECTIONS: &str = "64";
/// Default of the memory for file contents. 64 MiB of it are for the buffers of 64 connections.
/// Five eighths of the rest are for prefetch, which is enough for 60 chunks of 2 MiB. With shorter
/// chunks, a connection is idle for a larger part of the time.
pub const DEFAULT_MEMORY: &str = "256MiB";
/// Default of the memory for file contents on a machine with less memory than
/// [`SMALL_MACHINE_MEMORY`]. It is enough for 32 connections.
pub(super) const DEFAULT_MEMORY_OF_SMALL_MACHINE: &str = "64MiB";
/// Memory in bytes below which the smaller default applies. [`DEFAULT_MEMORY`] would be more than a
/// seventh of it. A machine with 2 GiB reports a little less, and gets the usual default.
pub(super) const SMALL_MACHINE_MEMORY: u64 = 1792 << 20;
pub const DEFAULT_DISK: &str = "10GiB";
/// Default number of bytes of each file that are fetched for one process of a scanner. A thumbnail
/// of a video takes 64 KiB at its start, its index, and 64 to 400 KiB at another position. The
/// index of an hour has about a megabyte.
pub(super) const DEFAULT_SCANNER_LIMIT: &str = "1.5MiB";
/// The value that turns the metrics server off. It is the default.
pub const METRICS_OFF: &str = "off";

/// The value that turns the search index off. It is the default, because the index contains what
/// was said in meetings, and because building it downloads all transcripts.
pub const SEARCH_OFF: &str = "off";

/// Minimum number of bytes of each file for one process of a scanner. The first read-ahead of the
/// kernel requests up to 128 KiB. With less, no type would be detected.
pub(super) const MIN_SCANNER_LIMIT: u64 = 128 << 10;
/// Minimum deadline of a read. A shorter deadline would leave no time for a slow round trip and one
/// retry. Every read would fail.
pub(super) const MIN_READ_DEADLINE: Duration = Duration::from_secs(1);
/// Maximum deadline of a read. A program that waits longer appears to hang, and its user sees no
/// reason.
pub(super) const MAX_READ_DEADLINE: Duration = Duration::from_secs(600);
/// Maximum number of connections to one server. A process does not need more, and every provider
/// accepts this number.
pub(super) const MAX_CONNECTIONS: usize = 64;

//! Defaults and permitted ranges of the settings that have a flag.

use std::time::Duration;

/// Default time after which a read fails. It is long enough to detect a stalled connection and to
/// fetch the remaining bytes over a new one.
pub const DEFAULT_READ_DEADLINE: &str = "30s";
/// Default of the maximum number of connections to one server. Browsers open 6 to 8 of them. A
/// single connection is often slower than the line, so several connections increase throughput.
/// Providers limit the number of connections: with many more, requests would be queued or refused.
pub const DEFAULT_CONNECTIONS: &str = "8";
pub const DEFAULT_MEMORY: &str = "128MiB";
pub const DEFAULT_DISK: &str = "10GiB";

/// Minimum deadline of a read. A shorter deadline would leave no time for a slow round trip and one
/// retry. Every read would fail.
pub(super) const MIN_READ_DEADLINE: Duration = Duration::from_secs(1);
/// Maximum deadline of a read. A program that waits longer appears to hang, and its user sees no
/// reason.
pub(super) const MAX_READ_DEADLINE: Duration = Duration::from_secs(600);
/// Maximum number of connections to one server. A process does not need more, and every provider
/// accepts this number.
pub(super) const MAX_CONNECTIONS: usize = 64;

//! Defaults of settings that have a flag, and the ranges they must be within.

use std::time::Duration;

/// A stalled connection is noticed within this time and the rest is fetched on another one.
pub const DEFAULT_READ_DEADLINE: &str = "30s";
/// Browsers open 6 to 8 connections to one host. A single connection is often slower than the
/// line, so a few more increase throughput. Providers limit their number, so many more only queue
/// or are refused.
pub const DEFAULT_CONNECTIONS: &str = "8";
pub const DEFAULT_MEMORY: &str = "128MiB";
pub const DEFAULT_DISK: &str = "10GiB";

/// A shorter deadline ends before one slow round trip with a retry does, and every read fails.
pub(super) const MIN_READ_DEADLINE: Duration = Duration::from_secs(1);
/// A program that waits longer for a read looks hung and reports no reason.
pub(super) const MAX_READ_DEADLINE: Duration = Duration::from_secs(600);
/// One process has no use for more connections to one host, and every provider accepts as many.
pub(super) const MAX_CONNECTIONS: usize = 64;

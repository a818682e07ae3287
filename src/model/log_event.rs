//! The names of the log events that programs can recognize: in the journal of systemd, each has a
//! message id, which is fixed.

/// The file system is mounted and can be listed.
pub const MOUNT_READY: &str = "mount_ready";
/// The file system is being unmounted.
pub const UNMOUNT: &str = "unmount";
/// The circuit breaker of a host opens: reads that need the host fail at once.
pub const HOST_DOWN: &str = "host_down";
/// The circuit breaker of a host closes.
pub const HOST_UP: &str = "host_up";
/// The bytes of a read did not arrive before its deadline.
pub const READ_DEADLINE_EXCEEDED: &str = "read_deadline_exceeded";

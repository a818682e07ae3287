//! The kernel's read-ahead.

use nix::sys::stat::{major, minor};

/// Read-ahead of the mount in KiB.
///
/// A mount can ask for 128 KiB itself. A gigabyte is then 8192 requests in sequence, and a seek
/// that wants 256 KiB is two. This is the most that one request can carry: `FUSE_MAX_MAX_PAGES` is
/// 256 pages unless `fs.fuse.max_pages_limit` was raised. From 2 MiB on the kernel doubles the size
/// of the first request of a file (`get_init_ra_size`), and the reader waits for bytes behind those
/// that it wants.
const READAHEAD_KIB: u32 = 1024;

/// Raises the read-ahead of the mount with the device number `device`. Only root is permitted to do
/// so, and nothing depends on it.
pub(super) fn raise(device: u64) {
    let path = format!("/sys/class/bdi/{}:{}/read_ahead_kb", major(device), minor(device));
    if let Err(error) = std::fs::write(path, READAHEAD_KIB.to_string()) {
        tracing::debug!("the kernel's read-ahead stays at 128 KiB: {error}");
    }
}

//! Sets the size of the kernel's read-ahead for a mount.

use nix::sys::stat::{major, minor};

/// Read-ahead of the mount in KiB.
///
/// The mount options allow at most 128 KiB. With 128 KiB, reading a gigabyte takes 8192 consecutive
/// requests, and a seek that needs 256 KiB takes two. The value is the maximum size of one request:
/// `FUSE_MAX_MAX_PAGES` is 256 pages unless `fs.fuse.max_pages_limit` was raised. From 2 MiB on,
/// the kernel doubles the size of the first request of a file (`get_init_ra_size`), and the reader
/// waits for bytes that it did not request.
const READAHEAD_KIB: u32 = 1024;

/// Raises the read-ahead of the mount with the device number `device`. Only root may do this. With
/// the default read-ahead, reads are slower.
pub(super) fn raise(device: u64) {
    let path = format!("/sys/class/bdi/{}:{}/read_ahead_kb", major(device), minor(device));
    if let Err(error) = std::fs::write(path, READAHEAD_KIB.to_string()) {
        tracing::debug!("the kernel's read-ahead stays at 128 KiB: {error}");
    }
}

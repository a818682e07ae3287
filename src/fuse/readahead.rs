//! How far the kernel reads ahead of a program.

use nix::sys::stat::{major, minor};

/// What the kernel is asked to read ahead, in KiB: as much as one request may carry (`FUSE_MAX_MAX_PAGES` is 256
/// pages where `fs.fuse.max_pages_limit` was not raised). With the 128 KiB that a mount may ask for by itself, a
/// gigabyte is 8192 requests that are each waited for, and a seek that wants 256 KiB is two, one after the other.
/// From 2 MiB on the kernel would double what it asks for at the first look into a file (`get_init_ra_size`), and
/// the reader would wait for the bytes behind those it wants.
const READAHEAD_KIB: u32 = 1024;

/// Raises the readahead of the mount with the device number `device`, where that is permitted. Only root may, and
/// nothing depends on it.
pub(super) fn raise(device: u64) {
    let path = format!("/sys/class/bdi/{}:{}/read_ahead_kb", major(device), minor(device));
    if let Err(error) = std::fs::write(path, READAHEAD_KIB.to_string()) {
        tracing::debug!("the kernel's readahead stays at 128 KiB: {error}");
    }
}

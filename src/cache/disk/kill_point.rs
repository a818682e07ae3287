//! Points at which a test can kill the process, before each change on disk.

/// Does nothing outside of tests.
#[cfg(not(test))]
pub(super) fn kill_point() {}

#[cfg(test)]
pub(super) use in_tests::{MAX_CHANGES, kill_point, set_remaining_changes};

#[cfg(test)]
mod in_tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Environment variable with the number of changes until the process is killed.
    pub(in crate::cache::disk) const MAX_CHANGES: &str = "MEETFS_TEST_MAX_CHANGES";

    /// Number of changes until the process is killed; 0 means never.
    static REMAINING_CHANGES: AtomicU64 = AtomicU64::new(0);

    pub(in crate::cache::disk) fn set_remaining_changes(changes: u64) {
        REMAINING_CHANGES.store(changes, Ordering::Relaxed);
    }

    pub(in crate::cache::disk) fn kill_point() {
        let remaining =
            REMAINING_CHANGES.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |remaining| {
                remaining.checked_sub(1)
            });
        if remaining == Ok(1) {
            nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL).unwrap();
        }
    }
}

//! Lets a test kill the process before any change on disk.

/// Does nothing: only tests kill the process.
#[cfg(not(test))]
pub(super) fn kill_point() {}

#[cfg(test)]
pub(super) use test_kill_point::{MAX_CHANGES_VARIABLE, kill_point, set_remaining_changes};

#[cfg(test)]
mod test_kill_point {
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Environment variable with the number of changes on disk after which the process is killed.
    pub(in crate::cache::disk) const MAX_CHANGES_VARIABLE: &str = "MEETFS_TEST_MAX_CHANGES";

    /// Number of changes on disk before the process is killed. At 0, the process is not killed.
    static REMAINING_CHANGES: AtomicU64 = AtomicU64::new(0);

    pub(in crate::cache::disk) fn set_remaining_changes(changes: u64) {
        REMAINING_CHANGES.store(changes, Ordering::Relaxed);
    }

    pub(in crate::cache::disk) fn kill_point() {
        let remaining_changes = REMAINING_CHANGES.fetch_update(
            Ordering::Relaxed,
            Ordering::Relaxed,
            |remaining_changes| remaining_changes.checked_sub(1),
        );
        if remaining_changes == Ok(1) {
            nix::sys::signal::raise(nix::sys::signal::Signal::SIGKILL).unwrap();
        }
    }
}

//! The progress of a listing that takes several requests.

use parking_lot::Mutex;

/// How much of the current or the last listing of a source is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListingProgress {
    /// Number of lists to request: one for each listing window and user.
    pub lists: usize,
    /// Number of lists that have been received or have failed.
    pub done_lists: usize,
    /// Number of entries in the received lists.
    pub entries: usize,
}

/// Counts the progress of the listings of one source.
#[derive(Debug, Default)]
pub(crate) struct ListingCounter(Mutex<ListingProgress>);

impl ListingCounter {
    /// Begins a listing of `lists` lists.
    pub(crate) fn begin(&self, lists: usize) {
        *self.0.lock() = ListingProgress { lists, ..ListingProgress::default() };
    }

    /// Records that a list has been received or has failed.
    pub(crate) fn record_list(&self, entries: usize) {
        let mut progress = self.0.lock();
        progress.done_lists += 1;
        progress.entries += entries;
    }

    /// Returns the progress of the current or the last listing. `None` before the first one.
    pub(crate) fn progress(&self) -> Option<ListingProgress> {
        Some(*self.0.lock()).filter(|progress| progress.lists > 0)
    }
}

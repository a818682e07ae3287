//! What the log says of reads that fail.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::http::FetchError;
use crate::tree::{Ino, LiveTree};

/// One log line for a failed read, not one for each of the dozen requests the kernel made of it.
#[derive(Debug, Default)]
pub(super) struct Complaints {
    last: Mutex<Option<(Ino, Instant)>>,
}

impl Complaints {
    /// Says that a read of the file `number` failed, unless that was just said.
    pub(super) fn say(&self, tree: &LiveTree, number: Ino, error: &FetchError) {
        /// A reader that retries in a loop would otherwise fill the disk with the same line.
        const QUIET: Duration = Duration::from_secs(5);
        let mut last = self.last.lock();
        if last.is_some_and(|(ino, at)| ino == number && at.elapsed() < QUIET) {
            return;
        }
        *last = Some((number, Instant::now()));
        drop(last);
        tracing::warn!("{} cannot be read: {error}", tree.path_of(number));
    }
}

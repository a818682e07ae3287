//! Limits how often failed reads are logged.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::tree::Ino;

/// Minimum time between two log lines for the same file. The kernel splits one read of a program
/// into a dozen requests that all fail, and a program that retries in a loop would fill the disk.
const LOG_INTERVAL: Duration = Duration::from_secs(5);

/// Decides which failed reads are logged.
#[derive(Debug, Default)]
pub(super) struct ReadErrorLog {
    last_logged_failure: Mutex<Option<(Ino, Instant)>>,
}

impl ReadErrorLog {
    /// Returns whether a failed read of `ino` must be logged now. If so, further failed reads of
    /// the file are not logged for [`LOG_INTERVAL`].
    pub(super) fn should_log(&self, ino: Ino) -> bool {
        let mut last_logged_failure = self.last_logged_failure.lock();
        let is_repeated = last_logged_failure
            .is_some_and(|(file, time)| file == ino && time.elapsed() < LOG_INTERVAL);
        if !is_repeated {
            *last_logged_failure = Some((ino, Instant::now()));
        }
        !is_repeated
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn repeated_failure_is_logged_once_per_interval() {
        let log = ReadErrorLog::default();
        assert!(log.should_log(Ino(2)));
        tokio::time::advance(LOG_INTERVAL - Duration::from_millis(1)).await;
        assert!(!log.should_log(Ino(2)));
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(log.should_log(Ino(2)));
    }

    #[tokio::test(start_paused = true)]
    async fn another_file_is_logged_at_once() {
        let log = ReadErrorLog::default();
        assert!(log.should_log(Ino(2)));
        assert!(log.should_log(Ino(3)));
        assert!(log.should_log(Ino(2)));
    }
}

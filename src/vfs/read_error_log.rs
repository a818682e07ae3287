//! Decides which failed reads are logged: one line when a file begins to fail, not one for each
//! read.

use std::mem::Discriminant;
use std::num::NonZeroUsize;
use std::time::Duration;

use lru::LruCache;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::http::FetchError;
use crate::tree::Ino;

/// Minimum time without a failed read after which the next failure of a file is logged again. The
/// kernel splits one read of a program into a dozen requests that all fail, and a program that
/// retries in a loop would fill the disk with a line for each deadline of 30 s.
const QUIET_PERIOD: Duration = Duration::from_secs(60);

/// Maximum number of files to remember. A search through a failing archive opens files one after
/// the other, so only the last ones can fail again soon.
const MAX_FILES: NonZeroUsize = NonZeroUsize::new(1024).unwrap();

/// The last failed reads of files.
#[derive(Debug)]
pub(super) struct ReadErrorLog(Mutex<LruCache<Ino, Failure>>);

#[derive(Debug)]
struct Failure {
    kind: Discriminant<FetchError>,
    time: Instant,
}

impl Default for ReadErrorLog {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(MAX_FILES)))
    }
}

impl ReadErrorLog {
    /// Records a failed read of `ino`. Returns whether it must be logged: it is the first one, or
    /// the first one with an error of this kind, or the first one after [`QUIET_PERIOD`].
    ///
    /// A read that fails because its host is down is never logged. The circuit breaker logs that
    /// the host is down.
    pub(super) fn record(&self, ino: Ino, error: &FetchError) -> bool {
        if matches!(error, FetchError::Down(_)) {
            return false;
        }
        let failure = Failure { kind: std::mem::discriminant(error), time: Instant::now() };
        let kind = failure.kind;
        let former_failure = self.0.lock().put(ino, failure);
        former_failure
            .is_none_or(|former| former.kind != kind || former.time.elapsed() >= QUIET_PERIOD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed() -> FetchError {
        FetchError::Failed("no answer".into())
    }

    #[tokio::test(start_paused = true)]
    async fn file_is_logged_once_while_it_fails() {
        let log = ReadErrorLog::default();
        assert!(log.record(Ino(2), &failed()));
        assert!(log.record(Ino(3), &failed()));
        for _ in 0..10 {
            tokio::time::advance(QUIET_PERIOD - Duration::from_millis(1)).await;
            assert!(!log.record(Ino(2), &failed()));
        }
        assert!(log.record(Ino(3), &failed()), "it did not fail for a while");
    }

    #[tokio::test(start_paused = true)]
    async fn another_reason_is_logged_at_once() {
        let log = ReadErrorLog::default();
        assert!(log.record(Ino(2), &failed()));
        assert!(log.record(Ino(2), &FetchError::Gone("404".into())));
        assert!(!log.record(Ino(2), &FetchError::Gone("404".into())));
        assert!(!log.record(Ino(4), &FetchError::Down("no answer".into())));
    }
}

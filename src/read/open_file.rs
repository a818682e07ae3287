//! Handles on files.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::Instrument;

use super::access_pattern::AccessPattern;
use super::content::{Content, FAILURE_TTL};
use super::file_breaker::ProbeWindow;
use super::throughput::ThroughputMeter;
use crate::http::FetchError;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicUsize, Ordering};

/// How long requests continue after the last handle has been closed. Players and `ffprobe` close a
/// file and open it again at once. With this delay they find the bytes still in flight. The delay
/// is below the limit of one second, after which no bytes of a closed file may be transferred.
const CLOSE_DELAY: Duration = Duration::from_millis(500);

/// A handle: a content and the access pattern of its reader. Dropping this value closes the handle.
#[derive(Debug)]
pub struct OpenFile {
    pub(super) content: Arc<Content>,
    /// Lock order: this lock is never taken while the table of in-flight fetches is locked.
    pub(super) pattern: Mutex<AccessPattern>,
    /// Measures the requests that were started for this handle.
    pub(super) meter: ThroughputMeter,
    /// Number of chunks in flight. A handle with chunks gets a share of the budget and the
    /// connections.
    chunks: AtomicUsize,
    /// Number of handles that have chunks in flight.
    active_readers: Arc<AtomicUsize>,
    last_timeout: Mutex<Option<ReadTimeout>>,
    pub(super) probe_window: ProbeWindow,
    runtime: tokio::runtime::Handle,
}

/// A read that did not finish within its deadline.
#[derive(Debug)]
struct ReadTimeout {
    at: Instant,
    range: Range<u64>,
    error: FetchError,
}

impl OpenFile {
    pub(super) fn new(
        content: Arc<Content>,
        pattern: AccessPattern,
        active_readers: Arc<AtomicUsize>,
        runtime: tokio::runtime::Handle,
    ) -> Self {
        content.add_handle();
        Self {
            content,
            pattern: Mutex::new(pattern),
            meter: ThroughputMeter::new(),
            chunks: AtomicUsize::new(0),
            active_readers,
            last_timeout: Mutex::default(),
            probe_window: ProbeWindow::new(),
            runtime,
        }
    }

    /// The content that this handle reads.
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// Counts a chunk in flight.
    pub(super) fn add_chunk(&self) {
        if self.chunks.fetch_add(1, Ordering::Relaxed) == 0 {
            self.active_readers.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Removes a chunk from the count.
    pub(super) fn remove_chunk(&self) {
        if self.chunks.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.active_readers.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Records that the bytes of a read of `range` did not arrive within its deadline.
    pub(super) fn record_timeout(&self, range: Range<u64>, error: &FetchError) {
        let timeout = ReadTimeout { at: Instant::now(), range, error: error.clone() };
        *self.last_timeout.lock() = Some(timeout);
    }

    /// Returns the error of a read that contained `offset` and timed out within the last
    /// [`FAILURE_TTL`].
    pub(super) fn recent_timeout(&self, offset: u64) -> Option<FetchError> {
        let last = self.last_timeout.lock();
        let ReadTimeout { at, range, error } = last.as_ref()?;
        (at.elapsed() < FAILURE_TTL && range.contains(&offset)).then(|| error.clone())
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        if *self.chunks.get_mut() > 0 {
            self.active_readers.fetch_sub(1, Ordering::Relaxed);
        }
        if self.content.remove_handle() {
            let content = self.content.clone();
            let close = async move {
                tokio::time::sleep(CLOSE_DELAY).await;
                content.cancel_requests_if_closed();
            };
            self.runtime.spawn(close.in_current_span());
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::runtime::Handle;

    use super::super::test_support::{content, open};
    use super::*;
    use crate::cache::BLOCK_LENGTH;

    const SIZE: u64 = 8 * BLOCK_LENGTH;

    /// Advances the time in small steps, so the tasks that close files can run.
    async fn pass(time: Duration) {
        tokio::time::sleep(time).await;
    }

    #[tokio::test(start_paused = true)]
    async fn requests_end_after_the_last_close() {
        let content = content(SIZE);
        let (first, last) =
            (open(&content, &Handle::current()), open(&content, &Handle::current()));
        let requests = content.request_token();
        drop(first);
        pass(2 * CLOSE_DELAY).await;
        assert!(!requests.is_cancelled(), "a handle is open");
        drop(last);
        pass(CLOSE_DELAY / 2).await;
        assert!(!requests.is_cancelled());
        pass(CLOSE_DELAY).await;
        assert!(requests.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn reopened_file_keeps_its_requests() {
        let content = content(SIZE);
        drop(open(&content, &Handle::current()));
        let requests = content.request_token();
        pass(CLOSE_DELAY / 2).await;
        let _again = open(&content, &Handle::current());
        pass(2 * CLOSE_DELAY).await;
        assert!(!requests.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn file_opened_later_gets_a_new_token() {
        let content = content(SIZE);
        drop(open(&content, &Handle::current()));
        pass(2 * CLOSE_DELAY).await;
        assert!(content.request_token().is_cancelled());
        let _later = open(&content, &Handle::current());
        assert!(!content.request_token().is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn handle_with_chunks_is_one_active_reader() {
        let active_readers = Arc::<AtomicUsize>::default();
        let handle = || {
            let pattern = AccessPattern::new(1, 8);
            OpenFile::new(content(SIZE), pattern, active_readers.clone(), Handle::current())
        };
        let count = || active_readers.load(Ordering::Relaxed);
        let (one, other) = (handle(), handle());
        one.add_chunk();
        one.add_chunk();
        assert_eq!(count(), 1);
        other.add_chunk();
        assert_eq!(count(), 2);
        one.remove_chunk();
        assert_eq!(count(), 2);
        one.remove_chunk();
        assert_eq!(count(), 1);
        drop(other);
        assert_eq!(count(), 0, "a closed handle is not counted");
    }

    #[tokio::test(start_paused = true)]
    async fn timeout_answers_its_range_for_a_moment() {
        let file = open(&content(SIZE), &Handle::current());
        file.record_timeout(100..200, &FetchError::Deadline("no reply".into()));
        assert!(matches!(file.recent_timeout(150), Some(FetchError::Deadline(_))));
        assert!(file.recent_timeout(99).is_none() && file.recent_timeout(200).is_none());
        pass(FAILURE_TTL).await;
        assert!(file.recent_timeout(150).is_none());
    }
}

//! Open handles on files.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::Instrument;

use super::access_pattern::AccessPattern;
use super::content::{Content, FAILURE_TTL};
use super::file_breaker::ProbeWindow;
use super::read_forecast::ReadForecast;
use super::throughput::ThroughputMeter;
use crate::http::FetchError;
use crate::sync::Mutex;
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Time for which requests continue after the last handle has been closed. Players and `ffprobe`
/// close a file and open it again at once, and then find its bytes still in flight. A program that
/// ends needs no more bytes, and a transfer at full speed receives several megabytes in this time.
const CLOSE_DELAY: Duration = Duration::from_millis(50);

/// An open handle on a file: the content of the file and the access pattern of the reader. Dropping
/// this value closes the handle.
#[derive(Debug)]
pub struct OpenFile {
    pub(super) content: Arc<Content>,
    /// Lock order: this lock is never acquired while the table of in-flight fetches is locked.
    pub(super) pattern: Mutex<AccessPattern>,
    /// Measures the throughput of the requests that were started for this handle.
    pub(super) meter: ThroughputMeter,
    /// Number of chunks in flight. A handle with chunks in flight gets a share of the memory budget
    /// and the connections.
    chunks_in_flight: AtomicUsize,
    /// Shared count of the handles that have chunks in flight.
    active_readers: Arc<AtomicUsize>,
    last_timeout: Mutex<Option<ReadTimeout>>,
    pub(super) probe_window: ProbeWindow,
    /// Whether the size of the file was unconfirmed when it was opened.
    had_unconfirmed_size: AtomicBool,
    was_read: AtomicBool,
    /// Whether the index of a media file was read, as players do.
    has_read_index: AtomicBool,
    forecast: Arc<ReadForecast>,
    runtime: tokio::runtime::Handle,
}

/// A read that did not finish within its deadline.
#[derive(Debug)]
struct ReadTimeout {
    failed_at: Instant,
    range: Range<u64>,
    error: FetchError,
}

impl OpenFile {
    pub(super) fn new(
        content: Arc<Content>,
        active_readers: Arc<AtomicUsize>,
        forecast: Arc<ReadForecast>,
        runtime: tokio::runtime::Handle,
    ) -> Self {
        content.add_handle();
        Self {
            content,
            pattern: Mutex::default(),
            meter: ThroughputMeter::default(),
            chunks_in_flight: AtomicUsize::new(0),
            active_readers,
            last_timeout: Mutex::default(),
            probe_window: ProbeWindow::new(),
            had_unconfirmed_size: AtomicBool::new(false),
            was_read: AtomicBool::new(false),
            has_read_index: AtomicBool::new(false),
            forecast,
            runtime,
        }
    }

    /// Returns the content that this handle reads.
    pub fn content(&self) -> &Content {
        &self.content
    }

    /// Records that the size was unconfirmed when the handle was opened.
    pub(super) fn record_unconfirmed_open(&self) {
        self.had_unconfirmed_size.store(true, Ordering::Relaxed);
    }

    /// Records a read through this handle.
    pub(super) fn record_read(&self) {
        if !self.was_read.load(Ordering::Relaxed)
            && !self.was_read.swap(true, Ordering::Relaxed)
            && self.had_unconfirmed_size.load(Ordering::Relaxed)
        {
            self.forecast.record_read(true);
        }
    }

    /// Records a read of the index of a media file.
    pub(super) fn record_index_read(&self) {
        self.has_read_index.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_read_index(&self) -> bool {
        self.has_read_index.load(Ordering::Relaxed)
    }

    /// Adds a chunk in flight to the count.
    pub(super) fn add_chunk(&self) {
        if self.chunks_in_flight.fetch_add(1, Ordering::Relaxed) == 0 {
            self.active_readers.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Removes a chunk from the count.
    pub(super) fn remove_chunk(&self) {
        if self.chunks_in_flight.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.active_readers.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Records that the bytes of a read of `range` did not arrive within the deadline of the read.
    pub(super) fn record_timeout(&self, range: Range<u64>, error: &FetchError) {
        let timeout = ReadTimeout { failed_at: Instant::now(), range, error: error.clone() };
        *self.last_timeout.lock() = Some(timeout);
    }

    /// Returns the error of a read that timed out within the last [`FAILURE_TTL`], if its range
    /// contained `offset`.
    pub(super) fn recent_timeout(&self, offset: u64) -> Option<FetchError> {
        let last_timeout = self.last_timeout.lock();
        let ReadTimeout { failed_at, range, error } = last_timeout.as_ref()?;
        (failed_at.elapsed() < FAILURE_TTL && range.contains(&offset)).then(|| error.clone())
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        if *self.chunks_in_flight.get_mut() > 0 {
            self.active_readers.fetch_sub(1, Ordering::Relaxed);
        }
        if *self.was_read.get_mut() {
            let size = self.content.recording.size;
            self.forecast.record_whole_read(size, self.pattern.get_mut().has_read_all(size));
        } else if *self.had_unconfirmed_size.get_mut() {
            self.forecast.record_read(false);
        }
        if self.content.remove_handle() {
            let content = self.content.clone();
            let cancel_after_delay = async move {
                tokio::time::sleep(CLOSE_DELAY).await;
                content.cancel_requests_if_closed();
            };
            self.runtime.spawn(cancel_after_delay.in_current_span());
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
    async fn advance_time(time: Duration) {
        tokio::time::sleep(time).await;
    }

    #[tokio::test(start_paused = true)]
    async fn requests_end_after_the_last_handle_is_closed() {
        let content = content(SIZE);
        let (first, last) =
            (open(&content, &Handle::current()), open(&content, &Handle::current()));
        let token = content.request_token();
        drop(first);
        advance_time(2 * CLOSE_DELAY).await;
        assert!(!token.is_cancelled(), "a handle is open");
        drop(last);
        advance_time(CLOSE_DELAY / 2).await;
        assert!(!token.is_cancelled());
        advance_time(CLOSE_DELAY).await;
        assert!(token.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn reopened_file_keeps_its_requests() {
        let content = content(SIZE);
        drop(open(&content, &Handle::current()));
        let token = content.request_token();
        advance_time(CLOSE_DELAY / 2).await;
        let _second_handle = open(&content, &Handle::current());
        advance_time(2 * CLOSE_DELAY).await;
        assert!(!token.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn file_opened_after_cancellation_gets_new_token() {
        let content = content(SIZE);
        drop(open(&content, &Handle::current()));
        advance_time(2 * CLOSE_DELAY).await;
        assert!(content.request_token().is_cancelled());
        let _second_handle = open(&content, &Handle::current());
        assert!(!content.request_token().is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn handle_with_chunks_counts_as_one_reader() {
        let active_readers = Arc::<AtomicUsize>::default();
        let handle = || {
            let readers = active_readers.clone();
            OpenFile::new(content(SIZE), readers, Arc::default(), Handle::current())
        };
        let reader_count = || active_readers.load(Ordering::Relaxed);
        let (one, other) = (handle(), handle());
        one.add_chunk();
        one.add_chunk();
        assert_eq!(reader_count(), 1);
        other.add_chunk();
        assert_eq!(reader_count(), 2);
        one.remove_chunk();
        assert_eq!(reader_count(), 2);
        one.remove_chunk();
        assert_eq!(reader_count(), 1);
        drop(other);
        assert_eq!(reader_count(), 0, "a closed handle is not counted");
    }

    #[tokio::test(start_paused = true)]
    async fn reads_in_range_repeat_a_recent_timeout() {
        let file = open(&content(SIZE), &Handle::current());
        file.record_timeout(100..200, &FetchError::Deadline("no reply".into()));
        assert!(matches!(file.recent_timeout(150), Some(FetchError::Deadline(_))));
        assert!(file.recent_timeout(99).is_none() && file.recent_timeout(200).is_none());
        advance_time(FAILURE_TTL).await;
        assert!(file.recent_timeout(150).is_none());
    }
}

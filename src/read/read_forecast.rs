//! Predicts from the last readers whether the next file that is opened will be read.
//!
//! The size of a file must be confirmed before the reply to `open`, because programs ask for the
//! length before they read. A request for one byte costs the reader a round trip more than a
//! request for the bytes that it reads first. But a program that only opens files, such as an
//! indexer, must not cause their download.

use crate::cache::BLOCK_LENGTH;
use crate::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Number of consecutive files that must have been read. One file is not enough to predict the
/// next one. A higher number would cost a copy of few files more round trips.
const MIN_FILES: u32 = 2;

/// Maximum length of a file that is fetched with one request. A file of this length arrives within
/// a second on a common line. Longer files are faster over several connections.
pub(super) const MAX_WHOLE_FILE_LENGTH: u64 = 8 * 1024 * 1024;

/// The behavior of the last readers.
#[derive(Debug, Default)]
pub(super) struct ReadForecast {
    /// Number of consecutive files with an unconfirmed size that were read after the `open`.
    read_files: AtomicU32,
    /// Number of consecutive files of medium size that were read to their end.
    whole_files: AtomicU32,
    /// Whether only a part of the last file of medium size was read.
    was_last_read_partial: AtomicBool,
}

impl ReadForecast {
    /// Whether the next file is expected to be read.
    pub(super) fn expects_read(&self) -> bool {
        self.read_files.load(Ordering::Relaxed) >= MIN_FILES
    }

    /// Whether all bytes of the next file are expected to be read, if it has `size` bytes.
    pub(super) fn expects_whole_read(&self, size: u64) -> bool {
        is_medium_sized(size) && self.whole_files.load(Ordering::Relaxed) >= MIN_FILES
    }

    /// Whether only a part of the next file is expected to be read.
    pub(super) fn expects_partial_read(&self) -> bool {
        self.was_last_read_partial.load(Ordering::Relaxed)
    }

    /// Records whether a file with an unconfirmed size was read.
    pub(super) fn record_read(&self, was_read: bool) {
        record(&self.read_files, was_read);
    }

    /// Records whether a file of `size` bytes was read to its end.
    pub(super) fn record_whole_read(&self, size: u64, has_read_all: bool) {
        if is_medium_sized(size) {
            record(&self.whole_files, has_read_all);
            self.was_last_read_partial.store(!has_read_all, Ordering::Relaxed);
        }
    }
}

/// Whether a file has more than one block and can be fetched with one request.
pub(super) fn is_medium_sized(size: u64) -> bool {
    size > BLOCK_LENGTH && size <= MAX_WHOLE_FILE_LENGTH
}

fn record(count: &AtomicU32, has_occurred: bool) {
    if has_occurred {
        // The count must not overflow. Concurrent readers can exceed the limit slightly.
        if count.load(Ordering::Relaxed) < MIN_FILES {
            count.fetch_add(1, Ordering::Relaxed);
        }
    } else {
        count.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u64 = 3 * BLOCK_LENGTH;

    #[test]
    fn two_files_that_were_read_predict_the_next() {
        let forecast = ReadForecast::default();
        assert!(!forecast.expects_read());
        forecast.record_read(true);
        assert!(!forecast.expects_read());
        forecast.record_read(true);
        assert!(forecast.expects_read());
        forecast.record_read(false);
        forecast.record_read(true);
        assert!(!forecast.expects_read());
    }

    #[test]
    fn only_medium_sized_files_predict_whole_reads() {
        let forecast = ReadForecast::default();
        for size in [BLOCK_LENGTH, MAX_WHOLE_FILE_LENGTH + 1] {
            forecast.record_whole_read(size, true);
            forecast.record_whole_read(size, true);
            assert!(!forecast.expects_whole_read(SIZE));
        }
        forecast.record_whole_read(SIZE, true);
        forecast.record_whole_read(SIZE, true);
        assert!(forecast.expects_whole_read(SIZE) && !forecast.expects_partial_read());
        assert!(!forecast.expects_whole_read(BLOCK_LENGTH));
        assert!(!forecast.expects_whole_read(MAX_WHOLE_FILE_LENGTH + 1));
        forecast.record_whole_read(SIZE, false);
        assert!(!forecast.expects_whole_read(SIZE) && forecast.expects_partial_read());
    }
}

//! The access pattern of one handle.
//!
//! A handle has up to four [streams](super::stream): positions in the file at which it reads in
//! turn, for example the audio and the video of a recording. A read belongs to the stream that it
//! continues. A read that continues no stream begins a new one.

use std::time::Duration;

use super::stream::{Stream, StreamId};
use super::throughput::MeterReading;
use crate::cache::BlockSpan;

const MAX_STREAMS: usize = 4;

/// Time without a read after which a stream is idle and its chunks are canceled.
const STREAM_IDLE_TIMEOUT: Duration = Duration::from_millis(700);

/// The streams of one handle.
#[derive(Debug, Default)]
pub(super) struct AccessPattern {
    /// The streams in the order of their last read, with the latest at the end.
    streams: Vec<Stream>,
    next_id: u64,
}

impl AccessPattern {
    /// Adds a read to its stream and returns the stream. `reading` is the current reading of the
    /// handle's throughput meter.
    pub(super) fn observe(&mut self, read: BlockSpan, reading: MeterReading) -> &mut Stream {
        let position = self.streams.iter().rposition(|stream| stream.is_continued_at(read.start));
        let mut stream = match position {
            Some(position) => {
                let mut stream = self.streams.remove(position);
                stream.add(read, reading);
                stream
            }
            None => {
                if self.streams.len() >= MAX_STREAMS {
                    self.streams.remove(0);
                }
                self.next_id += 1;
                Stream::new(StreamId(self.next_id), read, reading)
            }
        };
        for other in &mut self.streams {
            let idle_time = reading.time.duration_since(other.last_read_at());
            if other.has_chunks() && idle_time > STREAM_IDLE_TIMEOUT {
                other.cancel_chunks();
            }
        }
        stream.observe_throughput(reading);
        self.streams.push(stream);
        let last_index = self.streams.len() - 1;
        #[expect(clippy::indexing_slicing, reason = "the list of streams is not empty")]
        &mut self.streams[last_index]
    }

    /// Whether a stream has read all bytes of a file of `size` bytes.
    pub(super) fn has_read_all(&self, size: u64) -> bool {
        self.streams.iter().any(|stream| stream.has_read_all(size))
    }

    /// Returns the id of the most recently read stream.
    pub(super) fn latest_stream(&self) -> Option<StreamId> {
        self.streams.last().map(Stream::id)
    }

    pub(super) fn stream_mut(&mut self, id: StreamId) -> Option<&mut Stream> {
        self.streams.iter_mut().find(|stream| stream.id() == id)
    }
}

#[cfg(test)]
mod tests {
    use super::super::stream::ReaderShare;
    use super::super::throughput::ThroughputMeter;
    use super::*;
    use crate::cache::BLOCK_LENGTH;
    use proptest::prelude::*;

    const KIB: u64 = 1024;
    const SIZE: u64 = 1024 * BLOCK_LENGTH;
    const SHARE: ReaderShare = ReaderShare { window: 32 * BLOCK_LENGTH, connections: 8 };
    const LARGE_SHARE: ReaderShare = ReaderShare { window: 64 * BLOCK_LENGTH, connections: 8 };

    fn reading(has_waiter: bool) -> MeterReading {
        MeterReading { has_waiter, ..ThroughputMeter::default().read() }
    }

    fn span(start: u64, length: u64) -> BlockSpan {
        BlockSpan::new(start, start + length)
    }

    /// Reads `from..to` in steps of 128 KiB, as the kernel does, and returns the chunks to request.
    /// Each chunk arrives before the next read.
    fn read(pattern: &mut AccessPattern, from: u64, to: u64, has_waiter: bool) -> Vec<BlockSpan> {
        let mut chunks = Vec::new();
        let mut offset = from;
        while offset < to {
            let stream = pattern.observe(span(offset, 128 * KIB), reading(has_waiter));
            while let Some(chunk) = stream.next_chunk(SIZE, SHARE) {
                stream.record_chunk(chunk.end, 0);
                chunks.push(chunk);
            }
            offset += 128 * KIB;
        }
        chunks
    }

    fn pattern() -> AccessPattern {
        AccessPattern::default()
    }

    #[test]
    fn header_scan_prefetches_nothing() {
        assert_eq!(read(&mut pattern(), 0, 384 * KIB, true), []);
    }

    #[test]
    fn chunks_grow_while_the_reader_waits() {
        let chunks = read(&mut pattern(), 0, 200 * BLOCK_LENGTH, true);
        let lengths: Vec<u64> = chunks.iter().map(|chunk| chunk.len() / KIB).collect();
        assert!(lengths.is_sorted_by_key(|length| (*length).min(4096)), "{lengths:?}");
        assert_eq!((lengths.first(), lengths.get(80)), (Some(&512), Some(&4096)), "{lengths:?}");
    }

    /// Simulates programs that read only the start or a part of a file.
    #[test]
    fn short_run_fetches_at_most_twice_its_length() {
        for start in [0, 300 * BLOCK_LENGTH, 300 * BLOCK_LENGTH + 5 * KIB] {
            for steps in 1..125 {
                let length = steps * 128 * KIB;
                let chunks = read(&mut pattern(), start, start + length, true);
                let run_end = (start + length).next_multiple_of(BLOCK_LENGTH);
                let end = chunks.last().map_or(run_end, |chunk| chunk.end.max(run_end));
                assert!(end - start <= 2 * (length + BLOCK_LENGTH), "{length}: {chunks:?}");
            }
        }
    }

    #[test]
    fn long_run_doubles_its_window() {
        let window_end = |length| {
            let mut pattern = pattern();
            let mut end = 0;
            for offset in (0..length).step_by(128 << 10) {
                let stream = pattern.observe(span(offset, 128 * KIB), reading(true));
                while let Some(chunk) = stream.next_chunk(SIZE, LARGE_SHARE) {
                    stream.record_chunk(chunk.end, 0);
                    end = chunk.end / BLOCK_LENGTH;
                }
            }
            end
        };
        assert_eq!(window_end(8 * BLOCK_LENGTH), 18);
        assert!(window_end(17 * BLOCK_LENGTH) >= 17 + 32);
    }

    #[test]
    fn window_does_not_double_if_reader_never_waits() {
        let mut pattern = pattern();
        for block in 0..50 {
            let start = block * BLOCK_LENGTH;
            for chunk in read(&mut pattern, start, start + BLOCK_LENGTH, false) {
                assert!(chunk.end <= start + 22 * BLOCK_LENGTH, "{start}: {chunk:?}");
            }
        }
    }

    #[test]
    fn reads_in_swapped_order_belong_to_one_stream() {
        let mut pattern = pattern();
        read(&mut pattern, 0, 20 * BLOCK_LENGTH, true);
        let offset = 20 * BLOCK_LENGTH;
        let later_stream =
            pattern.observe(span(offset + 128 * KIB, 128 * KIB), reading(false)).id();
        let earlier_stream = pattern.observe(span(offset, 128 * KIB), reading(false)).id();
        assert_eq!(later_stream, earlier_stream);
    }

    #[test]
    fn seek_begins_a_stream_without_prefetch() {
        let mut pattern = pattern();
        read(&mut pattern, 0, 20 * BLOCK_LENGTH, true);
        let first_stream = pattern.latest_stream();
        let stream = pattern.observe(span(500 * BLOCK_LENGTH, 1), reading(false));
        assert_ne!(Some(stream.id()), first_stream);
        assert_eq!(stream.next_chunk(SIZE, SHARE), None);
    }

    #[test]
    fn seeks_near_each_other_prefetch_nothing() {
        let mut pattern = pattern();
        let mut offset = 300 * BLOCK_LENGTH;
        for _ in 0..40 {
            offset += BLOCK_LENGTH + 77 * KIB;
            let seek = span(offset, 260 * KIB);
            let stream = pattern.observe(seek, reading(true));
            assert_eq!(stream.next_chunk(SIZE, SHARE), None);
            assert_eq!(stream.span_to_fetch(seek, SIZE).len(), 260 * KIB);
            offset += 260 * KIB;
        }
    }

    #[test]
    fn long_run_with_small_gaps_is_prefetched() {
        let mut pattern = pattern();
        let start = 300 * BLOCK_LENGTH;
        pattern.observe(span(start, 260 * KIB), reading(false));
        let stream = pattern.observe(span(start + 352 * KIB, 260 * KIB), reading(true));
        assert_eq!(stream.next_chunk(SIZE, SHARE), None, "two seeks with a gap");
        for step in 1..16 {
            pattern.observe(span(start + (612 + step * 260) * KIB, 260 * KIB), reading(false));
        }
        let id = pattern.latest_stream().unwrap();
        assert!(pattern.stream_mut(id).unwrap().next_chunk(SIZE, SHARE).is_some());
    }

    #[test]
    fn run_after_seek_starts_with_small_chunks() {
        let mut pattern = AccessPattern::default();
        let seek = 300 * BLOCK_LENGTH + 5 * KIB;
        assert_eq!(read(&mut pattern, seek, seek + 640 * KIB, true), []);
        let chunks = read(&mut pattern, seek + 640 * KIB, seek + 2 * BLOCK_LENGTH, true);
        assert!(
            !chunks.is_empty() && chunks.iter().all(|chunk| chunk.len() <= 2 * BLOCK_LENGTH),
            "{chunks:?}"
        );
    }

    #[test]
    fn alternating_positions_get_separate_windows() {
        let mut pattern = pattern();
        let (mut audio_chunks, mut video_chunks) = (Vec::new(), Vec::new());
        for step in 0..40 {
            let offset = step * 128 * KIB;
            audio_chunks.extend(read(&mut pattern, offset, offset + 128 * KIB, true));
            let offset = offset + 500 * BLOCK_LENGTH;
            video_chunks.extend(read(&mut pattern, offset, offset + 128 * KIB, true));
        }
        assert!(
            audio_chunks.len() > 2 && video_chunks.len() > 2,
            "{audio_chunks:?} {video_chunks:?}"
        );
    }

    #[test]
    fn full_window_grows_when_the_reader_waits() {
        let mut pattern = pattern();
        read(&mut pattern, 0, 20 * BLOCK_LENGTH, false);
        let stream = pattern.observe(span(20 * BLOCK_LENGTH, 128 * KIB), reading(true));
        let mut chunks = Vec::new();
        while let Some(chunk) = stream.next_chunk(SIZE, LARGE_SHARE) {
            stream.record_chunk(chunk.end, 1);
            chunks.push(chunk);
        }
        assert!(!chunks.is_empty() && chunks.len() <= LARGE_SHARE.connections, "{chunks:?}");
        chunks.iter().for_each(|_| stream.record_chunk_end());
        assert_eq!(stream.next_chunk(SIZE, LARGE_SHARE), None, "the window is full");
        stream.observe_throughput(reading(true));
        let next_start = stream.next_chunk(SIZE, LARGE_SHARE).map(|chunk| chunk.start);
        assert_eq!(next_start, chunks.last().map(|chunk| chunk.end));
    }

    #[test]
    fn fifth_stream_cancels_the_oldest() {
        let mut pattern = pattern();
        let oldest_stream = pattern.observe(span(0, BLOCK_LENGTH), reading(false));
        let (id, token) = (oldest_stream.id(), oldest_stream.chunk_token());
        for offset in 1..MAX_STREAMS as u64 {
            pattern.observe(span(offset * 100 * BLOCK_LENGTH, 1), reading(false));
            assert!(!token.is_cancelled());
        }
        pattern.observe(span(900 * BLOCK_LENGTH, 1), reading(false));
        assert!(token.is_cancelled() && pattern.stream_mut(id).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn chunks_of_an_idle_stream_are_canceled() {
        let meter = ThroughputMeter::default();
        let mut pattern = pattern();
        let stream = pattern.observe(span(0, BLOCK_LENGTH), meter.read());
        let token = stream.chunk_token();
        let chunk = stream.next_chunk(SIZE, SHARE).unwrap();
        stream.record_chunk(chunk.end, 1);
        tokio::time::advance(STREAM_IDLE_TIMEOUT).await;
        pattern.observe(span(500 * BLOCK_LENGTH, 1), meter.read());
        assert!(!token.is_cancelled(), "the timeout has not passed");
        tokio::time::advance(Duration::from_millis(1)).await;
        pattern.observe(span(500 * BLOCK_LENGTH, 1), meter.read());
        assert!(token.is_cancelled());
    }

    proptest! {
        #[test]
        fn chunks_of_a_run_are_contiguous(
            waits in prop::collection::vec(any::<bool>(), 1..400)
        ) {
            let mut pattern = pattern();
            let mut requested_until: Option<u64> = None;
            for (step, waits) in waits.into_iter().enumerate() {
                let offset = step as u64 * 128 * KIB;
                for chunk in read(&mut pattern, offset, offset + 128 * KIB, waits) {
                    prop_assert!(
                        requested_until.is_none_or(|until| until == chunk.start),
                        "{requested_until:?} {chunk:?}"
                    );
                    prop_assert!(chunk.start < chunk.end);
                    requested_until = Some(chunk.end);
                }
                prop_assert!(requested_until.is_none_or(|until| until > offset));
            }
        }
    }
}

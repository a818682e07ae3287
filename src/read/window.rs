//! What a handle is up to, and how far ahead of it to fetch.
//!
//! A handle has up to four *tracks*: places it reads from in turn, as a player reads sound and picture, each with the
//! [`Run`] that is read there. A track that is read on for half a megabyte gets a *window*, the bytes ahead of it that
//! are to be there or on their way. The window doubles when its reader had to wait, so a player that reads at the speed
//! of its film keeps a small one and a copy soon has a large one. It is filled by *chunks*, each a request of its own,
//! as many at once as [`ConcurrencyController`] finds useful.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::access_pattern::Run;
use super::concurrency::ConcurrencyController;
use super::throughput::Reading;
use crate::cache::BLOCK_LENGTH;
use crate::http::{ByteRange, TrafficClass};

/// Places read in turn that are told apart.
const TRACKS: usize = 4;

/// How much must have been read in a row before anything is fetched ahead. Scanners and thumbnailers read the
/// first few hundred kilobytes of a file and leave; half a block in, somebody is reading on, and the rest of the
/// block is still on its way, so a real reader does not wait for the decision.
const RUN_BEFORE_WINDOW: u64 = BLOCK_LENGTH / 2;

/// The same where the run did not begin with the file. Of fifty seeks in a film of an hour some fall beside each other,
/// and two reads of 256 KiB would look like somebody who reads on; the rest of their block comes along anyway.
const RUN_BEFORE_WINDOW_AFTER_SEEK: u64 = BLOCK_LENGTH;

/// How long such a run must be to get more than one connection, which are given four blocks each at once.
const RUN_BEFORE_LANES: u64 = 4 * BLOCK_LENGTH;

/// Largest chunk. Each costs its connection a round trip in which nothing comes: at 12 MB/s and 50 ms a chunk of 8 MiB
/// wastes 7 %, one of 12 MiB 5 %. Larger ones would gain little, and with eight connections the usual budget holds no
/// more.
const MAX_CHUNK: u64 = 12 * BLOCK_LENGTH;

/// Bytes for each connection that a measurement takes, and the least time. So much is some 20 ms of a common line, so
/// eight connections are found useful within four round trips; on a fast one it comes in no time, and the measurement
/// would be one of the scheduler.
const MEASURED_BYTES: u64 = BLOCK_LENGTH / 4;
const MEASURED_TIME: Duration = Duration::from_millis(20);

/// A track that was not read for this long has been left: what is on its way for it is called off.
const LEFT_AFTER: Duration = Duration::from_millis(700);

/// The access pattern of one handle.
#[derive(Debug)]
pub(super) struct Tracks {
    /// Most recently read last.
    tracks: Vec<Track>,
    next_id: u64,
    first_lanes: usize,
    most_lanes: usize,
}

/// One place that is read on.
#[derive(Debug)]
pub(super) struct Track {
    /// Tells it from the others of its handle.
    pub(super) id: TrackId,
    run: Run,
    /// Bytes ahead of the reader that should be there.
    window: u64,
    /// Where the window has been asked for up to.
    covered: u64,
    /// Whether its reader has had to wait since the window last grew, and since the stretch being measured began.
    waited: bool,
    waited_in_epoch: bool,
    /// Chunks on their way.
    chunks: usize,
    lanes: ConcurrencyController,
    /// Whether as many connections as there should be have brought bytes since their number last grew: before that,
    /// a measurement would take the round trip of the new ones for their speed.
    is_settled: bool,
    /// When the stretch being measured began; when the track did; and the latest of all.
    epoch: Reading,
    first: Reading,
    latest: Reading,
    /// Bytes of all chunks asked for.
    asked: u64,
    last_read: Instant,
    /// Ends its chunks.
    pub(super) left: CancellationToken,
}

/// What one reader may take of what all share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    /// Bytes that may be fetched ahead of it.
    pub(super) window: u64,
    /// Connections.
    pub(super) lanes: usize,
}

/// A read as its track sees it. Each is observed once: a second look at it would fill a gap that is still there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Observed {
    pub(super) track: TrackId,
    /// Whether its reader is not coming back to what it has read.
    pub(super) is_run: bool,
    pub(super) offset: u64,
    pub(super) end: u64,
}

/// Names a track within its handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TrackId(u64);

impl Tracks {
    pub(super) fn new(first_lanes: usize, most_lanes: usize) -> Self {
        Self { tracks: Vec::new(), next_id: 0, first_lanes, most_lanes }
    }

    /// Notes a read of `offset..end` and returns its track; `reading` is the handle's.
    pub(super) fn observe(&mut self, offset: u64, end: u64, reading: Reading) -> &mut Track {
        let now = reading.at;
        let place = self.tracks.iter().rposition(|track| track.run.continues(offset));
        let mut track = match place {
            Some(place) => {
                let mut track = self.tracks.remove(place);
                track.run.take_in(offset, end);
                track.last_read = now;
                track
            }
            None => {
                if self.tracks.len() >= TRACKS {
                    drop(self.tracks.remove(0));
                }
                self.next_id += 1;
                Track {
                    id: TrackId(self.next_id),
                    run: Run::of(offset, end),
                    window: 0,
                    covered: 0,
                    waited: false,
                    chunks: 0,
                    is_settled: true,
                    lanes: ConcurrencyController::new(self.first_lanes, self.most_lanes),
                    waited_in_epoch: false,
                    epoch: reading,
                    first: reading,
                    latest: reading,
                    asked: 0,
                    last_read: now,
                    left: CancellationToken::new(),
                }
            }
        };
        for other in &mut self.tracks {
            if other.chunks > 0 && now.duration_since(other.last_read) > LEFT_AFTER {
                other.call_off();
            }
        }
        track.measure(reading);
        self.tracks.push(track);
        let last = self.tracks.len() - 1;
        // Just pushed.
        #[expect(clippy::indexing_slicing, reason = "the track was pushed in the line above")]
        &mut self.tracks[last]
    }

    /// The track that was read last.
    pub(super) fn latest(&self) -> Option<TrackId> {
        self.tracks.last().map(|track| track.id)
    }

    pub(super) fn get(&mut self, id: TrackId) -> Option<&mut Track> {
        self.tracks.iter_mut().find(|track| track.id == id)
    }
}

impl Track {
    /// The read of `offset..end`, which the track has just taken in.
    pub(super) fn observed(&self, offset: u64, end: u64) -> Observed {
        Observed { track: self.id, is_run: self.run.length() >= BLOCK_LENGTH, offset, end }
    }

    /// What to ask for when the bytes `offset..end` of a file of `size` bytes are missing.
    pub(super) fn demand(&self, offset: u64, end: u64, size: u64) -> ByteRange {
        self.run.demand(offset, end, size)
    }

    /// What the reader of this track is.
    pub(super) fn class(&self) -> TrafficClass {
        self.run.class()
    }

    /// The next chunk to ask for in a file of `size` bytes, if the window is not full. The caller says with
    /// [`chunk_started`](Self::chunk_started) whether it was.
    pub(super) fn next_chunk(&mut self, size: u64, share: Share) -> Option<ByteRange> {
        let run = self.run.length();
        let is_of_start = self.run.is_of_start();
        if run < if is_of_start { RUN_BEFORE_WINDOW } else { RUN_BEFORE_WINDOW_AFTER_SEEK } {
            return None;
        }
        let next_block = self.run.end().div_ceil(BLOCK_LENGTH).saturating_mul(BLOCK_LENGTH);
        self.covered = self.covered.max(next_block);
        if self.covered >= size {
            return None;
        }
        let cap = share.window.max(BLOCK_LENGTH);
        self.lanes.limit(share.lanes);
        let lanes = if is_of_start || run >= RUN_BEFORE_LANES { self.lanes.now() } else { 1 };
        let ahead = self.covered - self.run.end();
        let least = if lanes == 1 { BLOCK_LENGTH } else { lanes as u64 * 4 * BLOCK_LENGTH };
        let is_first = self.window == 0;
        self.window = self.window.clamp(least.min(cap), cap);
        // All connections are kept busy, and when that takes more than the window while the reader waits, the window
        // is too small. A single one is asked again before it has come to its end, or it would stand still for a
        // round trip between any two chunks.
        let due = match lanes {
            1 => self.chunks < 2 && ahead <= self.window / 2,
            _ => self.chunks < lanes && (ahead < self.window || self.waited),
        };
        if !due {
            return None;
        }
        if std::mem::take(&mut self.waited) && !is_first {
            self.window = self.window.saturating_mul(2).min(cap);
        }
        if ahead >= self.window {
            return None;
        }
        // Towards the end all connections get as much of what is missing, the bytes on their way included: then they
        // come to their ends at the same time.
        let coming = self.asked.saturating_sub(self.latest.bytes.saturating_sub(self.first.bytes));
        let missing = (size - self.covered).saturating_add(coming);
        let even = missing.div_ceil(lanes as u64).next_multiple_of(BLOCK_LENGTH);
        let chunk = (self.window / lanes as u64).clamp(BLOCK_LENGTH, MAX_CHUNK).min(even);
        let chunk = chunk / BLOCK_LENGTH * BLOCK_LENGTH;
        Some(ByteRange { start: self.covered, end: self.covered.saturating_add(chunk).min(size) })
    }

    /// Notes that the window has been asked for up to `end`, by a request of its own or by none.
    pub(super) fn chunk_started(&mut self, end: u64, requests: usize) {
        self.asked += end.saturating_sub(self.covered);
        self.covered = self.covered.max(end);
        self.chunks += requests;
    }

    /// Notes what became of a chunk that was counted as one request up to its end: it was asked for up to
    /// `until`, by `started` requests.
    pub(super) fn correct(&mut self, chunk: ByteRange, until: u64, started: usize) {
        self.chunks = (self.chunks + started).saturating_sub(1);
        if until < chunk.end && self.covered == chunk.end {
            self.asked = self.asked.saturating_sub(chunk.end - until.max(chunk.start));
            self.covered = until.max(chunk.start);
        }
    }

    /// Notes that a chunk has come or was given up.
    pub(super) fn chunk_ended(&mut self) {
        self.chunks = self.chunks.saturating_sub(1);
    }

    /// Measures what a connection brings over stretches in which the reader waited: one that is content says nothing
    /// of what the line could bring.
    pub(super) fn measure(&mut self, reading: Reading) {
        self.latest = reading;
        self.waited |= reading.is_waited_for;
        self.waited_in_epoch |= reading.is_waited_for;
        if !self.is_settled && reading.flowing >= self.lanes.now() {
            self.is_settled = true;
            self.waited_in_epoch = reading.is_waited_for;
            self.epoch = reading;
        }
        let bytes = reading.bytes.saturating_sub(self.epoch.bytes);
        let enough = bytes >= self.lanes.now() as u64 * MEASURED_BYTES
            && reading.at.saturating_duration_since(self.epoch.at) >= MEASURED_TIME;
        if !self.is_settled || !enough {
            return;
        }
        if std::mem::take(&mut self.waited_in_epoch) {
            let before = self.lanes.now();
            self.lanes.measured(bytes, reading.seconds - self.epoch.seconds);
            self.is_settled = self.lanes.now() <= before;
        }
        self.epoch = reading;
    }

    /// How many connections have proved useful, for the next reader; `None` where others took their share of them.
    pub(super) fn lanes(&self) -> Option<usize> {
        self.lanes.found()
    }

    fn call_off(&mut self) {
        self.left.cancel();
        self.left = CancellationToken::new();
        self.covered = self.run.end();
        self.window = 0;
    }
}

impl Drop for Track {
    fn drop(&mut self) {
        self.left.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::throughput::Meter;
    use proptest::prelude::*;

    const KIB: u64 = 1024;
    const SIZE: u64 = 1024 * BLOCK_LENGTH;
    const CAP: Share = Share { window: 32 * BLOCK_LENGTH, lanes: 8 };
    const LARGE: Share = Share { window: 64 * BLOCK_LENGTH, lanes: 8 };

    /// Reads `from..to` in pieces of 128 KiB, as the kernel does, and returns the chunks asked for. Each is taken
    /// to have come before the next read.
    fn read(tracks: &mut Tracks, from: u64, to: u64, waits: bool) -> Vec<ByteRange> {
        let mut asked = Vec::new();
        let mut offset = from;
        while offset < to {
            let track = tracks.observe(offset, offset + 128 * KIB, nothing());
            track.waited = waits;
            while let Some(chunk) = track.next_chunk(SIZE, CAP) {
                track.chunk_started(chunk.end, 0);
                asked.push(chunk);
            }
            offset += 128 * KIB;
        }
        asked
    }

    fn nothing() -> Reading {
        Meter::new().read()
    }

    fn tracks() -> Tracks {
        Tracks::new(1, 8)
    }

    #[test]
    fn a_look_at_the_head_fetches_nothing_ahead() {
        assert_eq!(read(&mut tracks(), 0, 384 * KIB, true), []);
    }

    #[test]
    fn a_reader_that_waits_gets_chunks_that_double_up_to_the_largest() {
        let chunks = read(&mut tracks(), 0, 200 * BLOCK_LENGTH, true);
        let blocks: Vec<u64> = chunks.iter().map(|chunk| chunk.len() / BLOCK_LENGTH).collect();
        assert_eq!(blocks.get(..7), Some([1, 2, 4, 8, 12, 12, 12].as_slice()), "{blocks:?}");
    }

    #[test]
    fn a_reader_that_never_waits_keeps_the_smallest_window() {
        let chunks = read(&mut tracks(), 0, 50 * BLOCK_LENGTH, false);
        assert!(chunks.iter().all(|chunk| chunk.len() == BLOCK_LENGTH), "{chunks:?}");
    }

    #[test]
    fn swapped_neighbours_are_no_seek_and_a_far_jump_is_one() {
        let mut tracks = tracks();
        read(&mut tracks, 0, 20 * BLOCK_LENGTH, true);
        let id = tracks
            .observe(20 * BLOCK_LENGTH + 128 * KIB, 20 * BLOCK_LENGTH + 256 * KIB, nothing())
            .id;
        assert_eq!(
            tracks.observe(20 * BLOCK_LENGTH, 20 * BLOCK_LENGTH + 128 * KIB, nothing()).id,
            id
        );
        let far = tracks.observe(500 * BLOCK_LENGTH, 500 * BLOCK_LENGTH + 1, nothing());
        assert!(far.id != id);
        assert_eq!(far.next_chunk(SIZE, CAP), None);
    }

    #[test]
    fn seeks_that_fall_near_each_other_are_no_run() {
        let mut tracks = tracks();
        let mut place = 300 * BLOCK_LENGTH;
        for _ in 0..40 {
            place += BLOCK_LENGTH + 77 * KIB;
            let track = tracks.observe(place, place + 260 * KIB, nothing());
            track.waited = true;
            assert_eq!(track.next_chunk(SIZE, CAP), None);
            assert_eq!(track.demand(place, place + 260 * KIB, SIZE).len(), 260 * KIB);
            place += 260 * KIB;
        }
    }

    #[test]
    fn two_seeks_with_a_small_gap_are_no_run_and_a_long_one_with_small_gaps_is() {
        let mut tracks = tracks();
        let start = 300 * BLOCK_LENGTH;
        tracks.observe(start, start + 260 * KIB, nothing());
        let track = tracks.observe(start + 352 * KIB, start + 612 * KIB, nothing());
        track.waited = true;
        assert_eq!(track.next_chunk(SIZE, CAP), None);
        for step in 1..16 {
            let place = start + (612 + step * 260) * KIB;
            tracks.observe(place, place + 260 * KIB, nothing());
        }
        let id = tracks.latest().unwrap();
        assert!(tracks.get(id).unwrap().next_chunk(SIZE, CAP).is_some());
    }

    #[test]
    fn a_run_after_a_seek_starts_small_however_many_connections_are_useful() {
        let mut tracks = Tracks::new(4, 8);
        let seek = 300 * BLOCK_LENGTH + 5 * KIB;
        assert_eq!(read(&mut tracks, seek, seek + 640 * KIB, true), []);
        let chunks = read(&mut tracks, seek + 640 * KIB, seek + 2 * BLOCK_LENGTH, true);
        assert!(
            !chunks.is_empty() && chunks.iter().all(|chunk| chunk.len() <= 2 * BLOCK_LENGTH),
            "{chunks:?}"
        );
        let chunks = read(&mut Tracks::new(4, 8), 0, 640 * KIB, true);
        assert!(chunks.iter().map(ByteRange::len).sum::<u64>() >= 16 * BLOCK_LENGTH, "{chunks:?}");
    }

    #[test]
    fn two_places_read_in_turn_keep_a_window_each() {
        let mut tracks = tracks();
        let (mut sound, mut picture) = (Vec::new(), Vec::new());
        for step in 0..40 {
            let offset = step * 128 * KIB;
            sound.extend(read(&mut tracks, offset, offset + 128 * KIB, true));
            let offset = offset + 500 * BLOCK_LENGTH;
            picture.extend(read(&mut tracks, offset, offset + 128 * KIB, true));
        }
        assert!(sound.len() > 2 && picture.len() > 2, "{sound:?} {picture:?}");
    }

    #[test]
    fn several_connections_are_kept_busy_within_the_window() {
        let mut tracks = Tracks::new(8, 8);
        let track = tracks.observe(0, BLOCK_LENGTH, nothing());
        track.waited = true;
        let mut chunks = Vec::new();
        while let Some(chunk) = track.next_chunk(SIZE, LARGE) {
            track.chunk_started(chunk.end, 1);
            chunks.push(chunk);
        }
        assert_eq!(chunks.len(), 8);
        track.chunk_ended();
        assert_eq!(track.next_chunk(SIZE, LARGE), None, "the window is full and nobody waits");
        track.waited = true;
        assert_eq!(
            track.next_chunk(SIZE, LARGE).map(|chunk| chunk.start),
            chunks.last().map(|c| c.end)
        );
    }

    proptest! {
        #[test]
        fn chunks_of_one_run_never_overlap_and_never_leave_a_gap(
            waits in prop::collection::vec(any::<bool>(), 1..400), lanes in 1usize..9
        ) {
            let mut tracks = Tracks::new(lanes, 8);
            let mut covered: Option<u64> = None;
            for (step, waits) in waits.into_iter().enumerate() {
                let offset = step as u64 * 128 * KIB;
                for chunk in read(&mut tracks, offset, offset + 128 * KIB, waits) {
                    prop_assert!(covered.is_none_or(|until| until == chunk.start), "{covered:?} {chunk:?}");
                    prop_assert!(chunk.start < chunk.end);
                    covered = Some(chunk.end);
                }
                prop_assert!(covered.is_none_or(|until| until > offset));
            }
        }
    }
}

//! Bytes that nobody has asked for yet: windows of runs, indexes of videos, small files that a walk will come to.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::Recording;
use super::engine::Engine;
use super::fetch::Purpose;
use super::media_index;
use super::open_file::{Content, OpenFile};
use super::window::{Observed, Share, TrackId};
use crate::cache::BlockIndex;
use crate::http::ByteRange;
use crate::model::BodyKind;

impl Engine {
    /// Notes a read, and fetches what it lets expect.
    pub(super) fn look_ahead(self: &Arc<Self>, file: &Arc<OpenFile>, observed: Observed) {
        let Observed { track, is_run, offset, end } = observed;
        if is_run {
            self.spend(&file.content, offset, end);
        }
        self.fill_window(file, track);
    }

    /// A run has come to `end`: it does not need the blocks any more that end there.
    fn spend(&self, content: &Content, offset: u64, end: u64) {
        let mut index = BlockIndex::of(offset);
        while index.end(content.recording.size) <= end {
            self.cache.spend(content.key(index));
            if index.end(content.recording.size) == content.recording.size {
                return;
            }
            index = BlockIndex(index.0 + 1);
        }
    }

    /// A chunk of a window has ended: there may be room and reason for the next.
    pub(super) fn chunk_ended(self: &Arc<Self>, file: &Arc<OpenFile>, id: TrackId) {
        {
            let mut tracks = file.tracks.lock();
            let Some(track) = tracks.get(id) else { return };
            track.chunk_ended();
            if let Some(lanes) = track.lanes() {
                self.lanes.lock().insert(file.content.recording.id.source.clone(), lanes);
            }
        }
        self.fill_window(file, id);
    }

    /// Bytes have come for a track: they may show that more connections would help.
    pub(super) fn bytes_flow(self: &Arc<Self>, file: &Arc<OpenFile>, id: TrackId) {
        {
            let mut tracks = file.tracks.lock();
            let Some(track) = tracks.get(id) else { return };
            track.measure(file.meter.read());
        }
        self.fill_window(file, id);
    }

    fn fill_window(self: &Arc<Self>, file: &Arc<OpenFile>, id: TrackId) {
        let size = file.content.recording.size;
        loop {
            let mut tracks = file.tracks.lock();
            let Some(track) = tracks.get(id) else { return };
            let Some(chunk) = track.next_chunk(size, self.share()) else { return };
            let left = track.left.clone();
            // Counted first: the stream may end before this returns.
            track.chunk_started(chunk.end, 1);
            drop(tracks);
            let (until, started) =
                self.want(&file.content, chunk, &Purpose::Chunk(Arc::downgrade(file), id, left));
            let mut tracks = file.tracks.lock();
            let Some(track) = tracks.get(id) else { return };
            track.correct(chunk, until, started);
            if until < chunk.end {
                return;
            }
        }
    }

    /// What one reader of all those for whom chunks are on their way may have: of the budget, or the first would
    /// lose its blocks before it came to read them; and of the connections, or all would ask for small chunks.
    fn share(&self) -> Share {
        let readers = self.sharing.load(Ordering::Relaxed).max(1);
        let lanes = (self.client.connections() / readers).max(1);
        Share { window: self.cache.most_ahead() / readers as u64, lanes }
    }

    /// Fetches a small file whole, before somebody comes to it; says whether the budget allowed it. It goes on as long as
    /// the handle is open.
    pub fn prefetch_whole_file(self: &Arc<Self>, file: &OpenFile) -> bool {
        let size = file.content.recording.size;
        let whole = ByteRange { start: 0, end: size };
        file.content.is_stale()
            || file.content.is_given_up_ahead()
            || self.want(&file.content, whole, &Purpose::Neighbour).0 >= size
    }

    /// The first bytes of a file have come: what they say of the rest is asked for before anybody does.
    pub(super) fn head_arrived(self: &Arc<Self>, content: &Arc<Content>, head: &[u8]) {
        let Recording { size, body, .. } = content.recording;
        if body == BodyKind::IsoMedia
            && let Some(range) = media_index::find(head, size)
        {
            self.want(content, range, &Purpose::Likely);
        }
    }
}

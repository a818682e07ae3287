//! Streams that fill flights: one range request for a run of blocks.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Buf, Bytes};

use super::engine::Engine;
use super::flight::{Carrier, Flight, Lost};
use super::open_file::{Content, Length};
use crate::cache::{BLOCK_LENGTH, BlockCache, BlockIndex, BlockKey, Reservation};
use crate::http::{ByteRange, FetchError, RangeStream};

/// Whether somebody waits for the blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Urgency {
    /// A reader does.
    Demand,
    /// Nobody yet.
    Ahead,
}

/// Registers flights for `count` blocks from `first` on and starts the stream that fills them. Returns for how
/// many there was room.
pub(super) fn start(
    engine: &Arc<Engine>,
    flights: &mut HashMap<BlockKey, Arc<Flight>>,
    content: &Arc<Content>,
    first: BlockIndex,
    count: u64,
    urgency: Urgency,
) -> u64 {
    let wanted = count * BLOCK_LENGTH;
    let room = match urgency {
        Urgency::Demand => Some(engine.cache.reserve_for_demand(wanted)),
        Urgency::Ahead => engine.cache.reserve_ahead(wanted),
    };
    let Some(room) = room else { return 0 };
    let count = room.bytes() / BLOCK_LENGTH;
    let carrier = Arc::new(Carrier::starting_at(first));
    let run: Vec<_> = (first.0..first.0 + count)
        .map(|index| {
            let flight = Flight::new(BlockIndex(index), carrier.clone());
            flights.insert(content.key(flight.index), flight.clone());
            flight
        })
        .collect();
    let stream = Stream { engine: engine.clone(), content: content.clone(), carrier, run, room, urgency };
    let ended = content.streams();
    engine.runtime.spawn(async move { stream.run(ended).await });
    count
}

struct Stream {
    engine: Arc<Engine>,
    content: Arc<Content>,
    carrier: Arc<Carrier>,
    run: Vec<Arc<Flight>>,
    room: Reservation,
    urgency: Urgency,
}

impl Stream {
    async fn run(mut self, ended: tokio_util::sync::CancellationToken) {
        if self.urgency == Urgency::Ahead {
            self.engine.streaming.fetch_add(1, Ordering::Relaxed);
        }
        let outcome = tokio::select! {
            outcome = self.fill() => outcome,
            () = ended.cancelled() => Err(Lost::Abandoned),
        };
        if let Err(lost) = outcome {
            if let Lost::Failed(error) = &lost {
                self.take_notice(error);
            }
            self.lose_rest(&lost);
        }
        if self.urgency == Urgency::Ahead {
            self.engine.streaming.fetch_sub(1, Ordering::Relaxed);
        }
    }

    async fn fill(&mut self) -> Result<(), Lost> {
        let size = self.content.recording.size;
        let (Some(first), Some(last)) = (self.run.first(), self.run.last()) else { return Ok(()) };
        let range = ByteRange { start: first.index.start(), end: last.index.end(size) };
        let mut stream = RangeStream::new(
            self.engine.client.clone(),
            self.content.leases.clone(),
            range,
            self.content.expectation(),
            self.engine.deadline,
        );
        stream.open().await.map_err(Lost::Failed)?;
        self.content.confirm(stream.validator());
        self.engine.editions.served(&self.content, stream.validator());
        let mut rest = Bytes::new();
        for flight in self.run.clone() {
            if !self.still_carries(&flight) {
                return Err(Lost::Abandoned);
            }
            self.carrier.reach(flight.index);
            let length = (flight.index.end(size) - flight.index.start()) as usize;
            let mut missing = length;
            while missing > 0 {
                if rest.is_empty() {
                    rest = stream.chunk().await.map_err(Lost::Failed)?.ok_or_else(too_short)?;
                }
                let piece = rest.split_to(rest.remaining().min(missing));
                flight.append(&piece, length);
                missing -= piece.len();
            }
            self.land(&flight);
        }
        Ok(())
    }

    /// Another stream may have taken the block over because a reader could not wait for this one.
    fn still_carries(&self, flight: &Arc<Flight>) -> bool {
        let flights = self.engine.flights.lock();
        flights.get(&self.content.key(flight.index)).is_some_and(|known| Arc::ptr_eq(known, flight))
    }

    /// The block goes into the cache before its flight goes, so that nobody finds it in neither.
    fn land(&mut self, flight: &Arc<Flight>) {
        let block = flight.complete();
        self.room.release(BLOCK_LENGTH);
        let key = self.content.key(flight.index);
        if !self.content.is_stale() {
            self.engine.cache.insert(key, block);
        }
        self.remove(flight);
    }

    fn remove(&self, flight: &Arc<Flight>) {
        let key = self.content.key(flight.index);
        let mut flights = self.engine.flights.lock();
        if flights.get(&key).is_some_and(|known| Arc::ptr_eq(known, flight)) {
            flights.remove(&key);
        }
    }

    fn lose_rest(&self, lost: &Lost) {
        for flight in &self.run {
            if let Lost::Failed(error) = lost
                && self.still_carries(flight)
            {
                self.content.note_failure(flight.index, error);
            }
            self.remove(flight);
            flight.lose(lost.clone());
        }
    }

    fn take_notice(&self, error: &FetchError) {
        let recording = &self.content.recording;
        match error {
            FetchError::WrongTotal { served, .. } => {
                self.content.set_stale(error);
                self.engine.editions.over(&self.content);
                self.engine.cache.forget(self.content.id);
                self.engine.observer.size_found(&recording.id, recording.version, *served);
            }
            FetchError::Changed(_) => {
                self.content.set_stale(error);
                self.engine.editions.over(&self.content);
                self.engine.cache.forget(self.content.id);
                self.engine.observer.content_changed(&recording.id);
            }
            _ => {}
        }
        self.content.length.send_if_modified(|length| {
            std::mem::replace(
                length,
                if *length == Length::Confirmed { Length::Confirmed } else { Length::Doubtful },
            ) == Length::Unconfirmed
        });
    }
}

fn too_short() -> Lost {
    Lost::Failed(FetchError::Failed("the stream ended before its range did".into()))
}

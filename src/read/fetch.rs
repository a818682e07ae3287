//! Streams that fill flights: one range request each.

use std::sync::{Arc, Weak};

use bytes::{Buf, Bytes};
use tokio_util::sync::CancellationToken;

use super::Recording;
use super::engine::Engine;
use super::in_flight::{Carrier, InFlightFetch, InFlightFetches, Lost};
use super::open_file::{Content, OpenFile};
use super::window::TrackId;
use crate::cache::{BlockIndex, Reservation};
use crate::http::{ByteRange, FetchError, Priority, RangeStream, TrafficClass};

/// Bytes of a stream after which its track is told: some ten times in the time that finds out whether more connections
/// help, and a few thousand times a second on the fastest line.
const NOTED_INTERVAL: usize = 256 * 1024;

/// What a stream is started for.
#[derive(Clone, Debug)]
pub(super) enum Purpose {
    /// A reader of the handle waits for the bytes.
    Demand(TrafficClass, Weak<OpenFile>),
    /// A chunk of a window; the handle and its track are told when it ends.
    Chunk(Weak<OpenFile>, TrackId, CancellationToken),
    /// Bytes that are likely to be wanted soon, whoever reads them.
    Likely,
    /// A small file, whole, that somebody who goes through the tree is about to come to.
    Neighbour,
}

impl Purpose {
    pub(super) fn is_demand(&self) -> bool {
        matches!(self, Self::Demand(..))
    }

    fn class(&self) -> TrafficClass {
        match self {
            Self::Demand(class, _) => *class,
            // Few bytes that somebody will have to wait for.
            Self::Likely => TrafficClass::Interactive,
            Self::Chunk(..) => TrafficClass::Bulk,
            Self::Neighbour => TrafficClass::Brief,
        }
    }

    fn priority(&self) -> Priority {
        if self.is_demand() { Priority::Demand } else { Priority::Prefetch }
    }

    /// The handle whose reader the bytes are for.
    fn handle(&self) -> Option<Arc<OpenFile>> {
        match self {
            Self::Demand(_, file) | Self::Chunk(file, ..) => file.upgrade(),
            Self::Likely | Self::Neighbour => None,
        }
    }
}

/// Registers flights for `range`, of which nothing is held, and starts the stream that fills them.
pub(super) fn start(
    engine: &Arc<Engine>,
    flights: &mut InFlightFetches,
    content: &Arc<Content>,
    range: ByteRange,
    room: Reservation,
    purpose: Purpose,
) {
    let carrier = Carrier::starting_at(range.start);
    let mut run = Vec::new();
    let mut at = range.start;
    while at < range.end {
        let index = BlockIndex::of(at);
        let end = index.end(range.end);
        let flight = InFlightFetch::new(
            index,
            (at - index.start()) as usize,
            (end - index.start()) as usize,
            carrier.clone(),
        );
        flights.insert(content.key(index), &flight);
        run.push(flight);
        at = end;
    }
    let stream = Stream {
        engine: engine.clone(),
        content: content.clone(),
        carrier,
        range,
        run,
        room,
        purpose,
        has_flowed: false,
        unnoted: 0,
    };
    if let Purpose::Chunk(file, ..) = &stream.purpose
        && let Some(file) = file.upgrade()
    {
        file.chunk_begins();
    }
    let closed = content.streams();
    engine.runtime.spawn(async move { stream.run(closed).await });
}

struct Stream {
    engine: Arc<Engine>,
    content: Arc<Content>,
    carrier: Arc<Carrier>,
    range: ByteRange,
    run: Vec<Arc<InFlightFetch>>,
    room: Reservation,
    purpose: Purpose,
    has_flowed: bool,
    /// Bytes that have come since a track was told.
    unnoted: usize,
}

impl Stream {
    async fn run(mut self, closed: CancellationToken) {
        let left = match &self.purpose {
            Purpose::Chunk(_, _, left) => left.clone(),
            Purpose::Demand(..) | Purpose::Likely | Purpose::Neighbour => CancellationToken::new(),
        };
        let outcome = tokio::select! {
            outcome = self.fill() => outcome,
            () = closed.cancelled() => Err(Lost::Abandoned),
            () = left.cancelled() => Err(Lost::Abandoned),
        };
        if let Err(lost) = outcome {
            if let Lost::Failed(error) = &lost {
                self.content.note_trouble(error);
                self.take_notice(error);
                if matches!(self.purpose, Purpose::Neighbour) {
                    self.content.note_ahead_failed();
                }
            }
            self.lose_rest(lost);
        }
        if self.has_flowed
            && let Some(file) = self.purpose.handle()
        {
            file.meter.end();
        }
        let Self { engine, purpose, room, .. } = self;
        drop(room);
        if let Purpose::Chunk(file, track, _) = purpose
            && let Some(file) = file.upgrade()
        {
            file.chunk_ends();
            engine.chunk_ended(&file, track);
        }
    }

    async fn fill(&mut self) -> Result<(), Lost> {
        let mut stream = RangeStream::new(
            self.engine.client.clone(),
            self.content.leases.clone(),
            self.range,
            self.content.expectation(),
            (self.purpose.class(), self.purpose.priority()),
            self.engine.deadline,
        );
        stream.open().await.map_err(Lost::Failed)?;
        self.content.confirm(stream.validator());
        if self.engine.revisions.served(&self.content, stream.validator())
            && let Some(validator) = stream.validator()
        {
            let Recording { id, version, .. } = &self.content.recording;
            self.engine.observer.on_validator(id, *version, validator);
        }
        let mut rest = self.next(&mut stream).await?;
        if self.range.start == 0 {
            self.engine.head_arrived(&self.content, &rest);
        }
        for flight in self.run.clone() {
            if !self.still_carries(&flight) {
                return Err(Lost::Abandoned);
            }
            self.carrier.reach(flight.index.start() + flight.from as u64);
            let mut missing = flight.len();
            while missing > 0 {
                if rest.is_empty() {
                    rest = self.next(&mut stream).await?;
                }
                let piece = rest.split_to(rest.remaining().min(missing));
                flight.append(&piece);
                missing -= piece.len();
            }
            self.land(&flight);
            if let (Purpose::Chunk(..), Some(disk)) = (&self.purpose, &self.engine.disk) {
                disk.let_catch_up().await;
            }
        }
        Ok(())
    }

    /// The next bytes of the stream, counted for the handle that they are for.
    async fn next(&mut self, stream: &mut RangeStream) -> Result<Bytes, Lost> {
        let bytes = stream.chunk().await.map_err(Lost::Failed)?;
        let too_short =
            || Lost::Failed(FetchError::Failed("the stream ended before its range did".into()));
        let bytes = bytes.ok_or_else(too_short)?;
        if let Some(file) = self.purpose.handle() {
            if !std::mem::replace(&mut self.has_flowed, true) {
                file.meter.begin();
            }
            file.meter.count(bytes.len());
            self.unnoted += bytes.len();
            if self.unnoted >= NOTED_INTERVAL {
                self.unnoted = 0;
                let track = match self.purpose {
                    Purpose::Chunk(_, track, _) => Some(track),
                    _ => file.tracks.lock().latest(),
                };
                track.into_iter().for_each(|track| self.engine.bytes_flow(&file, track));
            }
        }
        Ok(bytes)
    }

    /// Another stream may have taken the bytes over because a reader could not wait for this one.
    fn still_carries(&self, flight: &Arc<InFlightFetch>) -> bool {
        self.engine.flights.lock().holds(self.content.key(flight.index), flight)
    }

    /// The bytes go into the cache before their flight goes, so that nobody finds them in neither.
    fn land(&mut self, flight: &Arc<InFlightFetch>) {
        let bytes = flight.land();
        self.room.release(bytes.len() as u64);
        let key = self.content.key(flight.index);
        if !self.content.is_stale() {
            self.engine.cache.insert(key, flight.from, &bytes);
            self.engine.keep_on_disk(&self.content, flight.index, &bytes);
        }
        self.engine.flights.lock().remove(key, flight);
    }

    /// Whoever joined a stream that nobody waited for when it began may have waited for a moment only when its time is
    /// up: he goes on by himself, unless he would be told the same.
    fn lose_rest(&self, lost: Lost) {
        let (lost, failed) =
            match lost {
                Lost::Failed(
                    FetchError::Deadline(_) | FetchError::Failed(_) | FetchError::Down(_),
                ) if !self.purpose.is_demand() => (Lost::Abandoned, Some(None)),
                Lost::Failed(error) => (Lost::Failed(error.clone()), Some(Some(error))),
                Lost::Abandoned => (Lost::Abandoned, None),
            };
        for flight in &self.run {
            if let Some(error) = &failed
                && self.still_carries(flight)
            {
                self.content.note_failure(flight.index, error.as_ref());
            }
            self.engine.flights.lock().remove(self.content.key(flight.index), flight);
            flight.lose(lost.clone());
        }
    }

    fn take_notice(&self, error: &FetchError) {
        let recording = &self.content.recording;
        match error {
            FetchError::WrongTotal { served, .. } => self.engine.disown(&self.content, *served),
            FetchError::Changed(_) => {
                self.content.set_stale(error);
                self.engine.revisions.over(&self.content);
                self.engine.forget(&self.content);
                self.engine.observer.on_content_changed(&recording.id);
            }
            _ => {}
        }
        self.content.doubt();
    }
}

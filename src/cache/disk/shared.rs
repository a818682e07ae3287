//! What the callers, the writer and the blocking pool share.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::sync::{Notify, Semaphore};

use super::failure::{Trouble, is_transient};
use super::key::{DiskKey, Fingerprint};
use super::ledger::{Ages, Ledger};
use super::lock::Lock;
use super::volume::Volume;
use super::writer_load::{Effort, Spent};

/// For how long nothing is written after the disk was found full. Others free space in their own time; asking
/// more often costs the old blocks that make way at each try.
const FULL_PAUSE: Duration = Duration::from_secs(10);

/// How often the writer looks at the file system when nobody asks it for anything: others may be filling it.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);

/// A writer that only wants processor takes its next block within this time even if everything is busy. One that does
/// not hangs, and nobody waits for it again until it has written something.
const RECEIVE_TIMEOUT: Duration = Duration::from_millis(50);

/// Loads that run at once. One disk is not faster with more, and each holds a thread of the blocking pool.
const LOADS: usize = 8;

/// Files that are verified whole at once, each as fast as the disk gives it.
const VERIFICATIONS: usize = 2;

/// Everything about one open cache.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) volume: Volume,
    pub(super) limit: u64,
    pub(super) free_floor: u64,
    queue_limit: u64,
    /// Held for an instant at a time and never while the disk is waited for: callers on any thread take it.
    state: Mutex<State>,
    /// Wakes the writer.
    work: Condvar,
    /// Wakes those who wait for it.
    done: Condvar,
    /// Wakes those who let it catch up.
    taken: Notify,
    /// Bytes free on the file system when last looked at.
    pub(super) free: AtomicU64,
    /// Loads that were given up waiting for and have not come back.
    pub(super) stuck: AtomicUsize,
    pub(super) loads: Arc<Semaphore>,
    pub(super) verifications: Arc<Semaphore>,
    _lock: Lock,
}

/// How much, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// May be held.
    pub(super) limit: u64,
    /// Stays free on the file system.
    pub(super) free_floor: u64,
    /// May wait to be written.
    pub(super) queue: u64,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) ledger: Ledger,
    queue: VecDeque<Store>,
    queued_bytes: u64,
    /// What is queued or being written: no second copy of it is.
    pending: HashSet<(Fingerprint, u32)>,
    writing: Writing,
    effort: Effort,
    /// A person was told that the disk is full or broken.
    warned: bool,
    warned_of_damage: bool,
    /// Blocks that were not kept because the writer could not keep up or there was no room.
    pub(super) skipped: u64,
    /// Blocks that were read and found wrong.
    pub(super) damaged: u64,
    flush_wanted: u64,
    flush_done: u64,
    looked: Instant,
    ending: bool,
    abandoned: bool,
    ended: bool,
}

/// Whether blocks are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Writing {
    On,
    /// The disk is full; tried again after [`FULL_PAUSE`].
    Full(Instant),
    /// The disk does not take writes, until the process ends.
    Off,
}

/// A block on its way to the disk.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) key: DiskKey,
    pub(super) index: u32,
    pub(super) block: Bytes,
}

/// What the writer is to do next.
#[derive(Debug)]
pub(super) enum Task {
    /// Remove a file version.
    Remove(Fingerprint),
    /// Free a block that was found wrong.
    Free(Fingerprint, u32),
    /// Keep a block.
    Store(Store),
    /// Write ages down.
    Ages(Ages),
    /// Look after the space on the file system.
    Look,
    /// Nothing any more.
    End,
}

impl Shared {
    /// `found` is what the directory has files of.
    pub(super) fn new(
        volume: Volume,
        lock: Lock,
        limits: Limits,
        found: HashSet<Fingerprint>,
    ) -> Self {
        let Limits { limit, free_floor, queue } = limits;
        let writing = if lock.read_only { Writing::Off } else { Writing::On };
        let state = State {
            ledger: Ledger::new(volume.unit(), volume.overhead(), found),
            queue: VecDeque::new(),
            queued_bytes: 0,
            pending: HashSet::new(),
            writing,
            effort: Effort::default(),
            warned: false,
            warned_of_damage: false,
            skipped: 0,
            damaged: 0,
            flush_wanted: 0,
            flush_done: 0,
            looked: Instant::now(),
            ending: false,
            abandoned: false,
            ended: false,
        };
        Self {
            volume,
            limit,
            free_floor,
            queue_limit: queue,
            state: Mutex::new(state),
            work: Condvar::new(),
            done: Condvar::new(),
            taken: Notify::new(),
            free: AtomicU64::new(0),
            stuck: AtomicUsize::new(0),
            loads: Arc::new(Semaphore::new(LOADS)),
            verifications: Arc::new(Semaphore::new(VERIFICATIONS)),
            _lock: lock,
        }
    }

    /// Bytes free on the file system when last looked at.
    pub(super) fn last_free(&self) -> u64 {
        self.free.load(Ordering::Relaxed)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Queues a block, unless it is there already or there is no room in the queue.
    pub(super) fn enqueue(&self, store: Store) {
        let length = store.block.len() as u64;
        let name = (store.key.fingerprint, store.index);
        let mut state = self.state();
        if !state.may_write() || state.ending || state.pending.contains(&name) {
            return;
        }
        // Of a file whose index has not been read it is not known what is held; the writer will see.
        let known = !state.ledger.is_unread(store.key.fingerprint);
        if known && state.ledger.sighting(store.key, store.index).is_some() {
            return;
        }
        if !state.queue.is_empty() && state.queued_bytes + length > self.queue_limit {
            state.skipped += 1;
            return;
        }
        state.queued_bytes += length;
        state.pending.insert(name);
        state.queue.push_back(store);
        self.work.notify_one();
    }

    /// Nothing of a file is to be used any more, nor of what is queued of it.
    pub(super) fn forget(&self, fingerprint: Fingerprint) {
        let mut state = self.state();
        state.ledger.forget(fingerprint);
        let State { queue, queued_bytes, pending, .. } = &mut *state;
        queue.retain(|store| {
            let stays = store.key.fingerprint != fingerprint;
            if !stays {
                *queued_bytes -= store.block.len() as u64;
                pending.remove(&(fingerprint, store.index));
            }
            stays
        });
        state.doom_what_is_being_written(fingerprint);
        self.work.notify_one();
    }

    /// Lets one go of a file that was handed out whole.
    pub(super) fn unpin(&self, fingerprint: Fingerprint) {
        self.state().ledger.unpin(fingerprint);
        self.work.notify_one();
    }

    /// Reads the index of a file that was found at the start, if nobody has yet.
    pub(super) fn learn(&self, fingerprint: Fingerprint) {
        if !self.state().ledger.is_unread(fingerprint) {
            return;
        }
        // One that is no good is left to the writer, who removes it.
        if let Ok(Some(index)) = self.volume.read_index(fingerprint)
            && !index.records.is_empty()
        {
            self.state().ledger.adopt(index);
        }
    }

    /// Reads a block and checks it; waits for the disk.
    pub(super) fn read(&self, key: DiskKey, index: u32) -> Option<Bytes> {
        self.learn(key.fingerprint);
        let seen = self.state().ledger.sighting(key, index)?;
        let read = self.volume.read_block(key.fingerprint, index, key.block_length(index)?);
        let right = read.as_ref().is_ok_and(|block| crc32c::crc32c(block) == seen.held.crc);
        let mut state = self.state();
        let now = state.ledger.sighting(key, index)?;
        match read {
            Ok(block) if right && now.held.crc == seen.held.crc => {
                state.ledger.wanted(key, index);
                Some(block.into())
            }
            // It went while it was read, or the process has run out of something.
            _ if now.drops != seen.drops => None,
            Err(error) if is_transient(&error) => None,
            read => {
                state.note_damage(read.err());
                state.ledger.damaged(key.fingerprint, index);
                self.work.notify_one();
                None
            }
        }
    }

    /// What the writer is to do next; waits for it.
    pub(super) fn next_task(&self) -> Task {
        let mut state = self.state();
        loop {
            if let Some(task) = state.next_task() {
                self.taken.notify_waiters();
                return task;
            }
            let flushing = state.flush_wanted != state.flush_done;
            let due = state.looked.elapsed() >= LOOK_INTERVAL;
            if state.ending || flushing || due {
                if let Some(ages) = state.ledger.next_touched() {
                    return Task::Ages(ages);
                }
                state.flush_done = state.flush_wanted;
                self.done.notify_all();
                if state.ending {
                    return Task::End;
                }
            }
            if due {
                state.looked = Instant::now();
                return Task::Look;
            }
            let rest = LOOK_INTERVAL.saturating_sub(state.looked.elapsed());
            self.work.wait_for(&mut state, rest);
        }
    }

    /// Returns as soon as half of the queue is free, or at once if the writer is not behind, or is so because of the
    /// disk.
    pub(super) async fn let_catch_up(&self) {
        let is_behind = || {
            let state = self.state();
            state.queued_bytes > self.queue_limit / 2 && state.effort.wants_processor()
        };
        loop {
            let taken = self.taken.notified();
            tokio::pin!(taken);
            // Registered before looking, or a block taken in between would be missed.
            taken.as_mut().enable();
            if !is_behind() {
                return;
            }
            if tokio::time::timeout(RECEIVE_TIMEOUT, taken).await.is_err() {
                // It hangs at a block that it has not told of.
                self.state().effort = Effort::default();
            }
        }
    }

    /// The writer is through with a block, whatever came of it.
    pub(super) fn stored(&self, fingerprint: Fingerprint, index: u32, kept: bool, spent: Spent) {
        let mut state = self.state();
        state.effort.note(spent);
        state.pending.remove(&(fingerprint, index));
        if !kept {
            state.skipped += 1;
        }
    }

    /// Whether the writer is to end, though it has not yet read what there is: nothing can be kept then.
    pub(super) fn ends_early(&self) -> bool {
        let mut state = self.state();
        state.abandoned |= state.ending;
        state.abandoned
    }

    /// The writer has ended.
    pub(super) fn ended(&self) {
        self.state().ended = true;
        self.done.notify_all();
    }

    /// Waits until everything that was asked for is on disk, or the time is up; says which.
    pub(super) fn flush(&self, within: Duration) -> bool {
        let until = Instant::now() + within;
        let mut state = self.state();
        state.flush_wanted += 1;
        let ticket = state.flush_wanted;
        self.work.notify_one();
        while state.flush_done < ticket && !state.ended {
            if self.done.wait_until(&mut state, until).timed_out() {
                return state.flush_done >= ticket;
            }
        }
        state.flush_done >= ticket
    }

    /// Lets the writer end after what is queued, but waits no longer than `within`; says whether it did.
    pub(super) fn end(&self, within: Duration) -> bool {
        let until = Instant::now() + within;
        let mut state = self.state();
        state.ending = true;
        self.work.notify_one();
        while !state.ended {
            if self.done.wait_until(&mut state, until).timed_out() {
                state.abandoned = true;
                return state.ended;
            }
        }
        true
    }

    /// A write failed, or there is no room for one: stops writing for a while or for good, and says so once.
    pub(super) fn trouble(&self, trouble: &Trouble) {
        let mut state = self.state();
        state.writing = match trouble {
            Trouble::Passing(_) => return,
            Trouble::Full(_) | Trouble::NoSpace => Writing::Full(Instant::now()),
            Trouble::Broken(_) => Writing::Off,
        };
        for store in std::mem::take(&mut state.queue) {
            state.pending.remove(&(store.key.fingerprint, store.index));
            state.skipped += 1;
        }
        state.queued_bytes = 0;
        if std::mem::replace(&mut state.warned, true) {
            return;
        }
        drop(state);
        let until =
            if matches!(trouble, Trouble::Broken(_)) { "the next mount" } else { "there is room" };
        let directory = self.volume.path().display();
        tracing::warn!(
            "the cache {directory} keeps nothing more until {until}, for {trouble}; reading goes on without it"
        );
    }
}

impl State {
    fn next_task(&mut self) -> Option<Task> {
        if self.abandoned {
            return Some(Task::End);
        }
        if let Some(fingerprint) = self.ledger.next_doomed() {
            return Some(Task::Remove(fingerprint));
        }
        if let Some((fingerprint, index)) = self.ledger.next_damaged() {
            return Some(Task::Free(fingerprint, index));
        }
        let store = self.queue.pop_front()?;
        self.queued_bytes -= store.block.len() as u64;
        Some(Task::Store(store))
    }

    /// Whether blocks are taken now.
    pub(super) fn may_write(&mut self) -> bool {
        if let Writing::Full(since) = self.writing
            && since.elapsed() >= FULL_PAUSE
        {
            self.writing = Writing::On;
        }
        self.writing == Writing::On
    }

    /// Whether the disk takes anything at all.
    pub(super) fn is_off(&self) -> bool {
        self.writing == Writing::Off
    }

    /// What the writer is at belongs to no queue; it is removed once it is written.
    fn doom_what_is_being_written(&mut self, fingerprint: Fingerprint) {
        if self.pending.iter().any(|(pending, _)| *pending == fingerprint) {
            self.ledger.doom(fingerprint);
        }
    }

    fn note_damage(&mut self, cause: Option<std::io::Error>) {
        self.damaged += 1;
        let cause = cause
            .map_or_else(|| "it is not what was written".to_owned(), |cause| cause.to_string());
        if std::mem::replace(&mut self.warned_of_damage, true) {
            tracing::debug!("another block of the cache is damaged ({cause})");
        } else {
            tracing::warn!(
                "a block of the cache is damaged ({cause}); it is fetched again, and so are others"
            );
        }
    }
}

//! The one thread that changes what is on disk: it keeps blocks, makes room for them, and removes.
//!
//! Being alone it needs no lock for what it does, and what it has reserved nobody else can take. A block is written
//! in this order: room under the limit, room above the floor, data, record, ledger. It goes in this one: ledger,
//! record, data. So whenever the process dies, a record on disk stands for data on disk; at most a block's data
//! stays behind without a record, and the next start frees that.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::failure::Trouble;
use super::format::{RECORD_LENGTH, Record, encode_record, record_offset};
use super::key::{DiskKey, Fingerprint};
use super::ledger::{Ages, Left};
use super::shared::{Shared, Store, Task};
use super::volume::{Changed, Files, Index};
use super::writer_load::Clock;

/// Left free under the limit besides what a block takes by the count: room for what file systems add for a moment,
/// up to four indirect blocks, a larger directory and a page of the index.
const HEADROOM: u64 = 32 * 1024;

/// The most that is evicted for one block over what it needs. Freeing that much without an effect means that the
/// file system does not give space back now, and going on would empty the cache for nothing.
const MAX_EVICTED_IN_VAIN: u64 = 8 * 1024 * 1024;

/// More than blocks account for, by this much, and a file has data without records.
const LEAK: u64 = 64 * 1024;

pub(super) struct Writer {
    shared: Arc<Shared>,
    /// The files written last: blocks of one file come in runs.
    open: Option<(Fingerprint, Files)>,
}

impl Writer {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, open: None }
    }

    /// Reads what is there, then does what is asked for until the end.
    pub(super) fn run(mut self, found: Vec<Fingerprint>) {
        self.read_indexes(found);
        loop {
            let done = match self.shared.next_task() {
                Task::Remove(fingerprint) => self.remove(fingerprint),
                Task::Free(fingerprint, index) => self.free(fingerprint, index),
                Task::Ages(ages) => self.write_ages(&ages),
                Task::Look => self.look(),
                Task::Store(store) => {
                    let clock = Clock::start();
                    let kept = self.keep(&store);
                    let Store { key, index, .. } = store;
                    self.shared.stored(
                        key.fingerprint,
                        index,
                        matches!(kept, Ok(true)),
                        clock.spent(),
                    );
                    kept.map(drop)
                }
                Task::End => break,
            };
            if let Err(trouble) = done {
                self.open = None;
                self.shared.trouble(&trouble);
            }
        }
        self.shared.ended();
    }

    fn read_indexes(&mut self, found: Vec<Fingerprint>) {
        for fingerprint in found {
            if self.shared.ends_early() {
                return;
            }
            if let Err(trouble) = self.read_index(fingerprint) {
                // It cannot be said any more what is held, so nothing may be added to it.
                self.shared.trouble(&trouble.for_good());
            }
        }
        if let Err(trouble) = self.make_room(0).and_then(|_| self.look()) {
            self.shared.trouble(&trouble);
        }
    }

    fn read_index(&mut self, fingerprint: Fingerprint) -> Result<(), Trouble> {
        if !self.shared.state().ledger.is_unread(fingerprint) {
            return Ok(());
        }
        match self.shared.volume.read_index(fingerprint) {
            Ok(Some(index)) if !index.records.is_empty() => {
                let index = self.stop_leaks(index)?;
                self.shared.state().ledger.adopt(index);
                Ok(())
            }
            // What cannot be read is worth nothing, and would take space unseen.
            _ => {
                self.shared.state().ledger.discard_unread(fingerprint);
                self.remove(fingerprint)
            }
        }
    }

    /// Frees data without records.
    fn stop_leaks(&self, mut index: Index) -> Result<Index, Trouble> {
        let key = index.key;
        let lengths = index.records.iter().filter_map(|(at, _)| key.block_length(*at));
        let held: u64 =
            lengths.map(|length| (length as u64).next_multiple_of(self.shared.volume.unit())).sum();
        if index.allocated.data <= held + LEAK || self.shared.state().is_off() {
            return Ok(index);
        }
        let files = self.shared.volume.open_files(key.fingerprint)?;
        let mut from = 0;
        let ends = key.block_count().map(|count| (count, 0));
        for at in index.records.iter().map(|(at, _)| *at).chain(ends.map(|(count, _)| count)) {
            if at > from {
                files.punch(from, at - from)?;
            }
            from = at + 1;
        }
        index.allocated = self.shared.volume.allocated(&files)?;
        Ok(index)
    }

    /// Keeps a block, if there is room for it; says whether it is kept now.
    fn keep(&mut self, store: &Store) -> Result<bool, Trouble> {
        let Store { key, index, block } = store;
        let need = {
            let state = self.shared.state();
            if state.ledger.sighting(*key, *index).is_some() {
                return Ok(true);
            }
            if state.ledger.is_forgotten(key.fingerprint) {
                return Ok(false);
            }
            state.ledger.cost(*key, *index) + HEADROOM + 2 * self.shared.volume.unit()
        };
        if !self.make_room(need)? || !self.leave_space(need)? {
            return Ok(false);
        }
        let is_new = !self.shared.state().ledger.knows(key.fingerprint);
        let written = self.write(*key, *index, block, is_new);
        if written.is_err() {
            // What was written of it takes space that nobody counts.
            let _worse_trouble_is_already_told = self.undo(key.fingerprint, *index, is_new);
        }
        written.map(|()| true)
    }

    fn write(
        &mut self,
        key: DiskKey,
        index: u32,
        block: &[u8],
        is_new: bool,
    ) -> Result<(), Trouble> {
        let shared = self.shared.clone();
        let crc = crc32c::crc32c(block);
        let files = self.files(key, is_new)?;
        shared.state().ledger.is_as_left(key.fingerprint, Changed::of(&files.data)?);
        files.write_block(index, block)?;
        let record = shared.state().ledger.record(crc);
        files.write_record(key, index, record)?;
        let (allocated, changed) = (shared.volume.allocated(files)?, Changed::of(&files.data)?);
        let overhead = if is_new { Some(shared.volume.overhead()) } else { None };
        let mut state = shared.state();
        state.ledger.keep(key, index, record, allocated);
        state.ledger.left(key.fingerprint, changed);
        if let Some(overhead) = overhead {
            state.ledger.set_overhead(overhead);
        }
        Ok(())
    }

    fn undo(&mut self, fingerprint: Fingerprint, index: u32, is_new: bool) -> Result<(), Trouble> {
        if is_new {
            self.open = None;
            return Ok(self.shared.volume.remove(fingerprint)?);
        }
        self.free_in_file(fingerprint, index)
    }

    /// The files of a key, made if it is new.
    fn files(&mut self, key: DiskKey, is_new: bool) -> Result<&Files, Trouble> {
        if is_new {
            let files = self.shared.volume.create_files(key)?;
            return Ok(&self.open.insert((key.fingerprint, files)).1);
        }
        self.known_files(key.fingerprint)
    }

    fn known_files(&mut self, fingerprint: Fingerprint) -> Result<&Files, Trouble> {
        let open = match self.open.take() {
            Some((known, files)) if known == fingerprint => (known, files),
            _ => match self.shared.volume.open_files(fingerprint) {
                Ok(files) => (fingerprint, files),
                // Somebody else has removed them. What is left goes, and the next block begins anew.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                    self.remove(fingerprint)?;
                    return Err(Trouble::Passing(error));
                }
                Err(error) => return Err(error.into()),
            },
        };
        Ok(&self.open.insert(open).1)
    }

    /// Evicts until `need` more bytes stay within the limit; says whether they do.
    fn make_room(&mut self, need: u64) -> Result<bool, Trouble> {
        let limit = self.shared.limit;
        let excess = {
            let state = self.shared.state();
            if state.ledger.fixed_bytes() + need > limit {
                return Ok(false);
            }
            (state.ledger.held_bytes() + need).saturating_sub(limit)
        };
        self.evict(excess)?;
        Ok(self.shared.state().ledger.held_bytes() + need <= limit)
    }

    /// Evicts until writing `need` bytes leaves the floor of free space.
    ///
    /// # Errors
    /// [`Trouble::NoSpace`] when nothing that may go is left, or what went has not freed enough.
    fn leave_space(&mut self, need: u64) -> Result<bool, Trouble> {
        let wanted = self.shared.free_floor.saturating_add(need);
        let missing = wanted.saturating_sub(self.look_at_space()?);
        if missing == 0 {
            return Ok(true);
        }
        self.evict(missing)?;
        if self.look_at_space()? >= wanted { Ok(true) } else { Err(Trouble::NoSpace) }
    }

    /// Frees `bytes`, as the ledger counts, oldest blocks first, or as many as may go.
    fn evict(&mut self, bytes: u64) -> Result<(), Trouble> {
        let before = self.shared.state().ledger.held_bytes();
        let mut evicted = 0;
        loop {
            let next = {
                let mut state = self.shared.state();
                let freed = before.saturating_sub(state.ledger.held_bytes());
                if freed >= bytes || evicted > bytes.saturating_add(MAX_EVICTED_IN_VAIN) {
                    return Ok(());
                }
                state.ledger.oldest()
            };
            let Some((fingerprint, index)) = next else { return Ok(()) };
            self.free(fingerprint, index)?;
            evicted += crate::cache::BLOCK_LENGTH;
        }
    }

    /// Looks after the floor when nothing is written.
    fn look(&mut self) -> Result<(), Trouble> {
        let missing = self.shared.free_floor.saturating_sub(self.look_at_space()?);
        if missing > 0 && !self.shared.state().is_off() {
            self.evict(missing)?;
        }
        Ok(())
    }

    fn look_at_space(&self) -> Result<u64, Trouble> {
        let (free, _) = self.shared.volume.space()?;
        self.shared.free.store(free, Ordering::Relaxed);
        Ok(free)
    }

    /// Takes a block away, and with the last one its file.
    fn free(&mut self, fingerprint: Fingerprint, index: u32) -> Result<(), Trouble> {
        if self.shared.state().ledger.drop_block(fingerprint, index) == Left::Nothing {
            return self.remove(fingerprint);
        }
        self.free_in_file(fingerprint, index)
    }

    /// The space goes even where the record cannot be cleared, as on a full Btrfs, which writes nothing in place: a
    /// record without its data fails by the checksum.
    fn free_in_file(&mut self, fingerprint: Fingerprint, index: u32) -> Result<(), Trouble> {
        let shared = self.shared.clone();
        let files = self.known_files(fingerprint)?;
        let cleared = files.clear_record(index);
        shared.state().ledger.is_as_left(fingerprint, Changed::of(&files.data)?);
        files.punch(index, 1)?;
        let (allocated, changed) = (shared.volume.allocated(files)?, Changed::of(&files.data)?);
        let mut state = shared.state();
        state.ledger.measured(fingerprint, allocated);
        state.ledger.left(fingerprint, changed);
        drop(state);
        Ok(cleared?)
    }

    /// Removes a file version: now, or its index alone where somebody still reads it.
    fn remove(&mut self, fingerprint: Fingerprint) -> Result<(), Trouble> {
        if self.open.as_ref().is_some_and(|(open, _)| *open == fingerprint) {
            self.open = None;
        }
        // From here on nobody is handed the file, so that it cannot be cut under anybody's hands.
        let still_read = self.shared.state().ledger.retire(fingerprint);
        if still_read {
            return Ok(self.shared.volume.remove_index(fingerprint)?);
        }
        self.shared.volume.remove(fingerprint)?;
        self.shared.state().ledger.gone(fingerprint);
        Ok(())
    }

    /// Writes the ages of a file's blocks down, neighbours together.
    fn write_ages(&mut self, ages: &Ages) -> Result<(), Trouble> {
        if self.shared.state().is_off() {
            return Ok(());
        }
        let files = self.known_files(ages.key.fingerprint)?;
        for run in ages.records.chunk_by(|(before, _), (after, _)| before + 1 == *after) {
            let Some((first, _)) = run.first() else { continue };
            let mut bytes = Vec::with_capacity(run.len() * RECORD_LENGTH);
            for (at, record) in run {
                let record: &Record = record;
                bytes.extend_from_slice(&encode_record(ages.key, *at, *record));
            }
            std::os::unix::fs::FileExt::write_all_at(&files.index, &bytes, record_offset(*first))?;
        }
        Ok(())
    }
}

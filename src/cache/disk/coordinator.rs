//! The state that the callers, the writer and the blocking pool share. It records which blocks are
//! stored, queued, being written, evicted or marked for removal. This module never accesses the
//! disk.

use std::collections::{HashSet, VecDeque};
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::Notify;

use super::inventory::{AccessTimes, BlockInventory};
use super::key::{DiskKey, Fingerprint};
use super::write_error::WriteError;
use super::writer_load::{TimeSpent, WriterLoad};
use crate::model::one_line;
use crate::sync::{Condvar, Mutex, MutexGuard};

/// How long writing pauses when the disk is full. Other programs rarely free space sooner, and each
/// attempt to write evicts old blocks.
const DISK_FULL_PAUSE: Duration = Duration::from_secs(10);

/// How often an idle writer checks the free space, which other processes can use up.
const SPACE_CHECK_INTERVAL: Duration = Duration::from_secs(10);

/// How long a caller waits for the writer to take its next block. A writer that lacks only
/// processor time takes a block within this time, even on a busy machine. A writer that takes
/// longer counts as stuck: callers do not wait for it again until it has written a block.
const WRITER_TIMEOUT: Duration = Duration::from_millis(50);

/// Coordinates the callers, the writer and the blocking pool; see the module.
#[derive(Debug)]
pub(super) struct Coordinator {
    queue_limit: u64,
    /// Any thread can take this lock. It is held only briefly, and never during disk access.
    state: Mutex<State>,
    /// Notified when a task for the writer has been added.
    task_added: Condvar,
    /// Notified when a flush is finished, and when the writer has ended.
    flushed_or_ended: Condvar,
    /// Notified when the writer takes a task.
    task_taken: Notify,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) inventory: BlockInventory,
    queue: VecDeque<WriteRequest>,
    queued_bytes: u64,
    /// The blocks that are queued or being written. A block in this set is not queued again.
    pending_blocks: HashSet<(Fingerprint, u32)>,
    mode: WriteMode,
    writer_load: WriterLoad,
    /// Whether the warning that writing has stopped has been logged.
    has_warned_of_error: bool,
    has_warned_of_damage: bool,
    /// Number of blocks that were not stored because the writer was behind or the disk was full.
    pub(super) skipped_blocks: u64,
    /// Number of blocks that were found damaged when they were read.
    pub(super) damaged_blocks: u64,
    pub(super) evicted_blocks: u64,
    requested_flushes: u64,
    finished_flushes: u64,
    last_space_check: Instant,
    is_shutting_down: bool,
    /// Whether the writer must end even if the queue is not empty.
    is_abandoned: bool,
    has_ended: bool,
}

/// Whether new blocks are written to disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WriteMode {
    On,
    /// The disk was full at this time. Writing resumes after [`DISK_FULL_PAUSE`].
    Paused(Instant),
    /// The disk rejects writes. Nothing is written until the process ends.
    Off,
}

/// A request to store a block.
#[derive(Debug)]
pub(super) struct WriteRequest {
    pub(super) key: DiskKey,
    pub(super) index: u32,
    pub(super) block: Bytes,
}

/// A task for the writer.
#[derive(Debug)]
pub(super) enum Task {
    /// Removes the two files of a file version.
    RemoveFile(Fingerprint),
    /// Frees the space of a damaged block.
    FreeBlock(Fingerprint, u32),
    Store(WriteRequest),
    WriteAccessTimes(AccessTimes),
    /// Evicts blocks if the free space is below the floor.
    CheckSpace,
    End,
}

impl Coordinator {
    /// Creates a coordinator. `queue_limit` is the maximum number of bytes that wait to be written.
    pub(super) fn new(inventory: BlockInventory, queue_limit: u64, is_read_only: bool) -> Self {
        let mode = if is_read_only { WriteMode::Off } else { WriteMode::On };
        let state = State {
            inventory,
            queue: VecDeque::new(),
            queued_bytes: 0,
            pending_blocks: HashSet::new(),
            mode,
            writer_load: WriterLoad::default(),
            has_warned_of_error: false,
            has_warned_of_damage: false,
            skipped_blocks: 0,
            damaged_blocks: 0,
            evicted_blocks: 0,
            requested_flushes: 0,
            finished_flushes: 0,
            last_space_check: Instant::now(),
            is_shutting_down: false,
            is_abandoned: false,
            has_ended: false,
        };
        Self {
            queue_limit,
            state: Mutex::new(state),
            task_added: Condvar::new(),
            flushed_or_ended: Condvar::new(),
            task_taken: Notify::new(),
        }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Queues a block for the writer. Does nothing if the block is stored or pending. Skips the
    /// block if the queue is full.
    pub(super) fn enqueue(&self, request: WriteRequest) {
        let length = request.block.len() as u64;
        let block_id = (request.key.fingerprint, request.index);
        let mut state = self.state();
        if !state.may_write() || state.is_shutting_down || state.pending_blocks.contains(&block_id)
        {
            return;
        }
        // If the index of the file has not been read yet, the writer checks later whether the block
        // is stored.
        let is_index_read = !state.inventory.is_unread(request.key.fingerprint);
        if is_index_read && state.inventory.block(request.key, request.index).is_some() {
            return;
        }
        if !state.queue.is_empty() && state.queued_bytes + length > self.queue_limit {
            state.skipped_blocks += 1;
            return;
        }
        state.queued_bytes += length;
        state.pending_blocks.insert(block_id);
        state.queue.push_back(request);
        self.task_added.notify_one();
    }

    /// Marks a file as stale and drops its queued blocks. If a block of the file is being written,
    /// the file is removed after the write.
    pub(super) fn forget(&self, fingerprint: Fingerprint) {
        let mut state = self.state();
        state.inventory.forget(fingerprint);
        let State { queue, queued_bytes, pending_blocks, .. } = &mut *state;
        queue.retain(|request| {
            let is_kept = request.key.fingerprint != fingerprint;
            if !is_kept {
                *queued_bytes -= request.block.len() as u64;
                pending_blocks.remove(&(fingerprint, request.index));
            }
            is_kept
        });
        state.mark_in_flight_for_removal(fingerprint);
        self.task_added.notify_one();
    }

    /// Removes one pin, which protects a file from eviction. A file without pins can be evicted.
    pub(super) fn unpin(&self, fingerprint: Fingerprint) {
        self.state().inventory.unpin(fingerprint);
        self.task_added.notify_one();
    }

    /// Removes a damaged block from the inventory, and logs the damage.
    pub(super) fn record_damage(
        &self,
        mut state: MutexGuard<'_, State>,
        (fingerprint, index): (Fingerprint, u32),
        cause: Option<&std::io::Error>,
    ) {
        state.inventory.remove_damaged_block(fingerprint, index);
        state.damaged_blocks += 1;
        let is_first = !std::mem::replace(&mut state.has_warned_of_damage, true);
        drop(state);
        self.task_added.notify_one();
        let cause = cause.map_or_else(|| "wrong checksum".to_owned(), ToString::to_string);
        if is_first {
            tracing::warn!(
                "a block of the cache is damaged ({cause}); damaged blocks are fetched again"
            );
        } else {
            tracing::debug!("another block of the cache is damaged ({cause})");
        }
    }

    /// Waits until there is a task for the writer, and returns it.
    pub(super) fn next_task(&self) -> Task {
        let mut state = self.state();
        loop {
            if let Some(task) = state.next_task() {
                self.task_taken.notify_waiters();
                return task;
            }
            let is_flushing = state.requested_flushes != state.finished_flushes;
            let is_check_due = state.last_space_check.elapsed() >= SPACE_CHECK_INTERVAL;
            if state.is_shutting_down || is_flushing || is_check_due {
                if let Some(times) = state.inventory.take_access_times() {
                    return Task::WriteAccessTimes(times);
                }
                state.finished_flushes = state.requested_flushes;
                self.flushed_or_ended.notify_all();
                if state.is_shutting_down {
                    return Task::End;
                }
            }
            if is_check_due {
                state.last_space_check = Instant::now();
                return Task::CheckSpace;
            }
            let idle_time = SPACE_CHECK_INTERVAL.saturating_sub(state.last_space_check.elapsed());
            self.task_added.wait_for(&mut state, idle_time);
        }
    }

    /// Waits until half of the queue is free. Returns at once if half of it is free already. Also
    /// returns at once if the disk limits the speed of the writer, because callers wait only for a
    /// writer that lacks processor time.
    pub(super) async fn wait_for_writer(&self) {
        let is_behind = || {
            let state = self.state();
            state.queued_bytes > self.queue_limit / 2 && state.writer_load.is_processor_bound()
        };
        loop {
            let task_taken = self.task_taken.notified();
            tokio::pin!(task_taken);
            // This registers the waiter before the check. Otherwise a task that the writer takes in
            // between would be missed.
            task_taken.as_mut().enable();
            if !is_behind() {
                return;
            }
            if tokio::time::timeout(WRITER_TIMEOUT, task_taken).await.is_err() {
                // The writer is stuck on a block whose time is not yet part of the load.
                self.state().writer_load = WriterLoad::default();
            }
        }
    }

    /// Records that the writer has processed a block, whether it was stored or not.
    pub(super) fn record_store(
        &self,
        (fingerprint, index): (Fingerprint, u32),
        is_stored: bool,
        time_spent: TimeSpent,
    ) {
        let mut state = self.state();
        state.writer_load.record(time_spent);
        state.pending_blocks.remove(&(fingerprint, index));
        if !is_stored {
            state.skipped_blocks += 1;
        }
    }

    /// If the cache is shutting down, makes the writer end without emptying the queue. Returns
    /// whether the writer must end. The writer calls this while it reads the indexes during
    /// startup.
    pub(super) fn abandon_if_shutting_down(&self) -> bool {
        let mut state = self.state();
        state.is_abandoned |= state.is_shutting_down;
        state.is_abandoned
    }

    /// Records that the writer has ended.
    pub(super) fn record_end(&self) {
        self.state().has_ended = true;
        self.flushed_or_ended.notify_all();
    }

    /// Waits until the effects of all earlier calls are on disk. Returns `false` if that takes
    /// longer than `timeout`.
    pub(super) fn flush(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut state = self.state();
        state.requested_flushes += 1;
        let own_flush = state.requested_flushes;
        self.task_added.notify_one();
        while state.finished_flushes < own_flush && !state.has_ended {
            let remaining_time = deadline.saturating_duration_since(Instant::now());
            if self.flushed_or_ended.wait_for(&mut state, remaining_time).timed_out() {
                return state.finished_flushes >= own_flush;
            }
        }
        state.finished_flushes >= own_flush
    }

    /// Makes the writer empty its queue and end. Returns whether the writer ended within `timeout`.
    pub(super) fn shut_down(&self, timeout: Duration) -> bool {
        let deadline = Instant::now() + timeout;
        let mut state = self.state();
        state.is_shutting_down = true;
        self.task_added.notify_one();
        while !state.has_ended {
            let remaining_time = deadline.saturating_duration_since(Instant::now());
            if self.flushed_or_ended.wait_for(&mut state, remaining_time).timed_out() {
                state.is_abandoned = true;
                return state.has_ended;
            }
        }
        true
    }

    /// Pauses or ends writing after an error, and drops the queue. Logs only the first error.
    pub(super) fn record_error(&self, error: &WriteError, directory: &Path) {
        let mut state = self.state();
        state.mode = match error {
            WriteError::Transient(_) => return,
            WriteError::DiskFull(_) | WriteError::BelowFloor => WriteMode::Paused(Instant::now()),
            WriteError::Rejected(_) => WriteMode::Off,
        };
        for request in std::mem::take(&mut state.queue) {
            state.pending_blocks.remove(&(request.key.fingerprint, request.index));
            state.skipped_blocks += 1;
        }
        state.queued_bytes = 0;
        if std::mem::replace(&mut state.has_warned_of_error, true) {
            return;
        }
        drop(state);
        let resume_condition = match error {
            WriteError::Rejected(_) => "the next mount",
            _ => "there is free space",
        };
        tracing::warn!(
            "the cache {} stores no blocks until {resume_condition}: {}; reads continue without it",
            directory.display(),
            one_line(error)
        );
    }
}

impl State {
    fn next_task(&mut self) -> Option<Task> {
        if self.is_abandoned {
            return Some(Task::End);
        }
        if let Some(fingerprint) = self.inventory.take_marked_file() {
            return Some(Task::RemoveFile(fingerprint));
        }
        if let Some((fingerprint, index)) = self.inventory.take_marked_block() {
            return Some(Task::FreeBlock(fingerprint, index));
        }
        let request = self.queue.pop_front()?;
        self.queued_bytes -= request.block.len() as u64;
        Some(Task::Store(request))
    }

    /// Whether the cache accepts new blocks now.
    pub(super) fn may_write(&mut self) -> bool {
        if let WriteMode::Paused(since) = self.mode
            && since.elapsed() >= DISK_FULL_PAUSE
        {
            self.mode = WriteMode::On;
        }
        self.mode == WriteMode::On
    }

    /// Whether writing has ended because the disk rejects writes.
    pub(super) fn is_off(&self) -> bool {
        self.mode == WriteMode::Off
    }

    /// If a block of the file is being written, marks the file for removal after the write. That
    /// block has left the queue, so it cannot be dropped there.
    fn mark_in_flight_for_removal(&mut self, fingerprint: Fingerprint) {
        if self.pending_blocks.iter().any(|(pending, _)| *pending == fingerprint) {
            self.inventory.mark_for_removal(fingerprint);
        }
    }

    /// Returns the number of blocks that are queued or being written, and the number of queued
    /// bytes.
    #[cfg(test)]
    pub(super) fn pending_counts(&self) -> (usize, u64) {
        (self.pending_blocks.len(), self.queued_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENGTH: u64 = 100;

    fn key(number: u8) -> DiskKey {
        DiskKey { fingerprint: Fingerprint(number.into()), size: LENGTH }
    }

    fn request(number: u8) -> WriteRequest {
        WriteRequest { key: key(number), index: 0, block: Bytes::from(vec![0; LENGTH as usize]) }
    }

    fn coordinator() -> Coordinator {
        let inventory = BlockInventory::new(4096, 0, HashSet::new());
        Coordinator::new(inventory, 2 * LENGTH, false)
    }

    fn fingerprint_of_next_store(coordinator: &Coordinator) -> Fingerprint {
        match coordinator.next_task() {
            Task::Store(request) => request.key.fingerprint,
            task => panic!("{task:?}"),
        }
    }

    #[test]
    fn a_pending_block_is_queued_once() {
        let coordinator = coordinator();
        coordinator.enqueue(request(1));
        coordinator.enqueue(request(1));
        assert_eq!(coordinator.state().pending_counts(), (1, LENGTH));
        assert_eq!(fingerprint_of_next_store(&coordinator), key(1).fingerprint);
        coordinator.enqueue(request(1));
        assert_eq!(coordinator.state().pending_counts(), (1, 0), "the block is being written");
        coordinator.record_store((key(1).fingerprint, 0), true, TimeSpent::default());
        assert_eq!(coordinator.state().pending_counts(), (0, 0));
    }

    #[test]
    fn a_full_queue_skips_blocks() {
        let coordinator = coordinator();
        (1..=3).for_each(|number| coordinator.enqueue(request(number)));
        let state = coordinator.state();
        assert_eq!((state.pending_counts(), state.skipped_blocks), ((2, 2 * LENGTH), 1));
    }

    #[test]
    fn forgetting_drops_queued_blocks() {
        let coordinator = coordinator();
        coordinator.enqueue(request(1));
        coordinator.enqueue(request(2));
        coordinator.forget(key(1).fingerprint);
        assert_eq!(coordinator.state().pending_counts(), (1, LENGTH));
        assert_eq!(fingerprint_of_next_store(&coordinator), key(2).fingerprint);
    }

    #[test]
    fn forgetting_removes_a_block_in_flight() {
        let coordinator = coordinator();
        coordinator.enqueue(request(1));
        assert_eq!(fingerprint_of_next_store(&coordinator), key(1).fingerprint);
        coordinator.forget(key(1).fingerprint);
        let task = coordinator.next_task();
        assert!(matches!(task, Task::RemoveFile(file) if file == key(1).fingerprint), "{task:?}");
    }

    #[test]
    fn a_full_disk_drops_the_queue_and_pauses() {
        let coordinator = coordinator();
        coordinator.enqueue(request(1));
        coordinator.record_error(&WriteError::BelowFloor, Path::new("/cache"));
        coordinator.enqueue(request(2));
        let mut state = coordinator.state();
        assert_eq!((state.pending_counts(), state.skipped_blocks), ((0, 0), 1));
        assert!(!state.may_write() && !state.is_off());
    }

    #[test]
    fn a_rejected_write_ends_writing() {
        let coordinator = coordinator();
        let error = WriteError::Rejected(std::io::Error::from_raw_os_error(libc::EIO));
        coordinator.record_error(&error, Path::new("/cache"));
        coordinator.enqueue(request(1));
        let state = coordinator.state();
        assert!(state.is_off() && state.pending_counts() == (0, 0));
    }

    #[test]
    fn shutdown_empties_the_queue_first() {
        let coordinator = coordinator();
        coordinator.enqueue(request(1));
        coordinator.state().is_shutting_down = true;
        coordinator.enqueue(request(2));
        assert_eq!(fingerprint_of_next_store(&coordinator), key(1).fingerprint);
        assert!(matches!(coordinator.next_task(), Task::End));
    }

    #[test]
    fn an_abandoned_writer_ends_at_once() {
        let coordinator = coordinator();
        coordinator.enqueue(request(1));
        assert!(!coordinator.shut_down(Duration::ZERO));
        assert!(matches!(coordinator.next_task(), Task::End));
    }
}

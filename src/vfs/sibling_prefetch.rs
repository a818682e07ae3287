//! Prefetch of files that are read in directory order: small files, and files of a few megabytes if
//! the last ones were read to their end.
//!
//! `grep -r` reads a thousand transcripts one after the other. Each transcript takes two round
//! trips, one for the signed URL and one for the bytes, and the connection is mostly idle. When
//! small files are read in the order in which programs walk through directories, the next files are
//! fetched in parallel. The longer the walk continues, the more files are fetched.
//!
//! A step of a walk is a read that reaches the daemon, not an `open`. Reads of cached pages do not
//! reach the daemon, so a walk through cached files starts no fetches.
//!
//! Steps are recorded in tasks. The lock of the prefetcher is held while files are opened and their
//! fetches start, so it is taken before the locks of [`read`](crate::read) and never on an event
//! thread.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::open_recording::recording_of;
#[cfg(test)]
use crate::model::TableSize;
use crate::read::{Engine, OpenFile, Recording};
use crate::tree::{Ino, LiveTree, Node, Snapshot, TreeWalk, WalkOrder};

/// Maximum length of a small file in bytes, which is one block. Transcripts of long meetings have
/// some hundred kilobytes.
pub(super) const MAX_SMALL_FILE_LENGTH: u64 = 1024 * 1024;

/// Maximum number of bytes of files that are fetched ahead of the reader. If the walk ends, they
/// were fetched in vain. It is enough for twenty files of 3 MB.
const MAX_UPCOMING_BYTES: u64 = 64 * 1024 * 1024;

/// Maximum number of files that are fetched ahead of the reader. A file takes about 110 ms: two
/// round trips of 50 ms, and 10 ms for its bytes. With 64 files in flight, about 600 files per
/// second are fetched. A program that searches the files is slower than that.
const MAX_DEPTH: usize = 64;

/// Number of files that are fetched ahead after the first predicted step of a walk. It is small,
/// because a program that reads only the transcript and the chat of a meeting must not start many
/// fetches.
const INITIAL_DEPTH: usize = 4;

/// Minimum number of files that a walk predicts, before any file is fetched. It covers the files of
/// one meeting, because a search with a file name pattern skips some of them.
const MIN_PREDICTED_FILES: usize = 8;

/// Maximum number of predicted files that a step can skip and a later step can still read. With
/// `xargs -P`, several programs share one walk and read out of order.
const MAX_REORDERING: usize = 8;

/// Maximum number of directory entries that one step searches for small files. If there are more
/// large files than this between two small files, the next small file is not prefetched.
const MAX_ENTRIES_PER_STEP: usize = 256;

/// Maximum number of walks that are tracked. Each new walk is tracked in two orders, so this is
/// enough for a few programs.
const MAX_WALKS: usize = 8;

/// Minimum time without a step after which a walk is idle and its fetches are canceled. The time to
/// read the last file is added, which is estimated from [`MIN_READ_RATE`] and from the last step.
const IDLE_TIMEOUT: Duration = Duration::from_millis(300);

/// Minimum rate, in bytes per second, at which a program is expected to read a file. It determines
/// how long a walk waits for the next step.
const MIN_READ_RATE: u64 = 2 * 1024 * 1024;

/// Time in which a walk reads the files larger than [`MAX_SMALL_FILE_LENGTH`] that are fetched
/// ahead of it, at the rate of its last step. On a slow line, more files would take the bandwidth
/// from the file that is read, and would be canceled before they are complete. The same time limits
/// the prefetch of a single file.
const MAX_LEAD: Duration = Duration::from_secs(8);

/// Maximum time without a step that is derived from the duration of the last step. A program that
/// reads a file of 8 MiB at 500 kB per second takes 17 s for each step.
const MAX_STEP_DURATION: Duration = Duration::from_secs(20);

const IDLE_CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// Detects walks through the tree, and prefetches the files that are expected next.
#[derive(Debug)]
pub(super) struct SiblingPrefetcher {
    tree: Arc<LiveTree>,
    engine: Arc<Engine>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The tracked walks. The walk with the latest step is last.
    walks: Vec<DirectoryWalk>,
    /// Whether a task is running that cancels the fetches of idle walks.
    is_cancel_task_running: bool,
}

/// A sequence of reads in directory order, usually by one program.
#[derive(Debug)]
struct DirectoryWalk {
    tree_walk: TreeWalk,
    order: WalkOrder,
    /// The files that are expected to be read next, nearest first.
    upcoming_files: VecDeque<UpcomingFile>,
    /// Number of upcoming files that are fetched. It is 0 until a step of the walk was predicted.
    depth: usize,
    last_step: Instant,
    /// Time between the last two steps.
    last_step_duration: Duration,
    /// Length of the file of the last step, in bytes.
    last_length: u64,
    /// Maximum number of bytes of files larger than [`MAX_SMALL_FILE_LENGTH`] that are fetched
    /// ahead of the reader.
    max_upcoming_bytes: u64,
}

/// A file that is expected to be read soon. Its fetch continues while the handle is open.
#[derive(Debug)]
struct UpcomingFile {
    ino: Ino,
    file: Option<Arc<OpenFile>>,
}

impl SiblingPrefetcher {
    pub(super) fn new(tree: Arc<LiveTree>, engine: Arc<Engine>) -> Self {
        Self { tree, engine, state: Mutex::default() }
    }

    /// Records a step of a walk: the first read of a small file through a handle.
    pub(super) fn record_step(self: &Arc<Self>, ino: Ino, runtime: &tokio::runtime::Handle) {
        let snapshot = self.tree.current();
        let mut state = self.state.lock();
        let walk_index = state.walks.iter_mut().rposition(|walk| walk.advance_to(ino));
        let is_expected = |node: &Node| self.expected_recording(node).is_some();
        let Some(index) = walk_index else {
            for order in [WalkOrder::ByInode, WalkOrder::ByName] {
                state.start_walk(&snapshot, ino, order, is_expected);
            }
            return;
        };
        let mut walk = state.walks.remove(index);
        if !Arc::ptr_eq(walk.tree_walk.snapshot(), &snapshot)
            && let Some(tree_walk) = TreeWalk::starting_after(snapshot.clone(), ino, walk.order)
        {
            (walk.tree_walk, walk.upcoming_files) = (tree_walk, VecDeque::new());
        }
        walk.depth = (walk.depth * 2).clamp(INITIAL_DEPTH, MAX_DEPTH);
        walk.last_length = snapshot.node(ino).map_or(0, Node::size);
        walk.predict_files(is_expected);
        self.prefetch(&mut walk);
        state.walks.push(walk);
        if !std::mem::replace(&mut state.is_cancel_task_running, true) {
            runtime.spawn(self.clone().cancel_idle_walks());
        }
    }

    #[cfg(test)]
    pub(super) fn table_size(&self) -> TableSize {
        TableSize::new("directory walks", self.state.lock().walks.len()).with_limit(MAX_WALKS)
    }

    /// Returns the recording file of a node if the walk is expected to read all of it.
    fn expected_recording(&self, node: &Node) -> Option<Recording> {
        recording_of(node).filter(|recording| {
            recording.size <= MAX_SMALL_FILE_LENGTH
                || self.engine.expects_whole_read(recording.size)
        })
    }

    /// Starts to fetch the upcoming files, as far as the memory budget allows.
    fn prefetch(&self, walk: &mut DirectoryWalk) {
        let snapshot = walk.tree_walk.snapshot().clone();
        let mut upcoming_bytes = 0;
        for next in walk.upcoming_files.iter_mut().take(walk.depth) {
            let recording = snapshot.node(next.ino).and_then(|node| self.expected_recording(node));
            upcoming_bytes += recording.as_ref().map_or(0, |recording| recording.size);
            if next.file.is_some() {
                continue;
            }
            let is_small = recording.as_ref().is_some_and(|it| it.size <= MAX_SMALL_FILE_LENGTH);
            if upcoming_bytes > MAX_UPCOMING_BYTES
                || (!is_small && upcoming_bytes > walk.max_upcoming_bytes)
            {
                return;
            }
            let Some(file) = recording.and_then(|recording| self.engine.open(&recording).ok())
            else {
                continue;
            };
            let is_complete = self.engine.prefetch_whole_file(&file);
            // The open file keeps the requests for a part of it.
            next.file = Some(file);
            if !is_complete {
                return;
            }
        }
    }

    /// Cancels the fetches of idle walks by closing their upcoming files. Returns when all walks
    /// are idle.
    async fn cancel_idle_walks(self: Arc<Self>) {
        loop {
            tokio::time::sleep(IDLE_CHECK_INTERVAL).await;
            let mut state = self.state.lock();
            let mut canceled_files = Vec::new();
            let mut is_any_active = false;
            for walk in &mut state.walks {
                if walk.last_step.elapsed() < walk.idle_timeout() {
                    is_any_active |= walk.depth > 0;
                } else {
                    canceled_files
                        .extend(walk.upcoming_files.iter_mut().filter_map(|next| next.file.take()));
                }
            }
            state.is_cancel_task_running = is_any_active;
            drop(state);
            drop(canceled_files);
            if !is_any_active {
                return;
            }
        }
    }
}

impl State {
    fn start_walk(
        &mut self,
        snapshot: &Arc<Snapshot>,
        ino: Ino,
        order: WalkOrder,
        is_expected: impl Fn(&Node) -> bool,
    ) {
        let Some(tree_walk) = TreeWalk::starting_after(snapshot.clone(), ino, order) else {
            return;
        };
        if self.walks.len() >= MAX_WALKS {
            self.walks.remove(0);
        }
        let mut walk = DirectoryWalk {
            tree_walk,
            order,
            upcoming_files: VecDeque::new(),
            depth: 0,
            last_step: Instant::now(),
            last_step_duration: Duration::ZERO,
            last_length: snapshot.node(ino).map_or(0, Node::size),
            max_upcoming_bytes: MAX_UPCOMING_BYTES,
        };
        walk.predict_files(is_expected);
        self.walks.push(walk);
    }
}

impl DirectoryWalk {
    /// If `ino` was predicted, advances the walk to it. Returns whether it was predicted.
    fn advance_to(&mut self, ino: Ino) -> bool {
        let Some(index) = self.upcoming_files.iter().position(|next| next.ino == ino) else {
            return false;
        };
        self.upcoming_files.remove(index);
        self.upcoming_files.drain(..index.saturating_sub(MAX_REORDERING));
        self.last_step_duration = self.last_step.elapsed();
        self.last_step = Instant::now();
        let rate = self.last_length as f64 / self.last_step_duration.as_secs_f64();
        // A cast from a floating-point number saturates, and infinity becomes the maximum.
        self.max_upcoming_bytes = ((rate * MAX_LEAD.as_secs_f64()) as u64).min(MAX_UPCOMING_BYTES);
        true
    }

    fn idle_timeout(&self) -> Duration {
        let read_time = Duration::from_secs_f64(self.last_length as f64 / MIN_READ_RATE as f64);
        // The next step can take longer than the last one, because upcoming files share the line.
        let step_time = (2 * self.last_step_duration).min(MAX_STEP_DURATION);
        let has_small_file = self.last_length <= MAX_SMALL_FILE_LENGTH;
        IDLE_TIMEOUT + if has_small_file { read_time } else { read_time.max(step_time) }
    }

    /// Adds the next files for which `is_expected` returns true.
    fn predict_files(&mut self, is_expected: impl Fn(&Node) -> bool) {
        let target_count = MAX_REORDERING + self.depth.max(MIN_PREDICTED_FILES);
        for _ in 0..MAX_ENTRIES_PER_STEP {
            if self.upcoming_files.len() >= target_count {
                return;
            }
            let Some(ino) = self.tree_walk.next() else { return };
            if self.tree_walk.snapshot().node(ino).is_some_and(&is_expected) {
                self.upcoming_files.push_back(UpcomingFile { ino, file: None });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::runtime::Handle;

    use super::*;
    use crate::vfs::tests::Fixture;

    const SIZE: u64 = 100;

    /// Small files in directory order, and a prefetcher that has not recorded a step.
    struct SmallFiles {
        fixture: Fixture,
        prefetcher: Arc<SiblingPrefetcher>,
        inodes: Vec<Ino>,
    }

    impl SmallFiles {
        async fn new(count: usize) -> Self {
            let topics: Vec<_> = (0..count).map(|index| format!("topic{index:03}")).collect();
            let files: Vec<_> = topics.iter().map(|topic| (topic.as_str(), SIZE)).collect();
            let fixture = Fixture::new(&files).await;
            // The server does not answer, so the fetches stay in flight and the test can count
            // them.
            fixture.silence_media();
            let inodes = topics.iter().map(|topic| fixture.video_of(topic)).collect();
            let (tree, engine) = (fixture.tree(), fixture.engine());
            Self { fixture, prefetcher: Arc::new(SiblingPrefetcher::new(tree, engine)), inodes }
        }

        fn record_step(&self, index: usize) {
            self.prefetcher.record_step(self.inodes[index], &Handle::current());
        }

        /// Returns the depth of the walk with the latest step.
        fn depth(&self) -> usize {
            self.prefetcher.state.lock().walks.last().unwrap().depth
        }

        /// Returns the number of files that the prefetcher holds open.
        fn open_files(&self) -> usize {
            let state = self.prefetcher.state.lock();
            let upcoming_files = state.walks.iter().flat_map(|walk| &walk.upcoming_files);
            upcoming_files.filter(|next| next.file.is_some()).count()
        }
    }

    #[tokio::test]
    async fn single_file_starts_no_prefetch() {
        let files = SmallFiles::new(12).await;
        files.record_step(0);
        assert_eq!(files.prefetcher.state.lock().walks.len(), 2, "one for each order");
        assert_eq!((files.depth(), files.open_files()), (0, 0));
    }

    #[tokio::test]
    async fn depth_doubles_with_each_predicted_step() {
        let files = SmallFiles::new(90).await;
        files.record_step(0);
        for (index, depth) in [(1, 4), (2, 8), (3, 16), (4, 32), (5, 64), (6, MAX_DEPTH)] {
            files.record_step(index);
            assert_eq!((files.depth(), files.open_files()), (depth, depth), "step {index}");
        }
    }

    #[tokio::test]
    async fn walk_in_inode_order_is_recognized() {
        let files = SmallFiles::new(12).await;
        let tree = files.prefetcher.tree.current();
        // The last file in inode order has no successor.
        let successor = |ino: &Ino| {
            let mut tree_walk = TreeWalk::starting_after(tree.clone(), *ino, WalkOrder::ByInode)?;
            tree_walk.find(|next| files.inodes.contains(next)).map(|next| (*ino, next))
        };
        let (first, second) = files.inodes.iter().find_map(successor).unwrap();
        files.prefetcher.record_step(first, &Handle::current());
        files.prefetcher.record_step(second, &Handle::current());
        assert_eq!(files.depth(), INITIAL_DEPTH);
    }

    #[tokio::test]
    async fn steps_out_of_order_belong_to_one_walk() {
        let files = SmallFiles::new(30).await;
        for index in [0, 2, 1, 4, 3] {
            files.record_step(index);
        }
        assert_eq!(files.depth(), 32);
    }

    #[tokio::test]
    async fn step_backward_starts_another_walk() {
        let files = SmallFiles::new(30).await;
        files.record_step(10);
        files.record_step(11);
        assert_eq!(files.depth(), INITIAL_DEPTH);
        files.record_step(10);
        assert_eq!(files.depth(), 0);
    }

    #[tokio::test]
    async fn number_of_walks_is_limited() {
        let files = SmallFiles::new(60).await;
        for index in (0..60).rev() {
            files.record_step(index);
        }
        assert!(files.prefetcher.state.lock().walks.len() <= MAX_WALKS);
    }

    /// Reads files of two blocks to their end, as a walk does.
    #[tokio::test]
    async fn medium_sized_files_are_predicted_after_whole_reads() {
        const LENGTH: u64 = 2 * MAX_SMALL_FILE_LENGTH;
        let names = ["a", "b", "c", "d"];
        let fixture = Fixture::new(&names.map(|name| (name, LENGTH))).await;
        let prefetcher = Arc::new(SiblingPrefetcher::new(fixture.tree(), fixture.engine()));
        let upcoming = || {
            let state = prefetcher.state.lock();
            let walk = state.walks.iter().rfind(|walk| walk.order == WalkOrder::ByName);
            walk.map(|walk| walk.upcoming_files.len())
        };
        prefetcher.record_step(fixture.video_of("a"), &Handle::current());
        assert_eq!(upcoming(), Some(0));
        for name in &names[..2] {
            let handle = fixture.open(fixture.video_of(name)).await.unwrap().handle;
            for offset in [0, LENGTH / 2] {
                fixture.read(handle, offset, (LENGTH / 2) as u32).await.unwrap();
            }
            fixture.file_system.release(handle);
        }
        prefetcher.record_step(fixture.video_of("b"), &Handle::current());
        assert_eq!(upcoming(), Some(2));
    }

    #[tokio::test]
    async fn slow_walk_prefetches_no_medium_sized_files() {
        const LENGTH: u64 = 2 * MAX_SMALL_FILE_LENGTH;
        let names = ["a", "b", "c", "d", "e", "f"];
        for (step_duration, expected) in [(Duration::ZERO, 3), (2 * MAX_LEAD, 0)] {
            let fixture = Fixture::new(&names.map(|name| (name, LENGTH))).await;
            let prefetcher = Arc::new(SiblingPrefetcher::new(fixture.tree(), fixture.engine()));
            for name in &names[..2] {
                let handle = fixture.open(fixture.video_of(name)).await.unwrap().handle;
                for offset in [0, LENGTH / 2] {
                    fixture.read(handle, offset, (LENGTH / 2) as u32).await.unwrap();
                }
                fixture.file_system.release(handle);
            }
            fixture.silence_media();
            tokio::time::pause();
            prefetcher.record_step(fixture.video_of("b"), &Handle::current());
            tokio::time::advance(step_duration).await;
            prefetcher.record_step(fixture.video_of("c"), &Handle::current());
            let state = prefetcher.state.lock();
            let walk = state.walks.last().unwrap();
            let open_files = walk.upcoming_files.iter().filter(|next| next.file.is_some());
            assert_eq!(open_files.count(), expected, "after {step_duration:?}");
            drop(state);
            tokio::time::resume();
        }
    }

    #[tokio::test]
    async fn large_files_are_not_predicted() {
        let fixture =
            Fixture::new(&[("a", SIZE), ("b", MAX_SMALL_FILE_LENGTH + 1), ("c", SIZE)]).await;
        let prefetcher = Arc::new(SiblingPrefetcher::new(fixture.tree(), fixture.engine()));
        prefetcher.record_step(fixture.video_of("a"), &Handle::current());
        let state = prefetcher.state.lock();
        let walk_by_name = state.walks.iter().find(|walk| walk.order == WalkOrder::ByName).unwrap();
        let upcoming_files: Vec<_> =
            walk_by_name.upcoming_files.iter().map(|next| next.ino).collect();
        assert_eq!(upcoming_files, [fixture.video_of("c")]);
    }

    #[tokio::test]
    async fn idle_walk_closes_its_files() {
        let files = SmallFiles::new(30).await;
        tokio::time::pause();
        files.record_step(0);
        files.record_step(1);
        assert_eq!(files.open_files(), INITIAL_DEPTH);
        tokio::time::sleep(IDLE_TIMEOUT / 2).await;
        assert_eq!(files.open_files(), INITIAL_DEPTH);
        tokio::time::sleep(IDLE_TIMEOUT + IDLE_CHECK_INTERVAL).await;
        assert_eq!(files.open_files(), 0);
        assert!(!files.prefetcher.state.lock().is_cancel_task_running);
        // The walk continues from its last step.
        files.record_step(2);
        assert_eq!(files.depth(), 2 * INITIAL_DEPTH);
    }

    #[tokio::test]
    async fn walk_follows_the_current_tree() {
        let files = SmallFiles::new(12).await;
        files.record_step(0);
        files.record_step(1);
        files.fixture.remove("topic003");
        files.record_step(2);
        let state = files.prefetcher.state.lock();
        let upcoming_files = &state.walks.last().unwrap().upcoming_files;
        assert!(upcoming_files.iter().all(|next| next.ino != files.inodes[3]));
        assert!(upcoming_files.iter().any(|next| next.ino == files.inodes[4]));
    }
}

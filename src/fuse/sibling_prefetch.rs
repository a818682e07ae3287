//! Small files that somebody who goes through the tree is about to come to.
//!
//! `grep -r` over a thousand transcripts asks for one after the other, and each is two round trips: where its link
//! leads, and its bytes. The line idles all the while. So when small files are read in the order in which programs go
//! through directories, the next ones are fetched ahead, many at once, and more of them the longer the walk goes on.
//!
//! A step is a read that reaches us, not an `open`: what the kernel still has in its pages costs nobody anything, and
//! a walk through it must not fetch it again.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::read::{Engine, OpenFile, Recording};
use crate::tree::{Content, Ino, LiveTree, Node, Snapshot, TreeWalk, WalkOrder};

/// What is small: the most that a search through texts reads, and one block. Transcripts of long meetings have some
/// hundred kilobytes.
pub(super) const SMALL: u64 = 1024 * 1024;

/// How many files a walk is ahead of its reader, at most: at 50 ms for each of the two round trips of a file and ten
/// milliseconds for its bytes, 64 on their way are 600 files a second, more than a search through them takes.
const MAX_AHEAD: usize = 64;

/// How many files a walk is ahead after the first step that was foreseen. Somebody who reads a transcript and then the
/// chat beside it has not asked for the archive.
const FIRST_AHEAD: usize = 4;

/// How many files are foreseen before anything is fetched: those of a meeting, of which a search by pattern skips some.
const FORESEEN: usize = 8;

/// Steps may come this much out of order: several programs share one walk, as under `xargs -P`.
const OUT_OF_ORDER: usize = 8;

/// Entries looked at for the next small file. Where there are so many others, nobody walks from one to the next.
const LOOKED_AT: usize = 256;

/// Walks that are told apart: a few programs at once, and for each new one two orders it may go by.
const WALKS: usize = 8;

/// After how long without a step a walk stands still, and how often that is looked after. What is on its way then is
/// given up; with the half second that streams go on after the last handle, nothing flows a second later.
const STANDS_AFTER: Duration = Duration::from_millis(300);
const LOOKED_AFTER: Duration = Duration::from_millis(100);

/// All walks through the tree.
#[derive(Debug)]
pub(super) struct Walks {
    tree: Arc<LiveTree>,
    engine: Arc<Engine>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The one that made a step last comes last.
    walks: Vec<Walk>,
    /// Whether a task looks after walks that stand.
    is_looked_after: bool,
}

/// One walk.
#[derive(Debug)]
struct Walk {
    course: TreeWalk,
    order: WalkOrder,
    /// The next small files, nearest first, as far as they have been looked up.
    ahead: VecDeque<Next>,
    /// How many of them are to be fetched; 0 until a step was foreseen.
    depth: usize,
    last_step: Instant,
}

/// A file that is foreseen. While its handle is open, what of it is on its way goes on.
#[derive(Debug)]
struct Next {
    number: Ino,
    file: Option<Arc<OpenFile>>,
}

impl Walks {
    pub(super) fn new(tree: Arc<LiveTree>, engine: Arc<Engine>) -> Self {
        Self { tree, engine, state: Mutex::default() }
    }

    /// A small file is being read for the first time by its reader.
    pub(super) fn step(self: &Arc<Self>, number: Ino, runtime: &tokio::runtime::Handle) {
        let current = self.tree.current();
        let mut state = self.state.lock();
        let foreseen = state.walks.iter_mut().rposition(|walk| walk.comes_to(number));
        match foreseen {
            None => {
                for order in [WalkOrder::ByInode, WalkOrder::ByName] {
                    state.begin(&current, number, order);
                }
            }
            Some(place) => {
                let mut walk = state.walks.remove(place);
                if !Arc::ptr_eq(walk.course.snapshot(), &current)
                    && let Some(course) = TreeWalk::after(current.clone(), number, walk.order)
                {
                    (walk.course, walk.ahead) = (course, VecDeque::new());
                }
                walk.depth = (walk.depth * 2).clamp(FIRST_AHEAD, MAX_AHEAD);
                walk.look_up();
                self.fetch(&mut walk);
                state.walks.push(walk);
                if !std::mem::replace(&mut state.is_looked_after, true) {
                    runtime.spawn(self.clone().look_after());
                }
            }
        }
    }

    /// Sees to it that what is foreseen is held or on its way, as far as the budget allows.
    fn fetch(&self, walk: &mut Walk) {
        let snapshot = walk.course.snapshot().clone();
        for next in walk.ahead.iter_mut().take(walk.depth).filter(|next| next.file.is_none()) {
            let recording = snapshot.node(next.number).and_then(small_recording);
            let Some(file) = recording.and_then(|recording| self.engine.open(&recording).ok())
            else {
                continue;
            };
            if !self.engine.prefetch_whole_file(&file) {
                return;
            }
            next.file = Some(file);
        }
    }

    /// Lets go of what is on its way for walks that stand still.
    async fn look_after(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOKED_AFTER).await;
            let mut state = self.state.lock();
            let mut given_up = Vec::new();
            let mut goes_on = false;
            for walk in &mut state.walks {
                if walk.last_step.elapsed() < STANDS_AFTER {
                    goes_on |= walk.depth > 0;
                } else {
                    given_up.extend(walk.ahead.iter_mut().filter_map(|next| next.file.take()));
                }
            }
            state.is_looked_after = goes_on;
            drop(state);
            drop(given_up);
            if !goes_on {
                return;
            }
        }
    }
}

impl State {
    fn begin(&mut self, snapshot: &Arc<Snapshot>, number: Ino, order: WalkOrder) {
        let Some(course) = TreeWalk::after(snapshot.clone(), number, order) else { return };
        if self.walks.len() >= WALKS {
            self.walks.remove(0);
        }
        let mut walk =
            Walk { course, order, ahead: VecDeque::new(), depth: 0, last_step: Instant::now() };
        walk.look_up();
        self.walks.push(walk);
    }
}

impl Walk {
    /// Whether the step to `number` was foreseen; then it is made.
    fn comes_to(&mut self, number: Ino) -> bool {
        let Some(place) = self.ahead.iter().position(|next| next.number == number) else {
            return false;
        };
        self.ahead.remove(place);
        self.ahead.drain(..place.saturating_sub(OUT_OF_ORDER));
        self.last_step = Instant::now();
        true
    }

    /// Looks up the next small files.
    fn look_up(&mut self) {
        let wanted = OUT_OF_ORDER + self.depth.max(FORESEEN);
        let mut looked_at = 0;
        while self.ahead.len() < wanted && looked_at < LOOKED_AT {
            let Some(number) = self.course.next() else { return };
            looked_at += 1;
            if self.course.snapshot().node(number).and_then(small_recording).is_some() {
                self.ahead.push_back(Next { number, file: None });
            }
        }
    }
}

/// The recording file that a node is, if that is small.
pub(super) fn small_recording(node: &Node) -> Option<Recording> {
    let recording = recording_of(node)?;
    (recording.size <= SMALL).then_some(recording)
}

/// The recording file that a node is.
pub(super) fn recording_of(node: &Node) -> Option<Recording> {
    let Content::Recording { id, version, size, body } = &node.content else { return None };
    Some(Recording { id: id.clone(), version: *version, size: *size, body: *body })
}

//! What a handle is up to, and how far ahead of it to fetch.

use crate::cache::{BLOCK_LENGTH, BlockIndex};

/// How far from where the last read ended a read may begin and still belong to it. The kernel's readahead sends
/// several requests at once and two event threads take them in any order, so neighbours arrive swapped; two
/// blocks cover its largest readahead and are still near enough to cost nothing when they are a seek after all.
const SLACK: u64 = 2 * BLOCK_LENGTH;

/// How much must have been read in a row before anything is fetched ahead. Scanners and thumbnailers read the
/// first few hundred kilobytes of a file and leave; half a block in, somebody is reading on, and the rest of the
/// block is still on its way, so a real reader does not wait for the decision.
const RUN_BEFORE_WINDOW: u64 = BLOCK_LENGTH / 2;

/// The access pattern of one handle: a single sequential track with one window that grows.
///
/// The window doubles when its reader had to wait since the last one was asked for, so a player that reads at
/// the speed of its film stays at a small window and a copy soon has a large one. A far seek starts small again.
#[derive(Debug, Default)]
pub(super) struct Window {
    run_start: u64,
    /// Where the furthest read of the run ended.
    run_end: u64,
    blocks: u64,
    /// The first block that no window has covered.
    covered: BlockIndex,
    waited: bool,
}

/// Blocks to fetch ahead: `from` and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ahead {
    pub(super) from: BlockIndex,
    pub(super) count: u64,
}

impl Window {
    /// Notes a read of `offset..end` and says what to fetch ahead of it, at most `cap` blocks.
    pub(super) fn observe(&mut self, offset: u64, end: u64, cap: u64) -> Option<Ahead> {
        let near =
            offset.saturating_add(SLACK) >= self.run_end && offset <= self.run_end.saturating_add(SLACK);
        if !near {
            *self = Self { run_start: offset, run_end: end, ..Self::default() };
            return None;
        }
        self.run_start = self.run_start.min(offset);
        self.run_end = self.run_end.max(end);
        if self.run_end - self.run_start < RUN_BEFORE_WINDOW {
            return None;
        }
        let next = BlockIndex::of(self.run_end.saturating_sub(1)).next();
        let from = self.covered.max(next);
        if from.0 - next.0 > self.blocks / 2 {
            return None;
        }
        let grown = if self.waited { self.blocks.saturating_mul(2) } else { self.blocks };
        self.blocks = grown.clamp(1, cap.max(1));
        self.waited = false;
        self.covered = BlockIndex(from.0.saturating_add(self.blocks));
        Some(Ahead { from, count: self.blocks })
    }

    /// Notes that a read had to wait for its bytes.
    pub(super) fn reader_waited(&mut self) {
        self.waited = true;
    }

    /// Notes that fewer blocks than planned were asked for: those from `from` on are not covered.
    pub(super) fn covered_up_to(&mut self, from: BlockIndex) {
        self.covered = self.covered.min(from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KIB: u64 = 1024;

    /// Reads `range` in pieces of 128 KiB, as the kernel does, and returns what was fetched ahead.
    fn read(window: &mut Window, from: u64, to: u64, waits: bool) -> Vec<Ahead> {
        let mut asked = Vec::new();
        let mut offset = from;
        while offset < to {
            if waits {
                window.reader_waited();
            }
            asked.extend(window.observe(offset, offset + 128 * KIB, 32));
            offset += 128 * KIB;
        }
        asked
    }

    #[test]
    fn a_look_at_the_head_fetches_nothing_ahead() {
        let mut window = Window::default();
        assert_eq!(read(&mut window, 0, 384 * KIB, true), []);
    }

    #[test]
    fn a_reader_that_waits_gets_windows_that_double_up_to_the_cap() {
        let mut window = Window::default();
        let counts: Vec<u64> =
            read(&mut window, 0, 200 * BLOCK_LENGTH, true).iter().map(|ahead| ahead.count).collect();
        assert_eq!(counts.get(..7), Some([1, 2, 4, 8, 16, 32, 32].as_slice()), "{counts:?}");
    }

    #[test]
    fn a_reader_that_never_waits_keeps_the_smallest_window() {
        let mut window = Window::default();
        assert!(read(&mut window, 0, 50 * BLOCK_LENGTH, false).iter().all(|ahead| ahead.count == 1));
    }

    #[test]
    fn swapped_neighbours_are_no_seek_and_a_far_jump_is_one() {
        let mut window = Window::default();
        read(&mut window, 0, 20 * BLOCK_LENGTH, true);
        let before = window.blocks;
        window.observe(20 * BLOCK_LENGTH + 128 * KIB, 20 * BLOCK_LENGTH + 256 * KIB, 32);
        window.observe(20 * BLOCK_LENGTH, 20 * BLOCK_LENGTH + 128 * KIB, 32);
        assert!(window.blocks >= before);
        assert_eq!(window.observe(500 * BLOCK_LENGTH, 500 * BLOCK_LENGTH + 1, 32), None);
        assert_eq!(window.blocks, 0);
    }

    proptest! {
        #[test]
        fn windows_of_one_run_never_overlap_and_never_leave_a_gap(waits in prop::collection::vec(any::<bool>(), 1..400)) {
            let mut window = Window::default();
            let mut covered: Option<u64> = None;
            for (step, waits) in waits.into_iter().enumerate() {
                let offset = step as u64 * 128 * KIB;
                if waits {
                    window.reader_waited();
                }
                if let Some(ahead) = window.observe(offset, offset + 128 * KIB, 32) {
                    prop_assert!(covered.is_none_or(|until| until == ahead.from.0), "{covered:?} {ahead:?}");
                    covered = Some(ahead.from.0 + ahead.count);
                }
                let block = offset / BLOCK_LENGTH;
                prop_assert!(covered.is_none_or(|until| until > block));
            }
        }
    }
}

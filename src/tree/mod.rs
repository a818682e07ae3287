//! The archive as directories: names, layout, inode numbers, and the snapshot that answers every metadata call.
//!
//! In come the meetings of each source, with the sizes learned of their files. Out goes an immutable [`Snapshot`],
//! and on request what of an older one no longer holds ([`Snapshot::changes_since`]). The same meetings give the same
//! names, times and inode numbers, in whatever order they are listed and after any restart.
//!
//! ```text
//! ROOT/SOURCE/YYYY/YYYY-MM-DD HHMM TOPIC/FILE          dates in the configured time zone
//! ROOT/SOURCE/trash/YYYY-MM-DD HHMM TOPIC/FILE         what lies in the provider's recycle bin
//! ```
//!
//! 1. What a name may look like, and what happens when two would be the same: `name`.
//! 2. Which files a meeting shows, and what each is called: `files`; which transcript stands beside which view: `tracks`.
//! 3. The directories around them: `layout`.
//! 4. Which number each gets, for good: `inode`.
//! 5. The finished tree: `snapshot`; what changed between two: `diff`; the newest one, for everybody: `live`.
//! 6. In which order programs go through it: `course`.
//!
//! This room knows the words of `model` only. It must never know HTTP, a cache, the kernel's protocol or an errno.

mod diff;
mod files;
mod inode;
mod layout;
mod live;
mod name;
mod snapshot;
#[cfg(test)]
mod tests;
mod tracks;
mod walk;

use jiff::tz::TimeZone;

use crate::model::SourceContents;

pub use diff::TreeChange;
pub use files::UNAVAILABLE_SUFFIX;
pub use inode::Ino;
pub use layout::TRASH_DIRECTORY;
pub use live::{ExpeditedRebuild, LiveTree};
pub use snapshot::{Content, Node, Snapshot, Totals};
pub use walk::{TreeWalk, WalkOrder};

/// Makes snapshots, and remembers the inode numbers it gave.
///
/// One builder serves a process: a number that a builder gave is never given to anything else by it.
#[derive(Debug)]
pub struct TreeBuilder {
    timezone: TimeZone,
    book: inode::InodeBook,
}

impl TreeBuilder {
    /// A builder whose directory names carry the local time of `timezone`.
    pub fn new(timezone: TimeZone) -> Self {
        Self { timezone, book: inode::InodeBook::new() }
    }

    /// The tree of `sources`.
    pub fn build(&mut self, sources: &[SourceContents]) -> Snapshot {
        let drafts = layout::lay_out(sources, &self.timezone);
        let inos = self.book.number(drafts.identities());
        Snapshot::assemble(drafts, &inos)
    }
}

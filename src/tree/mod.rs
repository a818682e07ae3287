//! The directories and files that show the archive: their names, layout and inode numbers, and the
//! snapshot that answers every metadata call.
//!
//! - Input: the meetings of each source, with the measured sizes of their files.
//! - Output: an immutable [`Snapshot`], and the [`TreeChange`]s between two snapshots. The same
//!   meetings always give the same names, times and inode numbers, in any order of the listing and
//!   after any restart.
//! - The module must not know HTTP, a cache, the protocol of the kernel, an errno, or a provider.
//! - Locks: none. Readers take no lock, because [`LiveTree`] swaps a pointer. Building a snapshot
//!   does not take a lock either.
//! - Failures: none. Every meeting has a legal name and a directory.
//!
//! ```text
//! ROOT/SOURCE/YYYY/YYYY-MM-DD HHMM TOPIC/FILE          dates in the configured time zone
//! ROOT/SOURCE/trash/YYYY-MM-DD HHMM TOPIC/FILE         the provider's recycle bin
//! ```
//!
//! 1. Legal names: `name`. Unique names in a directory: `directory_names`.
//! 2. The displayed files of a meeting, and their names: `meeting_files`, `named_file`. The views
//!    that a transcript is named after: `tracks`.
//! 3. The directories: `layout`.
//! 4. Inode numbers: `inode`. Modification times of generated files: `content_time`.
//! 5. The finished tree: `draft`, `snapshot`, `node`, `node_properties`, `inode_index`,
//!    `source_totals`. The differences between two snapshots: `change`. The current snapshot:
//!    `live_tree`.
//! 6. The order in which programs walk the tree: `walk`.

mod builder;
mod change;
mod content_time;
mod directory_names;
mod draft;
mod inode;
mod inode_index;
mod layout;
mod live_tree;
mod meeting_files;
mod name;
mod named_file;
mod node;
mod node_properties;
mod snapshot;
mod source_totals;
#[cfg(test)]
mod tests;
mod tracks;
mod walk;

pub use builder::TreeBuilder;
pub use change::TreeChange;
pub use inode::Ino;
pub use layout::TRASH_DIRECTORY;
pub use live_tree::{ExpeditedRebuild, LiveTree};
pub use meeting_files::{is_generated_file, unavailable_file_name};
pub use node::{Content, Node};
pub use node_properties::NodeProperties;
pub use snapshot::{Snapshot, Totals};
pub use source_totals::SourceTotals;
pub use walk::{TreeWalk, WalkOrder};

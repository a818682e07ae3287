//! The recordings that exist, and what was learned about them.
//!
//! - Input: listings of the providers, and sizes, details and download probes that the background
//!   learns.
//! - Output: [`SourceContents`](crate::model::SourceContents) for the tree, and a revision that
//!   changes with them.
//! - The module must not know names, inodes or the cache, and no metadata call waits for it.
//! - Lock order: that of [`Catalog`].
//! - Failures: a listing that failed in part never removes what it did not cover. A value that
//!   cannot be stored is logged and learned again.
//!
//! 1. [`Catalog`] holds a `source` for each account, which holds an `entry` for each meeting.
//! 2. [`Refresher`] requests listings; [`Enricher`] requests what they omit.
//! 3. `trash` is the recycle bin, `trash_view` what is shown of it. `retention` keeps what was
//!    deleted upstream and is still cached.
//! 4. `source_snapshot` builds the contents for the tree without a lock.
//! 5. `database` stores all of it in one SQLite file.

// Named after its type, as every other file.
#[expect(clippy::module_inception)]
mod catalog;
mod database;
mod enricher;
mod enrichment_task;
mod entry;
mod filter;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
mod measured_sizes;
mod refresh_state;
mod refresher;
mod retention;
mod scope;
mod source;
mod source_counts;
mod source_snapshot;
#[cfg(test)]
mod tests;
mod trash;
mod trash_view;
mod validators;

pub use catalog::Catalog;
pub use database::{CatalogDatabase, CatalogDatabaseError};
pub use enricher::{Enricher, SizeFinder};
pub use filter::{Filter, RecordingKind};
pub use refresh_state::RefreshState;
pub use refresher::Refresher;
pub use retention::CachedFiles;
pub use scope::ListingScope;
pub use source::SourceOptions;
pub use source_counts::SourceCounts;

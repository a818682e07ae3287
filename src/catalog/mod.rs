//! The catalog: the recordings that exist, and the values that were requested about them.
//!
//! - Input: listings of the providers, and values that are requested in the background: sizes,
//!   details and download probes.
//! - Output: [`SourceContents`](crate::model::SourceContents) for the tree, and a revision that
//!   every change increments.
//! - The module must not know file names, inodes or the cache. A metadata call never waits for the
//!   catalog.
//! - Lock order: see [`Catalog`].
//! - Failures: an incomplete listing does not remove meetings on days that it does not cover. If a
//!   value cannot be stored, the error is logged and the value is requested again later.
//!
//! 1. [`Catalog`] has a `source` for each account, which has an `entry` for each meeting.
//! 2. [`Refresher`] requests listings. [`Enricher`] requests values that listings omit.
//! 3. `trash` stores the recycle bin, and `trash_view` decides how it is shown. `retention` keeps
//!    files that were deleted upstream and are still cached.
//! 4. `source_snapshot` builds the contents for the tree without holding a lock.
//! 5. `database` stores the catalog in one SQLite file.

// The file is named after its type, like all other files.
#[expect(clippy::module_inception)]
mod catalog;
mod database;
mod enricher;
mod enrichment_task;
mod entry;
mod filter;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
mod last_replies;
mod measured_sizes;
mod refresh_state;
mod refresher;
mod retention;
mod scope;
mod search_index;
mod source;
mod source_counts;
mod source_snapshot;
#[cfg(test)]
mod tests;
mod trash;
mod trash_view;

pub use catalog::Catalog;
pub use database::{CatalogDatabase, CatalogDatabaseError};
pub use enricher::{Enricher, SizeFinder};
pub use filter::{Filter, RecordingKind};
pub use refresh_state::RefreshState;
pub use refresher::Refresher;
pub use retention::CachedFiles;
pub use scope::ListingScope;
pub use search_index::{
    Coverage, Indexer, SearchHit, SearchIndex, SearchIndexError, SearchRequest, SearchResult,
    SourceCoverage, TextId,
};
pub use source::SourceOptions;
pub use source_counts::SourceCounts;

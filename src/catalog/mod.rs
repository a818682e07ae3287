//! Which recordings exist, and what was learned about them.
//!
//! Enters: listings of the providers, sizes and details found out in the background. Leaves: [`SourceContents`](crate::model::SourceContents)s for
//! the tree, through a watch that always holds the newest. What was learned at a cost (true sizes, details of
//! past meetings) outlives a restart in [`fact_store`], and so does what was listed, in [`listing_store`]. What was deleted upstream may
//! still lie in the recycle bin, which is [`trash`]'s, or stay for as long as it is held here, which is [`deleted`]'s. What is
//! made after details were asked for is [`late_files`]'s. All of it is kept in one file of SQLite's: [`open`] and [`schema`] answer
//! for the file, [`rows`] and [`deleted_text`] for what is in it.
//!
//! A listing that failed in part never takes away what it did not see. The catalog knows neither names nor
//! inodes, and never waits for the network on behalf of a metadata call: nobody calls it from one.

mod deleted;
mod deleted_text;
pub mod enrich;
pub mod fact_store;
pub mod filter;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
mod late_files;
pub mod listing_store;
pub mod open;
pub mod refresh;
mod rows;
mod schema;
pub mod source;
pub mod store;
mod trash;
mod trash_view;

pub use deleted::CachedFiles;
pub use enrich::{Enricher, SizeFinder};
pub use fact_store::CatalogDatabase;
pub use filter::{Filter, RecordingKind};
pub use listing_store::ListingScope;
pub use open::CatalogDatabaseError;
pub use refresh::{RefreshState, Refresher};
pub use source::{SourceCounts, SourceOptions};
pub use store::Catalog;

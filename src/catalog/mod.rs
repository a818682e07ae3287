//! Which recordings exist, and what was learned about them.
//!
//! Enters: listings of the providers, sizes and details found out in the background. Leaves: [`SourceView`](crate::model::SourceView)s for
//! the tree, through a watch that always holds the newest. What was learned at a cost (true sizes, details of
//! past meetings) outlives a restart in [`facts`], and so does what was listed, in [`kept`]. What was deleted upstream may
//! still lie in the recycle bin, which is [`trash`]'s, or stay for as long as it is held here, which is [`deleted`]'s. What is
//! made after details were asked for is [`late`]'s. All of it is kept in one file of SQLite's: [`opening`] and [`schema`] answer
//! for the file, [`rows`] and [`gone`] for what is in it.
//!
//! A listing that failed in part never takes away what it did not see. The catalog knows neither names nor
//! inodes, and never waits for the network on behalf of a metadata call: nobody calls it from one.

mod deleted;
pub mod enrich;
pub mod facts;
pub mod filter;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
mod gone;
pub mod kept;
mod late;
pub mod opening;
pub mod refresh;
mod rows;
mod schema;
pub mod source;
pub mod store;
mod trash;
mod trash_shown;

pub use deleted::Holdings;
pub use enrich::{Enricher, SizeFinder};
pub use facts::FactStore;
pub use filter::{Filter, Kind};
pub use kept::Scope;
pub use opening::FactsError;
pub use refresh::{RefreshState, Refresher};
pub use source::{Counts, SourceOptions};
pub use store::Catalog;

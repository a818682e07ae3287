//! The search index: the cues of all transcripts and chats, and the topics of meetings.
//!
//! - Input: the meetings of the catalog, and the bytes of their texts.
//! - Output: the cues that match a query.
//! - The module must not know the names and paths of files, which the tree determines.
//! - Locks: the connection. No other lock is taken while it is held. Calls do blocking I/O.
//! - Failures: everything in the index can be fetched again. So a damaged file is replaced, and a
//!   failed write is retried later.
//!
//! 1. [`Indexer`] compares the index with the catalog, and fetches the texts that are missing.
//! 2. `text_plan` decides which files of a meeting are indexed.
//! 3. [`SearchIndex`] stores cues and finds them (`schema`, `search`).
//!
//! The index has a file of its own, because it is a hundred times as large as the catalog, and
//! because it can be deleted without loss.

mod coverage;
mod error;
mod indexer;
mod schema;
mod search;
// The file is named after its type, like all other files.
#[expect(clippy::module_inception)]
mod search_index;
#[cfg(test)]
mod tests;
mod text_plan;

pub use coverage::{Coverage, SourceCoverage};
pub use error::SearchIndexError;
pub use indexer::Indexer;
pub use search::{SearchHit, SearchRequest, SearchResult};
pub use search_index::SearchIndex;
pub use text_plan::TextId;

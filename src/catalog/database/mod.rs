//! The catalog on disk: one SQLite file.
//!
//! - Input: changes of listings and facts that were expensive to learn.
//! - Output: the same values at the next start.
//! - The module must not know the catalog in memory, or when anything is listed.
//! - Locks: the connection. It is the last lock of the catalog: no other is taken while it is held.
//!   Calls block on the disk, so async code goes through
//!   [`Catalog::run_blocking`](super::Catalog::run_blocking).
//! - Failures: nothing that is stored here is irreplaceable, so a failed write is logged and its
//!   value is learned again. A damaged row is dropped, and a damaged file is replaced.
//!
//! 1. The file: `file`. Its tables and their migrations: `schema`.
//! 2. The rows of each table: `listing`, `learned`, `deletions`, with what they share in `rows`.
//! 3. [`CatalogDatabase`] runs their statements on the connection.

mod catalog_database;
mod deletions;
mod error;
mod file;
mod learned;
mod listing;
mod rows;
mod schema;
#[cfg(test)]
mod tests;

pub use catalog_database::CatalogDatabase;
#[cfg(any(fuzzing, test))]
pub(super) use deletions::{deleted_meeting_from_row, trashed_meeting_from_row};
pub use error::CatalogDatabaseError;
#[cfg(any(fuzzing, test))]
pub(super) use learned::details_from_row;
pub(super) use listing::ListingChange;
#[cfg(any(fuzzing, test))]
pub(super) use listing::meeting_from_row;

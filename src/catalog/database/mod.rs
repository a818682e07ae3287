//! The catalog on disk: one SQLite file.
//!
//! - Input: the changes that listings make, and values that are requested in addition to listings.
//! - Output: the same values at the next start.
//! - The module must not know the catalog in memory or the times of refreshes.
//! - Locks: the connection. It is the last lock of the catalog: no other lock is taken while it is
//!   held. Calls do blocking I/O, so async code uses
//!   [`Catalog::run_blocking`](super::Catalog::run_blocking).
//! - Failures: all stored values can be requested again. So a failed write is only logged, a
//!   damaged row is deleted, and a damaged file is replaced.
//!
//! 1. The file: `file`. Its tables and their migrations: `schema`.
//! 2. The rows of the tables: `listing`, `enrichment`, `deletions`. Their shared functions: `rows`.
//! 3. [`CatalogDatabase`] runs the statements of these modules on the connection.

mod catalog_database;
mod deletions;
mod enrichment;
mod error;
mod file;
mod listing;
mod rows;
mod schema;
#[cfg(test)]
mod tests;

pub use catalog_database::CatalogDatabase;
#[cfg(any(fuzzing, test))]
pub(super) use deletions::{deleted_meeting_from_row, trashed_meeting_from_row};
#[cfg(any(fuzzing, test))]
pub(super) use enrichment::details_from_row;
pub use error::CatalogDatabaseError;
pub(super) use listing::ListingChange;
#[cfg(any(fuzzing, test))]
pub(super) use listing::meeting_from_row;

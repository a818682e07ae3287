//! Tests of the catalog database, through its public functions and in its file.

mod enrichment;
mod file;
mod fixtures;
mod listing;
mod schema;

//! Tests of the whole catalog, in memory and across restarts.

mod fixtures;
mod late_files;
mod listing;
mod retention;
mod trash;

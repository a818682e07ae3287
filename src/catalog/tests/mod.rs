//! The catalog as a whole, in memory and across restarts.

mod fixtures;
mod late_files;
mod listing;
mod retention;
mod trash;

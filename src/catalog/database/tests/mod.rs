//! The stored catalog, through its public interface and in the file.

mod file;
mod fixtures;
mod learned;
mod listing;
mod schema;

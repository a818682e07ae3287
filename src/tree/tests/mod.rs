//! Tests of the whole tree: exact layouts, and properties of any archive.

mod fixtures;
mod layout;
mod meeting_files;
mod properties;

//! meetfs mounts an archive of recorded meetings as directories of read-only files.
//!
//! There are two data flows, listing and reading. Each has one direction, and both use the tree:
//!
//! ```text
//! listing:  providers ─▶ catalog ─▶ tree (immutable snapshot) ─▶ vfs ─▶ fuse
//! reading:  fuse ─▶ vfs ─▶ read ─▶ cache
//!                           └────▶ http ◀─ providers (leases)
//! ```
//!
//! Requests for metadata never wait for the network. `docs/architecture.md` describes the modules.

// Input from outside must never cause a panic.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

// The unit tests replay the seeds of the fuzz targets, which import this crate by its name.
#[cfg(test)]
extern crate self as meetfs;

pub mod cache;
pub mod catalog;
pub mod cli;
pub mod commands;
pub mod config;
pub mod daemon;
pub mod demo_cloud;
pub mod fuse;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
pub mod http;
pub mod model;
pub mod ownership;
pub mod providers;
pub mod read;
pub mod sync;
pub mod text;
pub mod tree;
pub mod vfs;

//! The rules of `docs/architecture.md` and `docs/style.md`, checked in the source.
//!
//! Each check takes the source as a value, so that it is also shown a violation that it must find.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod dependencies;
mod graph;
mod modules;
mod source;
mod text;

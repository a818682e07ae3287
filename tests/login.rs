//! `meetfs login`: a source that somebody permits in a browser, and what becomes of its refresh tokens.

// A helper that cannot go on fails its test.
#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "login/consent.rs"]
mod consent;
#[path = "login/keeping.rs"]
mod keeping;
#[path = "support/life.rs"]
mod life;
#[path = "login/renewal.rs"]
mod renewal;
#[path = "login/rig.rs"]
mod rig;
mod support;

//! Recordings of meetings that are booked at Rapatin: the provider over real sockets, and a real mount of them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "rapatin/client.rs"]
mod client;
#[path = "rapatin/leases.rs"]
mod leases;
#[path = "rapatin/listing.rs"]
mod listing;
#[path = "rapatin/mount.rs"]
mod mount;
mod support;

//! Tests of the providers and of the demo server over real sockets. They need no mount and no
//! privileges.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../support/mod.rs"]
mod support;

mod demo_cloud;
mod fourth_provider;
mod interleavings;
mod range_replies;
mod rapatin_leases;
mod rapatin_listing;
mod webex_leases;
mod webex_listing;
mod zoom_leases;
mod zoom_listing;
mod zoom_users;

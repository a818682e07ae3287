//! The embedded cloud as a client sees it: every quirk and every fault really happens on the wire.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "cloud/api.rs"]
mod api;
#[path = "cloud/client.rs"]
mod client;
#[path = "cloud/downloads.rs"]
mod downloads;
#[path = "cloud/faults.rs"]
mod faults;
#[path = "cloud/rapatin.rs"]
mod rapatin;
#[path = "cloud/replies.rs"]
mod replies;
#[path = "cloud/shape.rs"]
mod shape;
#[path = "cloud/webex.rs"]
mod webex;

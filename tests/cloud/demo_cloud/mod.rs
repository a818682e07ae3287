//! The demo server as a client sees it: every quirk and every fault happens on the wire.

mod api;
mod client;
mod downloads;
mod faults;
mod rapatin;
mod replies;
mod shape;
mod webex;

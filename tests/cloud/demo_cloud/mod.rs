//! Tests of the demo server from the perspective of a client. Every peculiarity and every fault
//! must appear on the wire.

mod api;
mod client;
mod downloads;
mod faults;
mod rapatin;
mod replies;
mod shape;
mod webex;

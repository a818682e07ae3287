//! The control socket of a mount, by which commands reach its daemon.
//!
//! A request is one line: a word and its arguments. The reply is JSON, and then the connection
//! ends. The socket is in a directory that only its owner can enter, and its name derives from the
//! mountpoint. No secret passes through it.
//!
//! The client side ([`Mounts`]) does blocking I/O and is used by commands. The server side
//! ([`Server`]) runs in the daemon. Errors of the client are [`ControlError`]. If the server cannot
//! create its socket, it logs a warning, and the mount works without a socket.

mod activity_report;
mod client;
mod count_text;
mod dead_mounts;
mod error;
mod expiring_file;
mod explanation;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
mod report;
mod request;
mod search_reply;
mod served_mount;
mod server;
mod socket;
mod wall_clock;

pub(crate) use activity_report::ScannersReport;
#[cfg(test)]
pub(crate) use activity_report::{MemoryReport, ReadsReport};
pub(crate) use client::{Mounts, resolve_mountpoint};
pub(crate) use count_text::pluralize;
pub use error::ControlError;
pub(crate) use expiring_file::ExpiringFile;
#[cfg(test)]
pub(crate) use report::DiskReport;
pub(crate) use report::{MountReport, SourceReport};
pub(crate) use request::Request;
pub(crate) use search_reply::{FoundCue, SearchReply};
pub(crate) use served_mount::ServedMount;
pub(crate) use server::Server;
pub(crate) use wall_clock::WallClock;

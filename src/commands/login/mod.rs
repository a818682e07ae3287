//! `meetfs login`: the user grants access to a source in a browser.
//!
//! - Input: the name of a source.
//! - Output: a sign-in that `providers` stores on disk.
//! - [`browser`] waits for the browser on a loopback port; [`paste`] reads the URL that a browser
//!   on another machine shows. The token exchange is in `providers`.
//! - On failure ([`error::LoginError`]) a stored sign-in stays as it was.

pub(crate) mod browser;
pub(crate) mod command;
pub(crate) mod error;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
pub(crate) mod launcher;
pub(crate) mod paste;
pub(crate) mod redirect;

pub(crate) use command::run;

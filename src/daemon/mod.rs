//! The life of the mount process: from a validated configuration to a mount that is served, and back to nothing left
//! behind.

pub mod archive;
pub(crate) mod background;
pub mod control;
pub(crate) mod demo;
pub(crate) mod findings;
pub(crate) mod holdings;
pub(crate) mod logging;
pub(crate) mod malloc;
pub(crate) mod mount_table;
pub mod mountpoint;
pub(crate) mod source;
pub(crate) mod terminal;

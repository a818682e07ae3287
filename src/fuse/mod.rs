//! The kernel's side: the only room that knows `fuser`.
//!
//! Enters: FUSE requests. Leaves: replies, from the newest [snapshot](crate::tree::Snapshot) for metadata and
//! from the [read engine](crate::read::Engine) for bytes; and invalidations, whenever the snapshot changes.
//!
//! The [`adapter`] is a thin wrapper, so that everything behind it can be tested without a kernel in the loop.
//! Its callbacks run on a few event threads and never block: what is in memory is answered inline, the rest from a
//! task that owns the reply. It never asks a provider and never waits for the network in a metadata call; the
//! one wait outside of `read` is bounded and in `open`, see [`Engine::confirm_size`](crate::read::Engine::confirm_size).

mod adapter;
mod attributes;
mod errno;
mod handles;
mod invalidate;
mod pages;
mod passthrough;
mod read_log;
mod readahead;
mod requester;
mod session;
mod sibling_prefetch;
mod xattr;

/// Under what the kernel's protocol logs, as errors, replies to programs that were killed while they waited for them.
pub const UNWANTED_REPLIES: &str = "fuser::reply";

pub use adapter::{Adapter, AdapterOptions};
pub use attributes::Owner;
pub use invalidate::{Invalidation, Invalidator};
pub use session::{Access, MOUNT_SOURCE, Mounted, SessionError, mount};

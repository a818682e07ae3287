//! The kernel's side of the file system. Only this module knows `fuser` and errno.
//!
//! - Input: FUSE requests.
//! - Output: replies that [`vfs::FileSystem`](crate::vfs::FileSystem) decides, and notifications
//!   for the invalidations that [`vfs::InvalidationQueue`](crate::vfs::InvalidationQueue) collects.
//!
//! This is a thin wrapper that translates between the FUSE protocol and `vfs`, so that the file
//! system is tested without a kernel. It makes no decision about an answer.
//!
//! Callbacks run on a few event threads and never block. An answer from memory is sent inline. Any
//! other is sent by a task that owns the reply. Each task runs in a `tracing` span that names the
//! request, so the debug log shows which fetches and HTTP requests a read causes.
//!
//! On failure the request is answered with an errno. A reply that is dropped answers `EIO`.

mod adapter;
mod attributes;
mod backing;
mod errno;
mod interrupt;
mod invalidation_thread;
mod readahead;
mod session;

/// Log target of `fuser` for replies to processes that were killed while they waited. It logs them
/// as errors.
pub const UNWANTED_REPLIES: &str = "fuser::reply";

pub use adapter::Adapter;
pub use session::{Access, MOUNT_SOURCE, MountedSession, SessionError, mount};

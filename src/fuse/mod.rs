//! The interface between the file system and the kernel. Only this module knows `fuser` and errno.
//!
//! - Input: FUSE requests.
//! - Output: replies that [`vfs::FileSystem`](crate::vfs::FileSystem) decides, and notifications
//!   for the invalidations that [`vfs::InvalidationQueue`](crate::vfs::InvalidationQueue) collects.
//!
//! This thin wrapper translates between the FUSE protocol and `vfs`, so the file system can be
//! tested without a kernel. The content of every answer is decided in `vfs`.
//!
//! Callbacks run on a few event threads and never block. If the answer is in memory, the callback
//! sends it. Otherwise a task that owns the reply sends it. Each task runs in a `tracing` span that
//! names the request, so the debug log shows which fetches and HTTP requests a read causes.
//!
//! On failure the request is answered with an errno. If a reply is dropped, the kernel gets `EIO`.

mod adapter;
mod attributes;
mod backing;
mod errno;
mod interrupt;
mod invalidation_thread;
mod readahead;
mod session;
mod system_call;

/// Log target of `fuser` for replies to processes that were killed while they waited. It logs them
/// as errors.
pub const UNWANTED_REPLIES: &str = "fuser::reply";

pub use adapter::Adapter;
pub use session::{Access, MOUNT_SOURCE, MountedSession, SessionError, mount};

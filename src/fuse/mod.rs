//! The interface between the file system and the kernel. Only this module uses `fuser` and errnos.
//!
//! - Input: FUSE requests.
//! - Output: replies from [`vfs::FileSystem`](crate::vfs::FileSystem), and notifications for the
//!   invalidations that [`vfs::InvalidationQueue`](crate::vfs::InvalidationQueue) collects.
//!
//! This thin wrapper translates between the FUSE protocol and `vfs`, so the file system can be
//! tested without a kernel. The content of every reply comes from `vfs`.
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
pub(crate) mod mount_table;
mod readahead;
mod session;
mod system_call;

/// Log target under which `fuser` logs an error for each reply to a process that was killed while
/// it waited.
pub const FUSER_REPLY_LOG_TARGET: &str = "fuser::reply";

pub use adapter::Adapter;
pub use session::{Access, DEFAULT_MOUNT_SOURCE, MountedSession, SessionError, mount};

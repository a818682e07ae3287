//! The file system without a kernel: what each operation answers.
//!
//! [`FileSystem`] has one method for each operation. A method takes plain arguments and returns a
//! plain value or an [`Error`], so every answer is tested without `/dev/fuse`.
//!
//! - Input: inode numbers, names, handles and offsets.
//! - Output: metadata from the current [`Snapshot`](crate::tree::Snapshot); bytes from the
//!   [`Engine`](crate::read::Engine); [`Invalidation`]s for the kernel.
//!
//! The problems that this module solves, and the type that solves each:
//!
//! 1. A directory listing must not skip or repeat a name when the tree changes:
//!    [`DirectoryStream`](directory_stream::DirectoryStream).
//! 2. Cached pages belong to an inode, not to a handle. A handle must not read pages of another
//!    content: [`PageCache`](page_cache::PageCache).
//! 3. The kernel reads an inode either through its pages or from one backing file:
//!    [`Passthrough`](passthrough::Passthrough).
//! 4. A listed length can be wrong. `open` waits for the server to confirm it, for a bounded time:
//!    [`FileSystem::resolve_open`].
//! 5. Programs that read many small files wait for two round trips for each:
//!    [`SiblingPrefetcher`](sibling_prefetch::SiblingPrefetcher).
//! 6. The kernel caches names and attributes for an hour: [`InvalidationQueue`].
//!
//! This module must not know `fuser`, an errno, a provider or the catalog.
//!
//! Methods that are not `async` never block and never wait for the network. They run on the event
//! threads.
//!
//! Lock order: no lock of this module is held while another one of it is taken. Two are held while
//! other modules work: that of [`Passthrough`](passthrough::Passthrough) while the kernel registers
//! a file, and that of [`SiblingPrefetcher`](sibling_prefetch::SiblingPrefetcher) before the locks
//! of `read`.
//!
//! On failure a method returns an [`Error`] and changes nothing. A failed read is logged once for
//! each file and five seconds.

mod attributes;
mod directory_stream;
mod error;
mod file_system;
mod handle_table;
mod invalidation;
mod open_recording;
mod page_cache;
mod passthrough;
mod read_error_log;
mod sibling_prefetch;
#[cfg(test)]
mod tests;
mod xattr;

pub use attributes::{Attributes, BLOCK_SIZE, FileKind, Owner};
pub use directory_stream::{DirectoryEntry, DirectoryEntryPlus};
pub use error::Error;
pub use file_system::{
    ATTRIBUTE_TTL, ClosedDirectory, FileSystem, FileSystemOptions, Lookup, OpenMode, OpenReply,
    OpenStep, PendingOpen, ReadRequest, ReadStep, ReadyOpen, Seek, Statistics,
};
pub use handle_table::HandleId;
pub use invalidation::{Invalidation, InvalidationBatch, InvalidationQueue};
pub use passthrough::{BackingFile, BackingRegistrar};
pub use xattr::XattrReply;

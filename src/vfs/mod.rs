//! The operations of the file system, independent of the kernel interface.
//!
//! [`FileSystem`] has one method for each operation. A method takes plain arguments and returns a
//! plain value or an [`Error`], so every operation can be tested without `/dev/fuse`.
//!
//! - Input: inode numbers, names, handles and offsets.
//! - Output: metadata from the current [`Snapshot`](crate::tree::Snapshot); bytes from the
//!   [`Engine`](crate::read::Engine); [`Invalidation`]s for the kernel.
//!
//! The problems that this module solves, and the type that solves each:
//!
//! 1. A directory listing must not skip or repeat a name when the tree changes:
//!    [`DirectoryStream`](directory_stream::DirectoryStream).
//! 2. The kernel's cached pages belong to an inode, not to a handle. A handle must not read the
//!    pages of another content, and must not wait for other readers:
//!    [`PageCache`](page_cache::PageCache).
//! 3. The kernel has one length for an inode. A program that reads a longer content must not see an
//!    early end of the file: [`OpenFiles`](open_files::OpenFiles).
//! 4. The kernel reads an inode either through its page cache or from one backing file, never both:
//!    [`Passthrough`](passthrough::Passthrough).
//! 5. A listed length can be wrong. `open` waits for a bounded time until the server confirms it:
//!    [`FileSystem::resolve_open`].
//! 6. A program that reads many small files would wait two round trips for each of them:
//!    [`SiblingPrefetcher`](sibling_prefetch::SiblingPrefetcher).
//! 7. The kernel caches names and attributes for an hour, so changes must be reported to it:
//!    [`InvalidationQueue`].
//! 8. Status reports show the open files, their readers and the reads: [`Handles`].
//! 9. An indexer must not download the archive: [`ScannerLimiter`].
//!
//! This module must not know `fuser`, an errno, a provider or the catalog.
//!
//! Methods that are not `async` run on the event threads. They never block and never wait for the
//! network.
//!
//! Lock order: [`PageCache`](page_cache::PageCache), then [`InvalidationQueue`]. No other two locks
//! of this module are held at once. Three locks are held during calls of other code: that of
//! [`Passthrough`](passthrough::Passthrough) while the kernel registers a file, that of
//! [`SiblingPrefetcher`](sibling_prefetch::SiblingPrefetcher) while the locks of `read` are taken,
//! and that of [`InvalidationQueue`] while a change of the tree is published.
//!
//! On failure a method returns an [`Error`] and changes nothing. A file that begins to fail is
//! logged, and not each of its failed reads.

mod attributes;
mod directory_stream;
mod error;
mod file_system;
mod handle;
mod handle_table;
mod handles;
mod invalidation;
mod open_files;
mod open_recording;
mod page_cache;
mod passthrough;
mod read_counters;
mod read_error_log;
mod read_rate;
mod reader_process;
mod scanner;
mod scanner_limiter;
mod sibling_prefetch;
#[cfg(test)]
mod tests;
mod unlisted_sources;
mod xattr;

pub use attributes::{Attributes, BLOCK_SIZE, FileKind, Owner};
pub use directory_stream::{DirectoryEntry, DirectoryEntryPlus};
pub use error::Error;
pub use file_system::{
    ATTRIBUTE_TTL, ClosedDirectory, FileSystem, FileSystemOptions, Lookup, OpenMode, OpenReply,
    OpenStep, PendingOpen, ReadRequest, ReadStep, ReadyOpen, Seek, Statistics,
};
pub use handle_table::HandleId;
pub use handles::{Handles, OpenFileStatus};
pub use invalidation::{Invalidation, InvalidationBatch, InvalidationQueue};
pub use open_recording::ReaderId;
pub use passthrough::{BackingFile, BackingRegistrar};
pub use read_counters::ReadCounts;
pub use reader_process::ReaderProcess;
pub use scanner_limiter::{ScannerCounts, ScannerLimiter};
#[cfg(test)]
pub(crate) use tests::fake_kernel::FakeKernel;
pub use unlisted_sources::UnlistedSources;
pub use xattr::XattrReply;

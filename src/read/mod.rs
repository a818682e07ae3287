//! The read path: an open file, its access pattern, and the fetches that serve it.
//!
//! - Input: reads of `(offset, length)` on an [`OpenFile`].
//! - Output: exactly these bytes, or fewer at the end of the file. Properties of a file that become
//!   known when it is read, such as its true size, are reported to the [`Observer`].
//! - On failure, a read returns a [`FetchError`](crate::http::FetchError) within its deadline.
//!
//! A read passes through these files, in this order:
//!
//! 1. [`engine`] limits the read to the size of the file and adds it to the [`access_pattern`] of
//!    its handle. The access pattern consists of up to four [`stream`]s, each with a
//!    [`sequential_run`].
//! 2. [`block_loader`] takes the bytes from the [memory cache](crate::cache) or joins an
//!    [`in_flight`] fetch. For missing bytes it starts a [`disk_load`] or a [`range_fetch`].
//! 3. [`prefetcher`] fills the [`prefetch_window`] of the stream over as many connections as
//!    [`concurrency`] determines. It also fetches the [`media_index`] of a video when the first
//!    bytes of the video have arrived.
//!
//! If the server ignores ranges, [`range_fetcher`] lets all fetches of the content share one
//! [`download`] of the whole file.
//!
//! After a failed read, further reads that need the network fail at once: each file content has a
//! [`file_breaker`].
//!
//! All handles on the same bytes share a [`content`]. [`content_table`] finds it, and makes it
//! stale when the bytes on the server have changed. All further reads of a stale content fail.
//! [`content_revisions`] stores the current revision of each file.
//!
//! This module must not depend on file names, on inodes, or on how a provider gets its leases.
//!
//! Lock order: the access pattern of a handle, then the table of in-flight fetches, then the locks
//! of a content and of the caches. No lock is held during a call of the observer or during a wait.

mod access_pattern;
mod block_loader;
mod cache_tiers;
mod concurrency;
mod content;
mod content_revisions;
mod content_table;
mod deadline;
mod disk_load;
mod download;
mod engine;
mod fetch_purpose;
mod fetch_request;
mod fetch_scope;
mod file_breaker;
mod file_status;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
mod in_flight;
#[cfg(test)]
mod line_tests;
mod media_index;
mod observer;
mod open_file;
mod prefetch_window;
mod prefetcher;
mod range_fetch;
mod range_fetcher;
mod read_forecast;
mod recording;
mod sequential_run;
mod stream;
#[cfg(test)]
mod test_support;
mod throughput;

pub use cache_tiers::{CachedBytes, DiskLookups};
pub use content::Content;
pub use content_table::FailingFile;
pub use engine::{Engine, EngineOptions};
pub use fetch_scope::FetchScope;
pub use file_status::FileStatus;
pub use observer::Observer;
pub use open_file::OpenFile;
pub use recording::{ContentRevision, Recording};

pub use crate::cache::disk::CompleteFile;

//! Blocks on disk: they survive the process, are verified at every read, and stay within a limit.
//!
//! Input: whole, verified blocks with a [`DiskKey`]. Output: the same bytes, or nothing. Damage on
//! disk is a miss and never an error. Only opening an unusable directory is an error.
//!
//! 1. A block whose record was written survives a `kill -9` (`index_format`, `writer`).
//! 2. Nothing on disk is trusted: names and headers carry the identity, records and blocks a
//!    CRC32C.
//! 3. Without space, the least recently used block is evicted: a hole in its file frees it
//!    (`inventory`).
//! 4. One thread writes (`writer`), and the blocking pool reads, for a bounded time. Callers get
//!    everything else from memory (`coordinator`).
//! 5. One process uses a directory at a time (`lock`).
//!
//! Failures: a full disk pauses writing, a broken one ends it, and reads continue without the
//! cache.
//!
//! Locks: the state in `coordinator` is the only lock. It is never held during an access to the
//! disk or another lock.
//!
//! This module must not know what a provider, a URL or a recording is: files have fingerprints
//! here.

mod complete_file;
mod coordinator;
mod directory_probe;
mod disk_cache;
mod disk_store;
mod error;
#[cfg(any(fuzzing, test))]
pub mod fuzzing;
mod hole;
mod index_format;
mod inventory;
mod key;
mod kill_point;
mod lock;
mod usage;
mod volume;
mod write_error;
mod writer;
mod writer_load;

pub use complete_file::CompleteFile;
pub use directory_probe::probe_directory;
pub use disk_cache::{DiskCache, DiskOptions, DiskStatus};
pub use error::DiskError;
pub use key::DiskKey;
pub use usage::{ClearedFiles, DiskUsage, clear, usage};

#[cfg(test)]
mod tests;

#[cfg(all(test, feature = "model-check"))]
mod model_check;

//! The disk cache. Its blocks survive a restart, are verified at every read, and stay within a size
//! limit.
//!
//! Input: whole, verified blocks with a [`DiskKey`]. Output: the same bytes, or nothing. Damage on
//! disk counts as a miss, never as an error. The only error is a directory that cannot be opened as
//! a cache.
//!
//! 1. A block whose record was written survives a `kill -9` (`index_format`, `writer`).
//! 2. Nothing on disk is trusted. File names and headers contain the identity of a file, and each
//!    record and block has a CRC32C.
//! 3. When space runs out, the least recently used block is evicted: punching a hole in its file
//!    frees the space (`inventory`).
//! 4. One thread writes (`writer`). The blocking pool reads, and callers wait for it only for a
//!    bounded time. All other calls are answered from memory (`coordinator`).
//! 5. Only one process at a time can use a directory (`lock`).
//!
//! Failures: when the disk is full, writing pauses. When the disk is broken, writing ends. Reads
//! continue without the cache.
//!
//! Locks: the only lock is that of the state in `coordinator`. It is never held during disk access,
//! nor while another lock is taken.
//!
//! This module must not know what a provider, a URL or a recording is. It identifies files by
//! fingerprint.

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
pub use usage::{ClearedFiles, DiskUsage, clear, read_usage};

#[cfg(test)]
mod tests;

#[cfg(all(test, feature = "model-check"))]
mod model_check;

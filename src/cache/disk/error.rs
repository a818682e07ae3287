//! Why a disk cache cannot be used.

use std::path::PathBuf;

use crate::ownership::NotOwn;

/// Why a directory cannot be opened as a disk cache. Once it is open nothing is an error: what cannot be had is a
/// miss.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// Another process has it.
    #[error(
        "the cache {} is in use by {}; unmount that one first, or give another directory with --cache-dir",
        directory.display(),
        .pid.map_or_else(|| "another meetfs".to_owned(), |pid| format!("another meetfs (process {pid})"))
    )]
    InUse {
        /// The directory of the blocks.
        directory: PathBuf,
        /// The process that has it, unless it has not said yet.
        pid: Option<u32>,
    },
    /// The directory cannot be made, read or locked.
    #[error("the cache {} cannot be used ({cause}); give another directory with --cache-dir", directory.display())]
    Directory {
        /// The directory of the blocks.
        directory: PathBuf,
        /// The system's word.
        cause: std::io::Error,
    },
    /// The directory or its lock is not the user's own.
    #[error(transparent)]
    NotOwn(#[from] NotOwn),
    /// Blocks could be written there but not freed one by one.
    #[error(
        "the file system of {} cannot free parts of a file; put the cache on ext4, XFS, Btrfs, ZFS or tmpfs \
         with --cache-dir, or turn it off with --disk off",
        directory.display()
    )]
    NoHoles {
        /// The directory of the blocks.
        directory: PathBuf,
    },
}

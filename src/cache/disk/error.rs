//! The errors of opening a disk cache.

use std::borrow::Cow;
use std::path::PathBuf;

use crate::model::{Diagnostic, ErrorKind};
use crate::ownership::OwnershipError;

/// The reason why a directory cannot be opened as a disk cache. An open cache returns no errors: a
/// block that cannot be read is a miss.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// Another process has the directory open.
    #[error(
        "the cache {} is in use by {}",
        directory.display(),
        .pid.map_or_else(|| "another meetfs".to_owned(), |pid| format!("another meetfs (process {pid})"))
    )]
    InUse {
        directory: PathBuf,
        /// The id of the other process, or `None` if that process has not written it.
        pid: Option<u32>,
    },
    /// The directory cannot be created, read or locked.
    #[error("cannot use the cache {}", directory.display())]
    Directory { directory: PathBuf, source: std::io::Error },
    /// The directory or its lock file belongs to another user or is not of the expected type.
    #[error(transparent)]
    Ownership(#[from] OwnershipError),
    /// The file system cannot free the space of a single block (punch a hole).
    #[error("the file system of {} cannot free parts of a file", directory.display())]
    NoHoles { directory: PathBuf },
}

impl Diagnostic for DiskError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::InUse { .. } => ErrorKind::Busy,
            Self::Ownership(error) => error.kind(),
            Self::Directory { .. } | Self::NoHoles { .. } => ErrorKind::System,
        }
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        let hint = match self {
            Self::InUse { .. } => {
                "Unmount the other meetfs first, or choose another directory with --cache-dir."
            }
            Self::Directory { .. } => "Choose another directory with --cache-dir.",
            Self::Ownership(error) => return error.hint(),
            Self::NoHoles { .. } => {
                "Put the cache on ext4, XFS, Btrfs, ZFS or tmpfs with --cache-dir, or turn it off \
                 with --disk off."
            }
        };
        Some(hint.into())
    }
}

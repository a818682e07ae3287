//! Errors that end a command.

use std::borrow::Cow;
use std::path::PathBuf;

use crate::model::{Diagnostic, ErrorKind};

/// The error that ends a command: a [`Diagnostic`] of any module.
///
/// This type does not implement `std::error::Error`, so every diagnostic can be converted into it
/// with `From`.
#[derive(Debug)]
pub struct Error(Box<dyn Diagnostic + Send + Sync>);

impl Error {
    pub(crate) fn diagnostic(&self) -> &dyn Diagnostic {
        &*self.0
    }
}

impl<E: Diagnostic + Send + Sync + 'static> From<E> for Error {
    fn from(error: E) -> Self {
        Self(Box::new(error))
    }
}

/// An error that a command itself detects.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// `meetfs refresh` ended with an incomplete listing.
    #[error("some sources were not refreshed completely: {sources}")]
    IncompleteRefresh {
        /// The names of the sources.
        sources: String,
    },
    /// `meetfs refresh` did not finish in time.
    #[error("the refresh of these sources did not finish within ten minutes: {sources}")]
    UnfinishedRefresh {
        /// The names of the sources.
        sources: String,
    },
    /// `meetfs status --prometheus` needs a mountpoint.
    #[error("there are {count} mounts, but metrics are printed for one mount")]
    SeveralMounts { count: usize },
    /// `meetfs verify` needs a directory of a mount.
    #[error("there are {count} mounts, and the backup can be a copy of any of them")]
    AmbiguousArchive { count: usize },
    /// The directory of `meetfs verify --mount` cannot be listed.
    #[error("cannot list {}", path.display())]
    UnlistedArchive { path: PathBuf, source: std::io::Error },
    /// The directory of `meetfs expiring --not-in` or of `meetfs verify` cannot be searched.
    #[error("cannot search {} for copies", path.display())]
    Copies { path: PathBuf, source: std::io::Error },
    /// The directory of `meetfs expiring --not-in` or of `meetfs verify` is inside the mount.
    #[error("cannot search {} for copies: it is inside the mount", .0.display())]
    CopiesInMount(PathBuf),
    /// No phrase of `meetfs search` contains a word.
    #[error("the query contains no words")]
    NoWords,
    #[error("the query is longer than {max_length} bytes")]
    LongQuery { max_length: usize },
    /// `meetfs search --play` needs a recording.
    #[error("{} has no recording that can be played", .0.display())]
    NothingToPlay(PathBuf),
    #[error("mpv and VLC are not installed")]
    NoPlayer,
    /// The directory in `--cache-dir` or its variable cannot be used.
    #[error("cannot {action} the cache {}", path.display())]
    CacheDirectory { action: &'static str, path: PathBuf, source: std::io::Error },
    /// The archive of `meetfs doctor --bundle` cannot be written.
    #[error("cannot write {}", path.display())]
    Bundle { path: PathBuf, source: std::io::Error },
    #[error("cannot {action}")]
    System { action: &'static str, source: std::io::Error },
}

impl Diagnostic for CommandError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::IncompleteRefresh { .. } | Self::UnfinishedRefresh { .. } => {
                ErrorKind::Unavailable
            }
            Self::NothingToPlay(_) | Self::NoPlayer => ErrorKind::NotFound,
            Self::SeveralMounts { .. }
            | Self::AmbiguousArchive { .. }
            | Self::NoWords
            | Self::LongQuery { .. }
            | Self::Copies { .. }
            | Self::CopiesInMount(_)
            | Self::CacheDirectory { .. } => ErrorKind::Usage,
            Self::Bundle { source, .. } if source.kind() != std::io::ErrorKind::StorageFull => {
                ErrorKind::Usage
            }
            Self::UnlistedArchive { .. } | Self::Bundle { .. } | Self::System { .. } => {
                ErrorKind::System
            }
        }
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        let hint = match self {
            Self::IncompleteRefresh { .. } => {
                "For days that could not be listed, the mount keeps the previous listing and \
                 retries automatically. `meetfs status` shows the reason."
            }
            Self::UnfinishedRefresh { .. } => {
                "The refresh continues in the background. `meetfs status` shows its progress."
            }
            Self::SeveralMounts { .. } => "Name its mountpoint. `meetfs status` lists your mounts.",
            Self::AmbiguousArchive { .. } => {
                "Name the mountpoint, or the directory in it that was copied, with --mount."
            }
            Self::UnlistedArchive { .. } => {
                "--mount must be a directory of a mount. `meetfs status` shows the state of its \
                 sources."
            }
            Self::Copies { .. } => "Choose a readable directory.",
            Self::CopiesInMount(_) => "Choose a directory outside the mount.",
            Self::NoWords => "Write at least one word, as in `meetfs search 'budget plan'`.",
            Self::LongQuery { .. } => "Search for fewer words.",
            Self::NothingToPlay(_) => "List the directory to see the files of the meeting.",
            Self::NoPlayer => "Install mpv or VLC, or open the file in another player.",
            Self::CacheDirectory { .. } => {
                "Correct --cache-dir or MEETFS_CACHE_DIR. Without them, the configured directory is \
                 used."
            }
            Self::Bundle { source, .. } => match source.kind() {
                std::io::ErrorKind::AlreadyExists => "Choose a file name that does not exist.",
                std::io::ErrorKind::StorageFull => {
                    "Free disk space, or choose a file on another file system."
                }
                _ => "Choose a file in a directory that you can write to.",
            },
            Self::System { .. } => return None,
        };
        Some(hint.into())
    }
}

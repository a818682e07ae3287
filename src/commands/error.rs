//! Errors that end a command.

use std::borrow::Cow;
use std::path::PathBuf;

use super::login::error::LoginError;
use crate::cache::disk::DiskError;
use crate::catalog::CatalogDatabaseError;
use crate::config::ConfigError;
use crate::daemon::control::ControlError;
use crate::daemon::error::DaemonError;
use crate::daemon::mountpoint::MountpointError;
use crate::http::HttpError;
use crate::model::{Diagnostic, ErrorKind};

/// A failed command.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Daemon(#[from] DaemonError),
    #[error(transparent)]
    Mountpoint(#[from] MountpointError),
    #[error(transparent)]
    Control(#[from] ControlError),
    #[error(transparent)]
    Login(#[from] LoginError),
    #[error(transparent)]
    Facts(#[from] CatalogDatabaseError),
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    Http(#[from] HttpError),
    /// `meetfs refresh` ended with an incomplete listing.
    #[error("not refreshed completely: {sources}")]
    IncompleteRefresh {
        /// The names of the sources.
        sources: String,
    },
    /// `meetfs refresh` did not end in time.
    #[error("the refresh did not finish within ten minutes: {sources}")]
    UnfinishedRefresh {
        /// The names of the sources.
        sources: String,
    },
    /// The directory of `meetfs expiring --not-in` cannot be searched.
    #[error("cannot search {} for copies", path.display())]
    Copies { path: PathBuf, source: std::io::Error },
    /// The directory of `meetfs expiring --not-in` is inside the mount.
    #[error("cannot search {} for copies: it is in the mount itself", .0.display())]
    CopiesInMount(PathBuf),
    #[error("cannot {action}")]
    System { action: &'static str, source: std::io::Error },
}

impl Diagnostic for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Config(error) => error.kind(),
            Self::Daemon(error) => error.kind(),
            Self::Mountpoint(error) => error.kind(),
            Self::Control(error) => error.kind(),
            Self::Login(error) => error.kind(),
            Self::Facts(error) => error.kind(),
            Self::Disk(error) => error.kind(),
            Self::Http(error) => error.kind(),
            Self::IncompleteRefresh { .. } | Self::UnfinishedRefresh { .. } => {
                ErrorKind::Unavailable
            }
            Self::Copies { .. } | Self::CopiesInMount(_) | Self::System { .. } => ErrorKind::System,
        }
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Config(error) => error.hint(),
            Self::Daemon(error) => error.hint(),
            Self::Mountpoint(error) => error.hint(),
            Self::Control(error) => error.hint(),
            Self::Login(error) => error.hint(),
            Self::Facts(error) => error.hint(),
            Self::Disk(error) => error.hint(),
            Self::Http(error) => error.hint(),
            Self::IncompleteRefresh { .. } => Some(
                "The mount keeps the previous listing of what is missing and retries automatically."
                    .into(),
            ),
            Self::UnfinishedRefresh { .. } => Some(
                "It continues in the background; `meetfs status` shows its progress.".into(),
            ),
            Self::Copies { .. } => Some("Give a readable directory with --not-in.".into()),
            Self::CopiesInMount(_) => {
                Some("Give the directory of a backup outside the mount with --not-in.".into())
            }
            Self::System { .. } => None,
        }
    }
}

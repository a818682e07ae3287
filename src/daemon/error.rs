//! Errors that prevent a mount from starting, or that end it.
//!
//! `commands` prints them and derives the exit code from them.

use std::borrow::Cow;
use std::path::PathBuf;

use super::log_file::LogFileError;
use super::metrics::MetricsError;
use super::mountpoint::MountpointError;
use crate::cache::disk::DiskError;
use crate::catalog::{CatalogDatabaseError, SearchIndexError};
use crate::fuse::SessionError;
use crate::http::HttpError;
use crate::model::{Diagnostic, ErrorKind, SourceName};
use crate::providers::{ErrorClass, ProviderError};

/// An error that ends the mount process.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    #[error(transparent)]
    Listing(#[from] ListingError),
    #[error(transparent)]
    Mountpoint(#[from] MountpointError),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    Catalog(#[from] CatalogDatabaseError),
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(transparent)]
    SearchIndex(#[from] SearchIndexError),
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    #[error("cannot write the log {}", path.display())]
    Log {
        /// The log file, or the directory of the daily logs.
        path: PathBuf,
        source: LogFileError,
    },
    #[error("cannot {action}")]
    System { action: &'static str, source: std::io::Error },
    #[error("meetfs was stopped before the mount was ready")]
    Interrupted,
}

impl Diagnostic for DaemonError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Listing(error) => error.kind(),
            Self::Mountpoint(error) => error.kind(),
            Self::Session(error) => error.kind(),
            Self::Catalog(error) => error.kind(),
            Self::Disk(error) => error.kind(),
            Self::SearchIndex(error) => error.kind(),
            Self::Http(error) => error.kind(),
            Self::Metrics(error) => error.kind(),
            Self::Log {
                source: LogFileError::ForeignLink { .. } | LogFileError::ForeignFile { .. },
                ..
            } => ErrorKind::Configuration,
            Self::Log { .. } | Self::System { .. } => ErrorKind::System,
            Self::Interrupted => ErrorKind::Interrupted,
        }
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Listing(error) => error.hint(),
            Self::Mountpoint(error) => error.hint(),
            Self::Session(error) => error.hint(),
            Self::Catalog(error) => error.hint(),
            Self::Disk(error) => error.hint(),
            Self::SearchIndex(error) => error.hint(),
            Self::Http(error) => error.hint(),
            Self::Metrics(error) => error.hint(),
            Self::Log { .. } => Some("Choose another file with --log-file.".into()),
            Self::System { .. } | Self::Interrupted => None,
        }
    }
}

/// The reason why the first listing of a source is incomplete.
#[derive(Debug, thiserror::Error)]
pub enum ListingError {
    #[error("{source_name}: cannot list recordings")]
    Failed { source_name: SourceName, source: ProviderError },
    #[error("{source_name}: some days could not be listed")]
    Incomplete { source_name: SourceName },
    /// The provider refuses to list some users, although it lists others.
    #[error(
        "{source_name}: some recordings are not listed{}",
        match .other_users {
            0 => String::new(),
            1 => ", and 1 more user is refused".to_owned(),
            count => format!(", and {count} more users are refused"),
        }
    )]
    UserRefused {
        source_name: SourceName,
        /// The error of the first user.
        source: ProviderError,
        /// Number of further users.
        other_users: usize,
    },
    #[error("{source_name} has not answered yet")]
    Pending { source_name: SourceName },
}

impl ListingError {
    /// Whether a later listing can succeed without a change of the configuration, of the files of
    /// this machine or of the provider's settings.
    pub(super) fn is_temporary(&self) -> bool {
        match self.kind() {
            ErrorKind::RateLimited | ErrorKind::Unavailable | ErrorKind::Protocol => true,
            ErrorKind::Usage
            | ErrorKind::Configuration
            | ErrorKind::Credential
            | ErrorKind::NotAllowed
            | ErrorKind::NotFound
            | ErrorKind::Changed
            | ErrorKind::Busy
            | ErrorKind::Interrupted
            | ErrorKind::System => false,
        }
    }
}

impl Diagnostic for ListingError {
    fn kind(&self) -> ErrorKind {
        match self {
            // A listing requests only what the configuration names, such as users.
            Self::Failed { source, .. } if source.class() == ErrorClass::NotFound => {
                ErrorKind::Configuration
            }
            Self::Failed { source, .. } | Self::UserRefused { source, .. } => source.kind(),
            Self::Incomplete { .. } | Self::Pending { .. } => ErrorKind::Unavailable,
        }
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Failed { source, .. } | Self::UserRefused { source, .. } => source.hint(),
            Self::Incomplete { .. } => {
                Some("`meetfs status` shows the days and the reason.".into())
            }
            Self::Pending { .. } => Some(
                "The recordings of this source appear when it answers. `meetfs status` shows its \
                 state."
                    .into(),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_object_in_a_listing_is_a_configuration_error() {
        let kind = |source| {
            ListingError::Failed { source_name: SourceName::new("acme").unwrap(), source }.kind()
        };
        assert_eq!(kind(ProviderError::not_found("no such user")), ErrorKind::Configuration);
        assert_eq!(kind(ProviderError::unavailable("no answer")), ErrorKind::Unavailable);
    }
}

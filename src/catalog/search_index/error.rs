//! Errors of the search index.

use std::borrow::Cow;
use std::path::PathBuf;

use super::search::MAX_QUERY_DURATION;
use crate::model::{Diagnostic, ErrorKind};
use crate::ownership::OwnershipError;

/// The reason why the search index cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SearchIndexError {
    #[error(transparent)]
    Ownership(#[from] OwnershipError),
    #[error("cannot create the search index in {}", path.display())]
    Directory { path: PathBuf, source: std::io::Error },
    #[error("the search took longer than {} s", MAX_QUERY_DURATION.as_secs())]
    Timeout,
    #[error("cannot use the search index")]
    Database(#[from] rusqlite::Error),
}

impl Diagnostic for SearchIndexError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Ownership(error) => error.kind(),
            Self::Timeout => ErrorKind::Unavailable,
            Self::Directory { .. } | Self::Database(_) => ErrorKind::System,
        }
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Ownership(error) => error.hint(),
            Self::Timeout => {
                Some("Search for more or rarer words, or use --since or --source.".into())
            }
            Self::Directory { .. } | Self::Database(_) => Some(
                "Free disk space, or choose another directory with --cache-dir, and mount again."
                    .into(),
            ),
        }
    }
}

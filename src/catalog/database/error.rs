//! The errors that can occur when the catalog is opened.

use std::borrow::Cow;
use std::path::PathBuf;

use super::schema::SCHEMA_VERSION;
use crate::model::{Diagnostic, ErrorKind};
use crate::ownership::OwnershipError;

/// The reason why the catalog cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum CatalogDatabaseError {
    #[error("cannot create the cache directory {}", path.display())]
    Directory { path: PathBuf, source: std::io::Error },
    #[error("other users can write to the cache directory {}", path.display())]
    Exposed { path: PathBuf },
    /// The directory or a file in it does not belong to the user.
    #[error(transparent)]
    Ownership(#[from] OwnershipError),
    /// A newer version of meetfs created the file. The file may contain data that only the newer
    /// version can read.
    #[error(
        "the catalog {} was created by a newer version of meetfs (catalog version {version}; this version supports up to {SCHEMA_VERSION})",
        path.display()
    )]
    NewerVersion { path: PathBuf, version: i64 },
    #[error("cannot use the catalog {}", path.display())]
    Database { path: PathBuf, source: rusqlite::Error },
}

impl Diagnostic for CatalogDatabaseError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Exposed { .. } | Self::Ownership(_) | Self::NewerVersion { .. } => {
                ErrorKind::Configuration
            }
            Self::Directory { .. } | Self::Database { .. } => ErrorKind::System,
        }
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Directory { .. } => Some("Choose another directory with --cache-dir.".into()),
            Self::Exposed { path } => Some(
                format!(
                    "Other users could read or replace the cached files. Choose another directory \
                     with --cache-dir. If only meetfs uses this one, run `chmod go-w {}`.",
                    path.display()
                )
                .into(),
            ),
            Self::Ownership(error) => error.hint(),
            Self::NewerVersion { .. } => Some(
                "The catalog was not changed. Use the newer version of meetfs, or choose another \
                 directory with --cache-dir."
                    .into(),
            ),
            Self::Database { .. } => {
                Some("Free disk space, or choose another directory with --cache-dir.".into())
            }
        }
    }
}

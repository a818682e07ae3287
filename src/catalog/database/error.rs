//! Errors of opening the catalog.

use std::borrow::Cow;
use std::path::PathBuf;

use super::schema::SCHEMA_VERSION;
use crate::model::{Diagnostic, ErrorKind};
use crate::ownership::OwnershipError;

/// The hint if another directory helps.
const OTHER_DIRECTORY: &str = "Choose another directory with --cache-dir.";

/// Why the catalog cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum CatalogDatabaseError {
    #[error("cannot create the cache directory {}", path.display())]
    Directory { path: PathBuf, source: std::io::Error },
    #[error("other users can write to the cache directory {}", path.display())]
    Exposed { path: PathBuf },
    /// The directory or a file in it does not belong to the user.
    #[error(transparent)]
    Ownership(#[from] OwnershipError),
    /// The file has tables that this version does not know. It may contain data that only a later
    /// version can read.
    #[error(
        "the catalog {} was made by a later meetfs (table version {version}; this one supports up to {SCHEMA_VERSION})",
        path.display()
    )]
    LaterVersion { path: PathBuf, version: i64 },
    #[error("cannot use the catalog {}", path.display())]
    Database { path: PathBuf, source: rusqlite::Error },
}

impl Diagnostic for CatalogDatabaseError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Exposed { .. } | Self::Ownership(_) | Self::LaterVersion { .. } => {
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
                    "They could read or replace what is stored there. Run `chmod go-w {}`, or \
                     choose another directory with --cache-dir.",
                    path.display()
                )
                .into(),
            ),
            Self::Ownership(error) => error.hint(),
            Self::LaterVersion { .. } => Some(
                format!("The catalog was left unchanged. Use that version. {OTHER_DIRECTORY}")
                    .into(),
            ),
            Self::Database { .. } => Some(format!("Free disk space. {OTHER_DIRECTORY}").into()),
        }
    }
}

//! Classification of errors whose own module does not provide it yet.

use crate::cache::disk::DiskError;
use crate::catalog::CatalogDatabaseError;
use crate::model::{Diagnostic, ErrorKind};

impl Diagnostic for CatalogDatabaseError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Exposed { .. } | Self::NotOwn(_) | Self::Later { .. } => ErrorKind::Configuration,
            _ => ErrorKind::System,
        }
    }
}

impl Diagnostic for DiskError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotOwn(_) => ErrorKind::Configuration,
            Self::InUse { .. } => ErrorKind::Busy,
            _ => ErrorKind::System,
        }
    }
}

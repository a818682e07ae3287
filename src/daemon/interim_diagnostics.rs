//! Classification of errors whose own module does not provide it yet.

use crate::catalog::CatalogDatabaseError;
use crate::model::{Diagnostic, ErrorKind};

impl Diagnostic for CatalogDatabaseError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Exposed { .. } | Self::Ownership(_) | Self::Later { .. } => {
                ErrorKind::Configuration
            }
            _ => ErrorKind::System,
        }
    }
}

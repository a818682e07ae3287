//! The reasons why a small text file cannot be read.

use std::borrow::Cow;
use std::io;

use crate::model::{Diagnostic, ErrorKind};

#[derive(Debug, thiserror::Error)]
pub enum FileProblem {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("it is not a regular file")]
    NotRegular,
    #[error("it is larger than {} KiB", .limit / 1024)]
    TooLarge {
        /// Maximum size in bytes.
        limit: u64,
    },
    #[error("it is not UTF-8 text")]
    NotUtf8,
}

impl Diagnostic for FileProblem {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Configuration
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        let hint = match self {
            Self::Io(error) if error.kind() == io::ErrorKind::NotFound => {
                "Check the path, or create the file."
            }
            Self::Io(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                "Give the user who runs meetfs read permission."
            }
            Self::Io(error) if error.kind() == io::ErrorKind::NotADirectory => {
                "A part of this path is a file. Correct the path."
            }
            Self::Io(_) => return None,
            Self::NotRegular | Self::TooLarge { .. } => "Check the path.",
            Self::NotUtf8 => "Save the file as UTF-8 text.",
        };
        Some(hint.into())
    }
}

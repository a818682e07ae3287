//! Where a value comes from.

use std::fmt;
use std::path::PathBuf;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The configuration file.
    File {
        path: PathBuf,
        /// From 1.
        line: usize,
        /// With its table, as in `cache.memory`.
        key: String,
    },
    /// An environment variable.
    Variable(&'static str),
    /// A command line flag or argument.
    Flag(&'static str),
}

impl Origin {
    /// Returns the key without its table, the variable or the flag.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::File { key, .. } => key.rsplit('.').next().unwrap_or(key),
            Self::Variable(name) | Self::Flag(name) => name,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line, key } => write!(f, "{}, line {line}: `{key}`", path.display()),
            Self::Variable(name) | Self::Flag(name) => write!(f, "`{name}`"),
        }
    }
}

//! The origin of a value: the configuration file, an environment variable or a flag.

use std::fmt;
use std::path::PathBuf;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The configuration file.
    File {
        path: PathBuf,
        /// The line number. The first line is 1.
        line: usize,
        /// The key with its table, such as `cache.memory`.
        key: String,
    },
    /// An environment variable.
    Variable(&'static str),
    /// A command-line flag or argument.
    Flag(&'static str),
}

impl Origin {
    /// Returns the name of the variable or flag, or the key without its table.
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

//! Errors for invalid arguments, formatted for the output of clap.

use std::fmt;

use crate::model::Diagnostic;

/// An error of a value parser. Its `Display` includes the hint on a separate line, because clap
/// prints only the `Display`.
#[derive(Debug)]
pub(super) struct UsageError<E>(pub(super) E);

impl<E: Diagnostic> fmt::Display for UsageError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        match self.0.hint() {
            Some(hint) => write!(f, "\nhint: {hint}"),
            None => Ok(()),
        }
    }
}

impl<E: Diagnostic> std::error::Error for UsageError<E> {}

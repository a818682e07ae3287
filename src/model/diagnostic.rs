//! The properties of an error, in addition to its message, that are shown to the user.

use std::borrow::Cow;
use std::error::Error;

/// The class of an error. Commands derive their exit code from it, and `--json` prints it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// A flag or an argument has a wrong value.
    Usage,
    /// The configuration or a variable has a wrong value.
    Configuration,
    /// A credential is missing, wrong, expired or revoked.
    Credential,
    /// The credential is valid but does not permit the request.
    NotAllowed,
    /// The object does not exist, or no longer exists.
    NotFound,
    /// The object was replaced at the provider.
    Changed,
    /// The provider requested a delay.
    RateLimited,
    /// A server is unreachable, too slow or failing. A retry may succeed.
    Unavailable,
    /// A reply contradicts itself or the request.
    Protocol,
    /// A resource is in use, such as a mountpoint, a cache directory or a port.
    Busy,
    /// A signal ended the command.
    Interrupted,
    /// The operating system refused an operation.
    System,
}

impl ErrorKind {
    /// Returns the name that `--json` prints.
    pub fn name(self) -> &'static str {
        match self {
            Self::Usage => "usage",
            Self::Configuration => "configuration",
            Self::Credential => "credential",
            Self::NotAllowed => "not_allowed",
            Self::NotFound => "not_found",
            Self::Changed => "changed",
            Self::RateLimited => "rate_limited",
            Self::Unavailable => "unavailable",
            Self::Protocol => "protocol",
            Self::Busy => "busy",
            Self::Interrupted => "interrupted",
            Self::System => "system",
        }
    }
}

/// An error with a class and, if a fix is known, a hint.
///
/// `Display` states what failed. It also states why, unless [`Error::source`] returns the cause.
/// The text begins with a lower-case letter and has no final period.
pub trait Diagnostic: Error {
    /// Classifies the error.
    fn kind(&self) -> ErrorKind;

    /// Returns a suggestion of what the user can do about the error, in full sentences.
    fn hint(&self) -> Option<Cow<'static, str>> {
        None
    }
}

/// Returns the messages of `error` and of its causes, joined by colons, for one log line.
pub fn one_line(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    line
}

/// Returns [`one_line`] with the hint in brackets, for errors whose hint is shown only in the log.
pub fn line_with_hint(error: &dyn Diagnostic) -> String {
    let line = one_line(&error);
    match error.hint() {
        Some(hint) => format!("{line} (hint: {hint})"),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot list recordings")]
    struct ListingError(#[source] std::io::Error);

    #[test]
    fn one_line_names_every_cause() {
        let error = ListingError(std::io::Error::other("connection refused"));
        assert_eq!(one_line(&error), "cannot list recordings: connection refused");
    }
}

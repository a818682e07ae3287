//! The errors of range requests.

use std::time::Duration;

/// The reason why a reply to a range request is missing or unusable. The texts do not name the
/// host.
#[derive(Clone, Debug)]
pub(super) enum RangeError {
    /// The server refuses the lease: status 401 or 403, or a page or an error object in place of
    /// the file.
    Refused(String),
    /// The URL of the lease does not exist: status 404 or 410.
    Missing(String),
    /// The reply has the right media type, but its first bytes belong to another kind of file.
    NotTheFile(String),
    /// A retry may succeed, after the delay that the server requested.
    Transient(String, Option<Duration>),
    /// The length of the file in the reply differs from the expected one.
    WrongTotal {
        /// The stated length in bytes.
        served: u64,
    },
    /// The reply contains another version of the file.
    Changed(String),
}

impl RangeError {
    pub(super) fn transient(cause: impl Into<String>) -> Self {
        Self::Transient(cause.into(), None)
    }
}

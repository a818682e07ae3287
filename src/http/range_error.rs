//! Why a range request failed.

use std::time::Duration;

/// Why a reply to a range request is missing or unusable. The texts name no host.
#[derive(Clone, Debug)]
pub(super) enum RangeError {
    /// The lease is refused: 401, 403, or a page or an error object in place of the file.
    Refused(String),
    /// The URL of the lease does not exist: 404, 410.
    Missing(String),
    /// The reply is complete and of the right type, but starts like another kind of file.
    NotTheFile(String),
    /// A retry may succeed, after the delay that the server requested.
    Transient(String, Option<Duration>),
    /// The reply states another length of the file.
    WrongTotal {
        /// Length stated, in bytes.
        served: u64,
    },
    /// The reply contains another version of the file.
    Changed(String),
}

impl RangeError {
    pub(super) fn transient(why: impl Into<String>) -> Self {
        Self::Transient(why.into(), None)
    }
}

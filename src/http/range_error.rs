//! The errors of range requests.

use std::time::Duration;

/// The reason why a reply to a range request is missing or unusable. The texts do not contain the
/// host.
#[derive(Clone, Debug)]
pub(super) enum RangeError {
    /// The server refuses the lease: status 401 or 403, or an HTML page or an error object instead
    /// of the file.
    Refused(String),
    /// The URL of the lease does not exist: status 404 or 410.
    Missing(String),
    /// The first bytes of the body show that it is another kind of file.
    NotTheFile(String),
    /// An error after which a retry may succeed, and the delay that the server requested.
    Transient(String, Option<Duration>),
    /// Status 429 or 503: the server refuses the request because it received too many. Contains the
    /// delay that the server requested. A retry may succeed.
    Throttled(String, Option<Duration>),
    /// Status 408 or another 5xx, no reply, a stall or a broken connection. An overloaded server or
    /// line can cause it, but single failures also occur on a lossy line. Contains the delay that
    /// the server requested. A retry may succeed.
    Broken(String, Option<Duration>),
    /// The length of the file in the reply differs from the expected length.
    WrongTotal {
        /// The length in bytes that the reply states.
        served_length: u64,
    },
    /// The server sends the whole file without stating its length, and continues after the expected
    /// length. Another request would transfer the whole file again.
    ExcessBytes,
    /// The reply contains another version of the file.
    Changed(String),
}

impl RangeError {
    pub(super) fn transient(cause: impl Into<String>) -> Self {
        Self::Transient(cause.into(), None)
    }
}

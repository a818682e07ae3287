//! The errors of reads from a provider.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use crate::model::{Diagnostic, ErrorKind};

/// The error of a read from a provider. The file system converts it to an errno.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FetchError {
    /// The provider refuses the download, even with a new lease.
    #[error("the provider does not allow the download")]
    NotAllowed(#[source] FetchCause),
    /// The provider no longer has the file.
    #[error("the provider no longer has the file")]
    Gone(#[source] FetchCause),
    /// The bytes that the provider serves differ from this version of the file.
    #[error("the file has changed at the provider")]
    Changed(#[source] FetchCause),
    /// The circuit breaker of the host is open, so no request was sent.
    #[error(transparent)]
    Down(FetchCause),
    /// The reply does not have the format of the file.
    #[error("the reply is not the recording")]
    NotTheFile(#[source] FetchCause),
    /// The served length differs from the listed length. The served length is correct.
    #[error(
        "the file is {served_length} bytes long, but the listing states {expected_length} bytes"
    )]
    WrongTotal {
        /// Length in the listing, in bytes.
        expected_length: u64,
        /// Length that the server serves, in bytes.
        served_length: u64,
    },
    /// The read reached its deadline. The cause is the error of the last attempt.
    #[error("the bytes did not arrive within the deadline")]
    Deadline(#[source] FetchCause),
    /// The server sends the whole file instead of a range, and the range is too far from the start
    /// of the transfer.
    #[error("the server ignores ranges")]
    RangesIgnored(#[source] FetchCause),
    /// Any other failure, after which a retry may succeed.
    #[error(transparent)]
    Failed(FetchCause),
}

/// The cause of a [`FetchError`]: an error, or a statement about the reply.
#[derive(Clone)]
pub struct FetchCause(Cause);

#[derive(Clone)]
enum Cause {
    Error(Arc<dyn Diagnostic + Send + Sync>),
    Statement(Cow<'static, str>),
}

impl FetchCause {
    pub fn new(error: impl Diagnostic + Send + Sync + 'static) -> Self {
        Self(Cause::Error(Arc::new(error)))
    }
}

impl From<&'static str> for FetchCause {
    fn from(statement: &'static str) -> Self {
        Self(Cause::Statement(statement.into()))
    }
}

impl From<String> for FetchCause {
    fn from(statement: String) -> Self {
        Self(Cause::Statement(statement.into()))
    }
}

impl fmt::Display for FetchCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Cause::Error(error) => error.fmt(f),
            Cause::Statement(statement) => f.write_str(statement),
        }
    }
}

impl fmt::Debug for FetchCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Cause::Error(error) => error.fmt(f),
            Cause::Statement(statement) => statement.fmt(f),
        }
    }
}

impl Error for FetchCause {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0 {
            Cause::Error(error) => error.source(),
            Cause::Statement(_) => None,
        }
    }
}

impl Diagnostic for FetchCause {
    /// Returns the kind of the error. A statement about a reply counts as a transient failure.
    fn kind(&self) -> ErrorKind {
        match &self.0 {
            Cause::Error(error) => error.kind(),
            Cause::Statement(_) => ErrorKind::Unavailable,
        }
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        match &self.0 {
            Cause::Error(error) => error.hint(),
            Cause::Statement(_) => None,
        }
    }
}

impl FetchError {
    /// Returns the cause of the error, or `None` for [`WrongTotal`](Self::WrongTotal), which has no
    /// cause.
    pub fn cause(&self) -> Option<&FetchCause> {
        match self {
            Self::NotAllowed(cause)
            | Self::Gone(cause)
            | Self::Changed(cause)
            | Self::Down(cause)
            | Self::NotTheFile(cause)
            | Self::Deadline(cause)
            | Self::RangesIgnored(cause)
            | Self::Failed(cause) => Some(cause),
            Self::WrongTotal { .. } => None,
        }
    }
}

impl Diagnostic for FetchError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotAllowed(_) => ErrorKind::NotAllowed,
            Self::Gone(_) => ErrorKind::NotFound,
            Self::Changed(_) | Self::WrongTotal { .. } => ErrorKind::Changed,
            Self::NotTheFile(_) => ErrorKind::Protocol,
            Self::Down(_) | Self::Deadline(_) | Self::RangesIgnored(_) | Self::Failed(_) => {
                ErrorKind::Unavailable
            }
        }
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        self.cause()?.hint()
    }
}

//! The errors of reading the bytes of a file.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use crate::model::{Diagnostic, ErrorKind};

/// The error of a read from the provider. The file system maps it to an errno.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FetchError {
    /// The provider refuses the download, even with a new lease.
    #[error("not allowed")]
    NotAllowed(#[source] FetchCause),
    /// The provider no longer has the file.
    #[error("gone")]
    Gone(#[source] FetchCause),
    /// The provider serves a content that differs from this file version.
    #[error("changed")]
    Changed(#[source] FetchCause),
    /// The circuit breaker of the host is open: no request was sent.
    #[error(transparent)]
    Down(FetchCause),
    /// The reply is not a file of this type.
    #[error("not the file")]
    NotTheFile(#[source] FetchCause),
    /// The length of the file differs from the listing. The served length is the true one.
    #[error("the file is {served} bytes long, but {expected} were listed")]
    WrongTotal {
        /// Length in the listing, in bytes.
        expected: u64,
        /// Length served, in bytes.
        served: u64,
    },
    /// The deadline passed. The cause is the error of the last attempt.
    #[error("no bytes within the deadline")]
    Deadline(#[source] FetchCause),
    /// Any other failure. A retry may succeed.
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
    /// A cause that is only a statement about a reply counts as a transient failure.
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
    /// Returns the cause; `None` for [`WrongTotal`](Self::WrongTotal), which has no cause.
    pub fn cause(&self) -> Option<&FetchCause> {
        match self {
            Self::NotAllowed(cause)
            | Self::Gone(cause)
            | Self::Changed(cause)
            | Self::Down(cause)
            | Self::NotTheFile(cause)
            | Self::Deadline(cause)
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
            Self::Down(_) | Self::Deadline(_) | Self::Failed(_) => ErrorKind::Unavailable,
        }
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        self.cause()?.hint()
    }
}

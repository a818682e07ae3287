//! The error of a read that does not finish within its deadline.

use std::borrow::Cow;
use std::time::Duration;

use crate::http::FetchCause;
use crate::model::{Diagnostic, ErrorKind};

/// The error of a read whose bytes did not arrive before its deadline.
#[derive(Debug, thiserror::Error)]
#[error("{} s passed", .deadline.as_secs_f32())]
pub(super) struct DeadlineExceeded {
    pub(super) deadline: Duration,
    /// The cause of the last failed request for the file during the read, if any.
    #[source]
    pub(super) last_failure: Option<FetchCause>,
}

impl Diagnostic for DeadlineExceeded {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Unavailable
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        self.last_failure.as_ref()?.hint()
    }
}

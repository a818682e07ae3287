//! The error of a read that reached its deadline.

use std::borrow::Cow;
use std::time::Duration;

use crate::http::FetchCause;
use crate::model::{Diagnostic, ErrorKind};

/// The deadline of a read passed while its bytes were in flight.
#[derive(Debug, thiserror::Error)]
#[error("{} s passed", .deadline.as_secs_f32())]
pub(super) struct DeadlinePassed {
    pub(super) deadline: Duration,
    /// Why a request for the file last failed during the read, if one did.
    #[source]
    pub(super) last_failure: Option<FetchCause>,
}

impl Diagnostic for DeadlinePassed {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Unavailable
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        self.last_failure.as_ref()?.hint()
    }
}

//! The error of the metrics server.

use std::borrow::Cow;

use crate::config::MetricsAddress;
use crate::model::{Diagnostic, ErrorKind};

/// The metrics server cannot listen on its address.
#[derive(Debug, thiserror::Error)]
#[error("cannot serve metrics on {address}")]
pub struct MetricsError {
    pub(super) address: MetricsAddress,
    pub(super) source: std::io::Error,
}

impl Diagnostic for MetricsError {
    fn kind(&self) -> ErrorKind {
        match self.source.kind() {
            std::io::ErrorKind::AddrInUse => ErrorKind::Busy,
            _ => ErrorKind::System,
        }
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        Some("Choose another address with --metrics. Each mount needs its own.".into())
    }
}

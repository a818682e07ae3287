//! Why a provider could not answer.

use std::time::Duration;

impl ProviderError {
    /// Whether asking the same again later may help.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Limited { .. } | Self::Down(_) | Self::Unavailable(_))
    }
}

/// Why a provider could not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ProviderError {
    /// The credential is wrong, revoked or for another account. Asking again is no use until it is changed.
    #[error("{0}")]
    Credential(String),
    /// The credential is right but does not permit this; names what is missing where the provider says it.
    #[error("{0}")]
    NotAllowed(String),
    /// There is no such thing, or no longer.
    #[error("{0}")]
    NotFound(String),
    /// It wants no request for a while, which it said how long is.
    #[error("{why}")]
    Limited {
        /// What to say of it.
        why: String,
        /// How long.
        wait: Duration,
    },
    /// Not asked, for it has been failing for a while.
    #[error("{0}")]
    Down(String),
    /// Out of reach, too slow, failing or limiting: it may work later.
    #[error("{0}")]
    Unavailable(String),
}

impl From<crate::http::HttpError> for ProviderError {
    fn from(error: crate::http::HttpError) -> Self {
        match error {
            crate::http::HttpError::HostNotAllowed { .. } => Self::NotAllowed(error.to_string()),
            crate::http::HttpError::Down { .. } => Self::Down(error.to_string()),
            crate::http::HttpError::RateLimited { wait, .. } => {
                Self::Limited { why: error.to_string(), wait }
            }
            other => Self::Unavailable(other.to_string()),
        }
    }
}

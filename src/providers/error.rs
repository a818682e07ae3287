//! The error type of the providers.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use crate::http::HttpError;
use crate::model::{Diagnostic, ErrorKind};

/// The class of an error, which determines how the caller reacts. Callers match on the class, never
/// on the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorClass {
    /// The credential is wrong, revoked or for another account. Retries fail until the credential
    /// is replaced.
    Credential,
    /// The credential is valid but does not permit the request.
    NotAllowed,
    /// The object does not exist or has been deleted.
    NotFound,
    /// The contents of the object differ from the requested version.
    Changed,
    /// The rate limit of the server does not permit the request yet.
    RateLimited {
        /// The delay that the server requested.
        wait: Duration,
    },
    /// No request was sent, because the circuit breaker of the server is open.
    Down,
    /// The server is unreachable, too slow or failing, or its reply is unusable. A retry may
    /// succeed.
    Unavailable,
}

impl ErrorClass {
    /// Whether the same request may succeed later without a change of the configuration.
    pub fn is_transient(self) -> bool {
        matches!(self, Self::RateLimited { .. } | Self::Down | Self::Unavailable)
    }
}

/// The error of a failed request to a provider.
///
/// `Display` writes one sentence without a final period. It states what failed, and why it failed
/// unless `source` contains the cause. [`Diagnostic::hint`] returns the fix. Two errors are equal
/// if they have the same class, message and hint.
#[derive(Clone, Debug)]
pub struct ProviderError {
    class: ErrorClass,
    message: Cow<'static, str>,
    hint: Option<Cow<'static, str>>,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl ProviderError {
    fn new(class: ErrorClass, message: impl Into<Cow<'static, str>>) -> Self {
        Self { class, message: message.into(), hint: None, source: None }
    }

    /// Returns an error of class [`ErrorClass::Credential`].
    pub fn credential(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorClass::Credential, message)
    }

    /// Returns an error of class [`ErrorClass::NotAllowed`].
    pub fn not_allowed(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorClass::NotAllowed, message)
    }

    /// Returns an error of class [`ErrorClass::NotFound`].
    pub fn not_found(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorClass::NotFound, message)
    }

    /// Returns an error of class [`ErrorClass::Changed`].
    pub fn changed(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorClass::Changed, message)
    }

    /// Returns an error of class [`ErrorClass::Unavailable`].
    pub fn unavailable(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorClass::Unavailable, message)
    }

    /// Adds a hint: full sentences that tell the user how to fix the error.
    #[must_use]
    pub fn with_hint(self, hint: impl Into<Cow<'static, str>>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Adds the error that caused this error.
    #[must_use]
    pub fn with_source(self, source: impl Error + Send + Sync + 'static) -> Self {
        Self { source: Some(Arc::new(source)), ..self }
    }

    /// Returns the class of the error.
    pub fn class(&self) -> ErrorClass {
        self.class
    }

    /// Whether the same request may succeed later without a change of the configuration.
    pub fn is_transient(&self) -> bool {
        self.class.is_transient()
    }

    /// Whether retries fail until the credential is replaced.
    pub fn is_credential(&self) -> bool {
        self.class == ErrorClass::Credential
    }

    /// Whether the provider denies access to the requested object or does not have it.
    pub fn is_refusal(&self) -> bool {
        matches!(self.class, ErrorClass::NotAllowed | ErrorClass::NotFound)
    }
}

impl fmt::Display for ProviderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for ProviderError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

impl Diagnostic for ProviderError {
    fn kind(&self) -> ErrorKind {
        match self.class {
            ErrorClass::Credential => ErrorKind::Credential,
            ErrorClass::NotAllowed => ErrorKind::NotAllowed,
            ErrorClass::NotFound => ErrorKind::NotFound,
            ErrorClass::Changed => ErrorKind::Changed,
            ErrorClass::RateLimited { .. } => ErrorKind::RateLimited,
            ErrorClass::Down | ErrorClass::Unavailable => ErrorKind::Unavailable,
        }
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        self.hint.clone()
    }
}

impl PartialEq for ProviderError {
    fn eq(&self, other: &Self) -> bool {
        self.class == other.class && self.message == other.message && self.hint == other.hint
    }
}

impl Eq for ProviderError {}

impl Hash for ProviderError {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.class, &self.message, &self.hint).hash(state);
    }
}

impl From<HttpError> for ProviderError {
    fn from(error: HttpError) -> Self {
        let class = match error {
            HttpError::HostNotAllowed { .. } => ErrorClass::NotAllowed,
            HttpError::Down { .. } => ErrorClass::Down,
            HttpError::RateLimited { wait, .. } => ErrorClass::RateLimited { wait },
            _ => ErrorClass::Unavailable,
        };
        let (message, hint) = (error.to_string(), error.hint());
        let source = match error {
            HttpError::Unreachable { source, .. } | HttpError::Setup(source) => Some(source),
            _ => None,
        };
        let source = source.map(|source| Arc::new(source) as Arc<dyn Error + Send + Sync>);
        Self { hint, source, ..Self::new(class, message) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_errors_keep_class_and_message() {
        let wait = Duration::from_secs(7);
        let host = || "https://zoom.us".to_owned();
        for (error, class) in [
            (HttpError::HostNotAllowed { host: host() }, ErrorClass::NotAllowed),
            (HttpError::RateLimited { host: host(), wait }, ErrorClass::RateLimited { wait }),
            (HttpError::ServerError { host: host(), status: 503 }, ErrorClass::Unavailable),
        ] {
            let message = error.to_string();
            let error = ProviderError::from(error);
            assert_eq!((error.class(), error.to_string()), (class, message));
            assert_eq!(error.is_transient(), class != ErrorClass::NotAllowed);
        }
    }

    #[test]
    fn equality_includes_the_hint_and_ignores_the_source() {
        let error = || ProviderError::unavailable("no answer");
        assert_eq!(error(), error().with_source(std::io::Error::other("reset")));
        assert_ne!(error(), error().with_hint("Check api_url."));
        assert_ne!(error(), ProviderError::not_found("no answer"));
    }
}

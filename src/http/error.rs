//! The errors of HTTP requests.

use std::borrow::Cow;
use std::time::Duration;

use rustls::CertificateError;

use crate::model::{Diagnostic, ErrorKind, SecretUrl};

/// The error of an HTTP request. It names the host but never the path or the query, because these
/// can be credentials.
#[derive(Clone, Debug, thiserror::Error)]
pub enum HttpError {
    /// The connection could not be opened, or it was lost before the reply was complete.
    #[error("the connection to {host} failed")]
    Unreachable {
        /// Origin of the URL: scheme, host name and port.
        host: String,
        source: TransportError,
    },
    /// The server did not reply in time.
    #[error("{host} did not answer within {} s", .timeout.as_secs())]
    TimedOut {
        /// Origin of the URL: scheme, host name and port.
        host: String,
        timeout: Duration,
    },
    /// The server returned status 429, and no further attempt is possible within the timeout of the
    /// caller.
    #[error("{host} limits the rate of requests; retry after {}", format_delay(*.wait))]
    RateLimited {
        /// Origin of the URL: scheme, host name and port.
        host: String,
        /// The time after which the server accepts requests again.
        wait: Duration,
    },
    /// The server returned a server error to every attempt.
    #[error("{host} returned a server error ({status})")]
    ServerError {
        /// Origin of the URL: scheme, host name and port.
        host: String,
        /// The status of the last reply, 500 to 599.
        status: u16,
    },
    /// The circuit breaker of the host is open, so no request was sent.
    #[error("{host} has been failing for more than {} s", .failing_for.as_secs())]
    Down {
        /// Origin of the URL: scheme, host name and port.
        host: String,
        /// Time since the first failure after the last good reply of the host.
        failing_for: Duration,
        /// Time between two probes of the host.
        retry_interval: Duration,
    },
    /// The reply exceeds the maximum length.
    #[error("{host} sent a reply of more than {limit} bytes")]
    TooLarge {
        /// Origin of the URL: scheme, host name and port.
        host: String,
        /// Maximum length in bytes.
        limit: usize,
    },
    /// The scheme of the URL is not https, or its host is not allowed for the source.
    #[error("{host} is not an allowed https host of this source")]
    HostNotAllowed {
        /// Origin of the URL: scheme, host name and port.
        host: String,
    },
    /// The TLS library or the HTTP client cannot be initialized.
    #[error("the HTTP client cannot be set up")]
    Setup(#[source] TransportError),
    /// The credential contains a character that is not allowed in a header.
    #[error("a credential contains a character that is not allowed in a header")]
    InvalidCredential,
}

/// The innermost cause of a transport error, for example "Connection refused". It does not contain
/// the URL.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{text}")]
pub struct TransportError {
    text: String,
    /// Whether no trusted authority has issued the certificate of the server.
    has_unknown_issuer: bool,
}

impl TransportError {
    pub(super) fn new(error: reqwest::Error) -> Self {
        let error = error.without_url();
        let mut innermost_error: &dyn std::error::Error = &error;
        while let Some(source) = innermost_error.source() {
            innermost_error = source;
        }
        let text = innermost_error.to_string();
        Self { text, has_unknown_issuer: has_unknown_issuer(&error) }
    }
}

/// Whether TLS failed because no trusted authority has issued the certificate of the server.
fn has_unknown_issuer(error: &(dyn std::error::Error + 'static)) -> bool {
    if let Some(tls_error) = error.downcast_ref::<rustls::Error>() {
        let unknown_issuer = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        return *tls_error == unknown_issuer;
    }
    // The source of an I/O error is that of the error which it contains.
    let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    let inner = inner.map(|inner| inner as &(dyn std::error::Error + 'static));
    inner.or_else(|| error.source()).is_some_and(has_unknown_issuer)
}

/// Formats a delay in seconds, minutes or hours, depending on its length.
fn format_delay(wait: Duration) -> String {
    match wait.as_secs() {
        seconds @ 0..=120 => format!("{seconds} s"),
        seconds @ 121..=7200 => format!("{} min", seconds.div_ceil(60)),
        seconds => format!("{} h", seconds.div_ceil(3600)),
    }
}

impl HttpError {
    /// Converts a transport error of a request to `url`.
    pub(super) fn from_transport(
        error: reqwest::Error,
        url: &SecretUrl,
        connect_timeout: Duration,
    ) -> Self {
        let host = origin(url);
        if error.is_timeout() {
            return Self::TimedOut { host, timeout: connect_timeout };
        }
        Self::Unreachable { host, source: TransportError::new(error) }
    }
}

impl Diagnostic for HttpError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Unreachable { .. }
            | Self::TimedOut { .. }
            | Self::ServerError { .. }
            | Self::Down { .. } => ErrorKind::Unavailable,
            Self::RateLimited { .. } => ErrorKind::RateLimited,
            Self::TooLarge { .. } => ErrorKind::Protocol,
            Self::HostNotAllowed { .. } => ErrorKind::NotAllowed,
            Self::Setup(_) => ErrorKind::System,
            Self::InvalidCredential => ErrorKind::Credential,
        }
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Unreachable { source, .. } if source.has_unknown_issuer => Some(
                "The certificate of the server is not trusted. If a private CA issued it, for \
                 example that of a proxy that inspects TLS, set `ca_file` to the certificate of \
                 this CA."
                    .into(),
            ),
            Self::Unreachable { .. } => {
                Some("Check the network. If every request fails, check the base URL.".into())
            }
            Self::RateLimited { .. } | Self::ServerError { .. } => {
                Some("A running mount retries automatically.".into())
            }
            Self::Down { retry_interval, .. } => Some(
                format!(
                    "While files are read, meetfs probes the server every {} s.",
                    retry_interval.as_secs()
                )
                .into(),
            ),
            Self::HostNotAllowed { .. } => {
                Some("If the host is correct, add it to `download_hosts`.".into())
            }
            Self::TimedOut { .. }
            | Self::TooLarge { .. }
            | Self::Setup(_)
            | Self::InvalidCredential => None,
        }
    }
}

/// Returns the scheme, host and port of a URL, which are safe to print.
pub(crate) fn origin(url: &SecretUrl) -> String {
    let url = url.expose();
    match url.origin() {
        url::Origin::Opaque(_) => format!("{}:", url.scheme()),
        origin => origin.ascii_serialization(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delay_is_formatted_in_a_suitable_unit() {
        for (seconds, text) in [(0, "0 s"), (120, "120 s"), (121, "3 min"), (43_201, "13 h")] {
            assert_eq!(format_delay(Duration::from_secs(seconds)), text);
        }
    }
}

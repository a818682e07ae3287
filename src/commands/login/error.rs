//! Errors of a sign-in.

use std::borrow::Cow;

use crate::model::{Diagnostic, ErrorKind, SourceName};
use crate::providers::SignInError;

/// A sign-in that failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoginError {
    #[error("cannot listen on port {port}")]
    Port { port: u16, source: std::io::Error },
    /// The browser returned without a permission.
    #[error("{source_name}: permission was refused in the browser ({reason})")]
    Refused {
        source_name: SourceName,
        /// The error code of the provider.
        reason: String,
    },
    #[error("the browser did not return within {minutes} minutes")]
    TimedOut { minutes: u64 },
    /// The pasted text is not a redirect URL, for this reason.
    #[error("{0}")]
    Pasted(&'static str),
    /// A code was pasted without the state that binds it to this sign-in.
    #[error("a code alone does not say which sign-in it belongs to")]
    CodeAlone,
    #[error("{source_name}: cannot sign in")]
    SignIn { source_name: SourceName, source: SignInError },
    #[error("cannot {action}")]
    System { action: &'static str, source: std::io::Error },
}

impl Diagnostic for LoginError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Port { .. } => ErrorKind::Busy,
            Self::Refused { .. } | Self::Pasted(_) | Self::CodeAlone => ErrorKind::Credential,
            Self::TimedOut { .. } => ErrorKind::Unavailable,
            Self::SignIn { source, .. } => source.kind(),
            Self::System { .. } => ErrorKind::System,
        }
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        Some(
            match self {
                Self::Port { .. } => {
                    "Choose another port with --port, and register it in the app, too."
                }
                Self::Refused { .. } => "Run the command again to repeat the sign-in.",
                Self::TimedOut { .. } => {
                    "Run the command again, with --paste if the browser is on another machine."
                }
                Self::Pasted(_) => {
                    "Run the command again and paste the whole URL that the browser shows after \
                     you agree, even if its page cannot be opened."
                }
                Self::CodeAlone => {
                    "Run the command again and paste the whole URL that the browser shows after \
                     you agree. If it shows a code and no URL, paste `code=CODE&state=STATE`, with \
                     the state of the URL that you opened."
                }
                Self::SignIn { source, .. } => return source.hint(),
                Self::System { .. } => return None,
            }
            .into(),
        )
    }
}

//! Errors of a sign-in.

use std::borrow::Cow;

use crate::model::{Diagnostic, ErrorKind, SourceName};
use crate::providers::SignInError;

/// The reason why a sign-in failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoginError {
    #[error("cannot listen on port {port}")]
    Port { port: u16, source: std::io::Error },
    /// The user or the provider refused permission in the browser.
    #[error("{source_name}: permission was refused in the browser ({reason})")]
    Refused {
        source_name: SourceName,
        /// The error code of the provider.
        reason: String,
    },
    #[error("the sign-in was not completed in the browser within {minutes} minutes")]
    TimedOut { minutes: u64 },
    /// The pasted text is not a redirect URL of this sign-in, for the given reason.
    #[error("{0}")]
    InvalidPaste(&'static str),
    /// A code was pasted without the state, which binds it to this sign-in.
    #[error("the pasted code does not show which sign-in it belongs to")]
    CodeWithoutState,
    #[error("{source_name}: cannot sign in")]
    SignIn { source_name: SourceName, source: SignInError },
    #[error("cannot {action}")]
    System { action: &'static str, source: std::io::Error },
}

impl Diagnostic for LoginError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Port { .. } => ErrorKind::Busy,
            Self::Refused { .. } | Self::InvalidPaste(_) | Self::CodeWithoutState => {
                ErrorKind::Credential
            }
            Self::TimedOut { .. } => ErrorKind::Unavailable,
            Self::SignIn { source, .. } => source.kind(),
            Self::System { .. } => ErrorKind::System,
        }
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        Some(
            match self {
                Self::Port { .. } => {
                    "Choose another port with --port, and register the new redirect URL in the app."
                }
                Self::Refused { .. } => "Run the command again to repeat the sign-in.",
                Self::TimedOut { .. } => {
                    "Run the command again, with --paste if the browser is on another machine."
                }
                Self::InvalidPaste(_) => {
                    "Run the command again and paste the whole URL that the browser shows after \
                     you agree, even if its page cannot be opened."
                }
                Self::CodeWithoutState => {
                    "Run the command again and paste the whole URL that the browser shows after \
                     you agree. If it shows only a code, paste `code=CODE&state=STATE`, where STATE \
                     is the `state` parameter of the URL that you opened."
                }
                Self::SignIn { source, .. } => return source.hint(),
                Self::System { .. } => return None,
            }
            .into(),
        )
    }
}

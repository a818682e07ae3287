//! What is wrong with a value.
//!
//! A message completes "`KEY`: …". It contains no value that can be a secret: URLs are not shown.

use std::borrow::Cow;
use std::io;

use bytesize::ByteSize;
use jiff::civil::Date;

use super::cache::{DiskLimit, MemoryBudget};
use super::limits::{MAX_READ_DEADLINE, MIN_READ_DEADLINE};
use crate::model::{Diagnostic, ErrorKind};

#[derive(Debug, thiserror::Error)]
pub enum ValueProblem {
    /// The key needs a value of another TOML type. Both types have their article.
    #[error("must be {expected}, not {actual}")]
    Type { expected: &'static str, actual: &'static str },
    #[error("must not be empty")]
    Empty { hint: &'static str },
    #[error("contains an empty text")]
    EmptyInList { hint: &'static str },
    #[error("is not UTF-8 text")]
    NotUtf8,
    #[error("contains a space, a colon or a control character")]
    Characters { hint: &'static str },
    /// The value has another form than it must have, as in "is not an e-mail address".
    #[error("`{value}` is not {expected}")]
    Malformed { value: String, expected: &'static str, hint: Option<&'static str> },
    /// The value is not one of a fixed set of names.
    #[error("unknown {subject} `{name}`")]
    UnknownName {
        subject: &'static str,
        name: String,
        /// The known name most like it.
        nearest: Option<String>,
        /// A sentence that lists the known names.
        choices: Cow<'static, str>,
    },
    #[error("must be at least {}", ByteSize(MemoryBudget::MIN.bytes()))]
    MemoryTooSmall,
    #[error(
        "asks for {}, but this machine has {} of memory",
        ByteSize(*.requested),
        ByteSize(*.total)
    )]
    MemoryTooLarge {
        /// In bytes.
        requested: u64,
        /// In bytes.
        total: u64,
    },
    /// The mode does not let the owner of the mount read it.
    #[error("must contain {required:04o}, so that the owner can read")]
    OwnerCannotRead { required: u16 },
    #[error("must be at least {}, one block of the cache", ByteSize(DiskLimit::MIN_BYTES))]
    DiskTooSmall,
    #[error("is larger than any disk")]
    DiskTooLarge,
    #[error(
        "must be between {} and {} seconds",
        MIN_READ_DEADLINE.as_secs(),
        MAX_READ_DEADLINE.as_secs()
    )]
    ReadDeadlineRange,
    /// The value begins with `~/` and the home directory is not known.
    #[error("begins with `~/`, but HOME is not set to an absolute path")]
    NoHome,
    /// The current directory, which a relative path starts from, does not exist.
    #[error("cannot be made an absolute path: {0}")]
    Path(io::Error),
    #[error("{0} is in the future")]
    FutureDate(Date),
    /// The last day is before the first day.
    #[error("{until} is before {since}, the first day")]
    NoDays { since: Date, until: Date },
    #[error("`{pattern}` is not a valid pattern: {reason}")]
    Pattern { pattern: String, reason: String },
    #[error("is not a URL: {0}")]
    Url(url::ParseError),
    /// A secret would be sent unencrypted.
    #[error("must begin with https://")]
    UrlScheme,
    #[error("must not contain a user name or password")]
    UrlUser,
    #[error("must not contain a query or a fragment")]
    UrlQuery,
    #[error("must contain only host names")]
    HostName,
    /// A host name of one label would allow a whole top-level domain.
    #[error("must contain host names of at least two labels")]
    HostTooShort,
}

impl Diagnostic for ValueProblem {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Configuration
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        let hint = match self {
            Self::Type { .. }
            | Self::NotUtf8
            | Self::ReadDeadlineRange
            | Self::OwnerCannotRead { .. }
            | Self::Path(_)
            | Self::FutureDate(_)
            | Self::Url(_)
            | Self::UrlUser => return None,
            Self::Empty { hint } | Self::EmptyInList { hint } | Self::Characters { hint } => hint,
            Self::Malformed { hint, .. } => return hint.map(Cow::from),
            Self::UnknownName { nearest, choices, .. } => {
                return Some(match nearest {
                    Some(nearest) => format!("Did you mean `{nearest}`? {choices}").into(),
                    None => choices.clone(),
                });
            }
            Self::MemoryTooSmall => "With less, reads would wait for each other's memory.",
            Self::MemoryTooLarge { total, .. } => {
                let example = suggested_memory(*total);
                return Some(format!("Write a smaller size, for example \"{example}\".").into());
            }
            Self::DiskTooSmall => "\"off\" stores nothing on disk.",
            Self::DiskTooLarge => "Write a smaller size, or \"off\".",
            Self::NoHome => "Write the absolute path.",
            Self::NoDays { .. } => "No meeting would be shown. Correct `since` or `until`.",
            Self::Pattern { .. } => {
                "`*` matches any text, `?` one character, `[ab]` one of the characters."
            }
            Self::UrlScheme => "http:// is allowed for a loopback host only.",
            Self::UrlQuery => "Remove the part from `?` or `#` on.",
            Self::HostName => {
                "Write names such as \"files.example.org\", without scheme, port, path or `*`."
            }
            Self::HostTooShort => {
                "Write a name such as \"example.org\". Hosts below it are allowed too."
            }
        };
        Some(hint.into())
    }
}

/// Returns a size of block buffers for a machine with `machine` bytes of memory: a power of two,
/// about an eighth of it.
fn suggested_memory(total: u64) -> String {
    const GIB: u64 = 1024 * 1024 * 1024;
    let eighth = total.max(8) / 8;
    let bytes = (1_u64 << eighth.ilog2()).max(MemoryBudget::MIN.bytes());
    if bytes >= GIB {
        format!("{}GiB", bytes / GIB)
    } else {
        format!("{}MiB", bytes / (1024 * 1024))
    }
}

//! The reasons why a value is rejected.
//!
//! Each message follows the name of a key, as in "`cache.memory`: must not be empty". It contains
//! no value that can be a secret. A URL is not shown, because it can contain a password.

use std::borrow::Cow;
use std::io;

use bytesize::ByteSize;
use jiff::civil::Date;
use nix::unistd::Uid;

use super::bandwidth_limit::BandwidthLimit;
use super::cache::{DiskLimit, MemoryBudget};
use super::file_problem::FileProblem;
use super::limits::{MAX_READ_DEADLINE, MIN_READ_DEADLINE, MIN_SCANNER_LIMIT};
use crate::model::{Diagnostic, ErrorKind};

#[derive(Debug, thiserror::Error)]
pub enum ValueProblem {
    /// The value does not have the TOML type that the key needs. `expected` and `actual` include
    /// the article.
    #[error("must be {expected}, not {actual}")]
    Type { expected: &'static str, actual: &'static str, hint: Option<Cow<'static, str>> },
    #[error("must not be empty")]
    Empty { hint: &'static str },
    #[error("contains an empty string")]
    EmptyInList { hint: &'static str },
    #[error("is not UTF-8 text")]
    NotUtf8,
    #[error("contains a space, a colon or a control character")]
    Characters { hint: &'static str },
    /// The value does not have the expected form. `expected` completes "is not".
    #[error("`{value}` is not {expected}")]
    Malformed { value: String, expected: &'static str, hint: Option<&'static str> },
    /// The value is a number, but the setting needs a unit too.
    #[error("`{value}` has no unit")]
    NoUnit {
        value: String,
        /// The number with possible units.
        examples: String,
    },
    /// The value is not one of a fixed set of names.
    #[error("unknown {subject} `{name}`")]
    UnknownName {
        subject: &'static str,
        name: String,
        /// The known name that is most similar to `name`.
        nearest_name: Option<String>,
        /// A sentence that lists the known names or states where to find them.
        choices: Cow<'static, str>,
    },
    #[error("must be at least {}", ByteSize(MemoryBudget::MIN.bytes()))]
    MemoryTooSmall,
    #[error(
        "is {}, but this machine has {} of memory",
        ByteSize(*.requested_bytes),
        ByteSize(*.total_bytes)
    )]
    MemoryTooLarge {
        /// The configured size in bytes.
        requested_bytes: u64,
        /// The memory of the machine in bytes.
        total_bytes: u64,
    },
    /// With this mode, the owner of the mount could not read it.
    #[error("must include {required_bits:04o}, so that the owner can read it")]
    OwnerCannotRead { required_bits: u16 },
    #[error("must be at least {} per second", ByteSize(BandwidthLimit::MIN.bytes_per_second()))]
    BandwidthTooLow,
    #[error("must be at least {}", ByteSize(MIN_SCANNER_LIMIT))]
    ScannerLimitTooLow,
    /// Other machines could reach the address.
    #[error("must be on a loopback address")]
    NotLoopback,
    #[error("must be at least {}, the size of one block", ByteSize(DiskLimit::MIN_BYTES))]
    DiskTooSmall,
    #[error("is larger than any disk")]
    DiskTooLarge,
    #[error(
        "must be between {} and {} seconds",
        MIN_READ_DEADLINE.as_secs(),
        MAX_READ_DEADLINE.as_secs()
    )]
    ReadDeadlineRange,
    /// The value begins with `~/`, but no home directory is set.
    #[error("begins with `~/`, but HOME is not set to an absolute path")]
    NoHome,
    /// The value is a relative path, but the current directory does not exist.
    #[error("cannot be converted to an absolute path: {0}")]
    Path(io::Error),
    #[error("{0} is in the future")]
    FutureDate(Date),
    /// The last day to show is before the first day.
    #[error("{until} is before the first day, {since}")]
    NoDays { since: Date, until: Date },
    #[error("`{pattern}` is not a valid pattern: {reason}")]
    Pattern { pattern: String, reason: String },
    #[error("is not a URL: {0}")]
    Url(url::ParseError),
    /// With this URL, a secret would be sent unencrypted.
    #[error("must begin with https://")]
    UrlScheme,
    #[error("must not contain a user name or password")]
    UrlUser,
    #[error("must not contain a query or a fragment")]
    UrlQuery,
    #[error("cannot read {path}: {problem}")]
    CaFile { path: String, problem: FileProblem },
    /// The owner could add a CA, and read everything that is sent to the providers.
    #[error("{path} belongs to user {owner}, who can change it")]
    CaFileForeign { path: String, owner: Uid },
    #[error("{path} has mode {mode:04o}, so other users can change it")]
    CaFileWritable { path: String, mode: u32 },
    #[error("{path} has no valid CA certificates in PEM format: {reason}")]
    CaCertificate { path: String, reason: String },
    #[error("must contain only host names")]
    HostName,
    /// A host name of one label would allow a whole top-level domain.
    #[error("must contain only host names with at least two labels")]
    HostTooShort,
}

impl Diagnostic for ValueProblem {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Configuration
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        let hint = match self {
            Self::Type { hint, .. } => return hint.clone(),
            Self::NotUtf8
            | Self::ReadDeadlineRange
            | Self::OwnerCannotRead { .. }
            | Self::Path(_)
            | Self::FutureDate(_)
            | Self::UrlUser => return None,
            Self::NotLoopback => {
                "Metrics have no password. Use 127.0.0.1 or unix: and a path, and let a proxy or \
                 an agent on this machine forward them."
            }
            Self::BandwidthTooLow | Self::ScannerLimitTooLow => {
                "Write \"off\" to remove the limit."
            }
            // The text has no scheme, such as `api.zoom.us`.
            Self::Url(url::ParseError::RelativeUrlWithoutBase) => {
                "Write a URL that begins with https://."
            }
            Self::Url(_) => return None,
            Self::Empty { hint } | Self::EmptyInList { hint } | Self::Characters { hint } => hint,
            Self::Malformed { hint, .. } => return hint.map(Cow::from),
            Self::NoUnit { examples, .. } => return Some(format!("Write {examples}.").into()),
            Self::UnknownName { nearest_name, choices, .. } => {
                return Some(match nearest_name {
                    Some(nearest_name) => {
                        format!("Did you mean `{nearest_name}`? {choices}").into()
                    }
                    None => choices.clone(),
                });
            }
            Self::MemoryTooSmall => "With less memory, concurrent reads would wait for each other.",
            Self::MemoryTooLarge { total_bytes, .. } => {
                let example = suggested_memory(*total_bytes);
                return Some(format!("Use a smaller size, for example \"{example}\".").into());
            }
            Self::DiskTooSmall => "Use a larger size, or \"off\" to store nothing on disk.",
            Self::DiskTooLarge => "Use a smaller size, or \"off\".",
            Self::NoHome => "Write the absolute path.",
            Self::NoDays { .. } => "No meeting would be shown. Correct `since` or `until`.",
            Self::Pattern { .. } => {
                "`*` matches any text, `?` one character, `[ab]` one of the characters."
            }
            Self::UrlScheme => "http:// is allowed only for a loopback host such as 127.0.0.1.",
            Self::UrlQuery => "Remove everything from the first `?` or `#`.",
            Self::CaFile { problem, .. } => return problem.hint(),
            Self::CaFileForeign { path, .. } => {
                let own = Uid::effective();
                return Some(format!("Check the file, then run `chown {own} {path}`.").into());
            }
            Self::CaFileWritable { path, .. } => {
                return Some(format!("Check the file, then run `chmod go-w {path}`.").into());
            }
            Self::CaCertificate { .. } => {
                "Use a PEM file. To convert a DER file: openssl x509 -inform DER -in FILE -out FILE.pem"
            }
            Self::HostName => {
                "Write names such as \"files.example.org\", without scheme, port, path or `*`."
            }
            Self::HostTooShort => {
                "Write a name such as \"example.org\". A name includes its subdomains."
            }
        };
        Some(hint.into())
    }
}

/// Returns the memory size to suggest on a machine with `total_bytes` bytes of memory: a power of
/// two, which is about an eighth of the memory.
fn suggested_memory(total_bytes: u64) -> String {
    const GIB: u64 = 1024 * 1024 * 1024;
    let eighth_of_memory = total_bytes.max(8) / 8;
    let bytes = (1_u64 << eighth_of_memory.ilog2()).max(MemoryBudget::MIN.bytes());
    if bytes >= GIB {
        format!("{}GiB", bytes / GIB)
    } else {
        format!("{}MiB", bytes / (1024 * 1024))
    }
}

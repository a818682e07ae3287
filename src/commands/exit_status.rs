//! Exit codes of the commands. `--help` documents them.

use std::process::ExitCode;

use crate::model::ErrorKind;

/// The exit status of a command. The command-line parser also exits with code 2 on wrong usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitStatus {
    Success = 0,
    /// The command failed, or a backup that it checked is not complete.
    Failure = 1,
    /// The command was used incorrectly.
    Usage = 2,
    /// The configuration or a credential is wrong.
    Configuration = 3,
    /// The mount is busy, or the mountpoint is already in use.
    Busy = 4,
}

impl From<ErrorKind> for ExitStatus {
    fn from(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::Usage => Self::Usage,
            ErrorKind::Configuration | ErrorKind::Credential | ErrorKind::NotAllowed => {
                Self::Configuration
            }
            ErrorKind::Busy => Self::Busy,
            ErrorKind::NotFound
            | ErrorKind::Changed
            | ErrorKind::RateLimited
            | ErrorKind::Unavailable
            | ErrorKind::Protocol
            | ErrorKind::Interrupted
            | ErrorKind::System => Self::Failure,
        }
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status as u8)
    }
}

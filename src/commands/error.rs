//! What ends a command, with its exit code.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::cache::disk::DiskError;
use crate::catalog::CatalogDatabaseError;
use crate::commands::login::LoginError;
use crate::config::ConfigError;
use crate::daemon::control::ControlError;
use crate::daemon::mountpoint::MountpointError;
use crate::fuse::SessionError;
use crate::http::HttpError;
use crate::model::SourceName;
use crate::providers::{ErrorClass, ProviderError, SignInError};

/// Why a command failed. Each text says what failed, why, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A source that could not be listed.
    #[error("{source_name} cannot be listed: {cause}")]
    Source {
        /// Which.
        source_name: SourceName,
        /// Why.
        cause: ProviderError,
    },
    /// A source of which some days could not be listed.
    #[error("some days of {source_name} could not be listed; the log says why")]
    Incomplete {
        /// Which.
        source_name: SourceName,
    },
    /// A source that has not been listed yet.
    #[error("{source_name} has not answered yet; `meetfs status` says what becomes of it")]
    Unanswered {
        /// Which.
        source_name: SourceName,
    },
    /// The directory to mount on.
    #[error(transparent)]
    Mountpoint(#[from] MountpointError),
    /// The daemon of a mount.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// A sign-in.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// A refresh that did not bring everything.
    #[error(
        "not listed whole: {sources}; what was known is shown, and it is tried again by itself"
    )]
    NotRefreshed {
        /// Their names.
        sources: String,
    },
    /// A refresh that does not end.
    #[error(
        "still being listed after ten minutes: {sources}; it goes on by itself, and `meetfs status` says how it goes"
    )]
    StillRefreshing {
        /// Their names.
        sources: String,
    },
    /// A directory with copies.
    #[error("{} cannot be searched for copies ({cause}); give a directory that can be read with --not-in", path.display())]
    Backup {
        /// The directory.
        path: PathBuf,
        /// The system's word.
        cause: std::io::Error,
    },
    /// The kernel's side.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// What is kept on disk.
    #[error(transparent)]
    Facts(#[from] CatalogDatabaseError),
    /// The blocks on disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The HTTP client.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// A log file.
    #[error("the log {} cannot be written ({cause}); give another with --log-file", path.display())]
    Log {
        /// The file or directory.
        path: PathBuf,
        /// The system's word.
        cause: std::io::Error,
    },
    /// The system would not give what every process needs.
    #[error("{what} failed: {cause}")]
    System {
        /// What was tried.
        what: &'static str,
        /// The system's word.
        cause: std::io::Error,
    },
    /// Asked to stop before the mount was ready.
    #[error("stopped before the mount was ready")]
    Interrupted,
}

/// Exit codes, as `--help` documents them. Wrong usage (2) is left to the parser of the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Failed.
    Failed = 1,
    /// Configuration or credentials.
    Configuration = 3,
    /// Busy or already mounted.
    Busy = 4,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

impl Error {
    /// The exit code of a command that ends with it.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Config(_)
            // Another directory or its mode is what has to be set.
            | Self::Facts(CatalogDatabaseError::Exposed { .. } | CatalogDatabaseError::NotOwn(_) | CatalogDatabaseError::Later { .. })
            | Self::Disk(DiskError::NotOwn(_)) => Exit::Configuration,
            Self::Source { cause, .. } if is_of_configuration(cause) => Exit::Configuration,
            Self::Mountpoint(
                MountpointError::AlreadyMounted { .. }
                | MountpointError::BeingMounted(_)
                | MountpointError::Busy { .. },
            ) => Exit::Busy,
            Self::Disk(DiskError::InUse { .. }) | Self::Login(LoginError::Port { .. }) => Exit::Busy,
            Self::Login(
                LoginError::Refused { .. }
                | LoginError::Pasted(_)
                | LoginError::CodeAlone
                | LoginError::SignIn {
                    cause: SignInError::Address(_) | SignInError::NotLasting,
                    ..
                },
            ) => Exit::Configuration,
            Self::Login(LoginError::SignIn { cause: SignInError::Provider(cause), .. })
                if is_of_configuration(cause) =>
            {
                Exit::Configuration
            }
            Self::Source { .. }
            | Self::Incomplete { .. }
            | Self::Unanswered { .. }
            | Self::Mountpoint(_)
            | Self::Control(_)
            | Self::Login(_)
            | Self::NotRefreshed { .. }
            | Self::StillRefreshing { .. }
            | Self::Backup { .. }
            | Self::Session(_)
            | Self::Facts(_)
            | Self::Disk(_)
            | Self::Http(_)
            | Self::Log { .. }
            | Self::System { .. }
            | Self::Interrupted => Exit::Failed,
        }
    }
}

fn is_of_configuration(cause: &ProviderError) -> bool {
    matches!(cause.class(), ErrorClass::Credential | ErrorClass::NotAllowed)
}

//! The errors of file system operations.

use std::borrow::Cow;

use crate::http::FetchError;
use crate::model::{Diagnostic, ErrorKind};

/// The reason why an operation of the [`FileSystem`](super::FileSystem) fails.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    #[error("the inode is not in the directory tree")]
    StaleInode,
    #[error("the file is not a recording file")]
    NotRecording,
    #[error("the name is too long")]
    NameTooLong,
    #[error("the handle is not open")]
    UnknownHandle,
    #[error("the inode is a directory")]
    IsDirectory,
    #[error("the inode is not a directory")]
    NotDirectory,
    #[error("the file system is read-only")]
    ReadOnly,
    #[error("the offset is outside of the file")]
    OffsetOutOfRange,
    #[error("the extended attribute does not exist")]
    NoSuchAttribute,
    #[error("only extended attributes in the namespace `user.` are supported")]
    UnsupportedNamespace,
    #[error("the value does not fit in {0} bytes")]
    BufferTooSmall(u32),
    #[error("a signal interrupted the calling thread")]
    Interrupted,
    /// Open handles still read an earlier revision of the file from a backing file. The kernel does
    /// not accept a second backing file for the inode.
    #[error("an earlier revision of the file is still open")]
    EarlierRevisionOpen,
    /// The tree got another length of the file while it was being opened.
    #[error("the file changed while it was being opened")]
    ChangedDuringOpen,
    /// The inode has become longer than the content of the handle, so a read through the kernel's
    /// pages cannot end where the content ends.
    #[error("the file has become longer since it was opened")]
    BecameLonger,
    /// The budget of a scanner for the file is used up.
    #[error("the program `{0}` has reached the limit for scanners")]
    ScannerLimit(&'static str),
    /// No run has listed the source yet.
    #[error("the recordings of the source are not known yet")]
    NotListed,
    #[error(transparent)]
    Fetch(#[from] FetchError),
}

impl Diagnostic for Error {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::StaleInode | Self::NotRecording | Self::NoSuchAttribute => ErrorKind::NotFound,
            Self::EarlierRevisionOpen | Self::ChangedDuringOpen | Self::BecameLonger => {
                ErrorKind::Changed
            }
            Self::ReadOnly | Self::ScannerLimit(_) => ErrorKind::NotAllowed,
            Self::Interrupted => ErrorKind::Interrupted,
            Self::NotListed => ErrorKind::Unavailable,
            Self::NameTooLong
            | Self::UnknownHandle
            | Self::IsDirectory
            | Self::NotDirectory
            | Self::OffsetOutOfRange
            | Self::UnsupportedNamespace
            | Self::BufferTooSmall(_) => ErrorKind::System,
            Self::Fetch(error) => error.kind(),
        }
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Fetch(error) => error.hint(),
            Self::ScannerLimit(_) => {
                Some("Set `scanner_limit` in the configuration to a larger size or \"off\".".into())
            }
            _ => None,
        }
    }
}

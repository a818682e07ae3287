//! Why a block cannot be written, and whether the next one may fare better.

use std::io::ErrorKind;

/// Why a block cannot be written.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// The process has run out of something; the next block may fare better.
    #[error("{0}")]
    Passing(std::io::Error),
    /// The disk, or this user's share of it, is full.
    #[error("the disk is full ({0})")]
    Full(std::io::Error),
    /// Writing would leave less free space than is to be left.
    #[error("too little space is left on the disk")]
    NoSpace,
    /// The disk takes no writes.
    #[error("the disk takes no writes ({0})")]
    Broken(std::io::Error),
}

impl Trouble {
    /// The same, not to be tried again.
    pub(super) fn for_good(self) -> Self {
        match self {
            Self::Passing(cause) | Self::Full(cause) | Self::Broken(cause) => Self::Broken(cause),
            Self::NoSpace => Self::NoSpace,
        }
    }
}

impl From<std::io::Error> for Trouble {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::Full(error),
            _ if is_transient(&error) => Self::Passing(error),
            _ => Self::Broken(error),
        }
    }
}

/// Whether an error says something of this process rather than of the disk.
pub(super) fn is_transient(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::EINTR))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trouble(errno: i32) -> Trouble {
        std::io::Error::from_raw_os_error(errno).into()
    }

    #[test]
    fn a_full_disk_is_tried_again_and_a_broken_one_is_not() {
        assert!(matches!(trouble(libc::ENOSPC), Trouble::Full(_)));
        assert!(matches!(trouble(libc::EDQUOT), Trouble::Full(_)));
        assert!(matches!(trouble(libc::EIO), Trouble::Broken(_)));
        assert!(matches!(trouble(libc::EROFS), Trouble::Broken(_)));
        assert!(matches!(trouble(libc::EMFILE), Trouble::Passing(_)));
    }
}

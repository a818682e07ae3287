//! The errors of writing a block, classified by whether later writes can succeed.

use std::io::ErrorKind;

#[derive(Debug, thiserror::Error)]
pub(super) enum WriteError {
    /// The process or the system lacks a resource, for example file descriptors or memory. The next
    /// block can still be written.
    #[error("the process lacks file descriptors, memory or another resource")]
    Transient(#[source] std::io::Error),
    /// The disk is full, or the disk quota of the user is used up.
    #[error("the disk is full")]
    DiskFull(#[source] std::io::Error),
    /// The write would leave less free space than the floor.
    #[error("the disk has too little free space")]
    BelowFloor,
    /// The disk rejects writes, for example because it is broken or read-only.
    #[error("the disk rejects writes")]
    Rejected(#[source] std::io::Error),
}

impl WriteError {
    /// Converts a transient error into a permanent one.
    pub(super) fn into_permanent(self) -> Self {
        match self {
            Self::Transient(cause) | Self::DiskFull(cause) | Self::Rejected(cause) => {
                Self::Rejected(cause)
            }
            Self::BelowFloor => Self::BelowFloor,
        }
    }
}

impl From<std::io::Error> for WriteError {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Self::DiskFull(error),
            _ if is_transient(&error) => Self::Transient(error),
            _ => Self::Rejected(error),
        }
    }
}

/// Whether the cause of the error is the process and not the disk.
pub(super) fn is_transient(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::EINTR))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write_error(errno: i32) -> WriteError {
        std::io::Error::from_raw_os_error(errno).into()
    }

    #[test]
    fn full_disk_is_temporary_but_broken_disk_is_not() {
        assert!(matches!(write_error(libc::ENOSPC), WriteError::DiskFull(_)));
        assert!(matches!(write_error(libc::EDQUOT), WriteError::DiskFull(_)));
        assert!(matches!(write_error(libc::EIO), WriteError::Rejected(_)));
        assert!(matches!(write_error(libc::EROFS), WriteError::Rejected(_)));
        assert!(matches!(write_error(libc::EMFILE), WriteError::Transient(_)));
    }
}

//! Maps each error to an errno.

use fuser::Errno;

use crate::model::{Diagnostic, ErrorKind};
use crate::vfs::Error;

/// Returns the errno that a program gets. It is never `EAGAIN`, because some programs then retry in
/// a busy loop or abort.
pub(super) fn errno(error: &Error) -> Errno {
    match error {
        Error::StaleInode
        | Error::NotRecording
        | Error::EarlierRevisionOpen
        | Error::ChangedDuringOpen
        | Error::BecameLonger => Errno::ESTALE,
        Error::NameTooLong => Errno::ENAMETOOLONG,
        Error::UnknownHandle => Errno::EBADF,
        Error::IsDirectory => Errno::EISDIR,
        Error::NotDirectory => Errno::ENOTDIR,
        Error::ReadOnly => Errno::EROFS,
        Error::OffsetOutOfRange => Errno::ENXIO,
        Error::NoSuchAttribute => Errno::NO_XATTR,
        Error::UnsupportedNamespace => Errno::EOPNOTSUPP,
        Error::BufferTooSmall(_) => Errno::ERANGE,
        Error::Interrupted => Errno::EINTR,
        Error::NotListed => Errno::EIO,
        // Programs do not repeat a read that is not permitted, and do not take it for a defect of
        // the disk.
        Error::ScannerLimit(_) => Errno::EACCES,
        Error::Fetch(_) => match error.kind() {
            ErrorKind::NotAllowed | ErrorKind::Credential => Errno::EACCES,
            ErrorKind::NotFound | ErrorKind::Changed => Errno::ESTALE,
            _ => Errno::EIO,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::FetchError;

    #[test]
    fn fetch_errors_map_to_errnos() {
        let cause = || "cause".into();
        for (error, expected) in [
            (FetchError::NotAllowed(cause()), Errno::EACCES),
            (FetchError::Gone(cause()), Errno::ESTALE),
            (FetchError::Changed(cause()), Errno::ESTALE),
            (FetchError::WrongTotal { expected_length: 1, served_length: 2 }, Errno::ESTALE),
            (FetchError::Deadline(cause()), Errno::EIO),
            (FetchError::Down(cause()), Errno::EIO),
            (FetchError::RangesIgnored(cause()), Errno::EIO),
            (FetchError::Failed(cause()), Errno::EIO),
            (FetchError::NotTheFile(cause()), Errno::EIO),
        ] {
            let errno = errno(&Error::Fetch(error.clone()));
            assert_eq!(errno.code(), expected.code(), "{error}");
        }
    }

    #[test]
    fn vfs_errors_map_to_errnos() {
        for (error, expected) in [
            (Error::StaleInode, libc::ESTALE),
            (Error::NotRecording, libc::ESTALE),
            (Error::EarlierRevisionOpen, libc::ESTALE),
            (Error::ChangedDuringOpen, libc::ESTALE),
            (Error::BecameLonger, libc::ESTALE),
            (Error::NameTooLong, libc::ENAMETOOLONG),
            (Error::UnknownHandle, libc::EBADF),
            (Error::IsDirectory, libc::EISDIR),
            (Error::NotDirectory, libc::ENOTDIR),
            (Error::ReadOnly, libc::EROFS),
            (Error::OffsetOutOfRange, libc::ENXIO),
            (Error::NoSuchAttribute, libc::ENODATA),
            (Error::UnsupportedNamespace, libc::EOPNOTSUPP),
            (Error::BufferTooSmall(3), libc::ERANGE),
            (Error::Interrupted, libc::EINTR),
            (Error::ScannerLimit("file"), libc::EACCES),
        ] {
            assert_eq!(errno(&error).code(), expected, "{error}");
        }
    }
}

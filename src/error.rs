//! The one table from what went wrong to the errno a program sees.

use fuser::Errno;

use crate::http::FetchError;

/// The errno of a failed read: `EACCES` not allowed, `ESTALE` changed or gone upstream, `EIO` the rest. Never
/// `EAGAIN`, on which programs spin or abort.
pub fn errno_of(error: &FetchError) -> Errno {
    match error {
        FetchError::NotAllowed(_) => Errno::EACCES,
        FetchError::Gone(_) | FetchError::Changed(_) | FetchError::WrongTotal { .. } => Errno::ESTALE,
        FetchError::Deadline(_) | FetchError::Failed(_) => Errno::EIO,
    }
}

//! The errno of a failed read.

use crate::http::FetchError;

/// The errno of a failed read: `EACCES` not allowed, `ESTALE` changed or gone upstream, `EIO` the rest. Never
/// `EAGAIN`, on which programs spin or abort.
pub(crate) fn errno_of(error: &FetchError) -> i32 {
    match error {
        FetchError::NotAllowed(_) => libc::EACCES,
        FetchError::Gone(_) | FetchError::Changed(_) | FetchError::WrongTotal { .. } => {
            libc::ESTALE
        }
        FetchError::Deadline(_)
        | FetchError::Failed(_)
        | FetchError::Down(_)
        | FetchError::NotTheFile(_) => libc::EIO,
    }
}

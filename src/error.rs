//! The one table from what went wrong to the errno a program sees.

use crate::http::FetchError;

/// The errno of a failed read: `EACCES` not allowed, `ESTALE` changed or gone upstream, `EIO` the rest. Never
/// `EAGAIN`, on which programs spin or abort.
pub fn errno_of(error: &FetchError) -> i32 {
    match error {
        FetchError::NotAllowed(_) => libc::EACCES,
        FetchError::Gone(_) | FetchError::Changed(_) | FetchError::WrongTotal { .. } => libc::ESTALE,
        FetchError::Deadline(_) | FetchError::Failed(_) => libc::EIO,
    }
}

//! Length and processing state of a listed file.

use super::wire;
use crate::providers::zoom_share::file_kinds;

/// Returns the listed length, if it is positive.
pub(crate) fn declared_size(file: &wire::File) -> Option<u64> {
    file_kinds::declared_size(file.file_size)
}

/// Whether Zoom is still processing the file.
///
/// An unknown status counts as processing: a file that is shown too early is read incomplete, one
/// that is shown late is only late. Without a type, the file is being processed whatever its status
/// is ("List all recordings" in Zoom's API reference).
pub(crate) fn is_processing(file: &wire::File) -> bool {
    let status = file.status.as_deref().unwrap_or_default().to_ascii_lowercase();
    let done = matches!(status.as_str(), "" | "completed" | "complete" | "available" | "ready");
    !done || file.file_type.is_none()
}

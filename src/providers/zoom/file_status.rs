//! Determines the size and the processing state of a listed file.

use super::wire;
use crate::providers::zoom_share::file_kinds;

/// Returns the listed size in bytes, if it is positive.
pub(crate) fn declared_size(file: &wire::File) -> Option<u64> {
    file_kinds::declared_size(file.file_size)
}

/// Whether Zoom is still processing the file.
///
/// An unknown status counts as processing, because a file that is shown too early may be read
/// incompletely. A file without a type is being processed, regardless of its status ("List all
/// recordings" in Zoom's API reference).
pub(crate) fn is_processing(file: &wire::File) -> bool {
    let status = file.status.as_deref().unwrap_or_default().to_ascii_lowercase();
    let is_complete =
        matches!(status.as_str(), "" | "completed" | "complete" | "available" | "ready");
    !is_complete || file.file_type.is_none()
}

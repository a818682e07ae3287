//! The entry points of the fuzz targets of the read path.

use super::media_index;
use crate::cache::BlockSpan;

/// Returns the span of the index in a media file of `size` bytes that begins with `head`.
pub fn find_media_index(head: &[u8], size: u64) -> Option<BlockSpan> {
    media_index::find_index(head, size)
}

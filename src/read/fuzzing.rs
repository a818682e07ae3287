//! What the fuzz targets use of this module.

use super::media_index;
use crate::cache::BlockSpan;

/// Returns where a media file of `size` bytes that begins with `head` has its index.
pub fn media_index(head: &[u8], size: u64) -> Option<BlockSpan> {
    media_index::find(head, size)
}

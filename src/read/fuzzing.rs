//! What the fuzz targets reach of this room: the boxes of a video.

use super::media_index;
use crate::http::ByteRange;

/// Where a file of `size` bytes that begins with `head` keeps its index.
pub fn media_index(head: &[u8], size: u64) -> Option<ByteRange> {
    media_index::find(head, size)
}

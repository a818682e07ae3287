//! Finds the index of an MP4 or M4A file.
//!
//! A player needs the index, which is the `moov` box, before it can show anything. Cameras and
//! cloud recorders often write it at the end, after gigabytes of media. A player then reads the
//! head, finds no index in it, and seeks to the end, and each of these steps takes a round trip.
//! The box headers in the first block show where the index is. A header consists of a length of 32
//! bits and a type. The length 1 means that a length of 64 bits follows. The length 0 means that
//! the box extends to the end of the file (ISO/IEC 14496-12, 4.2).

use crate::cache::BlockSpan;

/// Maximum number of bytes of an index that are prefetched. The index of one hour of video has
/// about one megabyte. A player reads a longer index in sequence, so the rest of it is prefetched
/// like other bytes.
const MAX_PREFETCHED_INDEX: u64 = 4 * 1024 * 1024;

/// Length of a page of the kernel. The kernel reads whole pages. If the prefetch began within a
/// page, the rest of the page would need a request of its own.
const PAGE_LENGTH: u64 = 4096;

/// Maximum number of boxes that are examined. A media file has three or four boxes. A file with
/// more boxes than the maximum counts as another format.
const MAX_BOXES: usize = 16;

/// Returns the span of the index if a part of it follows after `head`, the first bytes of a file of
/// `size` bytes. The span can begin before the index, at the start of its page. Returns `None` if
/// `head` contains the whole index or does not show where it is.
pub(super) fn find_index(head: &[u8], size: u64) -> Option<BlockSpan> {
    let head_length = head.len() as u64;
    let mut offset = 0_u64;
    for _ in 0..MAX_BOXES {
        let Some(header) = BoxHeader::parse(head, offset) else {
            // The boxes in the head end here. Usually only the index follows after the media.
            return (offset >= head_length && offset < size && offset > 0)
                .then(|| prefetched_part(offset, size, head_length));
        };
        let end = header.end(offset, size)?;
        if &header.kind == b"moov" {
            return (end > head_length).then(|| prefetched_part(offset, end, head_length));
        }
        offset = end;
    }
    None
}

/// Returns the part of the index `start..end` to prefetch: the bytes after the head, from the start
/// of a page.
fn prefetched_part(start: u64, end: u64, head_length: u64) -> BlockSpan {
    let start = (start / PAGE_LENGTH * PAGE_LENGTH).max(head_length);
    BlockSpan::new(start, end.min(start.saturating_add(MAX_PREFETCHED_INDEX)))
}

struct BoxHeader {
    length: u64,
    kind: [u8; 4],
}

impl BoxHeader {
    fn parse(head: &[u8], offset: u64) -> Option<Self> {
        let bytes = head.get(usize::try_from(offset).ok()?..)?;
        let length = u32::from_be_bytes(*bytes.first_chunk()?);
        let kind = *bytes.get(4..)?.first_chunk()?;
        let length = match length {
            1 => u64::from_be_bytes(*bytes.get(8..)?.first_chunk()?),
            short => u64::from(short),
        };
        Some(Self { length, kind })
    }

    /// Returns the offset after the box that begins at `offset`. Returns `None` if the length of
    /// the box is invalid.
    fn end(&self, offset: u64, size: u64) -> Option<u64> {
        match self.length {
            0 => Some(size),
            length if length < 8 => None,
            length => offset.checked_add(length).filter(|end| *end <= size),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SPEAKER_VIEW: &[u8] = include_bytes!("../../assets/speaker_view.mp4");
    const GALLERY_VIEW: &[u8] = include_bytes!("../../assets/gallery_view.mp4");

    fn index_position(file: &[u8]) -> usize {
        file.windows(4).rposition(|window| window == b"moov").unwrap() - 4
    }

    #[test]
    fn index_after_media_is_found_from_head() {
        let (file, position) = if index_position(SPEAKER_VIEW) > index_position(GALLERY_VIEW) {
            (SPEAKER_VIEW, index_position(SPEAKER_VIEW))
        } else {
            (GALLERY_VIEW, index_position(GALLERY_VIEW))
        };
        let range = find_index(&file[..1000], file.len() as u64).unwrap();
        let start = (position as u64 / PAGE_LENGTH * PAGE_LENGTH).max(1000);
        assert_eq!(range, BlockSpan { start, end: file.len() as u64 });
    }

    #[test]
    fn index_within_head_is_not_fetched_again() {
        let file = if index_position(SPEAKER_VIEW) > index_position(GALLERY_VIEW) {
            GALLERY_VIEW
        } else {
            SPEAKER_VIEW
        };
        assert_eq!(find_index(file, file.len() as u64), None);
        let head_length = index_position(file) + 100;
        assert_eq!(
            find_index(&file[..head_length], file.len() as u64).map(|range| range.start),
            Some(head_length as u64)
        );
    }

    #[test]
    fn box_length_of_64_bits_is_parsed() {
        let mut head = b"\0\0\0\x10ftypisom\0\0\0\0\0\0\0\x01mdat".to_vec();
        head.extend_from_slice(&(5_000_000_000_u64).to_be_bytes());
        let size = 5_000_000_016 + 700;
        assert_eq!(find_index(&head, size), Some(BlockSpan { start: 4_999_999_488, end: size }));
    }

    proptest! {
        #[test]
        fn index_lies_between_head_and_end_of_file(
            head in prop::collection::vec(any::<u8>(), 0..300),
            remaining_length in 0u64..u64::MAX / 2,
        ) {
            let size = head.len() as u64 + remaining_length;
            if let Some(range) = find_index(&head, size) {
                prop_assert!(range.start < range.end && range.end <= size);
                prop_assert!(range.start >= head.len() as u64 && range.len() <= MAX_PREFETCHED_INDEX);
            }
        }
    }
}

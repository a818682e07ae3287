//! Finds the index of an MP4 or M4A file.
//!
//! A player needs the index, the `moov` box, before it can show anything. Cameras and cloud
//! recorders often write it last, after gigabytes of media. A player then reads the head, finds no
//! index in it, and seeks to the end, one round trip after the other. The box headers in the first
//! block show where the index is. A header consists of a length of 32 bits and a type. A length of
//! 1 means that a length of 64 bits follows, and a length of 0 that the box extends to the end of
//! the file (ISO/IEC 14496-12, 4.2).

use crate::cache::BlockSpan;

/// Maximum number of bytes of an index that are prefetched. An hour of video has an index of about
/// one megabyte. A player reads a longer index in sequence, so it gets a prefetch window like any
/// other bytes.
const MAX_PREFETCHED_INDEX: u64 = 4 * 1024 * 1024;

/// Maximum number of boxes that are examined. A media file has three or four; with more, the file
/// counts as another format.
const MAX_BOXES: usize = 16;

/// Returns the span of the index if it comes after `head`, the beginning of a file of `size` bytes.
/// Returns `None` if `head` contains the whole index or does not show where it is.
pub(super) fn find(head: &[u8], size: u64) -> Option<BlockSpan> {
    let head_length = head.len() as u64;
    let mut at = 0_u64;
    for _ in 0..MAX_BOXES {
        let Some(header) = BoxHeader::read(head, at) else {
            // The boxes in the head end here. After the media there is usually nothing but the
            // index.
            return (at >= head_length && at < size && at > 0).then(|| limited(at, size));
        };
        let end = header.end(at, size)?;
        if &header.kind == b"moov" {
            return (end > head_length).then(|| limited(head_length.max(at), end));
        }
        at = end;
    }
    None
}

fn limited(start: u64, end: u64) -> BlockSpan {
    BlockSpan::new(start, end.min(start.saturating_add(MAX_PREFETCHED_INDEX)))
}

struct BoxHeader {
    length: u64,
    kind: [u8; 4],
}

impl BoxHeader {
    fn read(head: &[u8], at: u64) -> Option<Self> {
        let bytes = head.get(usize::try_from(at).ok()?..)?;
        let length = u32::from_be_bytes(*bytes.first_chunk()?);
        let kind = *bytes.get(4..)?.first_chunk()?;
        let length = match length {
            1 => u64::from_be_bytes(*bytes.get(8..)?.first_chunk()?),
            short => u64::from(short),
        };
        Some(Self { length, kind })
    }

    /// Returns the offset after the box that begins at `at`; `None` if the length of the box is
    /// invalid.
    fn end(&self, at: u64, size: u64) -> Option<u64> {
        match self.length {
            0 => Some(size),
            length if length < 8 => None,
            length => at.checked_add(length).filter(|end| *end <= size),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LAST: &[u8] = include_bytes!("../../assets/speaker_view.mp4");
    const FIRST: &[u8] = include_bytes!("../../assets/gallery_view.mp4");

    fn index_position(file: &[u8]) -> usize {
        file.windows(4).rposition(|window| window == b"moov").unwrap() - 4
    }

    #[test]
    fn index_after_media_is_found_from_head() {
        let (file, position) = if index_position(LAST) > index_position(FIRST) {
            (LAST, index_position(LAST))
        } else {
            (FIRST, index_position(FIRST))
        };
        let range = find(&file[..1000], file.len() as u64).unwrap();
        assert_eq!(range, BlockSpan { start: position as u64, end: file.len() as u64 });
    }

    #[test]
    fn index_within_head_is_not_fetched_again() {
        let file = if index_position(LAST) > index_position(FIRST) { FIRST } else { LAST };
        assert_eq!(find(file, file.len() as u64), None);
        let cut = index_position(file) + 100;
        assert_eq!(
            find(&file[..cut], file.len() as u64).map(|range| range.start),
            Some(cut as u64)
        );
    }

    #[test]
    fn length_of_64_bits_is_read() {
        let mut head = b"\0\0\0\x10ftypisom\0\0\0\0\0\0\0\x01mdat".to_vec();
        head.extend_from_slice(&(5_000_000_000_u64).to_be_bytes());
        let size = 5_000_000_016 + 700;
        assert_eq!(find(&head, size), Some(BlockSpan { start: 5_000_000_016, end: size }));
    }

    proptest! {
        #[test]
        fn any_head_gives_bytes_between_head_and_end(
            head in prop::collection::vec(any::<u8>(), 0..300), more in 0u64..u64::MAX / 2
        ) {
            let size = head.len() as u64 + more;
            if let Some(range) = find(&head, size) {
                prop_assert!(range.start < range.end && range.end <= size);
                prop_assert!(range.start >= head.len() as u64 && range.len() <= MAX_PREFETCHED_INDEX);
            }
        }
    }
}
